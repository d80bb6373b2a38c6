/* The program of fcgx.c on fcgipm.h, with its manager.
 *
 *     native SOCKET WORKERS
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fcgipm.h"

enum { BACKLOG = 1024, FILLER = 1024 * 1024 };

static char filler[FILLER];
static char buffer[65536];

static int fail(const char *what)
{
    fprintf(stderr, "native: %s: %s\n", what, fcgipm_last_error_message());
    return 1;
}

static const char *parameter(const fcgipm_request *request, const char *name, size_t name_length)
{
    const uint8_t *value = NULL;
    size_t length = 0;
    if (fcgipm_request_param(request, (const uint8_t *)name, name_length, &value, &length) != 1)
        return "";
    return (const char *)value;
}

#define PARAMETER(request, name) parameter(request, name, sizeof name - 1)

static int put(fcgipm_request *request, const char *data, int length)
{
    return fcgipm_request_write(request, FCGIPM_STDOUT, (const uint8_t *)data, (size_t)length) >= 0;
}

static void answer_bytes(fcgipm_request *request, size_t left)
{
    put(request, buffer, snprintf(buffer, sizeof buffer, "Content-Type: text/plain\r\nContent-Length: %zu\r\n\r\nstart:", left));
    for (left -= 6; left > 0;) {
        size_t part = left < sizeof filler ? left : sizeof filler;
        if (!put(request, filler, (int)part))
            return;
        left -= part;
    }
}

static void answer_body(fcgipm_request *request)
{
    unsigned long total = 0;
    int64_t length;
    while ((length = fcgipm_request_read(request, (uint8_t *)buffer, sizeof buffer)) > 0)
        total += (unsigned long)length;
    put(request, buffer, snprintf(buffer, sizeof buffer, "Content-Type: text/plain\r\n\r\n%lu bytes\n", total));
}

static void answer_count(fcgipm_request *request)
{
    const fcgipm_param *list = NULL;
    size_t length = 0;
    int count = 0;
    if (fcgipm_request_list_params(request, FCGIPM_PARAMS_ENVIRONMENT, &list, &length) != 0)
        return;
    /* One by one, as for an envp. The library adds FCGI_ROLE, so it does not count. */
    for (size_t i = 0; i < length; i++)
        count += list[i].name_length != 9 || memcmp(list[i].name, "FCGI_ROLE", 9) != 0;
    put(request, buffer, snprintf(buffer, sizeof buffer, "Content-Type: text/plain\r\n\r\n%d parameters\n", count));
}

static void answer(fcgipm_request *request)
{
    const char *path = PARAMETER(request, "PATH_INFO");
    if (strcmp(path, "/bytes") == 0) {
        answer_bytes(request, strtoul(PARAMETER(request, "QUERY_STRING"), NULL, 10));
    } else if (strcmp(path, "/body") == 0) {
        answer_body(request);
    } else if (strcmp(path, "/count") == 0) {
        answer_count(request);
    } else if (strcmp(path, "/prints") == 0) {
        static const char head[] = "Content-Type: text/plain\r\n\r\n";
        int lines = atoi(PARAMETER(request, "QUERY_STRING"));
        put(request, head, sizeof head - 1);
        for (int i = 1; i <= lines; i++)
            put(request, buffer, snprintf(buffer, sizeof buffer, "<li>item %d</li>\n", i));
    } else {
        put(request, buffer, snprintf(buffer, sizeof buffer, "Content-Type: text/plain\r\n\r\nhello %s\n", PARAMETER(request, "REQUEST_URI")));
    }
}

int main(int argc, char **argv)
{
    if (argc != 3) {
        fprintf(stderr, "usage: %s SOCKET WORKERS\n", argv[0]);
        return 2;
    }
    memset(filler, 'x', sizeof filler);
    fcgipm_options *options = fcgipm_options_new();
    if (fcgipm_options_set(options, "n_processes", argv[2]) < 0)
        return fail("workers");
    int listener = fcgipm_socket_open(argv[1], BACKLOG, options);
    if (listener < 0)
        return fail(argv[1]);
    int event = fcgipm_manager_run(fcgipm_manager_new(options));
    if (event != FCGIPM_EVENT_IN_WORKER)
        return event < 0 ? fail("manager") : 0;
    fcgipm_request *request = fcgipm_request_new(listener, 0, options);
    int result;
    while ((result = fcgipm_request_accept(request)) == 0) {
        answer(request);
        fcgipm_request_finish(request);
    }
    fcgipm_request_free(request);
    return result == FCGIPM_ERETIRED ? 0 : fail("accept");
}
