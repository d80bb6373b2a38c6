/* Starts servers one after another, and asks each to exit at a random moment: by a handler that calls
   FCGX_ShutdownPending, with and without SA_RESTART, or by SIGTERM without a handler. Arguments: the number of servers, and
   after how many microseconds an exit is late. Prints a line for each combination of handler and phase: the number of
   servers, of incomplete answers and of late exits, the maximum time to exit in microseconds, and the smallest of the
   maximums of each tenth of the run. */

#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "fcgiapp.h"

enum { PLAIN, HANDLER, RESTARTING, HANDLERS };
enum { IDLE, REQUEST, LARGE, PHASES };
enum { TENTHS = 10 };

static const char *const handlers[] = { "plain", "handler", "restarting" };
static const char *const phases[] = { "idle", "request", "large" };
static const int lengths[] = { 0, 20, 600000 };

/* BEGIN_REQUEST, PATH_INFO=x, and no body. */
static const char request_bytes[] = "\1\1\0\1\0\10\0\0\0\1\0\0\0\0\0\0"
                            "\1\4\0\1\0\14\0\0\11\1PATH_INFOx"
                            "\1\4\0\1\0\0\0\0"
                            "\1\5\0\1\0\0\0\0";

static uint64_t seed = 0x9E3779B97F4A7C15u;

static unsigned chance(unsigned below)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (unsigned)(seed >> 33) % below;
}

static int64_t now(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return (int64_t)time.tv_sec * 1000000 + time.tv_nsec / 1000;
}

static void check(int is_fine, const char *what)
{
    if (!is_fine) {
        perror(what);
        exit(1);
    }
}

static void on_term(int signal)
{
    (void)signal;
    FCGX_ShutdownPending();
}

static void serve(int listener, int ready, int handler, int length)
{
    static char body[600000];
    struct sigaction action = { .sa_handler = on_term, .sa_flags = handler == RESTARTING ? SA_RESTART : 0 };
    FCGX_Request request;

    if (handler != PLAIN)
        sigaction(SIGTERM, &action, NULL);
    FCGX_Init();
    FCGX_InitRequest(&request, listener, 0);
    memset(body, 'x', sizeof body);
    /* From now on it can be asked to exit. */
    if (write(ready, "", 1) != 1)
        _exit(2);
    while (FCGX_Accept_r(&request) == 0)
        FCGX_PutStr(body, length, request.out);
    _exit(0);
}

/* Whether the answer is complete, and the connection is closed after it. */
static int is_answered(int fd, int length)
{
    static unsigned char bytes[700000];
    size_t have = 0, at = 0;
    int content = 0, is_ended = 0;
    ssize_t count;

    while ((count = read(fd, bytes + have, sizeof bytes - have)) > 0)
        have += (size_t)count;
    for (; at + 8 <= have; at += 8 + (size_t)(bytes[at + 4] << 8 | bytes[at + 5]) + bytes[at + 6]) {
        if (bytes[at + 1] == 6)
            content += bytes[at + 4] << 8 | bytes[at + 5];
        if (bytes[at + 1] == 3)
            is_ended = 1;
    }
    return count == 0 && at == have && is_ended && content == length;
}

int main(int argc, char **argv)
{
    static int counts[HANDLERS][PHASES], broken[HANDLERS][PHASES];
    static int late[HANDLERS][PHASES];
    static int64_t longest[HANDLERS][PHASES][TENTHS];
    const int total = argc > 1 ? atoi(argv[1]) : 1, bound = argc > 2 ? atoi(argv[2]) : 0;
    int number, handler, phase;

    alarm(100);
    for (number = 0; number < total; number++) {
        struct sockaddr_un name = { .sun_family = AF_UNIX };
        /* An abstract name, which the kernel chooses. */
        socklen_t size = sizeof name.sun_family;
        int listener = socket(AF_UNIX, SOCK_STREAM, 0), ready[2], status, client = -1;
        int64_t until, began;
        pid_t pid;
        char byte;

        handler = number % HANDLERS;
        phase = (const int[]){ IDLE, IDLE, IDLE, IDLE, IDLE, REQUEST, REQUEST, REQUEST, LARGE, LARGE }[chance(10)];
        check(bind(listener, (struct sockaddr *)&name, size) == 0 && listen(listener, 5) == 0, "listen");
        size = sizeof name;
        check(getsockname(listener, (struct sockaddr *)&name, &size) == 0 && pipe(ready) == 0, "getsockname");
        pid = fork();
        check(pid >= 0, "fork");
        if (pid == 0)
            serve(listener, ready[1], handler, lengths[phase]);
        close(listener);
        close(ready[1]);
        check(read(ready[0], &byte, 1) == 1, "the server is not ready");
        close(ready[0]);
        if (phase != IDLE) {
            client = socket(AF_UNIX, SOCK_STREAM, 0);
            check(connect(client, (struct sockaddr *)&name, size) == 0, "connect");
            check(write(client, request_bytes, sizeof request_bytes - 1) == sizeof request_bytes - 1, "write");
        }
        /* The scenario: a random moment within the phase. */
        for (until = now() + chance(phase == LARGE ? 600 : 150); now() < until;)
            ;
        began = now();
        check(kill(pid, SIGTERM) == 0, "kill");
        if (client >= 0) {
            broken[handler][phase] += !is_answered(client, lengths[phase]);
            close(client);
        }
        check(waitpid(pid, &status, 0) == pid, "waitpid");
        began = now() - began;
        broken[handler][phase] += !WIFEXITED(status) || WEXITSTATUS(status) != 0;
        counts[handler][phase]++;
        late[handler][phase] += began > bound;
        if (longest[handler][phase][number * (int64_t)TENTHS / total] < began)
            longest[handler][phase][number * (int64_t)TENTHS / total] = began;
    }
    for (handler = 0; handler < HANDLERS; handler++)
        for (phase = 0; phase < PHASES; phase++) {
            const int64_t *of = longest[handler][phase];
            int64_t most = of[0], calmest = of[0];
            int tenth;

            for (tenth = 1; tenth < TENTHS; tenth++) {
                most = of[tenth] > most ? of[tenth] : most;
                calmest = of[tenth] < calmest ? of[tenth] : calmest;
            }
            printf("%s %s %d %d %d %lld %lld\n", handlers[handler], phases[phase], counts[handler][phase],
                   broken[handler][phase], late[handler][phase], (long long)most, (long long)calmest);
        }
    return 0;
}
