/*
 * echo serve PORT                 sends every byte back, one connection after the other
 * echo ask ADDRESS PORT COUNT     says the median round trip of one byte, in nanoseconds
 *
 * One byte each way is the most packets for the least copying: what a table costs a packet shows here first.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static void die(const char *what) {
    fprintf(stderr, "echo: cannot %s: %s\n", what, strerror(errno));
    exit(1);
}

static int ascending(const void *a, const void *b) {
    long long x = *(const long long *)a, y = *(const long long *)b;
    return (x > y) - (x < y);
}

static long long now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1000000000LL + time.tv_nsec;
}

static void serve(int listener) {
    char byte;
    if (listen(listener, 8)) die("listen");
    for (;;) {
        int one = 1, connection = accept(listener, NULL, NULL);
        if (connection < 0) die("accept");
        setsockopt(connection, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        while (read(connection, &byte, 1) == 1 && write(connection, &byte, 1) == 1);
        close(connection);
    }
}

static void ask(int connection, long count) {
    char byte = 0;
    int one = 1;
    long long *took = calloc((size_t)count, sizeof *took);
    setsockopt(connection, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    for (long i = 0; i < count; i++) {
        long long begin = now();
        if (write(connection, &byte, 1) != 1 || read(connection, &byte, 1) != 1) die("hear an echo");
        took[i] = now() - begin;
    }
    qsort(took, (size_t)count, sizeof *took, ascending);
    printf("%lld\n", took[count / 2]);
}

int main(int argc, char **argv) {
    struct sockaddr_in at = {.sin_family = AF_INET};
    int one = 1, fd = socket(AF_INET, SOCK_STREAM, 0);
    if (argc == 3 && strcmp(argv[1], "serve") == 0) {
        at.sin_port = htons((unsigned short)atoi(argv[2]));
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
        if (bind(fd, (struct sockaddr *)&at, sizeof at)) die("bind");
        serve(fd);
    } else if (argc == 5 && strcmp(argv[1], "ask") == 0 && atol(argv[4]) > 0) {
        at.sin_port = htons((unsigned short)atoi(argv[3]));
        if (inet_pton(AF_INET, argv[2], &at.sin_addr) != 1 || connect(fd, (struct sockaddr *)&at, sizeof at))
            die("connect");
        ask(fd, atol(argv[4]));
    } else {
        fprintf(stderr, "echo: serve PORT, or ask ADDRESS PORT COUNT\n");
        return 2;
    }
    return 0;
}
