/* The functions of fcgios.h for sockets, children and signals. Argument: the group. */

#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>

#include "fcgios.h"
#include "groups.h"

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

    /* After the wait, so that the report of the child comes first. */
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

static volatile int alarms;

static void on_alarm(int signal)
{
    (void)signal;
    alarms++;
}

static void on_alarm_shutdown(int signal)
{
    (void)signal;
    alarms++;
    OS_ShutdownPending();
}

/* With `again` it repeats: a signal that arrives before the wait would be lost. */
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
    /* The two requests to exit: SIGTERM and OS_ShutdownPending. */
    raise(SIGTERM);
    CALL(OS_Accept(listener, 0, NULL));
    DO(OS_ShutdownPending());
    CALL(OS_Accept(listener, 1, NULL));
}

/* A handler with SA_RESTART ends the wait, without any client. */
static void woken(void)
{
    int listener = OS_CreateLocalIpcFd(place("socket"), 5);

    CALL(OS_LibInit(NULL));
    alarm_soon(on_alarm_shutdown, 0);
    CALL(OS_Accept(listener, 0, NULL));
    CALL(alarms);
}

/* libfcgi ends the process for some of these errors. */
static void socket_errors(void)
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
}

int main(int argc, char **argv)
{
    static const struct group groups[] = {
        { "sockets", sockets },
        { "tcp", tcp },
        { "children", children },
        { "signals", signals },
        { "woken", woken },
        { "socket-errors", socket_errors },
    };

    report_open();
    if (getenv("SPAWNED") != NULL)
        spawned();
    if (readlink("/proc/self/exe", self, sizeof self - 1) < 0)
        abort();
    run_group(argc > 1 ? argv[1] : "", groups, sizeof groups / sizeof *groups);
    return 0;
}
