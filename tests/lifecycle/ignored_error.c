/* A host that ignores an error of the manager, and serves. */
#include <stdio.h>
#include <unistd.h>

#include "fcgipm.h"

int main(void)
{
    fcgipm_options *options = fcgipm_options_new();
    fcgipm_manager *manager = fcgipm_manager_new(options);
    int ran = fcgipm_manager_run(manager);
    if (ran == FCGIPM_EVENT_STOPPED)
        return 0;
    fcgipm_request *request = fcgipm_request_new(0, 0, options);
    int result = fcgipm_request_accept(request);
    if (ran < 0)
        fprintf(stderr, "host: accept %d: %s\n", result, fcgipm_last_error_message());
    while (result == 0) {
        fcgipm_request_finish(request);
        result = fcgipm_request_accept(request);
    }
    return ran < 0;
}
