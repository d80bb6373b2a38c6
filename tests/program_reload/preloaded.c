/* Loads its "code", a word in a file, before the manager starts: only a reload of the program renews
 * it. The word also says what goes wrong in a start of the program. */
#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fcgipm.h"

static char word[64];
/* Requests that this memory has seen: of this process, and of those that it is a copy of. */
static int served;

static int fail(const char *what)
{
    fprintf(stderr, "preloaded: %s: %s\n", what, fcgipm_last_error_message());
    return 1;
}

static int is(const char *what)
{
    return strcmp(word, what) == 0;
}

static void *wait_forever(void *unused)
{
    for (;;)
        pause();
    return unused;
}

static void load(const char *path)
{
    FILE *file = fopen(path, "r");
    if (file == NULL || fscanf(file, "%63s", word) != 1) {
        fprintf(stderr, "preloaded: no code in %s\n", path);
        exit(2);
    }
    fclose(file);
    if (is("broken")) {
        fputs("preloaded: the code is broken\n", stderr);
        exit(25);
    }
    if (is("verbose"))
        for (int number = 0; number < 20000; number++)
            fprintf(stderr, "preloaded: verbose %d\n", number);
    if (is("killed"))
        raise(SIGKILL);
    if (is("hanging")) {
        fputs("preloaded: hanging\n", stderr);
        wait_forever(NULL);
    }
    if (is("waiting")) {
        fputs("preloaded: waiting\n", stderr);
        FILE *gate = fopen(getenv("PRELOADED_GATE"), "r");
        while (gate != NULL && fgetc(gate) != EOF)
            ;
        if (gate != NULL)
            fclose(gate);
    }
    if (is("closing"))
        for (int number = 3; number < 1024; number++)
            close(number);
    if (is("closing"))
        wait_forever(NULL);
    if (is("threaded")) {
        pthread_t thread;
        pthread_create(&thread, NULL, wait_forever, NULL);
    }
    /* As a daemon that leaves its parent. */
    if (is("detached") && fork() > 0)
        _exit(0);
}

/* A request for this path never ends. */
static int is_stuck(fcgipm_request *request)
{
    const uint8_t *value = NULL;
    size_t length = 0;
    return fcgipm_request_param(request, (const uint8_t *)"REQUEST_URI", 11, &value, &length) == 1
        && strcmp((const char *)value, "/stuck") == 0;
}

static void answer(fcgipm_request *request)
{
    if (is_stuck(request))
        wait_forever(NULL);
    char text[512], folder[256];
    if (getcwd(folder, sizeof folder) == NULL)
        strcpy(folder, "?");
    const char *variable = getenv("PRELOADED_VARIABLE"), *leak = getenv("FCGIPM_TEMPLATE");
    int length = snprintf(text, sizeof text,
                          "Content-Type: text/plain\r\n\r\n%s worker %d parent %d folder %s variable %s leak %s served %d\n",
                          word, (int)getpid(), (int)getppid(), folder, variable ? variable : "-",
                          leak ? leak : "-", served);
    served++;
    if (is("threads") && served == 5) {
        pthread_t thread;
        pthread_create(&thread, NULL, wait_forever, NULL);
    }
    (void)fcgipm_request_write(request, FCGIPM_STDOUT, (const uint8_t *)text, (size_t)length);
}

static void before_fork(void *argument)
{
    if (argument != NULL)
        fprintf(stderr, "%s: before the fork, %d served\n", (const char *)argument, served);
}

static void after_fork(void *argument)
{
    sigset_t blocked;
    sigprocmask(SIG_BLOCK, NULL, &blocked);
    if (sigismember(&blocked, SIGALRM) || sigismember(&blocked, SIGTERM))
        fputs("preloaded: signals are blocked\n", stderr);
    if (argument != NULL)
        fprintf(stderr, "%s: after the fork, %d served\n", (const char *)argument, served);
    if (is("copies-fail") && served > 0)
        _exit(3);
}

int main(int argc, char **argv)
{
    if (argc < 3)
        return 64;
    /* A child that nobody reaps. */
    if (getenv("PRELOADED_CHILD") != NULL && fork() == 0)
        _exit(0);
    load(argv[1]);
    if (is("alone"))
        unsetenv("FCGIPM_N_PROCESSES");
    if (is("three"))
        setenv("FCGIPM_N_PROCESSES", "3", 1);
    if (is("dynamic"))
        setenv("FCGIPM_PM", "dynamic", 1);
    if (is("impatient"))
        setenv("FCGIPM_START_TIMEOUT", "2", 1);
    if (is("limited") || is("dying"))
        setenv("FCGIPM_MAX_REQUESTS", "1", 1);
    fcgipm_options *options = fcgipm_options_new();
    const char *address = is("elsewhere") ? "127.0.0.1:1" : argv[2];
    int listener = fcgipm_socket_open(address, 100, options);
    if (listener < 0)
        return fail("open");
    /* What a host may do before it starts a manager. */
    if (chdir("/") != 0 || setenv("PRELOADED_VARIABLE", "changed", 1) != 0)
        return 1;
    if (fcgipm_worker_fork_hooks(before_fork, after_fork, getenv("PRELOADED_HOOKS")) != 0)
        return fail("hooks");
    fcgipm_manager *manager = fcgipm_manager_new(options);
    if (manager == NULL)
        return fail("manager");
    int result = fcgipm_manager_run(manager);
    fcgipm_manager_free(manager);
    if (result != FCGIPM_EVENT_IN_WORKER)
        return result < 0 ? fail("run") : 0;
    if (is("dying"))
        return 3;
    fcgipm_request *request = fcgipm_request_new(listener, 0, options);
    while ((result = fcgipm_request_accept(request)) == 0) {
        sigset_t urgent;
        sigemptyset(&urgent);
        sigaddset(&urgent, SIGURG);
        int retires = is("retires") && served == 9;
        if (retires)
            sigprocmask(SIG_BLOCK, &urgent, NULL);
        answer(request);
        if (fcgipm_request_finish(request) < 0)
            fail("finish");
        if (retires) {
            /* It is to exit when it has been asked for a template. */
            (void)sigwaitinfo(&urgent, NULL);
            (void)fcgipm_worker_retire();
            sigprocmask(SIG_UNBLOCK, &urgent, NULL);
        }
    }
    fcgipm_request_free(request);
    return result == FCGIPM_ERETIRED ? 0 : fail("accept");
}
