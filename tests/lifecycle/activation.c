/* A host that leaves its listening socket to descriptor 0, or whose argument is the address, or "own" for
 * descriptor 3. With OPEN_IN_WORKER the workers open it. Without FCGIPM_N_PROCESSES it has no manager. */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../peer/request.h"

int main(int count, char **arguments)
{
    int listener = 0;
    fcgipm_options *options = fcgipm_options_new();
    int later = getenv("OPEN_IN_WORKER") != NULL;
    if (count > 1 && strcmp(arguments[1], "own") == 0) {
        listener = 3;
    } else if (count > 1 && !later) {
        listener = fcgipm_socket_open(arguments[1], 0, options);
    } else if (!later && fcgipm_socket_is_listening(0) != 1) {
        fputs("started as CGI\n", stderr);
        return 3;
    }
    fcgipm_manager *manager = listener < 0 ? NULL : fcgipm_manager_new(options);
    int event = manager ? 0 : -1;
    while (event >= 0 && event != FCGIPM_EVENT_IN_WORKER && event != FCGIPM_EVENT_STOPPED)
        event = fcgipm_manager_next(manager);
    if (later && event == FCGIPM_EVENT_IN_WORKER)
        listener = count > 1 ? fcgipm_socket_open(arguments[1], 0, options) : 0;
    fcgipm_request *request = event == FCGIPM_EVENT_IN_WORKER ? fcgipm_request_new(listener, 0, options) : NULL;
    if (event < 0 || (event == FCGIPM_EVENT_IN_WORKER && !request)) {
        fprintf(stderr, "failed: %s\n", fcgipm_last_error_message());
        return 1;
    }
    if (event == FCGIPM_EVENT_STOPPED)
        return 0;
    fcgipm_worker_protect();
    fprintf(stderr, "listener %d\n", listener);
    serve_hello(request);
    return 0;
}
