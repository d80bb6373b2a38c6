/* Calls that are wrong, and what must come of them: wrong GROUP FOLDER. */
#define _DEFAULT_SOURCE
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fcgipm.h"

static const char *folder;
static int wrong;

/* A result and a part of the message that must come with it. */
static void expect_at(int line, int64_t result, int64_t wanted, const char *message)
{
    const char *said = fcgipm_last_error_message();
    if (result != wanted || (message != NULL && strstr(said, message) == NULL)) {
        printf("line %d: %lld (%s), '%s'; wanted %lld (%s), '%s'\n", line, (long long)result,
               result < 0 ? fcgipm_error_name((int32_t)result) : "", said, (long long)wanted,
               wanted < 0 ? fcgipm_error_name((int32_t)wanted) : "", message != NULL ? message : "");
        wrong = 1;
    }
}

#define EXPECT(call, wanted, message) expect_at(__LINE__, (call), (wanted), (message))
#define EXPECT_NULL(call, message) expect_at(__LINE__, (call) != NULL, 0, (message))

static char *in_folder(const char *name)
{
    static char paths[8][200];
    static int next;
    char *path = paths[next++ % 8];
    snprintf(path, sizeof paths[0], "%s/%s", folder, name);
    return path;
}

static int listener(void)
{
    static int count;
    char name[20];
    snprintf(name, sizeof name, "s%d", count++);
    int fd = fcgipm_socket_open(in_folder(name), 0, NULL);
    if (fd < 0)
        printf("listener: %s\n", fcgipm_last_error_message());
    return fd;
}

/* Every export that takes a request, with this handle: the same error of each. */
static void every_request_call(fcgipm_request *request, int64_t wanted, const char *message, int also_getters)
{
    uint8_t byte;
    const uint8_t *data;
    const fcgipm_param *list;
    size_t length;
    char text[10];
    EXPECT(fcgipm_request_accept(request), wanted, message);
    EXPECT(fcgipm_request_finish(request), wanted, message);
    EXPECT(fcgipm_request_finish_with(request, (const uint8_t *)"x", 1), wanted, message);
    EXPECT(fcgipm_request_abandon(request), wanted, message);
    EXPECT(fcgipm_request_set_exit_status(request, 1), wanted, message);
    EXPECT(fcgipm_request_role(request), wanted, message);
    EXPECT(fcgipm_request_keep_connection(request), wanted, message);
    EXPECT(fcgipm_request_connection_fd(request), wanted, message);
    EXPECT(fcgipm_request_peer_address(request, text, sizeof text), wanted, message);
    EXPECT(fcgipm_request_aborted(request), wanted, message);
    EXPECT(fcgipm_request_params(request, 0, &data, &length), wanted, message);
    EXPECT(data == NULL && length == 0, 1, NULL);
    EXPECT(fcgipm_request_list_params(request, 0, &list, &length), wanted, message);
    EXPECT(list == NULL && length == 0, 1, NULL);
    EXPECT(fcgipm_request_param(request, (const uint8_t *)"A", 1, &data, &length), wanted, message);
    EXPECT(fcgipm_request_read(request, &byte, 1), wanted, message);
    EXPECT(fcgipm_request_read_full(request, &byte, 1), wanted, message);
    EXPECT(fcgipm_request_read_line(request, &byte, 1), wanted, message);
    EXPECT(fcgipm_request_write(request, FCGIPM_STDOUT, &byte, 1), wanted, message);
    EXPECT(fcgipm_request_flush(request), wanted, message);
    EXPECT(fcgipm_request_start_filter_data(request), wanted, message);
    if (also_getters) {
        EXPECT(fcgipm_request_is_active(request), wanted, message);
        EXPECT(fcgipm_request_input_end(request), wanted, message);
        EXPECT(fcgipm_request_input_error(request), wanted, message);
    }
}

static void every_options_call(fcgipm_options *options, int64_t wanted, const char *message)
{
    char text[10];
    EXPECT(fcgipm_options_set(options, "n_processes", "1"), wanted, message);
    EXPECT(fcgipm_options_get(options, "n_processes", text, sizeof text), wanted, message);
}

