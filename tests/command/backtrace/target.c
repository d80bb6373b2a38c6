/* What fcgipm backtrace looks at: one kind of work for each name in the first argument. */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static int pair[2];
static int idle[2];
static volatile unsigned long count;

static void announce(void)
{
    if (write(1, "ready\n", 6) != 6)
        _exit(1);
}

/* Each ends with something after the call, so that the call is none at the tail. */
__attribute__((noinline)) void inner_read(void)
{
    char byte;
    announce();
    if (read(pair[0], &byte, 1) != 1)
        perror("read");
    count++;
}

__attribute__((noinline)) void inner_loop(void)
{
    announce();
    for (;;)
        count++;
}

__attribute__((noinline)) void middle(void (*inner)(void))
{
    inner();
    count++;
}

__attribute__((noinline)) void outer(void (*inner)(void))
{
    middle(inner);
    count++;
}

static void on_signal(int number)
{
    (void)number;
    outer(inner_read);
}

static void handler(void)
{
    signal(SIGUSR1, on_signal);
    raise(SIGUSR1);
}

static void *of_thread(void *unused)
{
    outer(inner_read);
    return unused;
}

static void thread(void)
{
    pthread_t other;
    pthread_create(&other, NULL, of_thread, NULL);
    pthread_join(other, NULL);
}

static int failures(const char *what, long result)
{
    if (result >= 0 || errno != EINTR)
        return 0;
    printf("%s: EINTR\n", what);
    return 1;
}

/* Waits again and again in calls that the kernel does not restart, and computes between them. Ends when
 * standard input does. */
static void interrupted(void)
{
    struct timeval limit = {.tv_usec = 1000};
    setsockopt(pair[0], SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    int epoll = epoll_create1(0);
    struct epoll_event event = {.events = EPOLLIN};
    epoll_ctl(epoll, EPOLL_CTL_ADD, 0, &event);
    sigset_t none;
    sigemptyset(&none);
    sigaddset(&none, SIGUSR2);
    int seen = 0;
    announce();
    for (;;) {
        char byte;
        int ready = epoll_wait(epoll, &event, 1, 1);
        seen += failures("epoll_wait", ready);
        if (ready == 1 && read(0, &byte, 1) == 0)
            break;
        seen += failures("recv", recv(pair[0], &byte, 1, 0));
        struct timespec millisecond = {.tv_nsec = 1000000};
        seen += failures("nanosleep", nanosleep(&millisecond, NULL));
        seen += failures("sigtimedwait", sigtimedwait(&none, NULL, &millisecond));
        for (int i = 0; i < 300000; i++)
            count++;
    }
    printf("EINTR %d times\n", seen);
}

/* Reports the largest gap between two looks at the clock, in microseconds. */
static void gaps(void)
{
    struct timespec now, before;
    long longest = 0;
    sigset_t term;
    sigemptyset(&term);
    sigaddset(&term, SIGTERM);
    sigprocmask(SIG_BLOCK, &term, NULL);
    announce();
    clock_gettime(CLOCK_MONOTONIC, &before);
    for (unsigned long turn = 1;; turn++) {
        clock_gettime(CLOCK_MONOTONIC, &now);
        long gap = (now.tv_sec - before.tv_sec) * 1000000 + (now.tv_nsec - before.tv_nsec) / 1000;
        longest = gap > longest ? gap : longest;
        before = now;
        sigset_t pending;
        if (turn % 10000 == 0 && sigpending(&pending) == 0 && sigismember(&pending, SIGTERM))
            break;
    }
    printf("longest %ld\n", longest);
}

int main(int argc, char **argv)
{
    if (argc < 2 || socketpair(AF_UNIX, SOCK_STREAM, 0, pair) != 0 || pipe(idle) != 0)
        return 2;
    const char *what = argv[1];
    if (argc > 2 && !strcmp(argv[2], "hidden"))
        prctl(PR_SET_DUMPABLE, 0);
    if (!strcmp(what, "read"))
        outer(inner_read);
    else if (!strcmp(what, "loop"))
        outer(inner_loop);
    else if (!strcmp(what, "handler"))
        handler();
    else if (!strcmp(what, "thread"))
        thread();
    else if (!strcmp(what, "interrupted"))
        interrupted();
    else if (!strcmp(what, "gaps"))
        gaps();
    else
        return 2;
    return 0;
}
