/* Calls with handles that are NULL, freed, of another kind, or from before a fork. */
#define _DEFAULT_SOURCE
#include <sys/wait.h>

#include "groups.h"

/* Calls every function that takes a request: each must fail with this error. */
static void every_request_call(fcgipm_request *request, int64_t expected, const char *message, int also_getters)
{
    uint8_t byte;
    const uint8_t *data;
    const fcgipm_param *list;
    size_t length;
    char text[10];
    EXPECT(fcgipm_request_accept(request), expected, message);
    EXPECT(fcgipm_request_finish(request), expected, message);
    EXPECT(fcgipm_request_finish_with(request, (const uint8_t *)"x", 1), expected, message);
    EXPECT(fcgipm_request_abandon(request), expected, message);
    EXPECT(fcgipm_request_set_exit_status(request, 1), expected, message);
    EXPECT(fcgipm_request_role(request), expected, message);
    EXPECT(fcgipm_request_keep_connection(request), expected, message);
    EXPECT(fcgipm_request_connection_fd(request), expected, message);
    EXPECT(fcgipm_request_peer_address(request, text, sizeof text), expected, message);
    EXPECT(fcgipm_request_aborted(request), expected, message);
    EXPECT(fcgipm_request_params(request, 0, &data, &length), expected, message);
    EXPECT(data == NULL && length == 0, 1, NULL);
    EXPECT(fcgipm_request_list_params(request, 0, &list, &length), expected, message);
    EXPECT(list == NULL && length == 0, 1, NULL);
    EXPECT(fcgipm_request_param(request, (const uint8_t *)"A", 1, &data, &length), expected, message);
    EXPECT(fcgipm_request_read(request, &byte, 1), expected, message);
    EXPECT(fcgipm_request_read_full(request, &byte, 1), expected, message);
    EXPECT(fcgipm_request_read_line(request, &byte, 1), expected, message);
    EXPECT(fcgipm_request_write(request, FCGIPM_STDOUT, &byte, 1), expected, message);
    EXPECT(fcgipm_request_flush(request), expected, message);
    EXPECT(fcgipm_request_start_filter_data(request), expected, message);
    if (also_getters) {
        EXPECT(fcgipm_request_is_active(request), expected, message);
        EXPECT(fcgipm_request_input_end(request), expected, message);
        EXPECT(fcgipm_request_input_error(request), expected, message);
    }
}

static void every_options_call(fcgipm_options *options, int64_t expected, const char *message)
{
    char text[10];
    EXPECT(fcgipm_options_set(options, "n_processes", "1"), expected, message);
    EXPECT(fcgipm_options_get(options, "n_processes", text, sizeof text), expected, message);
}

static void every_manager_call(fcgipm_manager *manager, int64_t expected, const char *message)
{
    EXPECT(fcgipm_manager_next(manager), expected, message);
    EXPECT(fcgipm_manager_run(manager), expected, message);
    EXPECT(fcgipm_manager_host_forks(manager, 1), expected, message);
    EXPECT(fcgipm_manager_fork_begins(manager), expected, message);
    EXPECT(fcgipm_manager_forked(manager, 0, 0), expected, message);
    EXPECT(fcgipm_manager_event_pid(manager), expected, message);
    EXPECT(fcgipm_manager_event_status(manager), expected, message);
    EXPECT_NULL(fcgipm_manager_event_message(manager), message);
}

static void null(void)
{
    fcgipm_options *options = fcgipm_options_new();
    fcgipm_request_free(NULL);
    fcgipm_options_free(NULL);
    fcgipm_manager_free(NULL);
    EXPECT(strlen(fcgipm_last_error_message()), 0, NULL);
    every_request_call(NULL, FCGIPM_EHANDLE, "request handle: NULL", 1);
    every_options_call(NULL, FCGIPM_EHANDLE, "options handle: NULL");
    every_manager_call(NULL, FCGIPM_EHANDLE, "manager handle: NULL");
    EXPECT(fcgipm_options_set(options, NULL, "1"), FCGIPM_EARGUMENT, "argument name: NULL");
    EXPECT(fcgipm_options_set(options, "log", NULL), FCGIPM_EARGUMENT, "argument value: NULL");
    EXPECT(fcgipm_options_get(options, NULL, NULL, 0), FCGIPM_EARGUMENT, "argument name: NULL");
    EXPECT(fcgipm_options_get(options, "log", NULL, 5), FCGIPM_EARGUMENT, "argument buffer: NULL");
    EXPECT(fcgipm_options_get(options, "log", NULL, 0), 6, NULL);
    EXPECT(fcgipm_options_effective(NULL, "log", NULL, 0), 6, NULL);
    EXPECT(fcgipm_options_effective(options, NULL, NULL, 0), FCGIPM_EARGUMENT, "argument name: NULL");
    EXPECT(fcgipm_socket_open(NULL, 0, NULL), FCGIPM_EARGUMENT, "argument address: NULL");
    EXPECT(fcgipm_error_name(0) == NULL && fcgipm_error_name(1) == NULL && fcgipm_error_name(-1000) == NULL, 1, NULL);
    EXPECT(fcgipm_manager_signal(NULL, 1), 0, NULL);
    fcgipm_options_free(options);
}

