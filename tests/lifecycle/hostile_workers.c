/* A worker that attacks its siblings and its manager. PATH_INFO selects the attack. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "../peer/request.h"

/* In seconds: longer than any test waits. */
static const struct linger forever = {.l_onoff = 1, .l_linger = 600};

static void print(fcgipm_request *request, const char *text)
{
    (void)fcgipm_request_write(request, FCGIPM_STDOUT, (const uint8_t *)text, strlen(text));
}

static int option(int fd, int name)
{
    int value = -1;
    socklen_t length = sizeof value;
    return getsockopt(fd, SOL_SOCKET, name, &value, &length) == 0 ? value : -1;
}

static void fill(int fd)
{
    static const char bytes[4096];
    for (size_t size = sizeof bytes; size > 0; size /= 8)
        while (send(fd, bytes, size, MSG_DONTWAIT | MSG_NOSIGNAL) > 0)
            continue;
}

/* Fills its connection, whose client does not read, and makes this and all later connections linger. */
static void linger(void)
{
    for (int fd = 0; fd < 256; fd++) {
        if (setsockopt(fd, SOL_SOCKET, SO_LINGER, &forever, sizeof forever) == 0
            && option(fd, SO_ACCEPTCONN) == 0 && option(fd, SO_DOMAIN) == AF_INET)
            fill(fd);
    }
    for (;;)
        pause();
}

/* The worker's page of the scoreboard. */
static char *region(void)
{
    char line[512];
    char *found = NULL;
    FILE *maps = fopen("/proc/self/maps", "r");
    while (found == NULL && maps != NULL && fgets(line, sizeof line, maps) != NULL)
        if (strstr(line, "memfd:fcgipm-") != NULL)
            found = (char *)(uintptr_t)strtoull(line, NULL, 16);
    if (maps != NULL)
        fclose(maps);
    return found;
}

static void notify_manager(void)
{
    for (int fd = 3; fd < 64; fd++) {
        int flags = fcntl(fd, F_GETFL);
        if (flags >= 0 && (flags & O_ACCMODE) == O_WRONLY && (flags & O_NONBLOCK) != 0) {
            ssize_t ignored = write(fd, "", 1);
            (void)ignored;
        }
    }
}

static void on_alarm(int signal)
{
    (void)signal;
}

enum { PLACES = 1000, OFFERS = 32 * 1024, OFFERED = 1 };