static void every_manager_call(fcgipm_manager *manager, int64_t wanted, const char *message)
{
    EXPECT(fcgipm_manager_next(manager), wanted, message);
    EXPECT(fcgipm_manager_run(manager), wanted, message);
    EXPECT(fcgipm_manager_host_forks(manager, 1), wanted, message);
    EXPECT(fcgipm_manager_fork_begins(manager), wanted, message);
    EXPECT(fcgipm_manager_forked(manager, 0, 0), wanted, message);
    EXPECT(fcgipm_manager_event_pid(manager), wanted, message);
    EXPECT(fcgipm_manager_event_status(manager), wanted, message);
    EXPECT_NULL(fcgipm_manager_event_message(manager), message);
}

static void null(void)
{
    fcgipm_options *options = fcgipm_options_new();
    fcgipm_request_free(NULL);
    fcgipm_options_free(NULL);
    fcgipm_manager_free(NULL);
    EXPECT(strlen(fcgipm_last_error_message()), 0, NULL);
    every_request_call(NULL, FCGIPM_EHANDLE, "request handle: NULL", 1);
    every_options_call(NULL, FCGIPM_EHANDLE, "options handle: NULL");
    every_manager_call(NULL, FCGIPM_EHANDLE, "manager handle: NULL");
    EXPECT(fcgipm_options_set(options, NULL, "1"), FCGIPM_EARGUMENT, "argument name: NULL");
    EXPECT(fcgipm_options_set(options, "log", NULL), FCGIPM_EARGUMENT, "argument value: NULL");
    EXPECT(fcgipm_options_get(options, NULL, NULL, 0), FCGIPM_EARGUMENT, "argument name: NULL");
    EXPECT(fcgipm_options_get(options, "log", NULL, 5), FCGIPM_EARGUMENT, "argument buffer: NULL");
    EXPECT(fcgipm_options_get(options, "log", NULL, 0), 6, NULL);
    EXPECT(fcgipm_options_effective(NULL, "log", NULL, 0), 6, NULL);
    EXPECT(fcgipm_options_effective(options, NULL, NULL, 0), FCGIPM_EARGUMENT, "argument name: NULL");
    EXPECT(fcgipm_socket_open(NULL, 0, NULL), FCGIPM_EARGUMENT, "argument address: NULL");
    EXPECT(fcgipm_error_name(0) == NULL && fcgipm_error_name(1) == NULL && fcgipm_error_name(-1000) == NULL, 1, NULL);
    EXPECT(fcgipm_manager_signal(NULL, 1), 0, NULL);
    fcgipm_options_free(options);
}

static void freed(void)
{
    int fd = listener();
    fcgipm_request *request = fcgipm_request_new(fd, 0, NULL);
    fcgipm_options *options = fcgipm_options_new();
    fcgipm_manager *manager = fcgipm_manager_new(options);
    fcgipm_request_free(request);
    fcgipm_manager_free(manager);
    fcgipm_options_free(options);
    every_request_call(request, FCGIPM_EHANDLE, "request handle: already freed", 1);
    every_options_call(options, FCGIPM_EHANDLE, "options handle: already freed");
    every_manager_call(manager, FCGIPM_EHANDLE, "manager handle: already freed");
    EXPECT_NULL(fcgipm_request_new(fd, 0, options), "options handle: already freed");
    EXPECT_NULL(fcgipm_manager_new(options), "options handle: already freed");
    EXPECT(fcgipm_socket_open(in_folder("x"), 0, options), FCGIPM_EHANDLE, "options handle: already freed");
    for (int i = 0; i < 3; i++) {
        fcgipm_request_free(request);
        fcgipm_manager_free(manager);
        fcgipm_options_free(options);
    }
    EXPECT(strstr(fcgipm_last_error_message(), "already freed") != NULL, 1, NULL);
}

static void foreign(void)
{
    fcgipm_request *request = fcgipm_request_new(listener(), 0, NULL);
    fcgipm_options *options = fcgipm_options_new();
    fcgipm_manager *manager = fcgipm_manager_new(options);
    every_request_call((fcgipm_request *)options, FCGIPM_EHANDLE, "request handle: not a handle of this kind", 1);
    every_options_call((fcgipm_options *)manager, FCGIPM_EHANDLE, "options handle: not a handle of this kind");
    every_manager_call((fcgipm_manager *)request, FCGIPM_EHANDLE, "manager handle: not a handle of this kind");
    fcgipm_request_free((fcgipm_request *)options);
    fcgipm_manager_free((fcgipm_manager *)request);
    fcgipm_options_free((fcgipm_options *)manager);
    /* All are alive. */
    EXPECT(fcgipm_request_is_active(request), 0, NULL);
    EXPECT(fcgipm_options_set(options, "n_processes", "1"), 0, NULL);
    EXPECT(fcgipm_manager_event_pid(manager), 0, NULL);
    fcgipm_request_free(request);
    fcgipm_manager_free(manager);
    fcgipm_options_free(options);
}

