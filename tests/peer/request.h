/* For C programs of the tests that serve requests. */
#ifndef REQUEST_H
#define REQUEST_H

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fcgipm.h"

/* The value of a parameter, or an empty string. */
static inline const char *parameter(const fcgipm_request *request, const char *name)
{
    const uint8_t *value;
    size_t length;
    if (fcgipm_request_param(request, (const uint8_t *)name, strlen(name), &value, &length) != 1)
        return "";
    return (const char *)value;
}

/* Answers all requests of a worker with the same page, and frees the loop. */
static inline void serve_hello(fcgipm_request *request)
{
    static const char text[] = "Content-Type: text/plain\r\n\r\nHello from worker\n";
    while (fcgipm_request_accept(request) == 0) {
        fcgipm_request_write(request, FCGIPM_STDOUT, (const uint8_t *)text, strlen(text));
        fcgipm_request_finish(request);
    }
    fcgipm_request_free(request);
}

/* Waits until the test has opened the FIFO $GATE for writing, and has closed it again. */
static inline void wait_at_gate(void)
{
    char byte;
    ssize_t count;
    int gate = open(getenv("GATE"), O_RDONLY | O_CLOEXEC);
    while ((count = read(gate, &byte, 1)) > 0)
        continue;
    if (count < 0)
        _exit(1);
    close(gate);
}

#endif
