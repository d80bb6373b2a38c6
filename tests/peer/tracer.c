/* Traces a process, and never waits for it. */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <sys/ptrace.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    if (argc != 2)
        return 64;
    if (ptrace(PTRACE_SEIZE, atoi(argv[1]), 0, 0) != 0) {
        perror("ptrace");
        return 1;
    }
    for (;;)
        pause();
}