/* A connection whose close(2) blocks. */
static int lingering(int listener, struct sockaddr_in *address)
{
    int small = 1;
    int client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(client, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
    if (client < 0 || connect(client, (struct sockaddr *)address, sizeof *address) != 0)
        return -1;
    int server = accept(listener, NULL, NULL);
    setsockopt(server, SOL_SOCKET, SO_SNDBUF, &small, sizeof small);
    fill(server);
    setsockopt(server, SOL_SOCKET, SO_LINGER, &forever, sizeof forever);
    return server;
}

/* Offers such a connection many times, and closes its own copy while the manager claims it. */
static int offer(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    struct itimerval often = {.it_interval.tv_usec = 1000, .it_value.tv_usec = 1000};
    struct sigaction action = {.sa_handler = on_alarm};
    char *page = region();
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (page == NULL || bind(listener, (struct sockaddr *)&address, length) != 0 || listen(listener, 100) != 0)
        return -1;
    getsockname(listener, (struct sockaddr *)&address, &length);
    _Atomic uint32_t *state = (_Atomic uint32_t *)(page + OFFERS), *offers = state + 1, *count = state + 2, *places = state + 3;
    _Atomic uint64_t *has_offered = (_Atomic uint64_t *)(page + 264);
    /* Interrupts its own blocking closes. */
    sigaction(SIGALRM, &action, NULL);
    setitimer(ITIMER_REAL, &often, NULL);
    int taken = 0;
    for (int round = 0; round < 20; round++) {
        int offered = lingering(listener, &address);
        for (int i = 0; i < PLACES; i++)
            places[i] = (uint32_t)offered;
        *count = PLACES;
        *has_offered = 1;
        *state = OFFERED;
        ++*offers;
        for (long poll = 0; *state == OFFERED && poll < 100000000; poll++)
            if (poll % 10000 == 0)
                notify_manager();
        taken += *state != OFFERED;
        /* Not before the manager has the first copy: it stops at the first descriptor that it cannot copy. */
        for (volatile int spin = 0; spin < 3000 + 4000 * round; spin++)
            continue;
        close(offered);
        *state = 0;
    }
    return taken;
}

/* A worker's page begins with its orders. */
enum { ORDER_RETIRE = 1, PAGE = 296 * 1024 };

/* Starts a child that outlives this worker, and orders its replacement to retire. */
static void give_orders(void)
{
    int ready[2];
    char byte;
    _Atomic uint32_t *order = (_Atomic uint32_t *)region();
    if (order == NULL || pipe(ready) != 0 || fork() != 0) {
        /* Returns once the child is writing. The order retires this worker as well. */
        if (read(ready[0], &byte, 1) != 1)
            abort();
        return;
    }
    signal(SIGALRM, SIG_DFL);
    alarm(5);
    for (long count = 0;; count++) {
        *order = ORDER_RETIRE;
        if (count == 1000 && write(ready[1], "", 1) != 1)
            _exit(1);
    }
}

static int listener(void)
{
    for (int fd = 0; fd < 64; fd++) {
        if (option(fd, SO_ACCEPTCONN) == 1)
            return fd;
    }
    return -1;
}

/* Starts a child that waits until another process is about to accept, empties the listen queue, and makes the socket
 * blocking, so that the other accept(2) blocks. */
static void steal_connections(void)
{
    int fd = listener();
    int flags = fcntl(fd, F_GETFL) & ~O_NONBLOCK;
    if (fork() != 0)
        return;
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (;;) {
        (void)fcntl(fd, F_SETFL, flags);
        while ((fcntl(fd, F_GETFL) & O_NONBLOCK) == 0)
            continue;
        for (int count = 0; count < 1000; count++) {
            (void)fcntl(fd, F_SETFL, flags | O_NONBLOCK);
            int taken = accept(fd, NULL, NULL);
            (void)fcntl(fd, F_SETFL, flags);
            if (taken >= 0)
                close(taken);
        }
    }
}

/* The sending end of the hand-over queue, which has the lower number of its two ends. */
static int queue(void)
{
    for (int fd = 3; fd < 64; fd++) {
        struct sockaddr_un address;
        socklen_t length = sizeof address, peer = sizeof address;
        if (option(fd, SO_DOMAIN) == AF_UNIX && getsockname(fd, (struct sockaddr *)&address, &length) == 0
            && getpeername(fd, (struct sockaddr *)&address, &peer) == 0
            && length == sizeof address.sun_family && peer == length)
            return fd;
    }
    return -1;
}

static int send_descriptors(int over, const int *fds, size_t count)
{
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(8 * sizeof(int))];
    } control = {0};
    struct iovec part = {.iov_base = "k", .iov_len = 1};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = CMSG_SPACE(count * sizeof(int))};
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    *header = (struct cmsghdr){.cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(count * sizeof(int))};
    memcpy(CMSG_DATA(header), fds, count * sizeof(int));
    return sendmsg(over, &message, MSG_DONTWAIT | MSG_NOSIGNAL) == 1;
}

/* Hands over descriptors that are not connections, one and several in a message. Returns how many messages were sent. */
static int hand_over(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    int over = queue(), sent = 0, pair[2], pipes[2];
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (bind(listener, (struct sockaddr *)&address, length) != 0 || listen(listener, 100) != 0)
        return -1;
    getsockname(listener, (struct sockaddr *)&address, &length);
    for (int round = 0; round < 25; round++) {
        if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) != 0 || pipe(pipes) != 0)
            return -1;
        /* One lingering connection is in the queue of a socket that is handed over, and one is handed over directly. */
        int nested = lingering(listener, &address), direct = lingering(listener, &address);
        (void)send_descriptors(pair[1], &nested, 1);
        int three[] = {pair[0], pipes[0], direct};
        sent += send_descriptors(over, three, 3) + send_descriptors(over, three, 1) + send_descriptors(over, three + 2, 1)
                + send_descriptors(over, &listener, 1);
        close(pair[0]);
        close(pair[1]);
        close(pipes[0]);
        close(pipes[1]);
    }
    return sent;
}

/* Takes no signal any more. */
static void block_signals(void)
{
    sigset_t all;
    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, NULL);
    for (;;)
        pause();
}