/* A request for nothing in particular, sent on a connection of its own. */
static int ask(const char *name)
{
    static const uint8_t bytes[] = {1, 1, 0, 1, 0, 8, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1, 4, 0, 1, 0, 0, 0, 0, 1, 5, 0, 1, 0, 0, 0, 0};
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    snprintf(address.sun_path, sizeof address.sun_path, "%s/%s", folder, name);
    if (connect(fd, (struct sockaddr *)&address, sizeof address) != 0 || write(fd, bytes, sizeof bytes) != sizeof bytes)
        printf("ask: %s\n", strerror(errno));
    return fd;
}

static void order(void)
{
    uint8_t byte;
    const uint8_t *data;
    const fcgipm_param *list;
    size_t length;
    int fd = listener();
    fcgipm_request *request = fcgipm_request_new(fd, 0, NULL);
    /* Before accept, but for accept itself. */
    EXPECT(fcgipm_request_read(request, &byte, 1), FCGIPM_ESTATE, "read: no request is active");
    EXPECT(fcgipm_request_read_line(request, &byte, 1), FCGIPM_ESTATE, "read line: no request is active");
    EXPECT(fcgipm_request_write(request, FCGIPM_STDOUT, &byte, 1), FCGIPM_ESTATE, "write: no request is active");
    EXPECT(fcgipm_request_flush(request), FCGIPM_ESTATE, "flush: no request is active");
    EXPECT(fcgipm_request_finish(request), FCGIPM_ESTATE, "finish: no request is active");
    EXPECT(fcgipm_request_finish_with(request, NULL, 0), FCGIPM_ESTATE, "no request is active");
    EXPECT(fcgipm_request_abandon(request), FCGIPM_ESTATE, "abandon: no request is active");
    EXPECT(fcgipm_request_role(request), FCGIPM_ESTATE, "role: no request is active");
    EXPECT(fcgipm_request_aborted(request), FCGIPM_ESTATE, "aborted: no request is active");
    EXPECT(fcgipm_request_connection_fd(request), FCGIPM_ESTATE, "connection: no request is active");
    EXPECT(fcgipm_request_params(request, 0, &data, &length), FCGIPM_ESTATE, "params: no request is active");
    EXPECT(fcgipm_request_list_params(request, 0, &list, &length), FCGIPM_ESTATE, "params: no request is active");
    EXPECT(fcgipm_request_start_filter_data(request), FCGIPM_ESTATE, "start filter data: no request is active");
    int peer = ask("s0");
    EXPECT(fcgipm_request_accept(request), 0, NULL);
    EXPECT(fcgipm_request_start_filter_data(request), FCGIPM_ESTATE, "start filter data: the role is not filter");
    EXPECT(fcgipm_request_finish(request), 0, NULL);
    EXPECT(fcgipm_request_finish(request), FCGIPM_ESTATE, "finish: no request is active");
    EXPECT(fcgipm_request_write(request, FCGIPM_STDOUT, &byte, 1), FCGIPM_ESTATE, "write: no request is active");
    close(peer);
    /* A request that was not finished is finished by the next accept, and by free. */
    peer = ask("s0");
    int second = ask("s0");
    EXPECT(fcgipm_request_accept(request), 0, NULL);
    EXPECT(fcgipm_request_accept(request), 0, NULL);
    char response[64];
    EXPECT(read(peer, response, sizeof response), 24, NULL);
    EXPECT(fcgipm_socket_close(fd), 0, NULL);
    EXPECT(fcgipm_request_finish(request), 0, NULL);
    /* The listener is closed. */
    errno = 0;
    EXPECT(fcgipm_request_accept(request), FCGIPM_ELISTENER, "accept on descriptor");
    EXPECT(errno, EBADF, NULL);
    EXPECT(fcgipm_request_accept(request), FCGIPM_ELISTENER, "accept on descriptor");
    EXPECT(fcgipm_socket_close(fd), FCGIPM_ELISTENER, "listening descriptor");
    fcgipm_request_free(request);
    close(peer);
    close(second);
}

