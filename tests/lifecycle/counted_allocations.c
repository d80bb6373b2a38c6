/* A worker that answers with the number of allocations since its previous answer. Its malloc replaces the C library's,
 * for libfcgipm as well.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>

#include "../peer/request.h"

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *memory, size_t size);
void *__libc_memalign(size_t alignment, size_t size);

static unsigned long allocations;

void *malloc(size_t size)
{
    allocations++;
    return __libc_malloc(size);
}

void *calloc(size_t count, size_t size)
{
    allocations++;
    return __libc_calloc(count, size);
}

void *realloc(void *memory, size_t size)
{
    allocations++;
    return __libc_realloc(memory, size);
}

void *aligned_alloc(size_t alignment, size_t size)
{
    allocations++;
    return __libc_memalign(alignment, size);
}

int posix_memalign(void **memory, size_t alignment, size_t size)
{
    allocations++;
    *memory = __libc_memalign(alignment, size);
    return *memory == NULL ? ENOMEM : 0;
}

/* Does what a typical application does with a request. */
static void serve(fcgipm_request *request)
{
    static uint8_t buffer[65536];
    const fcgipm_param *list;
    const uint8_t *data;
    size_t length;
    if (strcmp(parameter(request, "PATH_INFO"), "/pause") == 0)
        wait_at_gate();
    fcgipm_request_list_params(request, FCGIPM_PARAMS_ENVIRONMENT, &list, &length);
    fcgipm_request_params(request, FCGIPM_PARAMS_ENVIRONMENT, &data, &length);
    while (fcgipm_request_read(request, buffer, sizeof buffer) > 0)
        continue;
}

int main(void)
{
    char text[100];
    unsigned long before = 0;
    fcgipm_options *options = fcgipm_options_new();
    if (fcgipm_manager_run(fcgipm_manager_new(options)) != FCGIPM_EVENT_IN_WORKER)
        return 0;
    fcgipm_request *request = fcgipm_request_new(0, 0, options);
    while (fcgipm_request_accept(request) == 0) {
        serve(request);
        unsigned long counted = allocations;
        int length = snprintf(text, sizeof text, "%lu allocations since", counted - before);
        before = counted;
        fcgipm_request_write(request, FCGIPM_STDOUT, (const uint8_t *)text, (size_t)length);
        fcgipm_request_finish(request);
    }
    fcgipm_request_free(request);
    return 0;
}
