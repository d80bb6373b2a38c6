/* A host that installs its own handler for SIGURG in the first request, with SA_RESTART if the argument is "restart". It
 * answers with the number of calls of the handler. */
#define _POSIX_C_SOURCE 200809L
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "fcgipm.h"

static volatile sig_atomic_t calls;

static void count(int signal)
{
    (void)signal;
    calls++;
}

int main(int arguments_count, char **arguments)
{
    fcgipm_options *options = fcgipm_options_new();
    int event = fcgipm_manager_run(fcgipm_manager_new(options));
    if (event != FCGIPM_EVENT_IN_WORKER)
        return event != FCGIPM_EVENT_STOPPED;
    fcgipm_request *request = fcgipm_request_new(0, 0, options);
    int result, served = 0;
    while ((result = fcgipm_request_accept(request)) == 0) {
        if (!served++) {
            struct sigaction action;
            memset(&action, 0, sizeof action);
            action.sa_handler = count;
            action.sa_flags = arguments_count > 1 && strcmp(arguments[1], "restart") == 0 ? SA_RESTART : 0;
            sigaction(SIGURG, &action, NULL);
        }
        char answer[64];
        int length = snprintf(answer, sizeof answer, "Status: 200\r\n\r\ncalled %d times\n", (int)calls);
        fcgipm_request_write(request, FCGIPM_STDOUT, (const uint8_t *)answer, (size_t)length);
        fcgipm_request_finish(request);
    }
    return result != FCGIPM_ERETIRED;
}