static void freed(void)
{
    int fd = listener();
    fcgipm_request *request = fcgipm_request_new(fd, 0, NULL);
    fcgipm_options *options = fcgipm_options_new();
    fcgipm_manager *manager = fcgipm_manager_new(options);
    fcgipm_request_free(request);
    fcgipm_manager_free(manager);
    fcgipm_options_free(options);
    every_request_call(request, FCGIPM_EHANDLE, "request handle: already freed", 1);
    every_options_call(options, FCGIPM_EHANDLE, "options handle: already freed");
    every_manager_call(manager, FCGIPM_EHANDLE, "manager handle: already freed");
    EXPECT_NULL(fcgipm_request_new(fd, 0, options), "options handle: already freed");
    EXPECT_NULL(fcgipm_manager_new(options), "options handle: already freed");
    EXPECT(fcgipm_socket_open(in_folder("x"), 0, options), FCGIPM_EHANDLE, "options handle: already freed");
    for (int i = 0; i < 3; i++) {
        fcgipm_request_free(request);
        fcgipm_manager_free(manager);
        fcgipm_options_free(options);
    }
    EXPECT(strstr(fcgipm_last_error_message(), "already freed") != NULL, 1, NULL);
}

static void foreign(void)
{
    fcgipm_request *request = fcgipm_request_new(listener(), 0, NULL);
    fcgipm_options *options = fcgipm_options_new();
    fcgipm_manager *manager = fcgipm_manager_new(options);
    every_request_call((fcgipm_request *)options, FCGIPM_EHANDLE, "request handle: not a handle of this kind", 1);
    every_options_call((fcgipm_options *)manager, FCGIPM_EHANDLE, "options handle: not a handle of this kind");
    every_manager_call((fcgipm_manager *)request, FCGIPM_EHANDLE, "manager handle: not a handle of this kind");
    fcgipm_request_free((fcgipm_request *)options);
    fcgipm_manager_free((fcgipm_manager *)request);
    fcgipm_options_free((fcgipm_options *)manager);
    /* All three are still valid. */
    EXPECT(fcgipm_request_is_active(request), 0, NULL);
    EXPECT(fcgipm_options_set(options, "n_processes", "1"), 0, NULL);
    EXPECT(fcgipm_manager_event_pid(manager), 0, NULL);
    fcgipm_request_free(request);
    fcgipm_manager_free(manager);
    fcgipm_options_free(options);
}

static void forked(void)
{
    fcgipm_options *options = fcgipm_options_new();
    fcgipm_request *request = fcgipm_request_new(listener(), 0, NULL);
    fcgipm_manager *manager = fcgipm_manager_new(options);
    int status, peer = send_request("s0");
    EXPECT(fcgipm_request_accept(request), 0, NULL);
    EXPECT(fcgipm_request_write(request, FCGIPM_STDOUT, (const uint8_t *)"parent", 6), 6, NULL);
    pid_t child = fork();
    if (child == 0) {
        has_failed = 0;
        every_request_call(request, FCGIPM_EFORKED, "from before a fork", 0);
        EXPECT(fcgipm_manager_next(manager), FCGIPM_EFORKED, "before the fork");
        EXPECT(fcgipm_options_set(options, "n_processes", "1"), 0, NULL);
        fcgipm_request_free(request);
        fcgipm_manager_free(manager);
        fcgipm_options_free(options);
        fflush(stdout);
        _exit(has_failed);
    }
    EXPECT(waitpid(child, &status, 0) == child && status == 0, 1, NULL);
    /* The child sent nothing, and the request continues in the parent. */
    char response[64];
    EXPECT(recv(peer, response, sizeof response, MSG_DONTWAIT), -1, NULL);
    EXPECT(fcgipm_request_finish(request), 0, NULL);
    EXPECT(read(peer, response, sizeof response), 40, NULL);
    EXPECT(memcmp(response + 8, "parent", 6), 0, NULL);
    fcgipm_request_free(request);
    fcgipm_manager_free(manager);
    fcgipm_options_free(options);
    close(peer);
}

int main(int argc, char **argv)
{
    static const struct group groups[] = {
        {"null", null},
        {"freed", freed},
        {"foreign", foreign},
        {"forked", forked},
    };
    return run_group(argc, argv, groups, sizeof groups / sizeof *groups);
}
