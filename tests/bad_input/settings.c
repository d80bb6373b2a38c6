/* Wrong addresses, options and managers. */
#define _DEFAULT_SOURCE
#include <pthread.h>
#include <sys/wait.h>

#include "groups.h"

static void addresses(void)
{
    static const char *const bad[] = {"", ":", ":0x1", ":65536", ":99999999999999999999", ":-1", "127.0.0.1:",
                                      "127.0.0.1:http!", "[::1", "[::1]", "[::1]9005", "[::1]:", "[zz]:80", "fd:", "fd:-1",
                                      "fd:99999999999", "@", "unix:", "no-such-host.invalid:9005", "256.1.1.1:80", "1:2:3"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char quoted[100];
        snprintf(quoted, sizeof quoted, "'%s'", bad[i]);
        int fd = fcgipm_socket_open(bad[i], 0, NULL);
        if (fd != FCGIPM_EADDRESS || strstr(fcgipm_last_error_message(), quoted) == NULL) {
            printf("address %s: %d, %s\n", quoted, fd, fcgipm_last_error_message());
            has_failed = 1;
        }
    }
    EXPECT(fcgipm_socket_open("fd:x", 0, NULL), FCGIPM_ELISTENER, "'fd:x': no listening socket was passed");
    char longest[300];
    memset(longest, 'x', sizeof longest);
    longest[0] = '/';
    longest[sizeof longest - 1] = '\0';
    EXPECT(fcgipm_socket_open(longest, 0, NULL) < 0, 1, "/xxxx");
    longest[0] = '@';
    EXPECT(fcgipm_socket_open(longest, 0, NULL) < 0, 1, "@xxxx");
    EXPECT(fcgipm_socket_open("\xff\xfe:80", 0, NULL), FCGIPM_EARGUMENT, "argument address");
    EXPECT(fcgipm_socket_open(":0", -1, NULL), FCGIPM_EARGUMENT, "backlog -1");
    errno = 0;
    EXPECT(fcgipm_socket_open(in_folder("no/such/folder"), 0, NULL), FCGIPM_ESYSTEM, "no/such/folder': No such file");
    EXPECT(errno, ENOENT, NULL);
    EXPECT(fcgipm_socket_open(folder, 0, NULL), FCGIPM_EINUSE, folder);
    EXPECT(fcgipm_socket_open("192.0.2.1:9005", 0, NULL), FCGIPM_ESYSTEM, "192.0.2.1:9005': Cannot assign");
    int fd = fcgipm_socket_open(in_folder("taken"), 0, NULL);
    errno = 0;
    EXPECT(fcgipm_socket_open(in_folder("taken"), 0, NULL), FCGIPM_EINUSE, "taken': in use by process");
    EXPECT(errno, EADDRINUSE, NULL);
    EXPECT(fcgipm_socket_close(fd), 0, NULL);
    /* No process listens there any more. */
    fd = fcgipm_socket_open(in_folder("taken"), 0, NULL);
    EXPECT(fd > 2, 1, NULL);
    EXPECT(fcgipm_socket_close(fd), 0, NULL);
    fcgipm_options *options = fcgipm_options_new();
    EXPECT(fcgipm_options_set(options, "listen_owner", "nobody-of-this-name"), 0, NULL);
    EXPECT(fcgipm_socket_open(in_folder("owned"), 0, options), FCGIPM_EVALUE, "option listen_owner: no user 'nobody-of-this-name'");
    EXPECT(access(in_folder("owned"), F_OK), -1, NULL);
    fcgipm_options_free(options);
}

