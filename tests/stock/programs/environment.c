/* Answers with the value of SITE at the start, and in the request. Uses fcgiapp, or with -DSTDIO fcgi_stdio. */
#include <stdlib.h>
#ifdef STDIO
#include <fcgi_stdio.h>
#else
#include <fcgiapp.h>
#endif

static const char *or_none(const char *value) { return value ? value : "none"; }

int main(void)
{
    const char *at_start = or_none(getenv("SITE"));
#ifdef STDIO
    while (FCGI_Accept() >= 0)
        printf("Content-Type: text/plain\r\n\r\n%s, %s", at_start, or_none(getenv("SITE")));
#else
    FCGX_Request request;
    FCGX_Init();
    FCGX_InitRequest(&request, 0, 0);
    while (FCGX_Accept_r(&request) >= 0)
        FCGX_FPrintF(request.out, "Content-Type: text/plain\r\n\r\n%s, %s", at_start, or_none(getenv("SITE")));
#endif
    return 0;
}
