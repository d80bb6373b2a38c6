/* A host whose handlers run on a stack of their own, with room for one (sigaltstack(2)). */
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../peer/request.h"

/* What the handler itself needs. */
#define HANDLER 4096

static void set_signal_stack(void)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t size = (getauxval(AT_MINSIGSTKSZ) + HANDLER + page - 1) / page * page;
    /* A page before it ends the process that uses more. */
    char *memory = mmap(NULL, page + size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED || mprotect(memory + page, size, PROT_READ | PROT_WRITE) != 0)
        abort();
    stack_t stack = { .ss_sp = memory + page, .ss_size = size };
    if (sigaltstack(&stack, NULL) != 0)
        abort();
}

int main(void)
{
    set_signal_stack();
    fcgipm_options *options = fcgipm_options_new();
    fcgipm_manager *manager = fcgipm_manager_new(options);
    int event = manager ? fcgipm_manager_run(manager) : -1;
    if (event == FCGIPM_EVENT_STOPPED)
        return 0;
    fcgipm_request *request = event == FCGIPM_EVENT_IN_WORKER ? fcgipm_request_new(0, 0, options) : NULL;
    if (!request) {
        fprintf(stderr, "failed: %s\n", fcgipm_last_error_message());
        return 1;
    }
    serve_hello(request);
    return 0;
}