static void bad_options(void)
{
    fcgipm_options *options = fcgipm_options_new();
    static const char *const bad[][2] = {
        {"n_processes", ""}, {"n_processes", "-1"}, {"n_processes", "2001"}, {"n_processes", "1 "}, {"n_processes", "1.5"},
        {"die_timeout", "soon"}, {"die_timeout", "-1"}, {"die_timeout", "inf"}, {"die_timeout", "1e3"}, {"die_timeout", "."},
        {"params_timeout", "999999999999"}, {"max_param_size", "1t"}, {"max_param_size", "k"}, {"max_param_size", "63"},
        {"max_params", "0"}, {"max_params_size", "99999999999999999999g"}, {"listen_mode", "888"}, {"listen_mode", "1777"},
        {"listen_mode", "-1"}, {"listen_replace", "maybe"}, {"no_signals", "2"}, {"log", "syslog"}, {"log", ""},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char text[200];
        snprintf(text, sizeof text, "option %s: '%s' is not ", bad[i][0], bad[i][1]);
        EXPECT(fcgipm_options_set(options, bad[i][0], bad[i][1]), FCGIPM_EVALUE, text);
    }
    static const char *const names[] = {"", "n_proceses", "N_PROCESSES", "n_processes ", "\n"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char text[200], value[8];
        snprintf(text, sizeof text, "unknown option '%s'", names[i]);
        EXPECT(fcgipm_options_set(options, names[i], "1"), FCGIPM_EOPTION, text);
        EXPECT(fcgipm_options_get(options, names[i], value, sizeof value), FCGIPM_EOPTION, text);
        EXPECT(fcgipm_options_effective(options, names[i], value, sizeof value), FCGIPM_EOPTION, text);
    }
    EXPECT(fcgipm_options_set(options, "pm_title", "\xff"), FCGIPM_EARGUMENT, "argument value");
    /* A bad value does not change the option. */
    char value[4];
    EXPECT(fcgipm_options_set(options, "n_processes", "1234"), 0, NULL);
    EXPECT(fcgipm_options_set(options, "n_processes", "x"), FCGIPM_EVALUE, NULL);
    EXPECT(fcgipm_options_get(options, "n_processes", value, sizeof value), 4, NULL);
    EXPECT(strcmp(value, "123"), 0, NULL);
    /* Options from the environment. */
    int fd = listener();
    setenv("FCGIPM_N_PROCESES", "5", 1);
    EXPECT_NULL(fcgipm_manager_new(options), "environment variable FCGIPM_N_PROCESES: unknown option 'n_proceses'");
    EXPECT_NULL(fcgipm_request_new(fd, 0, NULL), "environment variable FCGIPM_N_PROCESES");
    EXPECT(fcgipm_socket_open(in_folder("e"), 0, NULL), FCGIPM_EOPTION, "environment variable FCGIPM_N_PROCESES");
    unsetenv("FCGIPM_N_PROCESES");
    setenv("FCGIPM_BODY_TIMEOUT", "never", 1);
    EXPECT_NULL(fcgipm_request_new(fd, 0, NULL), "environment variable FCGIPM_BODY_TIMEOUT: option body_timeout: 'never'");
    EXPECT(fcgipm_options_effective(NULL, "log", value, sizeof value), FCGIPM_EVALUE, "FCGIPM_BODY_TIMEOUT");
    setenv("FCGIPM_BODY_TIMEOUT", "\xff", 1);
    EXPECT_NULL(fcgipm_request_new(fd, 0, NULL), "environment variable FCGIPM_BODY_TIMEOUT: the value is not UTF-8");
    unsetenv("FCGIPM_BODY_TIMEOUT");
    fcgipm_options_free(options);
}

static void *wait_for_close(void *gate)
{
    char byte;
    if (read(*(int *)gate, &byte, 1) < 0)
        return gate;
    return NULL;
}

static void managers(void)
{
    int gate[2];
    pthread_t thread;
    fcgipm_options *options = fcgipm_options_new();
    fcgipm_options_set(options, "log", "none");
    /* A manager of no workers. */
    fcgipm_manager *manager = fcgipm_manager_new(options);
    EXPECT(fcgipm_manager_event_status(manager), 0, NULL);
    EXPECT(strlen(fcgipm_manager_event_message(manager)), 0, NULL);
    EXPECT(fcgipm_manager_run(manager), FCGIPM_EVENT_IN_WORKER, NULL);
    EXPECT(fcgipm_manager_run(manager), FCGIPM_ESTATE, "n_processes is 0");
    fcgipm_manager_free(manager);
    EXPECT(fcgipm_options_set(options, "n_processes", "1"), 0, NULL);
    /* A pid file that cannot be created. */
    EXPECT(fcgipm_options_set(options, "pid_fname", in_folder("no/folder/pid")), 0, NULL);
    manager = fcgipm_manager_new(options);
    EXPECT(fcgipm_manager_next(manager), FCGIPM_EPIDFILE, "no/folder/pid");
    fcgipm_manager_free(manager);
    EXPECT(fcgipm_options_set(options, "pid_fname", folder), 0, NULL);
    manager = fcgipm_manager_new(options);
    EXPECT(fcgipm_manager_next(manager), FCGIPM_EPIDFILE, folder);
    fcgipm_manager_free(manager);
    EXPECT(fcgipm_options_set(options, "pid_fname", ""), 0, NULL);
    /* More than one thread. */
    if (pipe(gate) != 0 || pthread_create(&thread, NULL, wait_for_close, &gate[0]) != 0)
        exit(1);
    manager = fcgipm_manager_new(options);
    EXPECT(fcgipm_manager_next(manager), FCGIPM_ETHREADS, "threads");
    fcgipm_manager_free(manager);
    close(gate[1]);
    pthread_join(thread, NULL);
    /* The manager is freed while a worker that never accepts is running. */
    manager = fcgipm_manager_new(options);
    int event;
    while ((event = fcgipm_manager_next(manager)) != FCGIPM_EVENT_WORKER_STARTED)
        if (event == FCGIPM_EVENT_IN_WORKER) {
            EXPECT(fcgipm_manager_next(manager), FCGIPM_EFORKED, "before the fork");
            fcgipm_manager_free(manager);
            fflush(stdout);
            _exit(has_failed);
        }
    pid_t worker = fcgipm_manager_event_pid(manager);
    EXPECT(worker > 0, 1, NULL);
    fcgipm_manager_free(manager);
    /* After that, the program may wait for the worker itself. */
    EXPECT(waitpid(worker, NULL, 0) == worker || errno == ECHILD, 1, NULL);
    fcgipm_options_free(options);
}

int main(int argc, char **argv)
{
    static const struct group groups[] = {
        {"addresses", addresses},
        {"options", bad_options},
        {"managers", managers},
    };
    return run_group(argc, argv, groups, sizeof groups / sizeof *groups);
}
