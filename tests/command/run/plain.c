/* A FastCGI program without a library. It accepts on descriptor 0, and serves one request per connection.
 *
 *     plain graceful   at TERM and USR1 it finishes its request, and exits with the number of the signal
 *     plain stubborn   it ignores TERM
 *     plain            signals have their default action
 *
 * With PLAIN_GATE it answers when it can read a byte from that file. */
#define _POSIX_C_SOURCE 200809L
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static volatile sig_atomic_t asked;

static void on_signal(int signal)
{
    asked = signal;
}

static void handle(int signal, void (*handler)(int))
{
    struct sigaction action = {.sa_handler = handler};
    sigaction(signal, &action, NULL);
}

static int take(int fd, unsigned char *at, size_t length)
{
    while (length > 0) {
        ssize_t count = read(fd, at, length);
        if (count < 0 && errno == EINTR)
            continue;
        if (count <= 0)
            return -1;
        at += count;
        length -= (size_t)count;
    }
    return 0;
}

/* Reads up to the end of the input, and returns the id of the request, or -1. */
static int request(int fd)
{
    unsigned char header[8], content[65535 + 255];
    for (;;) {
        if (take(fd, header, sizeof header) < 0)
            return -1;
        size_t length = (size_t)header[4] << 8 | header[5];
        if (take(fd, content, length + header[6]) < 0)
            return -1;
        if (header[1] == 5 && length == 0)
            return header[2] << 8 | header[3];
    }
}

static void wait_at_gate(void)
{
    const char *gate = getenv("PLAIN_GATE");
    char byte;
    if (gate == NULL)
        return;
    int fd;
    while ((fd = open(gate, O_RDONLY)) < 0 && errno == EINTR)
        ;
    while (read(fd, &byte, 1) < 0 && errno == EINTR)
        ;
    close(fd);
}

static void answer(int fd, int id)
{
    char text[80];
    unsigned char record[128] = {1, 6, (unsigned char)(id >> 8), (unsigned char)id};
    size_t length = (size_t)snprintf(text, sizeof text, "Content-Type: text/plain\r\n\r\nplain %ld\n", (long)getpid());
    record[5] = (unsigned char)length;
    memcpy(record + 8, text, length);
    unsigned char end[16] = {1, 3, record[2], record[3], 0, 8};
    memcpy(record + 8 + length, end, sizeof end);
    if (write(fd, record, 8 + length + sizeof end) < 0)
        perror("plain: write");
}

int main(int argc, char **argv)
{
    const char *mode = argc > 1 ? argv[1] : "";
    if (strcmp(mode, "graceful") == 0) {
        handle(SIGTERM, on_signal);
        handle(SIGUSR1, on_signal);
    } else if (strcmp(mode, "stubborn") == 0)
        handle(SIGTERM, SIG_IGN);
    fprintf(stderr, "plain: %ld accepts\n", (long)getpid());
    while (!asked) {
        int fd = accept(0, NULL, NULL);
        if (fd < 0 && errno == EINTR)
            continue;
        if (fd < 0)
            return 1;
        int id = request(fd);
        if (id >= 0) {
            wait_at_gate();
            answer(fd, id);
        }
        close(fd);
    }
    return asked;
}
