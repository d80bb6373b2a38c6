/* A FastCGI application in C with prefork workers.
 *
 *     hello [ADDRESS]            listens on ADDRESS, on FCGI_SOCKET_PATH, or on :9005
 *     FCGIPM_N_PROCESSES=5       sets the number of workers (default here: 2)
 *
 * Paths:
 *     /              a greeting with the worker's pid
 *     /env           the parameters, one per line
 *     /echo          the body, echoed while it is read. Only for small bodies: a web server may stop
 *                    sending the body when the response begins
 *     /hash          the length of the body and its FNV-1a hash
 *     /bytes?n=N     N bytes
 *     /headers?n=N   N header lines
 *     /stderr        writes a line to the web server's error log
 *     /status?n=N    ends the request with status N
 *     /pause?n=N     N bytes, then waits until a byte can be read from the file HELLO_GATE, or until
 *                    the manager notifies the worker that the request has reached request_timeout
 *     /stubborn?n=N  the same, but ignores the notice
 *     /grow?n=N      allocates N bytes and never frees them
 *     /exit?n=N      a greeting, then the worker exits with status N
 *
 * HELLO_START is a command that each worker runs before it serves. If it fails, the worker exits.
 */
#define _POSIX_C_SOURCE 200809L
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fcgipm.h"

/* Prints the library's last error; returns the exit status. */
static int fail(const char *what)
{
    fprintf(stderr, "hello: %s: %s\n", what, fcgipm_last_error_message());
    return 1;
}

/* The worker exits with this status after the current request, unless it is negative. */
static int exit_status = -1;

/* A parameter, or "" if there is none. It is valid until the request is finished. */
static const char *parameter(const fcgipm_request *request, const char *name)
{
    const uint8_t *value = NULL;
    size_t length = 0;
    if (fcgipm_request_param(request, (const uint8_t *)name, strlen(name), &value, &length) != 1)
        return "";
    return (const char *)value;
}

static void put(fcgipm_request *request, const void *data, size_t length)
{
    /* After a failed write, all later calls fail, and so does finish: serve() checks that. */
    (void)fcgipm_request_write(request, FCGIPM_STDOUT, data, length);
}

static void print(fcgipm_request *request, const char *format, ...)
{
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (length > 0)
        put(request, text, (size_t)length < sizeof text ? (size_t)length : sizeof text - 1);
}

/* The number after "n=" in the query, or a default. */
static unsigned long long number(const fcgipm_request *request, unsigned long long fallback)
{
    const char *query = parameter(request, "QUERY_STRING");
    return strncmp(query, "n=", 2) == 0 ? strtoull(query + 2, NULL, 10) : fallback;
}

static void answer_env(fcgipm_request *request)
{
    const fcgipm_param *list = NULL;
    size_t count = 0;
    print(request, "Content-Type: text/plain\r\n\r\n");
    if (fcgipm_request_list_params(request, FCGIPM_PARAMS_ENVIRONMENT, &list, &count) != 0)
        return;
    for (size_t i = 0; i < count; i++) {
        put(request, list[i].name, list[i].name_length);
        put(request, "=", 1);
        put(request, list[i].value, list[i].value_length);
        put(request, "\n", 1);
    }
}

static void answer_echo(fcgipm_request *request)
{
    static uint8_t buffer[65536];
    int64_t count;
    print(request, "Content-Type: application/octet-stream\r\n\r\n");
    while ((count = fcgipm_request_read(request, buffer, sizeof buffer)) > 0)
        put(request, buffer, (size_t)count);
}

static void answer_hash(fcgipm_request *request)
{
    static uint8_t buffer[65536];
    uint64_t hash = 14695981039346656037u;
    unsigned long long total = 0;
    int64_t count;
    while ((count = fcgipm_request_read(request, buffer, sizeof buffer)) > 0) {
        for (int64_t i = 0; i < count; i++)
            hash = (hash ^ buffer[i]) * 1099511628211u;
        total += (unsigned long long)count;
    }
    if (count < 0) {
        print(request, "Status: 400 Bad Request\r\nContent-Type: text/plain\r\n\r\n%s\n", fcgipm_last_error_message());
        return;
    }
    print(request, "Content-Type: text/plain\r\n\r\n%llu %016llx\n", total, (unsigned long long)hash);
}

static void answer_bytes(fcgipm_request *request)
{
    static uint8_t buffer[65536];
    unsigned long long left = number(request, 0);
    print(request, "Content-Type: application/octet-stream\r\nContent-Length: %llu\r\n\r\n", left);
    memset(buffer, 'x', sizeof buffer);
    while (left > 0) {
        size_t count = left < sizeof buffer ? (size_t)left : sizeof buffer;
        if (fcgipm_request_write(request, FCGIPM_STDOUT, buffer, count) < 0)
            return;
        left -= count;
    }
}

static void answer_headers(fcgipm_request *request)
{
    unsigned long long count = number(request, 10);
    for (unsigned long long i = 0; i < count; i++)
        print(request, "X-Header-%llu: value %llu\r\n", i, i);
    print(request, "Content-Type: text/plain\r\n\r\n%llu headers\n", count);
}

