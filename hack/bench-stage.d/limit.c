// limit GET|SEND HOST PORT CONNECTIONS [sync DIR] <LIST: the least that a program can do to transfer what a list names, for `hack/bench-stage
// --limits`. Each line is METHOD TARGET FILE OFFSET LENGTH; GET writes that range of the object into the file, SEND sends it out of
// the file. Requests are not signed and answers are not verified beyond their status and length. Each connection has a thread with blocking
// reads and writes. With `sync`, a thread writes what has arrived to the disk meanwhile, and the rest is written at the end.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <err.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <unistd.h>

enum { BUFFER = 256 << 10, EVERY = 16 << 20 };

struct item { char *method, *target, *file; long offset, length; };

static struct item *items;
static size_t count;
static atomic_size_t next;
static atomic_long arrived;
static atomic_int is_done;
static const char *host;
static int port, is_get, directory = -1;

static void *write_back(void *unused) {
    for (long written = 0; !is_done; usleep(1000))
        if (arrived - written >= EVERY) {
            written = arrived;
            syncfs(directory);
        }
    return unused;
}

static void request(int to, const struct item *it) {
    char head[8192];
    int length = snprintf(head, sizeof head, "%s %s HTTP/1.1\r\nHost: %s:%d\r\n", it->method, it->target, host, port);
    length += is_get ? snprintf(head + length, sizeof head - length, "Range: bytes=%ld-%ld\r\n\r\n", it->offset, it->offset + it->length - 1)
                     : snprintf(head + length, sizeof head - length, "Content-Length: %ld\r\n\r\n", it->length);
    if (send(to, head, length, is_get ? 0 : MSG_MORE) != length) err(1, "send");
    if (is_get) return;
    int from = open(it->file, O_RDONLY | O_CLOEXEC);
    off_t at = it->offset;
    while (at < it->offset + it->length)
        if (sendfile(to, from, &at, it->offset + it->length - at) <= 0) err(1, "%s", it->file);
    close(from);
}

static void answer(int from, const struct item *it, char *buffer) {
    size_t have = 0;
    char *end = NULL;
    while (!end) {
        ssize_t read_now = read(from, buffer + have, BUFFER - have);
        if (read_now <= 0) err(1, "%s: no answer", it->target);
        have += read_now;
        end = memmem(buffer, have, "\r\n\r\n", 4);
    }
    *end = 0;
    if (strncmp(buffer, "HTTP/1.1 20", 11)) errx(1, "%s: %.*s", it->target, (int)have, buffer);
    const char *field = strcasestr(buffer, "\r\ncontent-length:");
    long left = field ? atol(field + 17) : 0;
    char *content = end + 4;
    have -= content - buffer;
    if (is_get && left != it->length) errx(1, "%s: %ld bytes", it->target, left);
    // A chunked answer to what was sent ends with an empty chunk.
    if (!field && strcasestr(buffer, "\r\ntransfer-encoding: chunked")) {
        while (have < 5 || memcmp(content + have - 5, "0\r\n\r\n", 5)) have += read(from, content + have, BUFFER - have - (content - buffer));
        if (memmem(content, have, "<Error>", 7)) errx(1, "%s: %.*s", it->target, (int)have, content);
        return;
    }
    int to = is_get ? open(it->file, O_WRONLY | O_CREAT | O_CLOEXEC, 0644) : -1;
    if (is_get && to < 0) err(1, "%s", it->file);
    for (long at = it->offset;;) {
        if (is_get && pwrite(to, content, have, at) != (ssize_t)have) err(1, "%s", it->file);
        at += have;
        left -= have;
        if (is_get) arrived += have;
        if (left <= 0) break;
        ssize_t read_now = read(from, content = buffer, BUFFER);
        if (read_now <= 0) err(1, "%s: ends early", it->target);
        have = read_now;
    }
    if (is_get) close(to);
}

static void *connection(void *unused) {
    struct sockaddr_in there = {.sin_family = AF_INET, .sin_port = htons(port)};
    inet_pton(AF_INET, host, &there.sin_addr);
    int one = 1, it = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(it, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (connect(it, (struct sockaddr *)&there, sizeof there)) err(1, "connect");
    char *buffer = malloc(BUFFER);
    for (size_t own; (own = next++) < count;) {
        request(it, &items[own]);
        answer(it, &items[own], buffer);
    }
    close(it);
    return unused;
}

int main(int argc, char **argv) {
    if (argc != 5 && argc != 7) errx(2, "usage: limit GET|SEND HOST PORT CONNECTIONS [sync DIR] <LIST");
    is_get = !strcmp(argv[1], "GET");
    host = argv[2];
    port = atoi(argv[3]);
    struct item it;
    while (scanf("%ms %ms %ms %ld %ld", &it.method, &it.target, &it.file, &it.offset, &it.length) == 5) {
        if (!(items = reallocarray(items, count + 1, sizeof it))) err(1, "memory");
        items[count++] = it;
    }
    pthread_t threads[64], writer;
    int connections = atoi(argv[4]);
    if (connections < 1 || connections > 64) errx(2, "1 to 64 connections");
    if (argc == 7) {
        if ((directory = open(argv[6], O_RDONLY | O_DIRECTORY)) < 0) err(1, "%s", argv[6]);
        pthread_create(&writer, NULL, write_back, NULL);
    }
    for (int number = 0; number < connections; number++) pthread_create(&threads[number], NULL, connection, NULL);
    for (int number = 0; number < connections; number++) pthread_join(threads[number], NULL);
    is_done = 1;
    if (argc == 7) {
        pthread_join(writer, NULL);
        if (syncfs(directory)) err(1, "%s", argv[6]);
    }
}