static void forked(void)
{
    fcgipm_options *options = fcgipm_options_new();
    fcgipm_request *request = fcgipm_request_new(listener(), 0, NULL);
    fcgipm_manager *manager = fcgipm_manager_new(options);
    int status, peer = ask("s0");
    EXPECT(fcgipm_request_accept(request), 0, NULL);
    EXPECT(fcgipm_request_write(request, FCGIPM_STDOUT, (const uint8_t *)"parent", 6), 6, NULL);
    pid_t child = fork();
    if (child == 0) {
        wrong = 0;
        every_request_call(request, FCGIPM_EFORKED, "from before a fork", 0);
        EXPECT(fcgipm_manager_next(manager), FCGIPM_EFORKED, "before the fork");
        EXPECT(fcgipm_options_set(options, "n_processes", "1"), 0, NULL);
        fcgipm_request_free(request);
        fcgipm_manager_free(manager);
        fcgipm_options_free(options);
        fflush(stdout);
        _exit(wrong);
    }
    EXPECT(waitpid(child, &status, 0) == child && status == 0, 1, NULL);
    /* Nothing was sent, and the parent continues. */
    char response[64];
    EXPECT(recv(peer, response, sizeof response, MSG_DONTWAIT), -1, NULL);
    EXPECT(fcgipm_request_finish(request), 0, NULL);
    EXPECT(read(peer, response, sizeof response), 40, NULL);
    EXPECT(memcmp(response + 8, "parent", 6), 0, NULL);
    fcgipm_request_free(request);
    fcgipm_manager_free(manager);
    fcgipm_options_free(options);
    close(peer);
}

static void addresses(void)
{
    static const char *const bad[] = {"", ":", ":0x1", ":65536", ":99999999999999999999", ":-1", "127.0.0.1:",
                                      "127.0.0.1:http!", "[::1", "[::1]", "[::1]9005", "[::1]:", "[zz]:80", "fd:", "fd:x", "fd:-1",
                                      "fd:99999999999", "@", "unix:", "no-such-host.invalid:9005", "256.1.1.1:80", "1:2:3"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char quoted[100];
        snprintf(quoted, sizeof quoted, "'%s'", bad[i]);
        int fd = fcgipm_socket_open(bad[i], 0, NULL);
        if (fd != FCGIPM_EADDRESS || strstr(fcgipm_last_error_message(), quoted) == NULL) {
            printf("address %s: %d, %s\n", quoted, fd, fcgipm_last_error_message());
            wrong = 1;
        }
    }
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
    /* Nobody answers there now. */
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
    /* A bad value leaves the one before. */
    char value[4];
    EXPECT(fcgipm_options_set(options, "n_processes", "1234"), 0, NULL);
    EXPECT(fcgipm_options_set(options, "n_processes", "x"), FCGIPM_EVALUE, NULL);
    EXPECT(fcgipm_options_get(options, "n_processes", value, sizeof value), 4, NULL);
    EXPECT(strcmp(value, "123"), 0, NULL);
    /* The environment. */
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

static void sockets(void)
{
    int ends[2], unbound = socket(AF_UNIX, SOCK_STREAM, 0), datagram = socket(AF_INET, SOCK_DGRAM, 0);
    char text[100];
    if (pipe(ends) != 0)
        exit(1);
    const int bad[] = {-1, -1000, 99999, ends[0], unbound, datagram};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        snprintf(text, sizeof text, "descriptor %d", bad[i]);
        EXPECT_NULL(fcgipm_request_new(bad[i], 0, NULL), text);
        EXPECT(fcgipm_socket_close(bad[i]), FCGIPM_ELISTENER, text);
        EXPECT(fcgipm_socket_is_listening(bad[i]), 0, NULL);
    }
    /* None of them was closed. */
    EXPECT(write(ends[1], "x", 1), 1, NULL);
    snprintf(text, sizeof text, "fd:%d", ends[0]);
    EXPECT(fcgipm_socket_open(text, 0, NULL), FCGIPM_ELISTENER, "Socket operation on non-socket");
    int fd = listener();
    EXPECT(fcgipm_socket_is_listening(fd), 1, NULL);
    EXPECT_NULL(fcgipm_request_new(fd, 4, NULL), "request flags 0x4");
    /* It stops listening under a loop: shut down, or replaced by something else. */
    fcgipm_request *request = fcgipm_request_new(fd, 0, NULL);
    shutdown(fd, SHUT_RDWR);
    EXPECT(fcgipm_request_accept(request), FCGIPM_ELISTENER, "accept on descriptor");
    dup2(ends[0], fd);
    EXPECT(fcgipm_request_accept(request), FCGIPM_ELISTENER, "accept on descriptor");
    fcgipm_request_free(request);
}

