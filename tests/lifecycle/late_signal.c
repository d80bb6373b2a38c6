/* A host without a manager, whose handler sets a variable and notifies the library. SIGTERM arrives immediately before the
 * system call that the argument names: this program replaces the C library's functions that wait. With "check" it arrives
 * after accept. */
#define _GNU_SOURCE
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "fcgipm.h"

static const char *late_at;
static volatile sig_atomic_t stop;

static void arrive_before(const char *call)
{
    if (late_at && strcmp(late_at, call) == 0) {
        late_at = NULL;
        raise(SIGTERM);
    }
}

int accept4(int fd, __SOCKADDR_ARG address, socklen_t *length, int flags)
{
    arrive_before("accept4");
    return (int)syscall(SYS_accept4, fd, address.__sockaddr__, length, flags);
}

int epoll_wait(int fd, struct epoll_event *events, int count, int timeout)
{
    arrive_before("epoll_wait");
    return (int)syscall(SYS_epoll_pwait, fd, events, count, timeout, NULL, 8);
}

static void on_term(int signal)
{
    (void)signal;
    stop = 1;
    fcgipm_signal_arrived();
}

int main(int count, char **arguments)
{
    late_at = count > 1 ? arguments[1] : NULL;
    signal(SIGTERM, on_term);
    fcgipm_request *request = fcgipm_request_new(0, FCGIPM_FAIL_ACCEPT_ON_INTR, NULL);
    while (!stop) {
        int result = fcgipm_request_accept(request);
        if (result == FCGIPM_EINTERRUPTED)
            continue;
        if (result != 0)
            return 1;
        if (late_at && strcmp(late_at, "check") == 0)
            raise(SIGTERM);
        fcgipm_request_write(request, FCGIPM_STDOUT, (const uint8_t *)"Hello from worker\n", 18);
        fcgipm_request_finish(request);
        if (late_at && strcmp(late_at, "check") == 0) {
            /* As if the signal had arrived after the check of the variable: the next call must return. */
            stop = 0;
            if (fcgipm_request_accept(request) == FCGIPM_EINTERRUPTED)
                return 0;
            return 2;
        }
    }
    fcgipm_request_free(request);
    return 0;
}
