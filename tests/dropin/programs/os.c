/* Every function of fcgios.h. Arguments: which group. Groups from `beyond` on are for the drop-in: libfcgi ends the
   process there, or has less. */

#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>

#include "fcgiapp.h"
#include "fcgios.h"
#include "report.h"

static char *place(const char *name)
{
    static char path[256];

    snprintf(path, sizeof path, "%s/%s", getenv("FOLDER"), name);
    return path;
}

static int is_set(int fd, int flag)
{
    return (fcntl(fd, F_GETFL) & flag) != 0;
}

static void sockets(void)
{
    char text[32] = "";
    int listener, client, server;

    CALL(OS_LibInit(NULL));
    CALL(OS_LibInit(NULL));
    listener = OS_CreateLocalIpcFd(place("socket"), 5);
    say("listener %s, inherited %d\n", listener >= 0 ? "fine" : "none", fcntl(listener, F_GETFD) == 0);
    CALL(OS_IsFcgi(listener));
    CALL(OS_IsFcgi(999));
    CALL(OS_IsFcgi(report));
    client = OS_FcgiConnect(place("socket"));
    say("client %s, inherited %d\n", client >= 0 ? "fine" : "none", fcntl(client, F_GETFD) == 0);
    CALL(OS_IsFcgi(client));
    CALL(OS_Write(client, (char *)"through", 7));
    server = OS_Accept(listener, 0, NULL);
    say("server %s, inherited %d, waits %d\n", server >= 0 ? "fine" : "none", fcntl(server, F_GETFD) == 0,
        !is_set(server, O_NONBLOCK));
    CALL(OS_Read(server, text, 0));
    CALL(OS_Read(server, text, sizeof text));
    say("'%s'\n", text);
    DO(OS_SetFlags(server, O_NONBLOCK));
    CALL(is_set(server, O_NONBLOCK));
    CALL(OS_Read(server, text, sizeof text));
    CALL(OS_CloseRead(server));
    CALL(OS_Read(server, text, sizeof text));
    CALL(OS_Write(server, (char *)"answer", 6));
    CALL(OS_Read(client, text, sizeof text));
    CALL(OS_Close(client, 0));
    CALL(OS_Write(server, (char *)"lost", 4));
    CALL(OS_IpcClose(server, 1));
    CALL(OS_IpcClose(server, 1));
    CALL(OS_Close(-1, 1));
    CALL(OS_Close(999, 0));
    CALL(OS_CloseRead(999));
    CALL(OS_Read(999, text, 1));
    CALL(OS_Write(999, text, 1));
    CALL(OS_Accept(999, 0, NULL));
    CALL(OS_Close(listener, 0));
    CALL(OS_FcgiConnect(place("socket")));
    CALL(OS_FcgiConnect(place("missing")));
    CALL(OS_FcgiConnect((char *)"localhost:1"));
    DO(OS_LibShutdown());
    DO(OS_LibShutdown());
    CALL(OS_LibInit(NULL));
}

static int tcp_listener(char *name, size_t size, struct sockaddr_in *address)
{
    socklen_t length = sizeof *address;
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    memset(address, 0, sizeof *address);
    address->sin_family = AF_INET;
    address->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (bind(fd, (struct sockaddr *)address, sizeof *address) != 0 || listen(fd, 5) != 0
        || getsockname(fd, (struct sockaddr *)address, &length) != 0)
        abort();
    snprintf(name, size, "localhost:%d", ntohs(address->sin_port));
    return fd;
}

static int client_from(const char *source, const struct sockaddr_in *to)
{
    struct sockaddr_in from = { .sin_family = AF_INET };
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    inet_aton(source, &from.sin_addr);
    if (bind(fd, (struct sockaddr *)&from, sizeof from) != 0 || connect(fd, (const struct sockaddr *)to, sizeof *to) != 0)
        abort();
    return fd;
}

static const char *peer_of(int fd)
{
    struct sockaddr_in address = { 0 };
    socklen_t length = sizeof address;

    return getpeername(fd, (struct sockaddr *)&address, &length) == 0 ? inet_ntoa(address.sin_addr) : "none";
}

static void tcp(void)
{
    struct sockaddr_in address;
    char name[64], byte;
    int listener = tcp_listener(name, sizeof name, &address), first, second, third, server;

    CALL(OS_LibInit(NULL));
    CALL(OS_IsFcgi(listener));
    first = OS_FcgiConnect(name);
    server = OS_Accept(listener, 0, "");
    say("accepted from %s\n", peer_of(server));
    CALL(OS_Close(server, 0));
    CALL(OS_Read(first, &byte, 1));
    CALL(OS_Close(first, 0));

    first = client_from("127.0.0.2", &address);
    second = client_from("127.0.0.1", &address);
    third = client_from("127.0.0.3", &address);
    server = OS_Accept(listener, 0, "10.9.8.7,127.0.0.1,127.0.0.3");
    say("accepted from %s\n", peer_of(server));
    CALL(OS_Close(server, 0));
    server = OS_Accept(listener, 1, "127.0.0.3");
    say("accepted from %s\n", peer_of(server));
    say("the refused one reads %d\n", OS_Read(first, &byte, 1) <= 0 ? 0 : 1);
    CALL(OS_Close(server, 0));
    CALL(OS_Close(first, 0));
    CALL(OS_Close(second, 0));
    CALL(OS_Close(third, 0));
    DO(OS_SetFlags(listener, O_NONBLOCK));
    CALL(OS_Accept(listener, 0, NULL));
    CALL(OS_Close(listener, 0));
}