static void descriptors(void)
{
    fcgipm_request *request = fcgipm_request_new(listener(), 0, NULL);
    fcgipm_options *options = fcgipm_options_new();
    EXPECT(fcgipm_options_set(options, "n_processes", "1"), 0, NULL);
    EXPECT(fcgipm_options_set(options, "log", "none"), 0, NULL);
    int peer = ask("s0");
    struct rlimit limit, none;
    getrlimit(RLIMIT_NOFILE, &limit);
    none = limit;
    none.rlim_cur = 3;
    setrlimit(RLIMIT_NOFILE, &none);
    errno = 0;
    EXPECT(fcgipm_request_accept(request), FCGIPM_EDESCRIPTORS, "accept: Too many open files");
    EXPECT(errno, EMFILE, NULL);
    EXPECT(fcgipm_socket_open(in_folder("s9"), 0, NULL), FCGIPM_EDESCRIPTORS, "s9': Too many open files");
    EXPECT(fcgipm_socket_open(":0", 0, NULL), FCGIPM_EDESCRIPTORS, "':0': Too many open files");
    EXPECT(fcgipm_socket_open("@fcgipm-test-of-descriptors", 0, NULL), FCGIPM_EDESCRIPTORS, "Too many open files");
    fcgipm_manager *manager = fcgipm_manager_new(options);
    EXPECT(fcgipm_manager_next(manager), FCGIPM_EDESCRIPTORS, "of the manager: pipe2: Too many open files");
    setrlimit(RLIMIT_NOFILE, &limit);
    /* The connection was not lost. */
    EXPECT(fcgipm_request_accept(request), 0, NULL);
    EXPECT(fcgipm_request_finish(request), 0, NULL);
    fcgipm_request_free(request);
    fcgipm_manager_free(manager);
    fcgipm_options_free(options);
    close(peer);
    /* The standard descriptors are closed: nothing lands there. */
    int out = dup(1);
    close(0);
    close(1);
    close(2);
    int fd = listener();
    EXPECT(fd > 2, 1, NULL);
    request = fcgipm_request_new(fd, 0, NULL);
    peer = dup(ask("s1"));
    EXPECT(fcgipm_request_accept(request), 0, NULL);
    EXPECT(fcgipm_request_connection_fd(request) > 2, 1, NULL);
    EXPECT(fcgipm_request_finish(request), 0, NULL);
    fcgipm_request_free(request);
    dup2(out, 1);
}

static void *wait_a_while(void *gate)
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
    /* Nothing to manage. */
    fcgipm_manager *manager = fcgipm_manager_new(options);
    EXPECT(fcgipm_manager_event_status(manager), 0, NULL);
    EXPECT(strlen(fcgipm_manager_event_message(manager)), 0, NULL);
    EXPECT(fcgipm_manager_run(manager), FCGIPM_EVENT_IN_WORKER, NULL);
    EXPECT(fcgipm_manager_run(manager), FCGIPM_ESTATE, "n_processes is 0");
    fcgipm_manager_free(manager);
    EXPECT(fcgipm_options_set(options, "n_processes", "1"), 0, NULL);
    /* A pid file where none can be. */
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
    if (pipe(gate) != 0 || pthread_create(&thread, NULL, wait_a_while, &gate[0]) != 0)
        exit(1);
    manager = fcgipm_manager_new(options);
    EXPECT(fcgipm_manager_next(manager), FCGIPM_ETHREADS, "threads");
    fcgipm_manager_free(manager);
    close(gate[1]);
    pthread_join(thread, NULL);
    /* A worker that never accepts, and the manager freed while it runs. */
    manager = fcgipm_manager_new(options);
    int event;
    while ((event = fcgipm_manager_next(manager)) != FCGIPM_EVENT_WORKER_STARTED)
        if (event == FCGIPM_EVENT_IN_WORKER) {
            EXPECT(fcgipm_manager_next(manager), FCGIPM_EFORKED, "before the fork");
            fcgipm_manager_free(manager);
            fflush(stdout);
            _exit(wrong);
        }
    pid_t worker = fcgipm_manager_event_pid(manager);
    EXPECT(worker > 0, 1, NULL);
    fcgipm_manager_free(manager);
    /* The child is this process's own again. */
    EXPECT(waitpid(worker, NULL, 0) == worker || errno == ECHILD, 1, NULL);
    fcgipm_options_free(options);
}

