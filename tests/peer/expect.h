/* Checks for C programs that make calls, many of them invalid, and report each unexpected result. */
#ifndef EXPECT_H
#define EXPECT_H

#include <stdio.h>
#include <string.h>

#include "fcgipm.h"

static int has_failed;

/* Checks a result, and that the message of the last error contains a text. */
static inline void expect_at(int line, int64_t result, int64_t expected, const char *message)
{
    const char *actual = fcgipm_last_error_message();
    if (result != expected || (message != NULL && strstr(actual, message) == NULL)) {
        printf("line %d: %lld (%s), '%s'; expected %lld (%s), '%s'\n", line, (long long)result,
               result < 0 ? fcgipm_error_name((int32_t)result) : "", actual, (long long)expected,
               expected < 0 ? fcgipm_error_name((int32_t)expected) : "", message != NULL ? message : "");
        has_failed = 1;
    }
}

#define EXPECT(call, expected, message) expect_at(__LINE__, (call), (expected), (message))
#define EXPECT_NULL(call, message) expect_at(__LINE__, (call) != NULL, 0, (message))

#endif
