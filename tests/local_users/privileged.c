/* A set-user-ID root daemon: a manager of one worker, with options from the environment. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fcgipm.h"

static int fail(void)
{
    fprintf(stderr, "%s\n", fcgipm_last_error_message());
    return 1;
}

int main(int argc, char **argv)
{
    /* Executes another program, which inherits the privileges. */
    if (argc > 2 && strcmp(argv[1], "exec") == 0) {
        execv(argv[2], argv + 2);
        perror(argv[2]);
        return 127;
    }
    fcgipm_options *options = fcgipm_options_new();
    if (fcgipm_options_set(options, "n_processes", "1") < 0)
        return fail();
    int listener = fcgipm_socket_open(argv[1], 10, options);
    if (listener < 0)
        return fail();
    int event = fcgipm_manager_run(fcgipm_manager_new(options));
    if (event != FCGIPM_EVENT_IN_WORKER)
        return event < 0 ? fail() : 0;
    fcgipm_request *request = fcgipm_request_new(listener, 0, options);
    if (request == NULL)
        return fail();
    fprintf(stderr, "a worker is ready\n");
    while (fcgipm_request_accept(request) == 0)
        fcgipm_request_finish(request);
    fcgipm_request_free(request);
    return 0;
}