static void arguments(void)
{
    uint8_t byte = 'x';
    const uint8_t *data;
    const fcgipm_param *list;
    size_t length;
    char text[4];
    fcgipm_request *request = fcgipm_request_new(listener(), 0, NULL);
    int peer = ask("s0");
    EXPECT(fcgipm_request_accept(request), 0, NULL);
    EXPECT(fcgipm_request_read(request, NULL, 1), FCGIPM_EARGUMENT, "argument buffer: NULL with a length of 1");
    EXPECT(fcgipm_request_read(request, NULL, 0), 0, NULL);
    EXPECT(fcgipm_request_read(request, &byte, SIZE_MAX), FCGIPM_EARGUMENT, "argument buffer: length");
    EXPECT(fcgipm_request_read_full(request, NULL, 9), FCGIPM_EARGUMENT, "argument buffer");
    EXPECT(fcgipm_request_read_line(request, NULL, 9), FCGIPM_EARGUMENT, "argument buffer");
    EXPECT(fcgipm_request_write(request, FCGIPM_STDOUT, NULL, 1), FCGIPM_EARGUMENT, "argument data: NULL");
    EXPECT(fcgipm_request_write(request, FCGIPM_STDOUT, NULL, 0), 0, NULL);
    EXPECT(fcgipm_request_write(request, FCGIPM_STDOUT, &byte, SIZE_MAX), FCGIPM_EARGUMENT, "argument data");
    EXPECT(fcgipm_request_write(request, 0, &byte, 1), FCGIPM_EARGUMENT, "argument stream: 0 is not 1 or 2");
    EXPECT(fcgipm_request_write(request, 3, &byte, 1), FCGIPM_EARGUMENT, "argument stream: 3 is not 1 or 2");
    EXPECT(fcgipm_request_params(request, 3, &data, &length), FCGIPM_EARGUMENT, "argument scope: 3");
    EXPECT(fcgipm_request_params(request, 0, NULL, &length), FCGIPM_EARGUMENT, "NULL");
    EXPECT(fcgipm_request_params(request, 0, &data, NULL), FCGIPM_EARGUMENT, "NULL");
    EXPECT(fcgipm_request_list_params(request, 3, &list, &length), FCGIPM_EARGUMENT, "argument scope: 3");
    EXPECT(list == NULL && length == 0, 1, NULL);
    EXPECT(fcgipm_request_list_params(request, 0, NULL, &length), FCGIPM_EARGUMENT, "NULL");
    EXPECT(fcgipm_request_list_params(request, 0, &list, NULL), FCGIPM_EARGUMENT, "NULL");
    EXPECT(fcgipm_request_param(request, NULL, 3, &data, &length), FCGIPM_EARGUMENT, "argument name: NULL");
    EXPECT(fcgipm_request_param(request, NULL, 0, &data, &length), 0, NULL);
    EXPECT(fcgipm_request_param(request, &byte, 1, NULL, NULL), FCGIPM_EARGUMENT, "NULL");
    EXPECT(fcgipm_request_peer_address(request, NULL, 4), FCGIPM_EARGUMENT, "argument buffer");
    EXPECT(fcgipm_request_peer_address(request, NULL, 0), 5, NULL);
    EXPECT(fcgipm_request_peer_address(request, text, sizeof text), 5, NULL);
    EXPECT(strcmp(text, "uni"), 0, NULL);
    EXPECT(fcgipm_request_finish_with(request, NULL, 5), FCGIPM_EARGUMENT, "argument data");
    /* None of it ended the request. */
    EXPECT(fcgipm_request_is_active(request), 1, NULL);
    EXPECT(fcgipm_request_finish(request), 0, NULL);
    fcgipm_request_free(request);
    close(peer);
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*run)(void);
    } groups[] = {
        {"null", null},       {"freed", freed},         {"foreign", foreign},         {"order", order},
        {"forked", forked},   {"addresses", addresses}, {"options", bad_options},     {"sockets", sockets},
        {"managers", managers}, {"arguments", arguments}, {"descriptors", descriptors},
    };
    if (argc != 3)
        return 2;
    setvbuf(stdout, NULL, _IOLBF, 0);
    folder = argv[2];
    for (size_t i = 0; i < sizeof groups / sizeof *groups; i++)
        if (strcmp(groups[i].name, argv[1]) == 0) {
            groups[i].run();
            printf("%s: done\n", argv[1]);
            return wrong;
        }
    return 2;
}