/* Sends descriptors whose close(2) blocks, and others, on the connection for a copy of this worker's connection. */
static void send_copies(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    int over = -1, listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    for (int fd = 3; fd < 64; fd++)
        if (option(fd, SO_TYPE) == SOCK_SEQPACKET)
            over = fd;
    if (over < 0 || bind(listener, (struct sockaddr *)&address, length) != 0 || listen(listener, 100) != 0)
        _exit(1);
    getsockname(listener, (struct sockaddr *)&address, &length);
    for (int round = 0; round < 4; round++) {
        int two[] = {lingering(listener, &address), lingering(listener, &address)};
        (void)send_descriptors(over, two, 2);
        close(two[0]);
        close(two[1]);
    }
    /* It keeps the other ends open, which do not read. */
    if (fork() == 0) {
        for (int fd = 3; fd < 64; fd++)
            if (option(fd, SO_DOMAIN) == AF_UNIX)
                close(fd);
        signal(SIGALRM, SIG_DFL);
        alarm(60);
        for (;;)
            pause();
    }
    block_signals();
}

static sigjmp_buf beyond;

static void on_bus_error(int signal)
{
    (void)signal;
    siglongjmp(beyond, 1);
}

/* Writes an order into the page of the next worker. Returns whether that page can be reached. */
static int reach(void)
{
    char *page = region();
    struct sigaction action = {.sa_handler = on_bus_error};
    if (page == NULL)
        return -1;
    /* An old size of 0 makes a second mapping, and keeps the library's. */
    page = mremap(page, 0, 2 * PAGE, MREMAP_MAYMOVE);
    if (page == MAP_FAILED)
        return 0;
    sigaction(SIGBUS, &action, NULL);
    if (sigsetjmp(beyond, 1) != 0)
        return 0;
    *(_Atomic uint32_t *)(page + PAGE) = ORDER_RETIRE;
    return 1;
}

/* Shuts down the hand-over queue, for all processes. */
static int shut_queue(void)
{
    int result = 0;
    for (int fd = 3; fd < 256; fd++) {
        if (option(fd, SO_DOMAIN) == AF_UNIX && option(fd, SO_ACCEPTCONN) == 0)
            result += shutdown(fd, SHUT_RDWR) == 0;
    }
    return result;
}

/* Keeps the worker busy until the client ends the body. */
static int read_body(fcgipm_request *request)
{
    uint8_t bytes[64];
    int64_t count;
    while ((count = fcgipm_request_read(request, bytes, sizeof bytes)) > 0)
        ;
    return (int)count;
}

/* Returns whether the worker must exit. */
static int answer(fcgipm_request *request)
{
    int result = 0;
    char text[64];
    const char *path = parameter(request, "PATH_INFO");
    if (strcmp(path, "/linger") == 0)
        linger();
    if (strcmp(path, "/copies") == 0)
        send_copies();
    if (strcmp(path, "/block") == 0)
        block_signals();
    if (strcmp(path, "/offer") == 0)
        result = offer();
    if (strcmp(path, "/reach") == 0)
        result = reach();
    if (strcmp(path, "/queue") == 0)
        result = hand_over();
    if (strcmp(path, "/shut") == 0)
        result = shut_queue();
    if (strcmp(path, "/steal") == 0)
        steal_connections();
    if (strcmp(path, "/body") == 0 || strcmp(path, "/steal") == 0 || strcmp(path, "/last") == 0)
        result = read_body(request);
    if (strcmp(path, "/orders") == 0)
        give_orders();
    snprintf(text, sizeof text, "Content-Type: text/plain\r\n\r\n%ld %d\n", (long)getpid(), result);
    print(request, text);
    return strcmp(path, "/queue") == 0 || strcmp(path, "/last") == 0;
}

int main(void)
{
    fcgipm_options *options = fcgipm_options_new();
    int listener = fcgipm_socket_open("fd:0", 100, options);
    fcgipm_manager *manager = fcgipm_manager_new(options);
    if (listener < 0 || manager == NULL)
        return 1;
    int result = fcgipm_manager_run(manager);
    fcgipm_manager_free(manager);
    if (result != FCGIPM_EVENT_IN_WORKER)
        return result < 0;
    fcgipm_request *request = fcgipm_request_new(listener, 0, options);
    while ((result = fcgipm_request_accept(request)) == 0) {
        int last = answer(request);
        (void)fcgipm_request_finish(request);
        /* Without closing a descriptor first. */
        if (last)
            _exit(0);
    }
    fcgipm_request_free(request);
    return result != FCGIPM_ERETIRED;
}
