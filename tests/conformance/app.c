/* An application that does what a test requests: PATH_INFO is the command, QUERY_STRING its argument.
 *
 *     app ADDRESS            one loop
 *     app ADDRESS THREADS    one loop per thread, on one listening socket; SIGUSR1 retires them all
 *
 * The response contains what it has observed, and the names of errors. */
#define _POSIX_C_SOURCE 200809L
#include <dirent.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../peer/request.h"
#include "app_threads.h"

static int listener;
static atomic_uint served;

static const char *name_of(int64_t result)
{
    return result < 0 ? fcgipm_error_name((int32_t)result) : "ok";
}

static void put(fcgipm_request *request, const void *data, size_t length)
{
    (void)fcgipm_request_write(request, FCGIPM_STDOUT, data, length);
}

static void print(fcgipm_request *request, const char *format, ...)
{
    char text[1024];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    put(request, text, (size_t)length);
}

/* Returns the input, and after a '|' how it ended. */
static void echo(fcgipm_request *request)
{
    static _Thread_local uint8_t buffer[20000];
    int64_t count;
    while ((count = fcgipm_request_read(request, buffer, sizeof buffer)) > 0)
        put(request, buffer, (size_t)count);
    int64_t again = fcgipm_request_read(request, buffer, sizeof buffer);
    print(request, "|%s %s %s end=%d", name_of(count), name_of(again), name_of(fcgipm_request_input_error(request)),
          fcgipm_request_input_end(request));
}

static void read_part(fcgipm_request *request, size_t size)
{
    uint8_t *buffer = malloc(size + 1);
    int64_t count = fcgipm_request_read_full(request, buffer, size);
    if (count > 0)
        put(request, buffer, (size_t)count);
    print(request, "|%s end=%d", name_of(count), fcgipm_request_input_end(request));
    free(buffer);
}

static void read_lines(fcgipm_request *request, size_t size)
{
    uint8_t *buffer = malloc(size + 1);
    int64_t count;
    while ((count = fcgipm_request_read_line(request, buffer, size)) > 0) {
        print(request, "%d:", (int)count);
        put(request, buffer, (size_t)count);
    }
    print(request, "|%s", name_of(count));
    free(buffer);
}

/* Writes bytes to a stream in pieces of one size: "STREAM-BYTES-SIZE". */
static void write_bytes(fcgipm_request *request, const char *query)
{
    unsigned stream = 1;
    unsigned long left = 0, piece = 1;
    sscanf(query, "%u-%lu-%lu", &stream, &left, &piece);
    uint8_t *data = malloc(piece);
    for (unsigned long i = 0; i < piece; i++)
        data[i] = (uint8_t)('a' + i % 26);
    for (; left > 0; left -= piece) {
        piece = piece < left ? piece : left;
        int64_t result = fcgipm_request_write(request, stream, data, piece);
        if (result < 0) {
            fprintf(stderr, "app: write: %s\n", name_of(result));
            break;
        }
    }
    free(data);
}

static void filter(fcgipm_request *request)
{
    uint8_t byte;
    print(request, "early=%s ", name_of(fcgipm_request_start_filter_data(request)));
    if (fcgipm_request_read(request, &byte, 1) == 1)
        put(request, &byte, 1);
    print(request, " half=%s stdin=", name_of(fcgipm_request_start_filter_data(request)));
    echo(request);
    print(request, " start=%s data=", name_of(fcgipm_request_start_filter_data(request)));
    echo(request);
    print(request, " late=%s", name_of(fcgipm_request_start_filter_data(request)));
}

static void await_abort(fcgipm_request *request)
{
    int before = fcgipm_request_aborted(request);
    print(request, "before=%d ", before);
    fcgipm_request_flush(request);
    struct pollfd connection = {.fd = fcgipm_request_connection_fd(request), .events = POLLIN};
    while (fcgipm_request_aborted(request) == 0 && poll(&connection, 1, 20000) == 1)
        continue;
    uint8_t byte;
    print(request, "aborted=%d ", fcgipm_request_aborted(request));
    print(request, "read=%s", name_of(fcgipm_request_read(request, &byte, 1)));
}

/* One line per open descriptor: its number, and what it refers to. */
static void descriptors(fcgipm_request *request)
{
    DIR *folder = opendir("/proc/self/fd");
    struct dirent *entry;
    print(request, "connection=%d\n", fcgipm_request_connection_fd(request));
    while (folder != NULL && (entry = readdir(folder)) != NULL) {
        char path[300], target[200];
        snprintf(path, sizeof path, "/proc/self/fd/%s", entry->d_name);
        ssize_t length = readlink(path, target, sizeof target - 1);
        if (length > 0)
            print(request, "%s %.*s\n", entry->d_name, (int)length, target);
    }
    if (folder != NULL)
        closedir(folder);
}

static uint8_t *put_counted(uint8_t *out, const uint8_t *bytes, size_t length)
{
    for (int i = 0; i < 4; i++)
        out[i] = (uint8_t)(length >> 8 * (3 - i));
    memcpy(out + 4, bytes, length);
    return out + 4 + length;
}

