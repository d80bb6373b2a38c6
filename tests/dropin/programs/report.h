/* The report of a program, in the file $REPORT. It is not written through stdio, which fcgi_stdio.h replaces. */

#ifndef REPORT_H
#define REPORT_H

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int report = -1;

static inline void report_open(void)
{
    int fd = open(getenv("REPORT"), O_WRONLY | O_CREAT | O_APPEND, 0600);

    /* The high number leaves the program's descriptors as they would be without a report. */
    report = fcntl(fd, F_DUPFD_CLOEXEC, 200);
    close(fd);
    /* Ends a program that hangs. */
    alarm(60);
}

__attribute__((format(__printf__, 1, 2))) static inline void say(const char *format, ...)
{
    va_list arguments;
    char line[4096];
    int length, before = errno;

    va_start(arguments, format);
    length = vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    if (length >= (int)sizeof line)
        length = sizeof line - 1;
    if (write(report, line, (size_t)length) != length)
        abort();
    errno = before;
}

/* Reports a call, its result and errno. */
#define CALL(call) do { long result_; errno = 0; result_ = (long)(call); say("%s = %ld, errno %d\n", #call, result_, errno); } while (0)
/* Reports only whether the returned pointer is NULL. */
#define NULLNESS(call) do { const void *result_; errno = 0; result_ = (call); say("%s is %s, errno %d\n", #call, result_ ? "there" : "NULL", errno); } while (0)
/* Reports a call without a result. */
#define DO(call) do { errno = 0; call; say("%s, errno %d\n", #call, errno); } while (0)

#endif
