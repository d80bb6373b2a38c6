/* The life of a request, and calls without a request. Argument: the group. */

#include <signal.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>

#include "groups.h"

static FCGX_Request request;

/* Of the connection it reports only whether there is one. */
static void state(const char *when)
{
    say("%s: begun %d, in %d, out %d, err %d, connection %d, keeps %d, status %d, flags %d, listens on %d, detached %d\n", when,
        request.isBeginProcessed, request.in != NULL, request.out != NULL, request.err != NULL, request.ipcFd >= 0,
        request.keepConnection, request.appStatus, request.flags, request.listen_sock, request.detached);
}

static void next(void)
{
    CALL(FCGX_Accept_r(&request));
    say("-- id %d, role %d, writers %d\n", request.requestId, request.role, request.nWriters);
    state("accepted");
}

static void answer(const char *text)
{
    CALL(FCGX_PutS(text, request.out));
}

static void no_request(void)
{
    int fd;

    CALL(FCGX_Accept_r(&request));
    CALL(FCGX_InitRequest(&request, 0, 0));
    CALL(FCGX_Accept_r(&request));
    CALL(FCGX_Init());
    CALL(FCGX_Init());
    CALL(FCGX_IsCGI());
    memset(&request, 0x55, sizeof request);
    CALL(FCGX_InitRequest(&request, 7, FCGI_FAIL_ACCEPT_ON_INTR));
    state("initialised");
    DO(FCGX_Finish_r(&request));
    DO(FCGX_Finish_r(&request));
    DO(FCGX_Finish_r(NULL));
    DO(FCGX_Free(NULL, 1));
    DO(FCGX_Free(&request, 1));
    DO(FCGX_Free(&request, 0));
    CALL(FCGX_Attach(&request));
    state("attached");
    CALL(FCGX_Detach(&request));
    state("detached");
    /* Descriptors that are not listening sockets. */
    CALL(FCGX_InitRequest(&request, 999, 0));
    CALL(FCGX_Accept_r(&request));
    state("none");
    CALL(FCGX_InitRequest(&request, report, 0));
    CALL(FCGX_Accept_r(&request));
    fd = socket(AF_UNIX, SOCK_STREAM, 0);
    CALL(FCGX_InitRequest(&request, fd, 0));
    CALL(FCGX_Accept_r(&request));
}

static void parameters(void)
{
    char **next_one, *const none[] = { NULL };

    next();
    for (next_one = request.envp; *next_one != NULL; next_one++)
        say("'%s'\n", *next_one);
    say("A is '%s'\n", FCGX_GetParam("A", request.envp));
    say("AB is '%s'\n", FCGX_GetParam("AB", request.envp));
    say("EMPTY is '%s'\n", FCGX_GetParam("EMPTY", request.envp));
    say("TWICE is '%s'\n", FCGX_GetParam("TWICE", request.envp));
    say("FCGI_ROLE is '%s'\n", FCGX_GetParam("FCGI_ROLE", request.envp));
    NULLNESS(FCGX_GetParam("MISSING", request.envp));
    NULLNESS(FCGX_GetParam("a", request.envp));
    NULLNESS(FCGX_GetParam("", request.envp));
    NULLNESS(FCGX_GetParam("A=1", request.envp));
    NULLNESS(FCGX_GetParam(NULL, request.envp));
    NULLNESS(FCGX_GetParam("A", NULL));
    NULLNESS(FCGX_GetParam("A", (char **)none));
    answer("parameters");
    DO(FCGX_Finish_r(&request));
}