/* Checks that fcgipm_request_list_params() returns the same pairs, and the same array each time. */
static int is_listed(fcgipm_request *request, unsigned scope, const uint8_t *data, size_t length)
{
    const fcgipm_param *list, *again;
    size_t count, all;
    if (fcgipm_request_list_params(request, scope, &list, &count) != 0)
        return 0;
    if (fcgipm_request_list_params(request, FCGIPM_PARAMS_ALL, &again, &all) != 0 || again != list || all < count)
        return 0;
    uint8_t *flat = malloc(length + 1), *at = flat;
    for (size_t i = 0; flat != NULL && i < count; i++) {
        size_t size = list[i].name_length + list[i].value_length + 10;
        if (length - (size_t)(at - flat) < size || list[i].value[list[i].value_length] != '\0')
            break;
        at = put_counted(at, list[i].name, list[i].name_length);
        *at++ = '\0';
        at = put_counted(at, list[i].value, list[i].value_length);
        *at++ = '\0';
    }
    int same = flat != NULL && (size_t)(at - flat) == length && memcmp(flat, data, length) == 0;
    free(flat);
    return same;
}

static void parameters(fcgipm_request *request, unsigned scope)
{
    const uint8_t *data;
    size_t length;
    if (fcgipm_request_params(request, scope, &data, &length) != 0)
        return;
    if (is_listed(request, scope, data, length))
        put(request, data, length);
    else
        print(request, "the list differs");
}

static void answer(fcgipm_request *request)
{
    const char *command = parameter(request, "PATH_INFO");
    const char *query = parameter(request, "QUERY_STRING");
    unsigned long number = strtoul(query, NULL, 10);
    if (strcmp(command, "/params") == 0)
        parameters(request, (unsigned)number);
    else if (strcmp(command, "/echo") == 0)
        echo(request);
    else if (strcmp(command, "/announce") == 0) {
        print(request, "started ");
        fcgipm_request_flush(request);
        echo(request);
    } else if (strcmp(command, "/read") == 0)
        read_part(request, number);
    else if (strcmp(command, "/lines") == 0)
        read_lines(request, number);
    else if (strcmp(command, "/write") == 0)
        write_bytes(request, query);
    else if (strcmp(command, "/mixed") == 0) {
        put(request, "a", 1);
        (void)fcgipm_request_write(request, FCGIPM_STDERR, (const uint8_t *)"b", 1);
        put(request, "c", 1);
    } else if (strcmp(command, "/filter") == 0)
        filter(request);
    else if (strcmp(command, "/await-abort") == 0)
        await_abort(request);
    else if (strcmp(command, "/descriptors") == 0)
        descriptors(request);
    else if (strcmp(command, "/status") == 0)
        (void)fcgipm_request_set_exit_status(request, (uint32_t)number);
    else if (strcmp(command, "/abandon") == 0)
        (void)fcgipm_request_abandon(request);
    else if (strcmp(command, "/about") == 0) {
        char peer[100];
        (void)fcgipm_request_peer_address(request, peer, sizeof peer);
        print(request, "role=%d keep=%d peer=%s", fcgipm_request_role(request),
              fcgipm_request_keep_connection(request), peer);
    } else if (strcmp(command, "/served") == 0)
        print(request, "%u", atomic_load(&served));
    else if (strcmp(command, "/thread") == 0) {
        print(request, "%lx ", (unsigned long)pthread_self());
        fcgipm_request_flush(request);
        echo(request);
    }
}

static void *serve(void *unused)
{
    (void)unused;
    int result;
    fcgipm_request *request = fcgipm_request_new(listener, 0, NULL);
    if (request == NULL) {
        fprintf(stderr, "app: request: %s\n", fcgipm_last_error_message());
        return "request";
    }
    fprintf(stderr, "app: ready\n");
    while ((result = fcgipm_request_accept(request)) == 0) {
        atomic_fetch_add(&served, 1);
        answer(request);
        if (fcgipm_request_is_active(request) && (result = fcgipm_request_finish(request)) < 0)
            fprintf(stderr, "app: finish: %s: %s\n", name_of(result), fcgipm_last_error_message());
    }
    fprintf(stderr, "app: accept: %s: %s\n", name_of(result), fcgipm_last_error_message());
    fcgipm_request_free(request);
    return result == FCGIPM_ERETIRED ? NULL : "accept";
}

static void retire(void)
{
    fcgipm_worker_retire();
}

int main(int argc, char **argv)
{
    /* Opens this number of descriptors before any other. */
    const char *crowd = getenv("APP_CROWD");
    for (int i = crowd != NULL ? atoi(crowd) : 0; i > 0; i--)
        if (dup(2) < 0)
            return 1;
    listener = fcgipm_socket_open(argc > 1 ? argv[1] : "fd:0", 0, NULL);
    if (listener < 0) {
        fprintf(stderr, "app: socket: %s\n", fcgipm_last_error_message());
        return 1;
    }
    int failed = argc > 2 ? serve_in_threads(atoi(argv[2]), serve, retire) : serve(NULL) != NULL;
    return failed;
}
