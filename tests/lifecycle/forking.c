/* A program that forks in its requests. PATH_INFO says what its child does:
 *
 *     /hold      the child touches nothing, and ends when somebody opens the fifo GATE for writing
 *
 * With FCGIPM_N_PROCESSES it has a manager. The parent writes the child's pid, and then finishes or, with QUERY_STRING "abandon", abandons the request.
 */
#define _POSIX_C_SOURCE 200809L
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fcgipm.h"

static const char *parameter(const fcgipm_request *request, const char *name)
{
    const uint8_t *value;
    size_t length;
    if (fcgipm_request_param(request, (const uint8_t *)name, strlen(name), &value, &length) != 1)
        return "";
    return (const char *)value;
}

static void print_number(fcgipm_request *request, long number)
{
    char text[32];
    int length = snprintf(text, sizeof text, "%ld", number);
    (void)fcgipm_request_write(request, FCGIPM_STDOUT, (const uint8_t *)text, (size_t)length);
}

/* Until somebody opens the fifo for writing. */
static void wait_at_gate(void)
{
    int gate = open(getenv("GATE"), O_RDONLY);
    char byte;
    if (gate < 0 || read(gate, &byte, 1) < 0)
        _exit(1);
}

static void hold(fcgipm_request *request)
{
    pid_t child = fork();
    if (child == 0) {
        wait_at_gate();
        _exit(0);
    }
    print_number(request, (long)child);
}

int main(void)
{
    if (getenv("FCGIPM_N_PROCESSES") == NULL) {
        if (fcgipm_worker_protect() != 0)
            return 1;
    } else if (fcgipm_manager_run(fcgipm_manager_new(NULL)) != FCGIPM_EVENT_IN_WORKER) {
        return 0;
    }
    fcgipm_request *request = fcgipm_request_new(0, 0, NULL);
    if (request == NULL)
        return 1;
    fprintf(stderr, "ready\n");
    while (fcgipm_request_accept(request) == 0) {
        const char *command = parameter(request, "PATH_INFO");
        int abandons = strcmp(parameter(request, "QUERY_STRING"), "abandon") == 0;
        if (strcmp(command, "/hold") == 0)
            hold(request);
        if (abandons) {
            (void)fcgipm_request_flush(request);
            (void)fcgipm_request_abandon(request);
        }
    }
    fcgipm_request_free(request);
    fprintf(stderr, "left\n");
    return 0;
}
