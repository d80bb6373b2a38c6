/* Descriptors that do not listen, and processes that run out of descriptors. */
#define _DEFAULT_SOURCE
#include <sys/resource.h>

#include "groups.h"

static void sockets(void)
{
    int ends[2], unbound = socket(AF_UNIX, SOCK_STREAM, 0), datagram = socket(AF_INET, SOCK_DGRAM, 0);
    char text[100];
    if (pipe(ends) != 0)
        exit(1);
    const int bad[] = {-1, -1000, 99999, ends[0], unbound, datagram};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        snprintf(text, sizeof text, "descriptor %d", bad[i]);
        EXPECT_NULL(fcgipm_request_new(bad[i], 0, NULL), text);
        EXPECT(fcgipm_socket_close(bad[i]), FCGIPM_ELISTENER, text);
        EXPECT(fcgipm_socket_is_listening(bad[i]), 0, NULL);
    }
    /* None of them was closed. */
    EXPECT(write(ends[1], "x", 1), 1, NULL);
    snprintf(text, sizeof text, "fd:%d", ends[0]);
    EXPECT(fcgipm_socket_open(text, 0, NULL), FCGIPM_ELISTENER, "Socket operation on non-socket");
    int fd = listener();
    EXPECT(fcgipm_socket_is_listening(fd), 1, NULL);
    EXPECT_NULL(fcgipm_request_new(fd, 4, NULL), "request flags 0x4");
    /* While a request uses it, the listener is shut down, and then replaced by a pipe. */
    fcgipm_request *request = fcgipm_request_new(fd, 0, NULL);
    shutdown(fd, SHUT_RDWR);
    EXPECT(fcgipm_request_accept(request), FCGIPM_ELISTENER, "accept on descriptor");
    dup2(ends[0], fd);
    EXPECT(fcgipm_request_accept(request), FCGIPM_ELISTENER, "accept on descriptor");
    fcgipm_request_free(request);
}

static void descriptors(void)
{
    fcgipm_request *request = fcgipm_request_new(listener(), 0, NULL);
    fcgipm_options *options = fcgipm_options_new();
    EXPECT(fcgipm_options_set(options, "n_processes", "1"), 0, NULL);
    EXPECT(fcgipm_options_set(options, "log", "none"), 0, NULL);
    int peer = send_request("s0");
    struct rlimit limit, none;
    getrlimit(RLIMIT_NOFILE, &limit);
    none = limit;
    none.rlim_cur = 3;
    setrlimit(RLIMIT_NOFILE, &none);
    errno = 0;
    EXPECT(fcgipm_request_accept(request), FCGIPM_EDESCRIPTORS, "accept: Too many open files");
    EXPECT(errno, EMFILE, NULL);
    EXPECT(fcgipm_socket_open(in_folder("s9"), 0, NULL), FCGIPM_EDESCRIPTORS, "s9': Too many open files");
    EXPECT(fcgipm_socket_open(":0", 0, NULL), FCGIPM_EDESCRIPTORS, "':0': Too many open files");
    EXPECT(fcgipm_socket_open("@fcgipm-test-of-descriptors", 0, NULL), FCGIPM_EDESCRIPTORS, "Too many open files");
    fcgipm_manager *manager = fcgipm_manager_new(options);
    EXPECT(fcgipm_manager_next(manager), FCGIPM_EDESCRIPTORS, "of the manager: pipe2: Too many open files");
    setrlimit(RLIMIT_NOFILE, &limit);
    /* The connection was not lost. */
    EXPECT(fcgipm_request_accept(request), 0, NULL);
    EXPECT(fcgipm_request_finish(request), 0, NULL);
    fcgipm_request_free(request);
    fcgipm_manager_free(manager);
    fcgipm_options_free(options);
    close(peer);
    /* The standard descriptors are closed, and no new descriptor takes their numbers. */
    int out = dup(1);
    close(0);
    close(1);
    close(2);
    int fd = listener();
    EXPECT(fd > 2, 1, NULL);
    request = fcgipm_request_new(fd, 0, NULL);
    peer = dup(send_request("s1"));
    EXPECT(fcgipm_request_accept(request), 0, NULL);
    EXPECT(fcgipm_request_connection_fd(request) > 2, 1, NULL);
    EXPECT(fcgipm_request_finish(request), 0, NULL);
    fcgipm_request_free(request);
    dup2(out, 1);
}

int main(int argc, char **argv)
{
    static const struct group groups[] = {
        {"sockets", sockets},
        {"descriptors", descriptors},
    };
    return run_group(argc, argv, groups, sizeof groups / sizeof *groups);
}
