/* Answers each request with a few bytes. It accepts by FCGX_Accept_r, with -DSTDIO by FCGI_Accept, or with -DSOCKETS by
   OS_Accept, and by FCGX_Accept_r on that connection. */

#ifdef STDIO
#include "fcgi_stdio.h"
#else
#include "fcgiapp.h"
#include "fcgios.h"
#endif
#include <stdlib.h>
#include <string.h>

#ifdef STDIO

int main(void)
{
    while (FCGI_Accept() >= 0)
        printf("Content-Type: text/plain\r\n\r\n%s\n", getenv("REQUEST_METHOD"));
    return 0;
}

#else

static int next(FCGX_Request *request)
{
#ifdef SOCKETS
    if (request->ipcFd < 0)
        request->ipcFd = OS_Accept(0, 0, NULL);
    if (request->ipcFd < 0)
        return -1;
    request->keepConnection = 1;
#endif
    return FCGX_Accept_r(request);
}

int main(void)
{
    FCGX_Request request;

    FCGX_Init();
    FCGX_InitRequest(&request, 0, 0);
    while (next(&request) == 0) {
        FCGX_FPrintF(request.out, "Content-Type: text/plain\r\n\r\n%s\n", FCGX_GetParam("REQUEST_METHOD", request.envp));
        FCGX_Finish_r(&request);
    }
    return 0;
}

#endif
