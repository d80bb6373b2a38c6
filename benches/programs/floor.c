/* The minimum cost of a FastCGI answer: accept4, recv, send of prepared bytes, close.
 *
 *     floor SOCKET WORKERS closed|kept SIZE TEXT
 *
 * Of a request it only detects the end, the empty STDIN record. The answer is TEXT, with the escapes \r and \n, up to the
 * blank line or with the whole body, and then SIZE bytes, in records of 64 KiB.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "workers.h"

enum { CONTENT = 65528, HEADER = 8, END = 24 };

static const unsigned char INPUT_END[HEADER] = {1, 5, 0, 1, 0, 0, 0, 0};

static unsigned char input[65536];

/* The complete answer in pieces, many of which use the same memory. */
static struct iovec *pieces;
static size_t count;
static int is_kept;

static void *allocate(size_t size)
{
    void *memory = calloc(1, size);
    if (memory == NULL)
        abort();
    return memory;
}

static void add(void *data, size_t length)
{
    pieces[count].iov_base = data;
    pieces[count++].iov_len = length;
}

static unsigned char *header(unsigned char *at, int type, size_t length)
{
    const unsigned char bytes[HEADER] = {1, (unsigned char)type, 0, 1, (unsigned char)(length >> 8), (unsigned char)length, 0, 0};
    memcpy(at, bytes, HEADER);
    return at;
}

/* A small answer is a single piece for one send. */
static void prepare(const char *text, size_t size)
{
    size_t length = strlen(text), records = size / CONTENT + 1;
    unsigned char *first = allocate(HEADER + length + END), *end = first + HEADER + length, *headers = allocate(records * HEADER);
    char *filler = allocate(FILLER);
    memset(filler, 'x', FILLER);
    memcpy(header(first, 6, length) + HEADER, text, length);
    header(end, 6, 0);
    header(end + HEADER, 3, HEADER);
    pieces = allocate((2 * records + 2) * sizeof *pieces);
    add(first, HEADER + length + (size == 0 ? END : 0));
    for (size_t done = 0, part; done < size; done += part) {
        size_t from = done % (FILLER - CONTENT);
        part = size - done < CONTENT ? size - done : CONTENT;
        add(header(headers + done / CONTENT * HEADER, 6, part), HEADER);
        add(filler + from, part);
    }
    if (size > 0)
        add(end, END);
}

/* Returns 1 when a request is complete, and 0 at the end of the connection. */
static int receive(int connection)
{
    unsigned char last[HEADER] = {0};
    for (;;) {
        ssize_t length = recv(connection, input, sizeof input, 0);
        if (length < 0 && errno == EINTR)
            continue;
        if (length <= 0)
            return 0;
        if (length >= HEADER) {
            memcpy(last, input + length - HEADER, HEADER);
        } else {
            memmove(last, last + length, (size_t)(HEADER - length));
            memcpy(last + HEADER - length, input, (size_t)length);
        }
        if (memcmp(last, INPUT_END, HEADER) == 0)
            return 1;
    }
}

static int answer(int connection)
{
    if (count == 1)
        return send(connection, pieces[0].iov_base, pieces[0].iov_len, MSG_NOSIGNAL) == (ssize_t)pieces[0].iov_len;
    static struct iovec left[IOV_MAX];
    for (size_t done = 0; done < count;) {
        size_t some = count - done < IOV_MAX ? count - done : IOV_MAX, at = 0;
        memcpy(left, pieces + done, some * sizeof *left);
        done += some;
        while (at < some) {
            ssize_t sent = writev(connection, left + at, (int)(some - at));
            if (sent < 0)
                return 0;
            while (at < some && (size_t)sent >= left[at].iov_len)
                sent -= (ssize_t)left[at++].iov_len;
            if (at < some) {
                left[at].iov_base = (char *)left[at].iov_base + sent;
                left[at].iov_len -= (size_t)sent;
            }
        }
    }
    return 1;
}

static void serve(int listener)
{
    signal(SIGPIPE, SIG_IGN);
    for (;;) {
        int connection = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
        if (connection < 0)
            continue;
        while (receive(connection) && answer(connection) && is_kept)
            continue;
        close(connection);
    }
}

/* Replaces the escapes \r and \n. */
static void unescape(char *text)
{
    char *to = text;
    for (; *text != '\0'; text++) {
        if (*text == '\\' && (text[1] == 'r' || text[1] == 'n'))
            *to++ = *++text == 'r' ? '\r' : '\n';
        else
            *to++ = *text;
    }
    *to = '\0';
}

int main(int argc, char **argv)
{
    if (argc != 6) {
        fprintf(stderr, "usage: %s SOCKET WORKERS closed|kept SIZE TEXT\n", argv[0]);
        return 2;
    }
    is_kept = strcmp(argv[3], "kept") == 0;
    unescape(argv[5]);
    prepare(argv[5], strtoul(argv[4], NULL, 10));
    return fork_workers(listening_socket(argv[1]), atoi(argv[2]), serve);
}
