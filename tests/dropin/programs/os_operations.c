/* The asynchronous operations of fcgios.h. Argument: the group. */

#include <stdio.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include "fcgios.h"
#include "groups.h"

static int pair[2], other[2];
static char buffer[64];

static void on_end(ClientData word, int length)
{
    say("%s: %d, '%.*s'\n", (char *)word, length, length > 0 ? length : 0, buffer);
    memset(buffer, 0, sizeof buffer);
}

static void on_end_again(ClientData word, int length)
{
    on_end(word, length);
    CALL(OS_AsyncRead(pair[0], 0, buffer, sizeof buffer, on_end, (char *)"begun by the callback"));
}

static void on_end_closing(ClientData word, int length)
{
    on_end(word, length);
    CALL(OS_Close(other[0], 0));
}

static void operations(void)
{
    struct timeval none = { 0, 0 };

    CALL(OS_LibInit(NULL));
    CALL(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
    CALL(socketpair(AF_UNIX, SOCK_STREAM, 0, other));
    CALL(OS_DoIo(&none));

    CALL(OS_AsyncReadStdin(buffer, 5, on_end, (char *)"stdin"));
    CALL(OS_DoIo(NULL));
    CALL(OS_AsyncReadStdin(buffer, sizeof buffer, on_end, (char *)"stdin"));
    CALL(OS_DoIo(NULL));
    CALL(OS_AsyncReadStdin(buffer, sizeof buffer, on_end, (char *)"stdin"));
    CALL(OS_DoIo(NULL));

    CALL(OS_AsyncRead(pair[0], 7, buffer, sizeof buffer, on_end_again, (char *)"read"));
    CALL(OS_DoIo(&none));
    CALL(OS_AsyncWrite(pair[1], 7, (char *)"first", 5, on_end, (char *)"write"));
    CALL(OS_DoIo(NULL));
    CALL(OS_DoIo(NULL));
    CALL(OS_AsyncWrite(pair[1], 0, (char *)"second", 6, on_end, (char *)"write"));
    CALL(OS_DoIo(NULL));
    CALL(OS_DoIo(NULL));

    /* Of two ready descriptors, the lower one comes first. */
    CALL(write(pair[1], "a", 1));
    CALL(write(other[1], "b", 1));
    CALL(OS_AsyncRead(other[0], 0, buffer, sizeof buffer, on_end, (char *)"higher"));
    CALL(OS_AsyncRead(pair[0], 0, buffer, sizeof buffer, on_end, (char *)"lower"));
    CALL(OS_DoIo(NULL));

    /* The other side is closed. */
    CALL(OS_AsyncRead(pair[0], 0, buffer, sizeof buffer, on_end, (char *)"end"));
    CALL(OS_Close(pair[1], 0));
    CALL(OS_DoIo(NULL));
    CALL(OS_AsyncWrite(pair[0], 0, (char *)"lost", 4, on_end, (char *)"broken"));
    CALL(OS_DoIo(NULL));
    CALL(OS_Close(pair[0], 0));
    CALL(OS_Close(other[0], 0));
    CALL(OS_Close(other[1], 0));

    /* OS_CloseRead cancels a read. */
    CALL(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
    CALL(OS_AsyncRead(pair[0], 0, buffer, sizeof buffer, on_end, (char *)"never"));
    CALL(OS_CloseRead(pair[0]));
    CALL(OS_DoIo(&none));
    CALL(OS_Close(pair[0], 0));
    CALL(OS_Close(pair[1], 0));
}

static void many_descriptors(void)
{
    const int high = 4000;
    struct rlimit limit;

    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    CALL(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
    CALL(dup2(pair[0], high));
    CALL(OS_AsyncRead(high, 0, buffer, sizeof buffer, on_end, (char *)"high"));
    CALL(OS_AsyncWrite(high, 0, (char *)"from above", 10, on_end, (char *)"high"));
    CALL(OS_DoIo(NULL));
    CALL(OS_Read(pair[1], buffer, sizeof buffer));
    CALL(OS_Write(pair[1], (char *)"from below", 10));
    CALL(OS_DoIo(NULL));
    CALL(OS_Close(high, 0));
}

/* libfcgi ends the process for some of these errors. */
static void operation_errors(void)
{
    CALL(OS_AsyncRead(-1, 0, buffer, 1, on_end, NULL));
    CALL(OS_AsyncRead(0, 0, buffer, -1, on_end, NULL));
    CALL(OS_AsyncRead(0, 0, buffer, 1, NULL, NULL));
    CALL(OS_AsyncRead(0, 0, buffer, 1, on_end, NULL));
    CALL(OS_AsyncRead(0, 0, buffer, 1, on_end, NULL));
    DO(OS_LibInit(NULL));
    DO(OS_LibShutdown());
    CALL(OS_AsyncRead(0, 0, buffer, 1, on_end, (char *)"after shutdown"));
    CALL(OS_DoIo(NULL));
    CALL(OS_AsyncRead(998, 0, buffer, 1, on_end, (char *)"not open"));
    CALL(OS_DoIo(NULL));
    CALL(OS_DoIo(&(struct timeval){ -1, 0 }));

    /* A callback closes another descriptor that is ready. After that libfcgi watches no descriptor. */
    CALL(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
    CALL(socketpair(AF_UNIX, SOCK_STREAM, 0, other));
    CALL(write(pair[1], "a", 1));
    CALL(write(other[1], "b", 1));
    CALL(OS_AsyncRead(other[0], 0, buffer, sizeof buffer, on_end, (char *)"never"));
    CALL(OS_AsyncRead(pair[0], 0, buffer, sizeof buffer, on_end_closing, (char *)"closing"));
    CALL(OS_DoIo(NULL));
    CALL(OS_AsyncWrite(pair[0], 0, (char *)"c", 1, on_end, (char *)"continues"));
    CALL(OS_DoIo(NULL));
}

int main(int argc, char **argv)
{
    static const struct group groups[] = {
        { "operations", operations },
        { "many-descriptors", many_descriptors },
        { "operation-errors", operation_errors },
    };

    report_open();
    run_group(argc > 1 ? argv[1] : "", groups, sizeof groups / sizeof *groups);
    return 0;
}
