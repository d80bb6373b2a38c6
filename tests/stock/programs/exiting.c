/* Serves, and finally reports what FCGX_Accept_r returned, with errno 0 before each call. */

#include <errno.h>
#include <stdio.h>

#include "fcgiapp.h"

int main(void)
{
    FCGX_Request request;
    int result;

    FCGX_Init();
    FCGX_InitRequest(&request, 0, 0);
    while (errno = 0, (result = FCGX_Accept_r(&request)) == 0)
        FCGX_FPrintF(request.out, "Content-Type: text/plain\r\n\r\n");
    fprintf(stderr, "accept: %d, errno %d\n", result, errno);
    return 0;
}
