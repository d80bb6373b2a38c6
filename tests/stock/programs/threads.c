/* N threads accept on descriptor 0, each with its own FCGX_Request. With a second argument only one thread at a time
   accepts, as in libfcgi's example. Each answers with its parameters, a checksum of its body, and QUERY_STRING bytes. */

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fcgiapp.h"

static int has_lock;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static int next(FCGX_Request *request)
{
    int result;

    if (has_lock)
        pthread_mutex_lock(&lock);
    result = FCGX_Accept_r(request);
    if (has_lock)
        pthread_mutex_unlock(&lock);
    return result;
}

static void *serve(void *unused)
{
    FCGX_Request request;

    FCGX_InitRequest(&request, 0, 0);
    while (next(&request) == 0) {
        unsigned sum = 0, count = 0;
        int c, left = atoi(FCGX_GetParam("QUERY_STRING", request.envp));
        char **each;

        while ((c = FCGX_GetChar(request.in)) != EOF) {
            sum = sum * 31 + (unsigned)c;
            count++;
        }
        for (each = request.envp; *each != NULL; each++)
            FCGX_FPrintF(request.out, "%s\n", *each);
        FCGX_FPrintF(request.out, "%u bytes, %u\n", count, sum);
        FCGX_FPrintF(request.err, "%u to the log\n", sum);
        while (left-- > 0)
            FCGX_PutChar('a' + left % 26, request.out);
        FCGX_SetExitStatus((int)(sum % 200), request.out);
        FCGX_Finish_r(&request);
    }
    return unused;
}

int main(int argc, char **argv)
{
    pthread_t threads[64];
    int count = argc > 1 ? atoi(argv[1]) : 1, i;

    has_lock = argc > 2;
    FCGX_Init();
    for (i = 0; i < count; i++)
        if (pthread_create(&threads[i], NULL, serve, NULL) != 0)
            abort();
    for (i = 0; i < count; i++)
        pthread_join(threads[i], NULL);
    return 0;
}
