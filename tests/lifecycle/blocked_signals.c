/* A host that ignores SIGURG, or blocks all signals, before it serves. Argument: "ignore" or "block". */
#define _POSIX_C_SOURCE 200809L
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "fcgipm.h"

int main(int count, char **arguments)
{
    int ignores = count > 1 && strcmp(arguments[1], "ignore") == 0;
    fcgipm_options *options = fcgipm_options_new();
    int event = fcgipm_manager_run(fcgipm_manager_new(options));
    if (event != FCGIPM_EVENT_IN_WORKER)
        return event != FCGIPM_EVENT_STOPPED;
    if (ignores) {
        signal(SIGURG, SIG_IGN);
    } else {
        sigset_t all;
        sigfillset(&all);
        sigprocmask(SIG_BLOCK, &all, NULL);
    }
    fcgipm_request *request = fcgipm_request_new(0, 0, options);
    int result;
    while ((result = fcgipm_request_accept(request)) == 0)
        fcgipm_request_finish(request);
    return result != FCGIPM_ERETIRED;
}
