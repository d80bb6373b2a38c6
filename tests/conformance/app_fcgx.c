/* The application of app.c on FCGX, for the drop-in for libfcgi, with the commands that FCGX allows.
 *
 *     app_fcgx fd:N            one loop, on an inherited listening socket
 *     app_fcgx PATH THREADS    one loop per thread, on one listening socket; SIGUSR1 retires them all
 *
 * With APP_LOCK=1 only one thread at a time accepts. Errors have their names in fcgiapp.h. Without an error, `end` is
 * what FCGX_HasSeenEOF returns. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "app_threads.h"
#include "fcgiapp.h"

static int listener;
static int has_lock;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static atomic_uint served;

static const char *error_of(FCGX_Stream *stream)
{
    int error = FCGX_GetError(stream);
    switch (error) {
    case 0: return "ok";
    case FCGX_UNSUPPORTED_VERSION: return "FCGX_UNSUPPORTED_VERSION";
    case FCGX_PROTOCOL_ERROR: return "FCGX_PROTOCOL_ERROR";
    case FCGX_PARAMS_ERROR: return "FCGX_PARAMS_ERROR";
    case FCGX_CALL_SEQ_ERROR: return "FCGX_CALL_SEQ_ERROR";
    default: return error > 0 ? strerrorname_np(error) : "unknown";
    }
}

static const char *parameter(const FCGX_Request *request, const char *name)
{
    const char *value = FCGX_GetParam(name, request->envp);
    return value != NULL ? value : "";
}

static int has_ended(FCGX_Request *request)
{
    return FCGX_GetError(request->in) == 0 && FCGX_HasSeenEOF(request->in) == EOF;
}

/* Returns the input, and after a '|' how it ended. */
static void echo(FCGX_Request *request)
{
    static _Thread_local char buffer[20000];
    int count;
    while ((count = FCGX_GetStr(buffer, sizeof buffer, request->in)) > 0)
        FCGX_PutStr(buffer, count, request->out);
    const char *first = error_of(request->in);
    count = FCGX_GetStr(buffer, sizeof buffer, request->in);
    const char *again = count == 0 ? error_of(request->in) : "more";
    const char *third = FCGX_GetChar(request->in) == EOF ? error_of(request->in) : "more";
    FCGX_FPrintF(request->out, "|%s %s %s end=%d", first, again, third, has_ended(request));
}

static void read_part(FCGX_Request *request, int size)
{
    char *buffer = malloc((size_t)size + 1);
    int count = FCGX_GetStr(buffer, size, request->in);
    FCGX_PutStr(buffer, count, request->out);
    FCGX_FPrintF(request->out, "|%s end=%d", error_of(request->in), has_ended(request));
    free(buffer);
}

static void read_lines(FCGX_Request *request, int size)
{
    char *buffer = malloc((size_t)size + 1);
    while (FCGX_GetLine(buffer, size + 1, request->in) != NULL)
        FCGX_FPrintF(request->out, "%d:%s", (int)strlen(buffer), buffer);
    FCGX_FPrintF(request->out, "|%s", error_of(request->in));
    free(buffer);
}

/* Writes bytes to a stream in pieces of one size: "STREAM-BYTES-SIZE". */
static void write_bytes(FCGX_Request *request, const char *query)
{
    unsigned kind = 1;
    int left = 0, piece = 1;
    sscanf(query, "%u-%d-%d", &kind, &left, &piece);
    FCGX_Stream *stream = kind == 2 ? request->err : request->out;
    char *data = malloc((size_t)piece);
    for (int i = 0; i < piece; i++)
        data[i] = (char)('a' + i % 26);
    for (; left > 0; left -= piece) {
        piece = piece < left ? piece : left;
        if (FCGX_PutStr(data, piece, stream) != piece) {
            fprintf(stderr, "app: write: %s\n", error_of(stream));
            break;
        }
    }
    free(data);
}

static void filter(FCGX_Request *request)
{
    FCGX_PutS("stdin=", request->out);
    echo(request);
    int started = FCGX_StartFilterData(request->in);
    FCGX_FPrintF(request->out, " start=%d %s data=", started, error_of(request->in));
    echo(request);
    started = FCGX_StartFilterData(request->in);
    FCGX_FPrintF(request->out, " late=%d %s", started, error_of(request->in));
}

/* On its own, because the error closes the input. */
static void filter_early(FCGX_Request *request)
{
    int started = FCGX_StartFilterData(request->in);
    FCGX_FPrintF(request->out, "early=%d %s stdin=", started, error_of(request->in));
    echo(request);
}

/* One line per open descriptor: its number, and what it refers to. */
static void descriptors(FCGX_Request *request)
{
    DIR *folder = opendir("/proc/self/fd");
    struct dirent *entry;
    FCGX_FPrintF(request->out, "connection=%d\n", request->ipcFd);
    while (folder != NULL && (entry = readdir(folder)) != NULL) {
        char path[300], target[200];
        snprintf(path, sizeof path, "/proc/self/fd/%s", entry->d_name);
        ssize_t length = readlink(path, target, sizeof target - 1);
        if (length > 0)
            FCGX_FPrintF(request->out, "%s %.*s\n", entry->d_name, (int)length, target);
    }
    if (folder != NULL)
        closedir(folder);
}

