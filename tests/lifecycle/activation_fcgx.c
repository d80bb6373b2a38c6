/* A program on FCGX that leaves its listening socket to descriptor 0, or whose argument is the address. */
#include <stdio.h>

#include "fcgiapp.h"

int main(int count, char **arguments)
{
    int listener = 0;
    FCGX_Request request;
    FCGX_Init();
    if (count > 1)
        listener = FCGX_OpenSocket(arguments[1], 5);
    else if (FCGX_IsCGI()) {
        fputs("started as CGI\n", stderr);
        return 3;
    }
    if (listener < 0 || FCGX_InitRequest(&request, listener, 0) != 0)
        return 1;
    fprintf(stderr, "listener %d\n", listener);
    while (FCGX_Accept_r(&request) == 0)
        FCGX_FPrintF(request.out, "Content-Type: text/plain\r\n\r\nHello from worker\n");
    return 0;
}