static void answer_stderr(fcgipm_request *request)
{
    static const char line[] = "a line for the error log\n";
    (void)fcgipm_request_write(request, FCGIPM_STDERR, (const uint8_t *)line, sizeof line - 1);
    print(request, "Content-Type: text/plain\r\n\r\nlogged\n");
}

/* With a handler, the manager's signal interrupts a call that waits. */
static void on_notice(int signal)
{
    (void)signal;
}

static void answer_pause(fcgipm_request *request, int stubborn)
{
    char byte;
    ssize_t count;
    const char *gate = getenv("HELLO_GATE");
    unsigned long long first = number(request, 0);
    if (first > 0) {
        answer_bytes(request);
        (void)fcgipm_request_flush(request);
    }
    int fd = -1;
    do {
        if (fd < 0)
            fd = gate != NULL ? open(gate, O_RDONLY) : -1;
        count = fd >= 0 ? read(fd, &byte, 1) : -1;
    } while (gate != NULL && count < 0 && errno == EINTR && (stubborn || fcgipm_worker_notice_given() != 1));
    if (fd >= 0)
        close(fd);
    if (count < 0 && fcgipm_worker_notice_given() == 1)
        print(request, "Status: 503 Service Unavailable\r\nContent-Type: text/plain\r\n\r\ntimed out\n");
    else if (first == 0)
        print(request, "Content-Type: text/plain\r\n\r\nwaited, %ld\n", (long)count);
}

static void answer_grow(fcgipm_request *request)
{
    /* volatile: the compiler must not remove memory that is never read. */
    static char *volatile memory;
    unsigned long long count = number(request, 0);
    memory = malloc(count);
    if (memory != NULL)
        memset(memory, 'x', count);
    print(request, "Content-Type: text/plain\r\n\r\n%s by %llu bytes\n", memory != NULL ? "grown" : "cannot grow", count);
}

static void answer(fcgipm_request *request, unsigned long long served)
{
    const char *path = parameter(request, "PATH_INFO");
    if (*path == '\0')
        path = parameter(request, "SCRIPT_NAME");
    if (strcmp(path, "/env") == 0)
        answer_env(request);
    else if (strcmp(path, "/echo") == 0)
        answer_echo(request);
    else if (strcmp(path, "/hash") == 0)
        answer_hash(request);
    else if (strcmp(path, "/bytes") == 0)
        answer_bytes(request);
    else if (strcmp(path, "/headers") == 0)
        answer_headers(request);
    else if (strcmp(path, "/stderr") == 0)
        answer_stderr(request);
    else if (strcmp(path, "/pause") == 0)
        answer_pause(request, 0);
    else if (strcmp(path, "/stubborn") == 0)
        answer_pause(request, 1);
    else if (strcmp(path, "/grow") == 0)
        answer_grow(request);
    else {
        if (strcmp(path, "/status") == 0)
            fcgipm_request_set_exit_status(request, (uint32_t)number(request, 0));
        if (strcmp(path, "/exit") == 0)
            exit_status = (int)number(request, 0);
        print(request, "Content-Type: text/plain\r\n\r\nHello from worker %ld, request %llu\n", (long)getpid(), served);
    }
}

static int serve(int listener, const fcgipm_options *options)
{
    unsigned long long served = 0;
    int result;
    struct sigaction notice = {.sa_handler = on_notice};
    const char *start = getenv("HELLO_START");
    if (start != NULL && (result = system(start)) != 0) {
        fprintf(stderr, "hello: HELLO_START: '%s' exited with wait status %d\n", start, result);
        return 1;
    }
    /* The default of the option request_timeout_signal. */
    sigaction(SIGVTALRM, &notice, NULL);
    fcgipm_request *request = fcgipm_request_new(listener, 0, options);
    if (request == NULL)
        return fail("request");
    while (exit_status < 0 && (result = fcgipm_request_accept(request)) == 0) {
        answer(request, ++served);
        if (fcgipm_request_finish(request) < 0)
            fail("the response was not sent completely");
    }
    fcgipm_request_free(request);
    if (exit_status >= 0)
        return exit_status;
    return result == FCGIPM_ERETIRED ? 0 : fail("accept");
}

int main(int argc, char **argv)
{
    const char *address = argc > 1 ? argv[1] : getenv("FCGI_SOCKET_PATH");
    fcgipm_options *options = fcgipm_options_new();
    if (options == NULL || fcgipm_options_set(options, "n_processes", "2") < 0)
        return fail("options");

    int listener = fcgipm_socket_open(address != NULL ? address : ":9005", 100, options);
    if (listener < 0)
        return fail("socket");

    fcgipm_manager *manager = fcgipm_manager_new(options);
    if (manager == NULL)
        return fail("manager");
    int result = fcgipm_manager_run(manager);
    fcgipm_manager_free(manager);
    if (result < 0)
        return fail("manager");
    if (result == FCGIPM_EVENT_IN_WORKER)
        result = serve(listener, options);
    else
        result = 0;
    fcgipm_options_free(options);
    return result;
}
