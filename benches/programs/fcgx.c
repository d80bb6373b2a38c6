/* A program for libfcgi, which also runs on the drop-in unchanged.
 *
 *     fcgx SOCKET WORKERS
 *
 * The path selects what to do, and the query how much. All programs here have the same paths.
 *     /hello       the request's URI
 *     /count       the number of parameters
 *     /bytes?N     a response of N bytes
 *     /body        the length of the body
 *     /prints?N    N lines, each by a separate call
 */
#include <fcgiapp.h>

#include "workers.h"

static char filler[FILLER];
static char buffer[65536];

static const char *parameter(FCGX_Request *request, const char *name)
{
    const char *value = FCGX_GetParam(name, request->envp);
    return value != NULL ? value : "";
}

static void answer_bytes(FCGX_Request *request, size_t left)
{
    FCGX_FPrintF(request->out, "Content-Type: text/plain\r\nContent-Length: %lu\r\n\r\nstart:", (unsigned long)left);
    for (left -= 6; left > 0;) {
        size_t part = left < sizeof filler ? left : sizeof filler;
        if (FCGX_PutStr(filler, (int)part, request->out) < 0)
            return;
        left -= part;
    }
}

static void answer_body(FCGX_Request *request)
{
    unsigned long total = 0;
    int length;
    while ((length = FCGX_GetStr(buffer, sizeof buffer, request->in)) > 0)
        total += (unsigned long)length;
    FCGX_FPrintF(request->out, "Content-Type: text/plain\r\n\r\n%lu bytes\n", total);
}

static void answer(FCGX_Request *request)
{
    const char *path = parameter(request, "PATH_INFO");
    if (strcmp(path, "/bytes") == 0) {
        answer_bytes(request, strtoul(parameter(request, "QUERY_STRING"), NULL, 10));
    } else if (strcmp(path, "/body") == 0) {
        answer_body(request);
    } else if (strcmp(path, "/count") == 0) {
        int total = 0;
        while (request->envp[total] != NULL)
            total++;
        /* The library adds it, so it does not count. */
        total -= FCGX_GetParam("FCGI_ROLE", request->envp) != NULL;
        FCGX_FPrintF(request->out, "Content-Type: text/plain\r\n\r\n%d parameters\n", total);
    } else if (strcmp(path, "/prints") == 0) {
        int lines = atoi(parameter(request, "QUERY_STRING"));
        FCGX_PutS("Content-Type: text/plain\r\n\r\n", request->out);
        for (int i = 1; i <= lines; i++) {
            int length = snprintf(buffer, sizeof buffer, "<li>item %d</li>\n", i);
            FCGX_PutStr(buffer, length, request->out);
        }
    } else {
        int length = snprintf(buffer, sizeof buffer, "Content-Type: text/plain\r\n\r\nhello %s\n", parameter(request, "REQUEST_URI"));
        FCGX_PutStr(buffer, length, request->out);
    }
}

static void serve(int listener)
{
    FCGX_Request request;
    if (FCGX_Init() != 0 || FCGX_InitRequest(&request, listener, 0) != 0)
        return;
    while (FCGX_Accept_r(&request) == 0) {
        answer(&request);
        FCGX_Finish_r(&request);
    }
}

int main(int argc, char **argv)
{
    if (argc != 3) {
        fprintf(stderr, "usage: %s SOCKET WORKERS\n", argv[0]);
        return 2;
    }
    memset(filler, 'x', sizeof filler);
    return fork_workers(listening_socket(argv[1]), atoi(argv[2]), serve);
}
