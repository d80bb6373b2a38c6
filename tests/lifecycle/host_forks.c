/* A host that forks its workers itself.
 *
 *     host_forks serve      the workers answer with their pid
 *     host_forks invalid    makes invalid calls, and prints a line for each unexpected result
 *
 * FAILS=N makes the first N forks fail. With SIGNAL=manager or SIGNAL=worker that process sends itself TERM after the
 * first fork, before it reports the fork to the library.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../peer/expect.h"

/* Which signals are blocked. */
enum { NONE, ALL, SOME };

static int blocked(void)
{
    sigset_t mask;
    int count = 0, most = 0;
    if (pthread_sigmask(SIG_SETMASK, NULL, &mask) != 0)
        return SOME;
    for (int signal = 1; signal < SIGRTMAX; signal++) {
        /* The signals from 32 to below SIGRTMIN belong to the C library. */
        if (signal == SIGKILL || signal == SIGSTOP || (signal >= 32 && signal < SIGRTMIN))
            continue;
        most++;
        count += sigismember(&mask, signal) == 1;
    }
    return count == 0 ? NONE : count == most ? ALL : SOME;
}

/* Stands for a fork that the language of the host has to know of. */
static pid_t host_fork(void)
{
    static int forks;
    pid_t pid = fork();
    if (pid > 0)
        fprintf(stderr, "host: fork %d made %ld\n", ++forks, (long)pid);
    return pid;
}

static int sends_signal(const char *process)
{
    const char *sender = getenv("SIGNAL");
    return sender != NULL && strcmp(sender, process) == 0;
}

static int fork_worker(fcgipm_manager *manager)
{
    static int failures, forks;
    const char *fails = getenv("FAILS");
    if (fails != NULL && failures < atoi(fails)) {
        failures++;
        return fcgipm_manager_forked(manager, -1, EAGAIN);
    }
    int begun = fcgipm_manager_fork_begins(manager);
    if (begun < 0)
        return begun;
    int is_first = !forks++;
    pid_t pid = host_fork();
    int error = errno;
    if (is_first && (pid == 0 ? sends_signal("worker") : sends_signal("manager")))
        kill(getpid(), SIGTERM);
    return fcgipm_manager_forked(manager, pid, pid < 0 ? error : 0);
}

static int serve(void)
{
    fcgipm_manager *manager = fcgipm_manager_new(NULL);
    int event = fcgipm_manager_host_forks(manager, 1);
    while (event >= 0 && event != FCGIPM_EVENT_IN_WORKER && event != FCGIPM_EVENT_STOPPED) {
        event = fcgipm_manager_next(manager);
        if (event == FCGIPM_EVENT_FORK)
            event = fork_worker(manager);
        if (event == FCGIPM_EINTERRUPTED)
            event = 0;
    }
    if (event < 0)
        fprintf(stderr, "host: %s\n", fcgipm_last_error_message());
    fcgipm_manager_free(manager);
    if (event != FCGIPM_EVENT_IN_WORKER)
        return event < 0;
    fcgipm_request *request = fcgipm_request_new(0, 0, NULL);
    for (int count = 1; fcgipm_request_accept(request) == 0; count++) {
        char text[100];
        int length = snprintf(text, sizeof text, "Hello from worker %ld, request %d", (long)getpid(), count);
        fcgipm_request_write(request, FCGIPM_STDOUT, (const uint8_t *)text, (size_t)length);
    }
    fcgipm_request_free(request);
    return 0;
}

/* Waits until the manager requests a fork, and compares the numbers of the events until then. It ignores the events that
 * may come at any time: a worker that is ready, and a signal. */
static void expect_fork(fcgipm_manager *manager, const char *events)
{
    char seen[200] = "";
    int event;
    while ((event = fcgipm_manager_next(manager)) != FCGIPM_EVENT_FORK && event > 0 && strlen(seen) < 180)
        if (event != FCGIPM_EVENT_WORKER_READY && event != FCGIPM_EVENT_SIGNAL)
            snprintf(seen + strlen(seen), 13, "%d ", event);
    EXPECT(event, FCGIPM_EVENT_FORK, NULL);
    if (strcmp(seen, events) != 0) {
        printf("events %s; expected %s\n", seen, events);
        has_failed = 1;
    }
    EXPECT(blocked(), NONE, NULL);
    EXPECT(fcgipm_manager_event_pid(manager), 0, NULL);
    EXPECT((int64_t)strlen(fcgipm_manager_event_message(manager)), 0, NULL);
}

static void begin_fork(fcgipm_manager *manager)
{
    EXPECT(fcgipm_manager_fork_begins(manager), 0, NULL);
    EXPECT(blocked(), ALL, NULL);
}

/* The handler of an interpreter, as for fcgipm_signal_chain. */
static void on_signal(int signal, siginfo_t *info, void *context)
{
    (void)signal, (void)info, (void)context;
}

static void (*interpreter)(int, siginfo_t *, void *) = on_signal;

