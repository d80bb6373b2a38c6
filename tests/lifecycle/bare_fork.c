/* Forks a child that only waits: what the memory of a process costs without a request or a manager of the library, which
 * is linked all the same. Prints the pid of the child, and exits at the end of its standard input. */
#define _POSIX_C_SOURCE 200809L
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fcgipm.h"

int main(void)
{
    char byte;
    int ready[2];
    if (fcgipm_version() == NULL || pipe(ready) != 0)
        return 1;
    pid_t child = fork();
    if (child == 0) {
        if (write(ready[1], "", 1) != 1)
            return 1;
        while (read(0, &byte, 1) > 0)
            continue;
        return 0;
    }
    if (read(ready[0], &byte, 1) != 1)
        return 1;
    printf("%ld\n", (long)child);
    fflush(stdout);
    return waitpid(child, NULL, 0) == child ? 0 : 1;
}
