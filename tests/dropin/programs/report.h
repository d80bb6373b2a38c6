/* A program reports to the file that REPORT names, by dprintf(3), independent of the standard files. */

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

    /* Above the numbers of the program's descriptors. */
    report = fcntl(fd, F_DUPFD_CLOEXEC, 200);
    close(fd);
    /* A program that hangs ends with its test. */
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

/* A call, its result, and errno. */
#define CALL(call) do { long result_; errno = 0; result_ = (long)(call); say("%s = %ld, errno %d\n", #call, result_, errno); } while (0)
/* Of a pointer only whether it is NULL is reported. */
#define NULLNESS(call) do { const void *result_; errno = 0; result_ = (call); say("%s is %s, errno %d\n", #call, result_ ? "there" : "NULL", errno); } while (0)
/* No result. */
#define DO(call) do { errno = 0; call; say("%s, errno %d\n", #call, errno); } while (0)

#endif