static int exit_status(pid_t child)
{
    int status;
    return waitpid(child, &status, 0) == child && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* In a child that is a worker: accepts once, and exits. */
static void run_worker(fcgipm_manager *manager, int accepted)
{
    EXPECT(fcgipm_manager_event_pid(manager), getpid(), NULL);
    EXPECT(blocked(), NONE, NULL);
    EXPECT(fcgipm_manager_forked(manager, 0, 0), FCGIPM_ESTATE, "no fork was requested");
    EXPECT(fcgipm_manager_next(manager), FCGIPM_EFORKED, "before the fork");
    fcgipm_request *request = fcgipm_request_new(0, 0, NULL);
    EXPECT(fcgipm_request_accept(request), accepted, NULL);
    fcgipm_request_free(request);
    fcgipm_manager_free(manager);
    fflush(stdout);
    _exit(has_failed);
}

static int invalid(void)
{
    static const char pending[] = "waits for the result of the fork";
    static const char not_begun[] = "the fork was not begun";
    fcgipm_options *options = fcgipm_options_new();
    fcgipm_options_set(options, "n_processes", "2");
    fcgipm_options_set(options, "log", "none");
    fcgipm_manager *manager = fcgipm_manager_new(options);
    EXPECT(fcgipm_manager_host_forks(NULL, 1), FCGIPM_EHANDLE, "manager handle: NULL");
    EXPECT(fcgipm_manager_fork_begins(NULL), FCGIPM_EHANDLE, "manager handle: NULL");
    EXPECT(fcgipm_manager_forked(NULL, 0, 0), FCGIPM_EHANDLE, "manager handle: NULL");
    EXPECT(fcgipm_manager_fork_begins(manager), FCGIPM_ESTATE, "no fork was requested");
    EXPECT(fcgipm_manager_forked(manager, 1, 0), FCGIPM_ESTATE, "no fork was requested");
    EXPECT(fcgipm_manager_host_forks(manager, 1), 0, NULL);
    EXPECT(fcgipm_manager_host_forks(manager, 0), 0, NULL);
    EXPECT(fcgipm_manager_host_forks(manager, 1), 0, NULL);
    EXPECT(fcgipm_manager_run(manager), FCGIPM_ESTATE, "the host forks the workers of this manager");
    EXPECT(blocked(), NONE, NULL);

    /* Nothing can be reported before the fork has begun. */
    expect_fork(manager, "3 ");
    EXPECT(fcgipm_manager_next(manager), FCGIPM_EVENT_FORK, NULL);
    EXPECT(fcgipm_manager_next_within(manager, 0), FCGIPM_EVENT_FORK, NULL);
    EXPECT(fcgipm_manager_forked(manager, 1, 0), FCGIPM_ESTATE, not_begun);
    EXPECT(fcgipm_manager_forked(manager, 0, 0), FCGIPM_ESTATE, not_begun);
    EXPECT(fcgipm_manager_forked(manager, -1, 0), FCGIPM_EARGUMENT, "argument error: 0");

    /* The handler of an interpreter has received a signal, and the interpreter has yet to run its own code for it. */
    EXPECT(fcgipm_signal_chain((void **)&interpreter), 0, NULL);
    struct sigaction action = { .sa_sigaction = interpreter, .sa_flags = SA_SIGINFO };
    EXPECT(sigaction(SIGALRM, &action, NULL), 0, NULL);
    EXPECT(raise(SIGALRM), 0, NULL);
    errno = 0;
    EXPECT(fcgipm_manager_fork_begins(manager), FCGIPM_EINTERRUPTED, NULL);
    EXPECT(errno, EINTR, NULL);
    EXPECT(blocked(), NONE, NULL);
    EXPECT(fcgipm_manager_next(manager), FCGIPM_EVENT_FORK, NULL);
    begin_fork(manager);
    EXPECT(raise(SIGALRM), 0, NULL);
    EXPECT(fcgipm_manager_fork_begins(manager), FCGIPM_ESTATE, pending);
    EXPECT(fcgipm_manager_next(manager), FCGIPM_ESTATE, pending);
    EXPECT(fcgipm_manager_next_within(manager, 0), FCGIPM_ESTATE, pending);
    EXPECT(fcgipm_manager_resize(manager, 3), FCGIPM_ESTATE, pending);
    EXPECT(fcgipm_manager_host_forks(manager, 0), FCGIPM_ESTATE, "after the manager was started");
    EXPECT(fcgipm_manager_signal(manager, SIGUSR1), 0, NULL);
    EXPECT(fcgipm_manager_forked(manager, 0, 0), FCGIPM_EARGUMENT, "argument pid: 0 in the manager");
    EXPECT(fcgipm_manager_forked(manager, -1, 0), FCGIPM_EARGUMENT, "argument error: 0");
    errno = 0;
    EXPECT(fcgipm_manager_forked(manager, 1, 0), FCGIPM_EARGUMENT, "argument pid: 1 is not a child of this process");
    EXPECT(errno, ECHILD, NULL);
    EXPECT(fcgipm_manager_forked(manager, getpid(), 0), FCGIPM_EARGUMENT, "is not a child of this process");
    EXPECT(blocked(), ALL, NULL);
    pid_t first = fork();
    if (first == 0) {
        has_failed = 0;
        EXPECT(fcgipm_manager_next(manager), FCGIPM_EFORKED, "before the fork");
        EXPECT(fcgipm_manager_fork_begins(manager), FCGIPM_EFORKED, "before the fork");
        EXPECT(fcgipm_manager_forked(manager, getppid(), 0), FCGIPM_EFORKED, "in a child of the manager, which has to pass 0");
        EXPECT(fcgipm_manager_forked(manager, -1, EAGAIN), FCGIPM_EFORKED, "in a child of the manager, which has to pass 0");
        EXPECT(blocked(), ALL, NULL);
        EXPECT(fcgipm_manager_forked(manager, 0, 0), FCGIPM_EVENT_IN_WORKER, NULL);
        run_worker(manager, FCGIPM_ERETIRED);
    }
    EXPECT(fcgipm_manager_forked(manager, first, 0), 0, NULL);
    EXPECT(blocked(), NONE, NULL);
    EXPECT(fcgipm_manager_forked(manager, first, 0), FCGIPM_ESTATE, "no fork was requested");

    /* The host reports a failed fork, although there is a child. */
    expect_fork(manager, "4 ");
    EXPECT(fcgipm_manager_fork_begins(manager), FCGIPM_EINTERRUPTED, NULL);
    begin_fork(manager);
    EXPECT(fcgipm_manager_forked(manager, first, 0), FCGIPM_EARGUMENT, "is a worker already");
    pid_t stray = fork();
    if (stray == 0) {
        has_failed = 0;
        EXPECT(fcgipm_manager_forked(manager, 0, 0), FCGIPM_EVENT_IN_WORKER, NULL);
        run_worker(manager, FCGIPM_ERETIRED);
    }
    EXPECT(fcgipm_manager_forked(manager, -1, EAGAIN), 0, NULL);
    EXPECT(blocked(), NONE, NULL);
    EXPECT(exit_status(stray), 0, NULL);
    int event;
    while ((event = fcgipm_manager_next(manager)) == FCGIPM_EVENT_WORKER_READY || event == FCGIPM_EVENT_SIGNAL)
        continue;
    EXPECT(event, FCGIPM_EVENT_NOTICE, NULL);
    EXPECT(strstr(fcgipm_manager_event_message(manager), "fork of a worker: Resource temp") != NULL, 1, NULL);

    /* The host refuses to fork. */
    expect_fork(manager, "");
    EXPECT(fcgipm_manager_forked(manager, -1, ECANCELED), 0, NULL);
    EXPECT(fcgipm_manager_fork_begins(manager), FCGIPM_ESTATE, "no fork was requested");
    while ((event = fcgipm_manager_next(manager)) == FCGIPM_EVENT_WORKER_READY || event == FCGIPM_EVENT_SIGNAL)
        continue;
    EXPECT(event, FCGIPM_EVENT_NOTICE, NULL);
    EXPECT(strstr(fcgipm_manager_event_message(manager), "fork of a worker: Operation canceled") != NULL, 1, NULL);

    /* After the fork, parent and child free the manager instead of reporting it. The child is not a worker, and the only
     * worker exits. */
    expect_fork(manager, "");
    begin_fork(manager);
    pid_t silent = fork();
    if (silent == 0) {
        has_failed = 0;
        fcgipm_manager_free(manager);
        EXPECT(blocked(), NONE, NULL);
        fflush(stdout);
        _exit(has_failed);
    }
    fcgipm_manager_free(manager);
    EXPECT(blocked(), NONE, NULL);
    EXPECT(exit_status(silent), 0, NULL);
    EXPECT(exit_status(first), 0, NULL);

    /* A child that becomes a worker after its manager was freed. */
    manager = fcgipm_manager_new(options);
    EXPECT(fcgipm_manager_host_forks(manager, 1), 0, NULL);
    expect_fork(manager, "3 ");
    begin_fork(manager);
    int freed[2];
    EXPECT(pipe(freed), 0, NULL);
    pid_t late = fork();
    if (late == 0) {
        char byte;
        has_failed = 0;
        close(freed[1]);
        EXPECT(read(freed[0], &byte, 1), 0, NULL);
        EXPECT(fcgipm_manager_forked(manager, 0, 0), FCGIPM_EVENT_IN_WORKER, NULL);
        run_worker(manager, FCGIPM_ERETIRED);
    }
    fcgipm_manager_free(manager);
    close(freed[1]);
    EXPECT(exit_status(late), 0, NULL);
    fcgipm_options_free(options);
    printf("invalid: done\n");
    return has_failed;
}

int main(int count, char **arguments)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    return count > 1 && strcmp(arguments[1], "invalid") == 0 ? invalid() : serve();
}