static void put_field(FCGX_Request *request, const char *text, size_t length)
{
    uint32_t size = htonl((uint32_t)length);
    FCGX_PutStr((char *)&size, sizeof size, request->out);
    FCGX_PutStr(text, (int)length, request->out);
    FCGX_PutChar(0, request->out);
}

static void parameters(FCGX_Request *request)
{
    for (char **entry = request->envp; *entry != NULL; entry++) {
        const char *sign = strchr(*entry, '=');
        put_field(request, *entry, (size_t)(sign - *entry));
        put_field(request, sign + 1, strlen(sign + 1));
    }
}

/* FCGX has no function for the peer's address. */
static void about(FCGX_Request *request)
{
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_storage storage;
    } peer;
    socklen_t length = sizeof peer;
    char text[INET_ADDRSTRLEN] = "";
    if (getpeername(request->ipcFd, &peer.any, &length) != 0)
        return;
    FCGX_FPrintF(request->out, "role=%d keep=%d peer=", request->role, request->keepConnection);
    if (peer.any.sa_family == AF_UNIX)
        FCGX_PutS("unix:", request->out);
    else
        FCGX_FPrintF(request->out, "%s:%d", inet_ntop(AF_INET, &peer.v4.sin_addr, text, sizeof text),
                     ntohs(peer.v4.sin_port));
}

static void answer(FCGX_Request *request)
{
    const char *command = parameter(request, "PATH_INFO");
    const char *query = parameter(request, "QUERY_STRING");
    unsigned long number = strtoul(query, NULL, 10);
    if (strcmp(command, "/params") == 0)
        parameters(request);
    else if (strcmp(command, "/echo") == 0)
        echo(request);
    else if (strcmp(command, "/announce") == 0) {
        FCGX_PutS("started ", request->out);
        FCGX_FFlush(request->out);
        echo(request);
    } else if (strcmp(command, "/read") == 0)
        read_part(request, (int)number);
    else if (strcmp(command, "/lines") == 0)
        read_lines(request, (int)number);
    else if (strcmp(command, "/write") == 0)
        write_bytes(request, query);
    else if (strcmp(command, "/mixed") == 0) {
        FCGX_PutChar('a', request->out);
        FCGX_FFlush(request->out);
        FCGX_PutChar('b', request->err);
        FCGX_FFlush(request->err);
        FCGX_PutChar('c', request->out);
    } else if (strcmp(command, "/filter") == 0)
        filter(request);
    else if (strcmp(command, "/filter-early") == 0)
        filter_early(request);
    else if (strcmp(command, "/await-abort") == 0) {
        /* Only a read notices the abort. */
        FCGX_PutS("reading ", request->out);
        FCGX_FFlush(request->out);
        int byte = FCGX_GetChar(request->in);
        FCGX_FPrintF(request->out, "byte=%d read=%s", byte, error_of(request->in));
    } else if (strcmp(command, "/descriptors") == 0)
        descriptors(request);
    else if (strcmp(command, "/status") == 0)
        FCGX_SetExitStatus((int)(unsigned)number, request->out);
    else if (strcmp(command, "/abandon") == 0)
        FCGX_Free(request, 1);
    else if (strcmp(command, "/about") == 0)
        about(request);
    else if (strcmp(command, "/served") == 0)
        FCGX_FPrintF(request->out, "%u", atomic_load(&served));
    else if (strcmp(command, "/thread") == 0) {
        FCGX_FPrintF(request->out, "%lx ", (unsigned long)pthread_self());
        FCGX_FFlush(request->out);
        echo(request);
    }
}

static void *serve(void *unused)
{
    (void)unused;
    FCGX_Request request;
    int result;
    FCGX_InitRequest(&request, listener, 0);
    fprintf(stderr, "app: ready\n");
    for (;;) {
        if (has_lock)
            pthread_mutex_lock(&lock);
        result = FCGX_Accept_r(&request);
        if (has_lock)
            pthread_mutex_unlock(&lock);
        if (result != 0)
            break;
        atomic_fetch_add(&served, 1);
        answer(&request);
        FCGX_Finish_r(&request);
    }
    fprintf(stderr, "app: accept: %d\n", result);
    return result == -9999 ? NULL : "accept";
}

int main(int argc, char **argv)
{
    /* Opens this number of descriptors before any other. */
    const char *crowd = getenv("APP_CROWD");
    for (int i = crowd != NULL ? atoi(crowd) : 0; i > 0; i--)
        if (dup(2) < 0)
            return 1;
    has_lock = getenv("APP_LOCK") != NULL;
    if (FCGX_Init() != 0)
        return 1;
    const char *address = argc > 1 ? argv[1] : "fd:0";
    listener = strncmp(address, "fd:", 3) == 0 ? atoi(address + 3) : FCGX_OpenSocket(address, 511);
    if (listener < 0)
        return 1;
    int failed = argc > 2 ? serve_in_threads(atoi(argv[2]), serve, FCGX_ShutdownPending) : serve(NULL) != NULL;
    return failed;
}
