/* For C programs without a manager: a listening socket, and workers that exit with their parent. */
#ifndef WORKERS_H
#define WORKERS_H

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    BACKLOG = 1024,
    /* Every program writes large responses from a buffer of this size. */
    FILLER = 1024 * 1024,
};

static inline int listening_socket(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    if (listener < 0 || bind(listener, (struct sockaddr *)&address, sizeof address) < 0 || listen(listener, BACKLOG) < 0) {
        perror(path);
        exit(1);
    }
    return listener;
}

static inline void leave(int signal)
{
    _exit(signal == SIGTERM ? 0 : 1);
}

/* Runs `serve` in `workers` processes, until one of them exits. SIGTERM stops all. The workers exit by _exit in a
 * handler, so that valgrind writes its counts. */
static inline int fork_workers(int listener, int workers, void (*serve)(int listener))
{
    pid_t parent = getpid();
    signal(SIGTERM, leave);
    for (int i = 0; i < workers; i++) {
        pid_t pid = fork();
        if (pid < 0) {
            perror("fork");
            return 1;
        }
        if (pid == 0) {
            prctl(PR_SET_PDEATHSIG, SIGTERM);
            if (getppid() == parent)
                serve(listener);
            _exit(1);
        }
    }
    int status;
    return wait(&status) < 0;
}

#endif
