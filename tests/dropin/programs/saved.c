/* Saves a string of getenv(3) in each request, and reads all of them in later requests. Argument: the number of requests. */

#include "fcgi_stdio.h"
#include "report.h"

int main(int argc, char **argv)
{
    int count = argc > 1 ? atoi(argv[1]) : 1, served, i;
    char **saved = calloc((size_t)count, sizeof *saved), *first;
    size_t length = 0;

    report_open();
    first = getenv("PATH");
    for (served = 0; served < count && FCGI_Accept() >= 0; served++) {
        saved[served] = getenv("SAVED");
        for (i = 0; i <= served; i++)
            length += strlen(saved[i]);
        printf("%s", saved[served]);
    }
    FCGI_Finish();
    for (i = 0; i < served; i++)
        length += strlen(saved[i]);
    if (length > 0 && first != NULL && *first != 0)
        say("%d requests\n", served);
    return 0;
}
