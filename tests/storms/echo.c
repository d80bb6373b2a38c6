/* Answers with the body, and installs handlers that interrupt waiting calls. */
#define _POSIX_C_SOURCE 200809L
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fcgipm.h"

static volatile sig_atomic_t interrupted;

static void on_signal(int signal)
{
    (void)signal;
    interrupted = 1;
}

static int fail(const char *what)
{
    fprintf(stderr, "echo: %s: %s\n", what, fcgipm_last_error_message());
    return 1;
}

static void answer(fcgipm_request *request)
{
    static const char header[] = "Content-Type: application/octet-stream\r\n\r\n";
    static uint8_t body[4u << 20];
    size_t length = 0, piece = 1;
    int64_t count;
    while ((count = fcgipm_request_read(request, body + length, sizeof body - length)) > 0)
        length += (size_t)count;
    (void)fcgipm_request_write(request, FCGIPM_STDOUT, (const uint8_t *)header, sizeof header - 1);
    /* Small and large pieces are written in different ways. */
    for (size_t at = 0; at < length; at += piece) {
        piece = at % 3 == 0 ? 100000 : 1001;
        piece = piece < length - at ? piece : length - at;
        (void)fcgipm_request_write(request, FCGIPM_STDOUT, body + at, piece);
    }
}

int main(void)
{
    /* Not SIGURG, which the library handles. POSIX has no SIGWINCH: its number is 28 on Linux. */
    const int signals[] = {SIGALRM, SIGCHLD, 28};
    struct sigaction action = {.sa_handler = on_signal};
    fcgipm_options *options = fcgipm_options_new();
    int listener = fcgipm_socket_open("fd:0", 100, options);
    fcgipm_manager *manager = fcgipm_manager_new(options);
    if (listener < 0 || manager == NULL)
        return fail("start");
    int result = fcgipm_manager_run(manager);
    fcgipm_manager_free(manager);
    if (result != FCGIPM_EVENT_IN_WORKER)
        return result < 0 ? fail("manager") : 0;
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++)
        sigaction(signals[i], &action, NULL);
    fcgipm_request *request = fcgipm_request_new(listener, 0, options);
    while ((result = fcgipm_request_accept(request)) == 0) {
        answer(request);
        if (fcgipm_request_finish(request) < 0)
            fail("finish");
    }
    fcgipm_request_free(request);
    return result == FCGIPM_ERETIRED ? 0 : fail("accept");
}
