/* The writing functions of fcgiapp.h, in groups selected by PATH_INFO. Argument: the number of requests. */

#include <limits.h>
#include <poll.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <wchar.h>

#include "groups.h"

static char text[300000];

static void state(FCGX_Stream *out)
{
    say("  closed %d, closed by the program %d, error %d, reader %d\n", out->isClosed, out->wasFCloseCalled, FCGX_GetError(out),
        out->isReader);
}

static void characters(FCGX_Request *request)
{
    FCGX_Stream *out = request->out;

    state(out);
    CALL(FCGX_PutChar('a', out));
    CALL(FCGX_PutChar(256 + 'b', out));
    CALL(FCGX_PutChar(-1, out));
    CALL(FCGX_PutChar(0, out));
    CALL(FCGX_PutStr("text", 4, out));
    CALL(FCGX_PutStr("text", 0, out));
    CALL(FCGX_PutS("", out));
    CALL(FCGX_PutS("a string\n", out));
    CALL(FCGX_PutS("to the log\n", request->err));
    CALL(FCGX_FFlush(out));
    CALL(FCGX_FFlush(out));
    CALL(FCGX_FFlush(request->err));
    state(out);
    state(request->err);
}

/* Reads from a writer. */
static void as_a_reader(FCGX_Request *request)
{
    FCGX_Stream *out = request->out;

    CALL(FCGX_PutS("x", out));
    CALL(FCGX_GetChar(out));
    CALL(FCGX_GetStr(text, 5, out));
    NULLNESS(FCGX_GetLine(text, 5, out));
    CALL(FCGX_UnGetChar('x', out));
    CALL(FCGX_HasSeenEOF(out));
    CALL(FCGX_GetError(out));
}

static void closing(FCGX_Request *request)
{
    FCGX_Stream *out = request->out, *err = request->err;

    CALL(FCGX_PutS("before", out));
    CALL(FCGX_FClose(out));
    state(out);
    CALL(FCGX_FClose(out));
    CALL(FCGX_PutChar('x', out));
    CALL(FCGX_PutStr("after", 5, out));
    CALL(FCGX_PutStr("after", 0, out));
    CALL(FCGX_PutS("after", out));
    CALL(FCGX_PutS("", out));
    CALL(FCGX_FPrintF(out, "after"));
    CALL(FCGX_FPrintF(out, "%d", 1));
    CALL(FCGX_FPrintF(out, ""));
    CALL(FCGX_PutStr(text, sizeof text, out));
    CALL(FCGX_FFlush(out));
    CALL(FCGX_HasSeenEOF(out));
    CALL(FCGX_GetError(out));
    CALL(FCGX_PutS("still\n", err));
    CALL(FCGX_FClose(err));
    CALL(FCGX_FClose(err));
    CALL(FCGX_PutS("after", err));
    state(err);
    CALL(FCGX_GetChar(request->in));
}

static void closing_messages_first(FCGX_Request *request)
{
    CALL(FCGX_PutS("a message\n", request->err));
    CALL(FCGX_FClose(request->err));
    CALL(FCGX_PutS("answer", request->out));
    DO(FCGX_SetExitStatus(5, request->err));
    CALL(FCGX_FClose(request->out));
    DO(FCGX_SetExitStatus(6, request->out));
}

static void sizes(FCGX_Request *request)
{
    static const int lengths[] = { 1, 7, 8, 8000, 8184, 8191, 8192, 8193, 16376, 16384, 65528, 65535, 65536, 200000, 1, 0, 300000 };
    size_t i;

    for (i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        memset(text, 'a' + (int)i, sizeof text);
        say("PutStr(%d) = %d\n", lengths[i], FCGX_PutStr(text, lengths[i], request->out));
        say("PutStr(%d) = %d\n", lengths[i] / 40, FCGX_PutStr(text, lengths[i] / 40, request->err));
    }
    for (i = 0; i < 20000; i++)
        if (FCGX_PutChar((int)i, request->out) != (unsigned char)i)
            say("PutChar %zu\n", i);
    text[sizeof text - 1] = 0;
    CALL(FCGX_PutS(text, request->out));
    CALL(FCGX_FPrintF(request->out, "%s|%s", text, text));
}

static int with_list(FCGX_Stream *out, const char *format, ...)
{
    va_list arguments;
    int result;

    va_start(arguments, format);
    result = FCGX_VFPrintF(out, format, arguments);
    va_end(arguments);
    return result;
}