/* ---- Operations ---- */

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

    /* If two are ready, the lower descriptor comes first. */
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

    /* A read that is forgotten. */
    CALL(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
    CALL(OS_AsyncRead(pair[0], 0, buffer, sizeof buffer, on_end, (char *)"never"));
    CALL(OS_CloseRead(pair[0]));
    CALL(OS_DoIo(&none));
    CALL(OS_Close(pair[0], 0));
    CALL(OS_Close(pair[1], 0));
}

/* ---- Children ---- */

static char self[256];

static void spawned(void)
{
    say("child: listening %d, stdout %d, stderr %d, report %d\n", OS_IsFcgi(0), fcntl(1, F_GETFD), fcntl(2, F_GETFD),
        report >= 0);
    _exit(7);
}

static void spawn(const char *program, int listener)
{
    int status = -1, result = OS_SpawnChild((char *)program, listener);

    /* Reported after the child has reported. */
    if (wait(&status) > 0)
        say("spawned %d, ", result);
    if (status != -1)
        say("exit %d, signal %d\n", WIFEXITED(status) ? WEXITSTATUS(status) : -1, WIFSIGNALED(status) ? WTERMSIG(status) : 0);
}

static void children(void)
{
    int listener = OS_CreateLocalIpcFd(place("socket"), 5);

    setenv("SPAWNED", "1", 1);
    spawn(self, listener);
    spawn("/nonexistent/program", listener);
    spawn("/", listener);
    CALL(OS_Close(listener, 0));
}

/* ---- Signals ---- */

static volatile int alarms;

static void on_alarm(int signal)
{
    (void)signal;
    alarms++;
}

static void on_alarm_leave(int signal)
{
    (void)signal;
    alarms++;
    OS_ShutdownPending();
}

/* Repeatedly, until the wait has noticed. */
static void alarm_soon(void (*handler)(int), int again)
{
    struct sigaction action = { .sa_handler = handler, .sa_flags = again ? 0 : SA_RESTART };
    struct itimerval timer = { { 0, again ? 10000 : 0 }, { 0, 10000 } };

    sigaction(SIGALRM, &action, NULL);
    setitimer(ITIMER_REAL, &timer, NULL);
}

static void caught(const char *when)
{
    const int signals[] = { SIGPIPE, SIGUSR1, SIGTERM, SIGINT, SIGHUP };
    size_t i;

    for (i = 0; i < sizeof signals / sizeof *signals; i++) {
        struct sigaction action;

        sigaction(signals[i], NULL, &action);
        say("%s: signal %d %s, flags %d\n", when, signals[i], action.sa_handler == SIG_DFL ? "default"
            : action.sa_handler == SIG_IGN ? "ignored" : "caught", action.sa_flags & SA_RESTART);
    }
}

static void signals(void)
{
    int listener = OS_CreateLocalIpcFd(place("socket"), 5), waiting;

    signal(SIGUSR1, SIG_IGN);
    caught("before");
    CALL(OS_LibInit(NULL));
    caught("after");
    alarm_soon(on_alarm, 1);
    CALL(OS_Accept(listener, 1, NULL));
    signal(SIGALRM, SIG_IGN);
    waiting = OS_FcgiConnect(place("socket"));
    CALL(OS_Write(waiting, (char *)"x", 1));
    CALL(OS_Close(OS_Accept(listener, 0, NULL), 0));
    /* Both ways to be asked to exit. */
    raise(SIGTERM);
    CALL(OS_Accept(listener, 0, NULL));
    DO(OS_ShutdownPending());
    CALL(OS_Accept(listener, 1, NULL));
}

/* ---- Beyond libfcgi ---- */

static void beyond(void)
{
    char too_long[300];

    memset(too_long, 'a', sizeof too_long - 1);
    too_long[sizeof too_long - 1] = 0;
    CALL(OS_FcgiConnect((char *)"no-such-host.invalid:9000") == -1);
    CALL(OS_FcgiConnect((char *)"localhost:99999"));
    CALL(OS_FcgiConnect(too_long));
    CALL(OS_FcgiConnect(NULL));
    CALL(OS_CreateLocalIpcFd("/nonexistent/folder/socket", 5));
    CALL(OS_CreateLocalIpcFd(NULL, 5));
    CALL(OS_SpawnChild(NULL, 0));
    DO(OS_SetFlags(999, O_NONBLOCK));
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

    /* A callback closes another descriptor that is ready. After that libfcgi watches none. */
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

/* The handler has SA_RESTART, and there is no client: the wait ends nevertheless. */
static void woken(void)
{
    int listener = OS_CreateLocalIpcFd(place("socket"), 5);

    CALL(OS_LibInit(NULL));
    alarm_soon(on_alarm_leave, 0);
    CALL(OS_Accept(listener, 0, NULL));
    CALL(alarms);
}

int main(int argc, char **argv)
{
    const char *group = argc > 1 ? argv[1] : "";

    report_open();
    if (getenv("SPAWNED") != NULL)
        spawned();
    if (readlink("/proc/self/exe", self, sizeof self - 1) < 0)
        abort();
    if (strcmp(group, "sockets") == 0)
        sockets();
    else if (strcmp(group, "tcp") == 0)
        tcp();
    else if (strcmp(group, "operations") == 0)
        operations();
    else if (strcmp(group, "children") == 0)
        children();
    else if (strcmp(group, "signals") == 0)
        signals();
    else if (strcmp(group, "beyond") == 0)
        beyond();
    else if (strcmp(group, "many-descriptors") == 0)
        many_descriptors();
    else if (strcmp(group, "woken") == 0)
        woken();
    else
        abort();
    say("%s: done\n", group);
    return 0;
}
