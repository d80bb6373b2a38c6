/* Groups of calls, selected by the argument of a program, or by the PATH_INFO of each request. */

#ifndef GROUPS_H
#define GROUPS_H

#include "fcgiapp.h"
#include "report.h"

struct group {
    const char *name;
    void (*run)(void);
};

static inline void run_group(const char *name, const struct group *groups, size_t count)
{
    size_t i;

    for (i = 0; i < count; i++)
        if (strcmp(groups[i].name, name) == 0) {
            groups[i].run();
            say("%s: done\n", name);
            return;
        }
    abort();
}

/* Serves a number of requests. */
static inline void serve_groups(int count, void (*run)(const char *group, FCGX_Request *request))
{
    FCGX_Request request;

    CALL(FCGX_Init());
    CALL(FCGX_InitRequest(&request, 0, 0));
    while (count-- > 0 && FCGX_Accept_r(&request) == 0) {
        const char *path = FCGX_GetParam("PATH_INFO", request.envp);

        say("-- %s\n", path);
        run(path, &request);
        FCGX_Finish_r(&request);
    }
}

#endif
