/* A process of another user that pretends to be a manager.
 *
 *   liar scoreboard FILE PID   opens a memfd with the content of FILE, and replaces PID by its own pid
 *   liar fifo                  opens a FIFO that has the name of a scoreboard in /proc
 *
 * Prints a line when it is ready, and waits to be killed. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

static void check(int failed, const char *what)
{
    if (failed) {
        perror(what);
        exit(1);
    }
}

static void scoreboard(const char *path, unsigned manager)
{
    int source = open(path, O_RDONLY);
    struct stat stat;
    check(source < 0 || fstat(source, &stat) < 0, path);
    int fd = memfd_create("fcgipm-scoreboard", MFD_ALLOW_SEALING);
    check(fd < 0 || ftruncate(fd, stat.st_size) < 0, "memfd_create");
    check(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK) < 0, "F_ADD_SEALS");
    unsigned char *bytes = mmap(NULL, stat.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    check(bytes == MAP_FAILED, "mmap");
    check(read(source, bytes, stat.st_size) != stat.st_size, "read");
    unsigned own = getpid();
    int replaced = 0;
    for (size_t at = 0; at + sizeof own <= 4096; at += sizeof own)
        if (memcmp(bytes + at, &manager, sizeof own) == 0) {
            memcpy(bytes + at, &own, sizeof own);
            replaced = 1;
        }
    if (!replaced) {
        fprintf(stderr, "the manager's pid is not in its scoreboard\n");
        exit(1);
    }
}

static void fifo(void)
{
    const char *path = "/mnt/memfd:fcgipm-scoreboard (deleted)";
    check(unshare(CLONE_NEWNS) < 0, "unshare");
    check(mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0, "private mounts");
    check(mount("none", "/mnt", "tmpfs", 0, NULL) < 0, "tmpfs");
    check(mkfifo(path, 0600) < 0, path);
    /* Another process that opened it for reading would wait for a writer. */
    check(open(path, O_RDONLY | O_NONBLOCK) < 0, path);
    check(umount2("/mnt", MNT_DETACH) < 0, "umount");
}

int main(int argc, char **argv)
{
    if (argc == 4 && strcmp(argv[1], "scoreboard") == 0)
        scoreboard(argv[2], (unsigned)strtoul(argv[3], NULL, 10));
    else if (argc == 2 && strcmp(argv[1], "fifo") == 0)
        fifo();
    else
        return 2;
    fprintf(stderr, "liar: ready\n");
    for (;;)
        pause();
}
