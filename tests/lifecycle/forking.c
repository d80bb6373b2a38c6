/* A program that forks in its requests. PATH_INFO selects what the child does:
 *
 *     /hold      does not use the request, and exits when the test opens the gate; the parent answers with its pid
 *     /answer    answers with the input, after the parent has detached the request
 *     /late      writes when the test opens the gate, and logs the results
 *     /steal     reads the input; the parent answers
 *     /raw       forked by a bare system call, writes when the test opens the gate
 *     /end       finishes the request, and so does the parent
 *
 * With FCGIPM_N_PROCESSES it has a manager. With QUERY_STRING "abandon" the parent abandons the request.
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "../peer/request.h"

static void print_number(fcgipm_request *request, long number)
{
    char text[32];
    int length = snprintf(text, sizeof text, "%ld", number);
    (void)fcgipm_request_write(request, FCGIPM_STDOUT, (const uint8_t *)text, (size_t)length);
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

static void put(fcgipm_request *request, uint32_t stream, const char *text)
{
    int64_t result = fcgipm_request_write(request, stream, (const uint8_t *)text, strlen(text));
    if (result >= 0)
        result = fcgipm_request_flush(request);
    if (result < 0)
        fprintf(stderr, "write: %s\n", fcgipm_error_name((int32_t)result));
}

static int64_t copy_input(fcgipm_request *request, int writes)
{
    static uint8_t buffer[5000];
    int64_t count, sum = 0;
    while ((count = fcgipm_request_read(request, buffer, sizeof buffer)) > 0) {
        sum += count;
        if (writes)
            (void)fcgipm_request_write(request, FCGIPM_STDOUT, buffer, (size_t)count);
    }
    return count < 0 ? count : sum;
}

static void answer_in_child(fcgipm_request *request)
{
    (void)fcgipm_request_write(request, FCGIPM_STDOUT, (const uint8_t *)"begun ", 6);
    if (fork() == 0) {
        (void)fcgipm_request_continue_in_child(request);
        (void)copy_input(request, 1);
        (void)fcgipm_request_finish(request);
        _exit(0);
    }
    (void)fcgipm_request_detach(request);
}

static void write_late(fcgipm_request *request)
{
    put(request, FCGIPM_STDOUT, "first");
    if (fork() == 0) {
        (void)fcgipm_request_continue_in_child(request);
        wait_at_gate();
        put(request, FCGIPM_STDOUT, "late");
        put(request, FCGIPM_STDERR, "late");
        fprintf(stderr, "finish: %s\n", fcgipm_error_name(fcgipm_request_finish(request)));
        _exit(0);
    }
}

static void read_in_child(fcgipm_request *request)
{
    pid_t child = fork();
    if (child == 0) {
        uint8_t byte;
        if (fcgipm_request_read(request, &byte, 1) != FCGIPM_EFORKED || fcgipm_request_read_in_child(request) != 0)
            _exit(1);
        fprintf(stderr, "reading\n");
        fprintf(stderr, "read %ld\n", (long)copy_input(request, 0));
        _exit(0);
    }
    (void)waitpid(child, NULL, 0);
    put(request, FCGIPM_STDOUT, "answer");
}

static void write_in_raw_child(fcgipm_request *request)
{
    put(request, FCGIPM_STDOUT, "parent");
    pid_t child = (pid_t)syscall(SYS_fork);
    if (child == 0) {
        (void)fcgipm_request_continue_in_child(request);
        wait_at_gate();
        put(request, FCGIPM_STDOUT, "raw");
        _exit(0);
    }
}

static void end_in_child(fcgipm_request *request)
{
    pid_t child = fork();
    if (child == 0) {
        (void)fcgipm_request_continue_in_child(request);
        (void)fcgipm_request_write(request, FCGIPM_STDOUT, (const uint8_t *)"child", 5);
        (void)fcgipm_request_finish(request);
        _exit(0);
    }
    (void)waitpid(child, NULL, 0);
    put(request, FCGIPM_STDOUT, "parent");
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
        else if (strcmp(command, "/answer") == 0)
            answer_in_child(request);
        else if (strcmp(command, "/late") == 0)
            write_late(request);
        else if (strcmp(command, "/steal") == 0)
            read_in_child(request);
        else if (strcmp(command, "/raw") == 0)
            write_in_raw_child(request);
        else if (strcmp(command, "/end") == 0)
            end_in_child(request);
        if (abandons) {
            (void)fcgipm_request_flush(request);
            (void)fcgipm_request_abandon(request);
        }
    }
    fcgipm_request_free(request);
    fprintf(stderr, "exits\n");
    return 0;
}
