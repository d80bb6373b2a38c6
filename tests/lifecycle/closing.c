/* A host with two listening sockets. It closes the second one before it starts its manager, and the
 * first one when that has stopped. */
#define _GNU_SOURCE
#include <stdio.h>

#include "../peer/request.h"

int main(int count, char **arguments)
{
    if (count != 3)
        return 64;
    fcgipm_options *options = fcgipm_options_new();
    int first = fcgipm_socket_open(arguments[1], 0, options);
    int second = fcgipm_socket_open(arguments[2], 0, options);
    fcgipm_manager *manager = fcgipm_manager_new(options);
    int is_open = first >= 0 && second >= 0 && fcgipm_socket_close(second) == 0;
    int event = is_open && manager ? fcgipm_manager_run(manager) : -1;
    if (event == FCGIPM_EVENT_STOPPED)
        return fcgipm_socket_close(first) < 0;
    fcgipm_request *request = event == FCGIPM_EVENT_IN_WORKER ? fcgipm_request_new(first, 0, options) : NULL;
    if (!request) {
        fprintf(stderr, "failed: %s\n", fcgipm_last_error_message());
        return 1;
    }
    serve_hello(request);
    return 0;
}