static void formats(FCGX_Request *request)
{
    FCGX_Stream *out = request->out;
    int count = -1;
    short small = -1;
    long large = -1;

    CALL(FCGX_FPrintF(out, ""));
    CALL(FCGX_FPrintF(out, "no conversion\n"));
    CALL(FCGX_FPrintF(out, "%%|%c|\n", 'a'));
    CALL(FCGX_FPrintF(out, "%d|%i|%5d|%-5d|%05d|%+d|% d|\n", 1, -2, 3, 4, 5, 6, 7));
    CALL(FCGX_FPrintF(out, "%u|%o|%x|%X|%#x|%#o|\n", 4000000000u, 8u, 255u, 255u, 255u, 8u));
    CALL(FCGX_FPrintF(out, "%hd|%hu|%ld|%lu|%lx|\n", (short)-3, (unsigned short)40000, LONG_MIN, ULONG_MAX, LONG_MAX));
    CALL(FCGX_FPrintF(out, "%s|%10s|%-10s|%.2s|%10.3s|%.0s|\n", "text", "text", "text", "text", "text", "text"));
    CALL(FCGX_FPrintF(out, "%*d|%-*d|%.*d|%*.*s|\n", 6, 1, 6, 2, 4, 3, 6, 2, "text"));
    CALL(FCGX_FPrintF(out, "%*d|\n", -6, 1));
    CALL(FCGX_FPrintF(out, "%f|%.2f|%e|%E|%g|%G|%10.3f|%-10.1f|\n", 1.5, 2.345, 12345.678, 0.00012, 1e10, 1e-10, 3.14159, 2.0));
    CALL(FCGX_FPrintF(out, "%Lf|%.3Le|\n", 1.25L, 1234.5L));
    CALL(FCGX_FPrintF(out, "%d%n|\n", 12345, &count));
    CALL(count);
    CALL(FCGX_FPrintF(out, "%s%hn%ln|\n", "ab", &small, &large));
    CALL(small);
    CALL(large);
    CALL(FCGX_FPrintF(out, "%p|\n", (void *)0x1234));
    CALL(with_list(out, "%d and %s|\n", 5, "five"));
    memset(text, 'l', 20000);
    text[20000] = 0;
    CALL(FCGX_FPrintF(out, "%s\n", text));
    CALL(FCGX_FPrintF(request->err, "%s %d\n", "log", 1));
}

/* Only for the drop-in: libfcgi does not have these, or interprets them differently. */
static void more_formats(FCGX_Request *request)
{
    FCGX_Stream *out = request->out;

    CALL(FCGX_FPrintF(out, "%zu|%jd|%td|%hhd|%lld|\n", (size_t)1, (intmax_t)-2, (ptrdiff_t)3, (signed char)4, -5LL));
    CALL(FCGX_FPrintF(out, "%a|%ls|%c|\n", 1.0, L"wide", 0));
    CALL(FCGX_FPrintF(out, "%2$s %1$d|\n", 1, "second"));
    CALL(FCGX_FPrintF(out, "%5000d|%s|\n", 1, (char *)NULL));
    CALL(FCGX_FPrintF(NULL, "x"));
    CALL(FCGX_FPrintF(out, NULL));
}

static void status(FCGX_Request *request)
{
    DO(FCGX_SetExitStatus(1, request->in));
    CALL(request->appStatus);
    DO(FCGX_SetExitStatus(2, request->out));
    DO(FCGX_SetExitStatus(-3, request->err));
    CALL(request->appStatus);
    CALL(FCGX_PutS("with a status", request->out));
}

/* libfcgi aborts the process. */
static void long_number(FCGX_Request *request)
{
    CALL(FCGX_FPrintF(request->out, "%300d|%.300d|%.200f|%f|\n", 1, 2, 1.0 / 3, 1e300));
}

/* libfcgi does not count a NUL. */
static void nul(FCGX_Request *request)
{
    CALL(FCGX_FPrintF(request->out, "a%cb", 0));
}

static void wait_for_disconnect(FCGX_Request *request)
{
    struct pollfd peer = { request->ipcFd, POLLIN | POLLHUP, 0 };

    while (poll(&peer, 1, -1) != 1 || (peer.revents & POLLHUP) == 0)
        ;
}

/* Writes after the web server has disconnected. */
static void disconnected(FCGX_Request *request)
{
    FCGX_Stream *out = request->out;

    wait_for_disconnect(request);
    CALL(FCGX_PutS("gathered", out));
    CALL(FCGX_GetError(out));
    CALL(FCGX_FFlush(out));
    state(out);
    CALL(FCGX_PutStr(text, sizeof text, out));
    CALL(FCGX_FFlush(out));
    CALL(FCGX_GetError(out));
    CALL(FCGX_PutS("to the log", request->err));
    CALL(FCGX_FFlush(request->err));
    state(request->err);
    CALL(FCGX_FClose(request->err));
}

/* Small writes to a stream that has failed. */
static void failed(FCGX_Request *request)
{
    FCGX_Stream *out = request->out;

    wait_for_disconnect(request);
    CALL(FCGX_PutS("lost", out));
    CALL(FCGX_FFlush(out));
    CALL(FCGX_PutS("more", out));
    CALL(FCGX_FClose(out));
}

static const struct {
    const char *name;
    void (*run)(FCGX_Request *request);
} groups[] = {
    { "/characters", characters }, { "/as-a-reader", as_a_reader }, { "/closing", closing },
    { "/closing-messages-first", closing_messages_first }, { "/sizes", sizes }, { "/formats", formats },
    { "/more-formats", more_formats }, { "/status", status }, { "/disconnected", disconnected },
    { "/failed", failed }, { "/long-number", long_number }, { "/nul", nul },
};

static void run(const char *group, FCGX_Request *request)
{
    size_t i;

    for (i = 0; i < sizeof groups / sizeof *groups; i++)
        if (strcmp(groups[i].name, group) == 0)
            groups[i].run(request);
}

int main(int argc, char **argv)
{
    report_open();
    serve_groups(argc > 1 ? atoi(argv[1]) : 0, run);
    return 0;
}
