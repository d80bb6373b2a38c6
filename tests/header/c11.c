/* The header in C11: the functions that do not need a connection. */

#include <fcgipm.h>

#include <stdio.h>
#include <string.h>

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "line %d: %s (%s)\n", __LINE__, #condition,                            \
                    fcgipm_last_error_message());                                                  \
            return 1;                                                                              \
        }                                                                                          \
    } while (0)

int main(void) {
    char text[8];
    uint8_t bytes[8];
    const uint8_t *data = (const uint8_t *)text;
    const fcgipm_param *list = NULL;
    size_t length = 1;
    fcgipm_options *options = fcgipm_options_new();
    CHECK(options != NULL);
    CHECK(fcgipm_options_set(options, "n_processes", "12") == 0);
    CHECK(fcgipm_options_get(options, "n_processes", text, sizeof text) == 2);
    CHECK(strcmp(text, "12") == 0);
    CHECK(fcgipm_options_get(options, "n_processes", NULL, 0) == 2);
    CHECK(fcgipm_options_set(options, "n_proceses", "12") == FCGIPM_EOPTION);
    CHECK(strcmp(fcgipm_last_error_message(), "unknown option 'n_proceses'") == 0);
    CHECK(fcgipm_options_set(options, NULL, "12") == FCGIPM_EARGUMENT);
    CHECK(fcgipm_options_set(NULL, "n_processes", "12") == FCGIPM_EHANDLE);
    CHECK(strcmp(fcgipm_error_name(FCGIPM_EOPTION), "FCGIPM_EOPTION") == 0);
    CHECK(fcgipm_error_name(1) == NULL);
    CHECK(fcgipm_request_params(NULL, FCGIPM_PARAMS_ALL, &data, &length) == FCGIPM_EHANDLE);
    CHECK(data == NULL && length == 0);
    CHECK(fcgipm_request_params(NULL, FCGIPM_PARAMS_ALL, NULL, NULL) == FCGIPM_EARGUMENT);
    CHECK(fcgipm_request_list_params(NULL, FCGIPM_PARAMS_ALL, &list, &length) == FCGIPM_EHANDLE);
    CHECK(list == NULL && length == 0);
    CHECK(fcgipm_request_copy_params(NULL, FCGIPM_PARAMS_ENVIRONMENT, NULL, 0, bytes, sizeof bytes) == FCGIPM_EHANDLE);
    CHECK(fcgipm_request_copy_params(NULL, FCGIPM_PARAMS_ALL, NULL, 0, bytes, sizeof bytes) == FCGIPM_EARGUMENT);
    CHECK(fcgipm_request_read(NULL, NULL, 0) == FCGIPM_EHANDLE);
    CHECK(fcgipm_socket_is_listening(-1) == 0);
    CHECK(fcgipm_socket_open(":99999", 0, options) == FCGIPM_EADDRESS);
    CHECK(fcgipm_request_new(-1, 0, options) == NULL);
    fcgipm_options_free(options);
    fcgipm_options_free(NULL);
    CHECK(fcgipm_options_set(options, "n_processes", "12") == FCGIPM_EHANDLE);
    CHECK(fcgipm_manager_next(NULL) == FCGIPM_EHANDLE);
    CHECK(fcgipm_manager_next_within(NULL, 0) == FCGIPM_EHANDLE);
    CHECK(fcgipm_manager_resize(NULL, 1) == FCGIPM_EHANDLE);
    CHECK(fcgipm_manager_host_forks(NULL, 1) == FCGIPM_EHANDLE);
    CHECK(fcgipm_manager_fork_begins(NULL) == FCGIPM_EHANDLE);
    CHECK(fcgipm_manager_forked(NULL, 0, 0) == FCGIPM_EHANDLE);
    CHECK(fcgipm_request_continue_in_child(NULL) == FCGIPM_EHANDLE);
    CHECK(fcgipm_request_read_in_child(NULL) == FCGIPM_EHANDLE);
    CHECK(fcgipm_request_detach(NULL) == FCGIPM_EHANDLE);
    CHECK(fcgipm_request_attach(NULL) == FCGIPM_EHANDLE);
    CHECK(fcgipm_request_belongs_here(NULL, 0) == FCGIPM_EHANDLE);
    CHECK(fcgipm_log_write(NULL, 1) == FCGIPM_EARGUMENT);
    CHECK(fcgipm_log_write((const uint8_t *)"a line\n", 7) == 1);
    CHECK(fcgipm_worker_retiring() == 0);
    CHECK(fcgipm_worker_notice_given() == 0);
    puts(fcgipm_version());
    return 0;
}