static void lifecycle(void)
{
    FCGX_Stream *out;

    /* Finished twice. */
    next();
    answer("first");
    DO(FCGX_Finish_r(&request));
    state("finished");
    DO(FCGX_Finish_r(&request));
    /* Finished by the next Accept. */
    next();
    answer("second");
    /* Without a response. */
    next();
    DO(FCGX_Finish_r(&request));
    /* Finished after its streams are closed. */
    next();
    answer("fourth");
    CALL(FCGX_FClose(request.err));
    CALL(FCGX_FClose(request.out));
    CALL(request.nWriters);
    DO(FCGX_Finish_r(&request));
    /* Abandoned, with the connection. */
    next();
    answer("abandoned");
    DO(FCGX_Free(&request, 1));
    state("freed");
    DO(FCGX_Free(&request, 1));
    DO(FCGX_Finish_r(&request));
    /* Detached, and attached again. */
    next();
    out = request.out;
    CALL(FCGX_Detach(&request));
    CALL(FCGX_Attach(&request));
    CALL(FCGX_PutS("sixth", out));
    DO(FCGX_Finish_r(&request));
    state("finished");
}

/* Freed without closing its connection. */
static void connection_kept(void)
{
    int fd;

    next();
    answer("never sent");
    fd = request.ipcFd;
    DO(FCGX_Free(&request, 0));
    say("the connection is open: %d\n", fcntl(fd, F_GETFD) != -1);
    CALL(write(fd, "\1\3\0\1\0\10\0\0\0\0\0\7\0\0\0\0", 16));
    CALL(close(fd));
}

/* The functions without an argument for the request. */
static void global_request(void)
{
    FCGX_Stream *in, *out, *err;
    FCGX_ParamArray envp;
    char line[20];

    DO(FCGX_Finish());
    CALL(FCGX_Accept(&in, &out, &err, &envp));
    say("PATH_INFO is '%s'\n", FCGX_GetParam("PATH_INFO", envp));
    say("'%s'\n", FCGX_GetLine(line, sizeof line, in));
    CALL(FCGX_PutS("by FCGX_Accept", out));
    CALL(FCGX_PutS("log", err));
    CALL(FCGX_Accept(&in, &out, &err, &envp));
    CALL(FCGX_PutS("again", out));
    DO(FCGX_SetExitStatus(3, out));
    DO(FCGX_Finish());
    DO(FCGX_Finish());
    CALL(FCGX_IsCGI());
    CALL(FCGX_IsCGI());
}

static volatile int alarms;

static void on_alarm(int signal)
{
    (void)signal;
    alarms++;
}

static void send_alarms(void (*handler)(int))
{
    struct sigaction action = { .sa_handler = handler };
    struct itimerval timer = { { 0, 5000 }, { 0, 5000 } };

    sigaction(SIGALRM, &action, NULL);
    setitimer(ITIMER_REAL, &timer, NULL);
}

static void interrupted(void)
{
    struct itimerval none = { { 0, 0 }, { 0, 0 } };

    send_alarms(on_alarm);
    CALL(FCGX_InitRequest(&request, 0, FCGI_FAIL_ACCEPT_ON_INTR));
    CALL(FCGX_Accept_r(&request));
    state("interrupted");
    say("alarms: %d\n", alarms > 0);
    setitimer(ITIMER_REAL, &none, NULL);
}

/* Asked to exit within a request, which is finished. No other request is accepted. */
static void shutdown_within(void)
{
    next();
    DO(FCGX_ShutdownPending());
    answer("in full");
    CALL(FCGX_Accept_r(&request));
    state("after");
    CALL(FCGX_Accept_r(&request));
    CALL(FCGX_Accept_r(&request));
}

static void term_within(void)
{
    next();
    raise(SIGTERM);
    answer("in full");
    DO(FCGX_Finish_r(&request));
    CALL(FCGX_Accept_r(&request));
    CALL(FCGX_Accept_r(&request));
}

