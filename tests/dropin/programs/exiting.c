/* What FCGX_Accept_r returns when a signal asks the program to exit: while it waits, and when it is called again. */

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/time.h>

#include "fcgiapp.h"

int main(void)
{
    /* It repeats: a signal that arrives before the wait would be lost. */
    struct itimerval timer = { { 0, 10000 }, { 0, 10000 } }, none = { { 0, 0 }, { 0, 0 } };
    FILE *report = fopen(getenv("REPORT"), "w");
    FCGX_Request request;
    int result, number;

    FCGX_Init();
    FCGX_InitRequest(&request, 0, 0);
    /* The timer's signal gets libfcgi's handler for SIGTERM. */
    {
        struct sigaction action;

        sigaction(SIGTERM, NULL, &action);
        sigaction(SIGALRM, &action, NULL);
    }
    setitimer(ITIMER_REAL, &timer, NULL);
    result = FCGX_Accept_r(&request);
    number = errno;
    setitimer(ITIMER_REAL, &none, NULL);
    fprintf(report, "waiting: %d, errno %d\n", result, number);
    errno = EINTR;
    result = FCGX_Accept_r(&request);
    number = errno;
    fprintf(report, "again: %d, errno %d\n", result, number);
    fclose(report);
    return 0;
}
