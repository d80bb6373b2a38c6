/* What the programs of this test share. Each runs one group of calls: PROGRAM GROUP FOLDER. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "../peer/expect.h"

struct group {
    const char *name;
    void (*run)(void);
};

static const char *folder;

static inline char *in_folder(const char *name)
{
    static char paths[8][200];
    static int next;
    char *path = paths[next++ % 8];
    snprintf(path, sizeof paths[0], "%s/%s", folder, name);
    return path;
}

/* Opens the listening sockets s0, s1 and so on. */
static inline int listener(void)
{
    static int count;
    char name[20];
    snprintf(name, sizeof name, "s%d", count++);
    int fd = fcgipm_socket_open(in_folder(name), 0, NULL);
    if (fd < 0)
        printf("listener: %s\n", fcgipm_last_error_message());
    return fd;
}

/* Sends a minimal request on a new connection. */
static inline int send_request(const char *name)
{
    static const uint8_t bytes[] = {1, 1, 0, 1, 0, 8, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1, 4, 0, 1, 0, 0, 0, 0, 1, 5, 0, 1, 0, 0, 0, 0};
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    snprintf(address.sun_path, sizeof address.sun_path, "%s/%s", folder, name);
    if (connect(fd, (struct sockaddr *)&address, sizeof address) != 0 || write(fd, bytes, sizeof bytes) != sizeof bytes)
        printf("send_request: %s\n", strerror(errno));
    return fd;
}

static inline int run_group(int argc, char **argv, const struct group *groups, size_t count)
{
    if (argc != 3)
        return 2;
    setvbuf(stdout, NULL, _IOLBF, 0);
    folder = argv[2];
    for (size_t i = 0; i < count; i++)
        if (strcmp(groups[i].name, argv[1]) == 0) {
            groups[i].run();
            printf("%s: done\n", argv[1]);
            return has_failed;
        }
    return 2;
}