static void writers(void)
{
    int pair[2], i;
    unsigned char bytes[200];
    FCGX_Stream *stream;
    long count;

    CALL(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
    stream = FCGX_CreateWriter(pair[0], 258, 64, 6);
    CALL(FCGX_PutS("seven b", stream));
    CALL(FCGX_FFlush(stream));
    CALL(FCGX_PutChar('x', stream));
    CALL(FCGX_FPrintF(stream, "%s", "yz"));
    CALL(FCGX_GetChar(stream));
    CALL(FCGX_GetError(stream));
    CALL(FCGX_FClose(stream));
    CALL(FCGX_FClose(stream));
    CALL(FCGX_PutS("after", stream));
    DO(FCGX_FreeStream(&stream));
    say("stream is %s\n", stream == NULL ? "NULL" : "there");
    DO(FCGX_FreeStream(&stream));
    count = recv(pair[1], bytes, sizeof bytes, MSG_DONTWAIT);
    for (i = 0; i < count; i++)
        say("%02x%s", bytes[i], i % 8 == 7 ? "\n" : " ");
    say("%ld bytes\n", count);
    stream = FCGX_CreateWriter(pair[0], 1, 8192, 5);
    close(pair[1]);
    CALL(FCGX_PutS("lost", stream));
    CALL(FCGX_FFlush(stream));
    CALL(FCGX_GetError(stream));
    CALL(FCGX_FClose(stream));
    DO(FCGX_FreeStream(&stream));
    close(pair[0]);
}

static void open_fails(void)
{
    CALL(FCGX_OpenSocket("/nonexistent/folder/socket", 5));
}

static void statuses(void)
{
    next();
    DO(FCGX_SetExitStatus(9, request.out));
    answer("with a 9");
    next();
    answer("with none");
    DO(FCGX_Finish_r(&request));
}

/* Only for the drop-in: libfcgi crashes. */
static void bad_arguments(void)
{
    static FCGX_Request zeroes;

    CALL(FCGX_InitRequest(NULL, 0, 0));
    CALL(FCGX_Accept_r(NULL));
    DO(FCGX_Finish_r(&zeroes));
    DO(FCGX_Free(&zeroes, 1));
    say("the socket is open: %d\n", fcntl(0, F_GETFD) != -1);
    CALL(FCGX_Attach(NULL));
    CALL(FCGX_Detach(NULL));
    CALL(FCGX_OpenSocket(NULL, 5));
    CALL(FCGX_GetChar(NULL));
    CALL(FCGX_GetStr(NULL, 5, NULL));
    NULLNESS(FCGX_GetLine(NULL, 5, NULL));
    CALL(FCGX_UnGetChar('x', NULL));
    CALL(FCGX_HasSeenEOF(NULL));
    CALL(FCGX_PutChar('x', NULL));
    CALL(FCGX_PutStr("x", 1, NULL));
    CALL(FCGX_PutS("x", NULL));
    CALL(FCGX_FFlush(NULL));
    CALL(FCGX_FClose(NULL));
    CALL(FCGX_GetError(NULL));
    DO(FCGX_ClearError(NULL));
    CALL(FCGX_StartFilterData(NULL));
    DO(FCGX_SetExitStatus(1, NULL));
    DO(FCGX_FreeStream(NULL));
    request = zeroes;
    next();
    CALL(FCGX_PutStr("x", -1, request.out));
    CALL(FCGX_PutStr(NULL, 5, request.out));
    CALL(FCGX_PutS(NULL, request.out));
    CALL(FCGX_GetStr(NULL, 5, request.in));
    NULLNESS(FCGX_GetLine(NULL, 5, request.in));
    answer("answered");
    DO(FCGX_Finish_r(&request));
}

int main(int argc, char **argv)
{
    static const struct group groups[] = {
        { "no-request", no_request },
        { "parameters", parameters },
        { "lifecycle", lifecycle },
        { "connection-kept", connection_kept },
        { "global-request", global_request },
        { "interrupted", interrupted },
        { "shutdown-within", shutdown_within },
        { "term-within", term_within },
        { "writers", writers },
        { "open-fails", open_fails },
        { "statuses", statuses },
        { "bad-arguments", bad_arguments },
    };
    const char *name = argc > 1 ? argv[1] : "";

    report_open();
    if (strcmp(name, "no-request") != 0) {
        FCGX_Init();
        FCGX_InitRequest(&request, 0, 0);
    }
    run_group(name, groups, sizeof groups / sizeof *groups);
    return 0;
}
