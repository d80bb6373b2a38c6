/* Calls for a request in the wrong order, or with wrong arguments. */
#define _DEFAULT_SOURCE
#include "groups.h"

static void order(void)
{
    uint8_t byte;
    const uint8_t *data;
    const fcgipm_param *list;
    size_t length;
    int fd = listener();
    fcgipm_request *request = fcgipm_request_new(fd, 0, NULL);
    /* Every call other than accept, before the first accept. */
    EXPECT(fcgipm_request_read(request, &byte, 1), FCGIPM_ESTATE, "read: no request is active");
    EXPECT(fcgipm_request_read_line(request, &byte, 1), FCGIPM_ESTATE, "read line: no request is active");
    EXPECT(fcgipm_request_write(request, FCGIPM_STDOUT, &byte, 1), FCGIPM_ESTATE, "write: no request is active");
    EXPECT(fcgipm_request_flush(request), FCGIPM_ESTATE, "flush: no request is active");
    EXPECT(fcgipm_request_finish(request), FCGIPM_ESTATE, "finish: no request is active");
    EXPECT(fcgipm_request_finish_with(request, NULL, 0), FCGIPM_ESTATE, "no request is active");
    EXPECT(fcgipm_request_abandon(request), FCGIPM_ESTATE, "abandon: no request is active");
    EXPECT(fcgipm_request_role(request), FCGIPM_ESTATE, "role: no request is active");
    EXPECT(fcgipm_request_aborted(request), FCGIPM_ESTATE, "aborted: no request is active");
    EXPECT(fcgipm_request_connection_fd(request), FCGIPM_ESTATE, "connection: no request is active");
    EXPECT(fcgipm_request_params(request, 0, &data, &length), FCGIPM_ESTATE, "params: no request is active");
    EXPECT(fcgipm_request_list_params(request, 0, &list, &length), FCGIPM_ESTATE, "params: no request is active");
    EXPECT(fcgipm_request_start_filter_data(request), FCGIPM_ESTATE, "start filter data: no request is active");
    int peer = send_request("s0");
    EXPECT(fcgipm_request_accept(request), 0, NULL);
    EXPECT(fcgipm_request_start_filter_data(request), FCGIPM_ESTATE, "start filter data: the role is not filter");
    EXPECT(fcgipm_request_finish(request), 0, NULL);
    EXPECT(fcgipm_request_finish(request), FCGIPM_ESTATE, "finish: no request is active");
    EXPECT(fcgipm_request_write(request, FCGIPM_STDOUT, &byte, 1), FCGIPM_ESTATE, "write: no request is active");
    close(peer);
    /* The next accept finishes a request that the program did not finish. */
    peer = send_request("s0");
    int second = send_request("s0");
    EXPECT(fcgipm_request_accept(request), 0, NULL);
    EXPECT(fcgipm_request_accept(request), 0, NULL);
    char response[64];
    EXPECT(read(peer, response, sizeof response), 24, NULL);
    EXPECT(fcgipm_socket_close(fd), 0, NULL);
    EXPECT(fcgipm_request_finish(request), 0, NULL);
    /* The listener is closed. */
    errno = 0;
    EXPECT(fcgipm_request_accept(request), FCGIPM_ELISTENER, "accept on descriptor");
    EXPECT(errno, EBADF, NULL);
    EXPECT(fcgipm_request_accept(request), FCGIPM_ELISTENER, "accept on descriptor");
    EXPECT(fcgipm_socket_close(fd), FCGIPM_ELISTENER, "listening descriptor");
    fcgipm_request_free(request);
    close(peer);
    close(second);
}

static void arguments(void)
{
    uint8_t byte = 'x';
    const uint8_t *data;
    const fcgipm_param *list;
    size_t length;
    char text[4];
    fcgipm_request *request = fcgipm_request_new(listener(), 0, NULL);
    int peer = send_request("s0");
    EXPECT(fcgipm_request_accept(request), 0, NULL);
    EXPECT(fcgipm_request_read(request, NULL, 1), FCGIPM_EARGUMENT, "argument buffer: NULL with a length of 1");
    EXPECT(fcgipm_request_read(request, NULL, 0), 0, NULL);
    EXPECT(fcgipm_request_read(request, &byte, SIZE_MAX), FCGIPM_EARGUMENT, "argument buffer: length");
    EXPECT(fcgipm_request_read_full(request, NULL, 9), FCGIPM_EARGUMENT, "argument buffer");
    EXPECT(fcgipm_request_read_line(request, NULL, 9), FCGIPM_EARGUMENT, "argument buffer");
    EXPECT(fcgipm_request_write(request, FCGIPM_STDOUT, NULL, 1), FCGIPM_EARGUMENT, "argument data: NULL");
    EXPECT(fcgipm_request_write(request, FCGIPM_STDOUT, NULL, 0), 0, NULL);
    EXPECT(fcgipm_request_write(request, FCGIPM_STDOUT, &byte, SIZE_MAX), FCGIPM_EARGUMENT, "argument data");
    EXPECT(fcgipm_request_write(request, 0, &byte, 1), FCGIPM_EARGUMENT, "argument stream: 0 is not 1 or 2");
    EXPECT(fcgipm_request_write(request, 3, &byte, 1), FCGIPM_EARGUMENT, "argument stream: 3 is not 1 or 2");
    EXPECT(fcgipm_request_params(request, 3, &data, &length), FCGIPM_EARGUMENT, "argument scope: 3");
    EXPECT(fcgipm_request_params(request, 0, NULL, &length), FCGIPM_EARGUMENT, "NULL");
    EXPECT(fcgipm_request_params(request, 0, &data, NULL), FCGIPM_EARGUMENT, "NULL");
    EXPECT(fcgipm_request_list_params(request, 3, &list, &length), FCGIPM_EARGUMENT, "argument scope: 3");
    EXPECT(list == NULL && length == 0, 1, NULL);
    EXPECT(fcgipm_request_list_params(request, 0, NULL, &length), FCGIPM_EARGUMENT, "NULL");
    EXPECT(fcgipm_request_list_params(request, 0, &list, NULL), FCGIPM_EARGUMENT, "NULL");
    EXPECT(fcgipm_request_param(request, NULL, 3, &data, &length), FCGIPM_EARGUMENT, "argument name: NULL");
    EXPECT(fcgipm_request_param(request, NULL, 0, &data, &length), 0, NULL);
    EXPECT(fcgipm_request_param(request, &byte, 1, NULL, NULL), FCGIPM_EARGUMENT, "NULL");
    EXPECT(fcgipm_request_peer_address(request, NULL, 4), FCGIPM_EARGUMENT, "argument buffer");
    EXPECT(fcgipm_request_peer_address(request, NULL, 0), 5, NULL);
    EXPECT(fcgipm_request_peer_address(request, text, sizeof text), 5, NULL);
    EXPECT(strcmp(text, "uni"), 0, NULL);
    EXPECT(fcgipm_request_finish_with(request, NULL, 5), FCGIPM_EARGUMENT, "argument data");
    /* The request is still active. */
    EXPECT(fcgipm_request_is_active(request), 1, NULL);
    EXPECT(fcgipm_request_finish(request), 0, NULL);
    fcgipm_request_free(request);
    close(peer);
}

int main(int argc, char **argv)
{
    static const struct group groups[] = {
        {"order", order},
        {"arguments", arguments},
    };
    return run_group(argc, argv, groups, sizeof groups / sizeof *groups);
}
