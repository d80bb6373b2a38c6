/* A program that forks in its requests. PATH_INFO selects how. Argument: the number of requests. */

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fcgiapp.h"

static FCGX_Request request;
static pid_t holder;
static int until_second[2], until_late[2];

/* The parent detaches the request, and the child responds. */
static void answer_in_child(void)
{
    static char bytes[400000];

    FCGX_PutS("begun ", request.out);
    if (fork() == 0) {
        int count = FCGX_GetStr(bytes, sizeof bytes, request.in);
        FCGX_PutStr(bytes, count, request.out);
        FCGX_PutS("a message", request.err);
        FCGX_Finish_r(&request);
        _exit(0);
    }
    FCGX_Detach(&request);
    FCGX_Free(&request, 1);
}

/* The child keeps the connection open until the program exits. */
static void hold(void)
{
    holder = fork();
    if (holder == 0)
        for (;;)
            pause();
    FCGX_PutS("held", request.out);
    FCGX_Finish_r(&request);
}

/* The child adds to the response. */
static void add(void)
{
    pid_t child;

    FCGX_PutS("one ", request.out);
    FCGX_FFlush(request.out);
    child = fork();
    if (child == 0) {
        FCGX_PutS("two ", request.out);
        FCGX_FFlush(request.out);
        _exit(0);
    }
    waitpid(child, NULL, 0);
    FCGX_PutS("three", request.out);
    FCGX_Finish_r(&request);
}

/* The child writes after its request has ended, while the next one is served on the same connection. */
static void write_late(void)
{
    char byte;

    FCGX_PutS("first", request.out);
    FCGX_FFlush(request.out);
    if (pipe(until_second) != 0 || pipe(until_late) != 0)
        exit(1);
    if (fork() == 0) {
        close(until_second[1]);
        if (read(until_second[0], &byte, 1) == 0) {
            FCGX_PutS("late", request.out);
            FCGX_FFlush(request.out);
            FCGX_PutS("late", request.err);
            FCGX_FFlush(request.err);
        }
        _exit(0);
    }
    close(until_late[1]);
    FCGX_Finish_r(&request);
}

static void second(void)
{
    char byte;

    close(until_second[1]);
    if (read(until_late[0], &byte, 1) != 0)
        exit(1);
    FCGX_PutS("second", request.out);
    FCGX_Finish_r(&request);
}

int main(int count, char **arguments)
{
    int left = count > 1 ? atoi(arguments[1]) : 1;

    FCGX_Init();
    FCGX_InitRequest(&request, 0, 0);
    while (left-- > 0 && FCGX_Accept_r(&request) == 0) {
        const char *group = FCGX_GetParam("PATH_INFO", request.envp);
        if (strcmp(group, "/answer") == 0)
            answer_in_child();
        else if (strcmp(group, "/hold") == 0)
            hold();
        else if (strcmp(group, "/add") == 0)
            add();
        else if (strcmp(group, "/late") == 0)
            write_late();
        else if (strcmp(group, "/second") == 0)
            second();
    }
    if (holder > 0)
        kill(holder, SIGKILL);
    while (wait(NULL) > 0)
        continue;
    return 0;
}
