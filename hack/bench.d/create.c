/* The least that isolates: makes the system calls that `create` was seen to make, with the same arguments and buffers that have
   nothing in them, execs, and understands nothing of it. hack/bench.d/limit makes the file of the calls: a line each, the name and
   the arguments, separated by tabs; "STRING, {FLAGS RESOLVE of openat2, * for a buffer, or a number.

   create CALLS */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static char text[1 << 16], buffer[1 << 16];
static struct open_how how;

#define CALL(name) {#name, SYS_##name}
static const struct {
    const char *name;
    long number;
} calls[] = {
    CALL(access), CALL(close), CALL(faccessat2), CALL(fchmod), CALL(fcntl), CALL(fdatasync), CALL(flock), CALL(fstat), CALL(fstatfs),
    CALL(getdents64), CALL(linkat), CALL(lseek), CALL(mkdir), CALL(newfstatat), CALL(openat), CALL(openat2), CALL(read), CALL(readlink),
    CALL(readlinkat), CALL(rename), CALL(statfs), CALL(statx), CALL(unlink), CALL(write),
};

static long argument(char *word) {
    char *end;
    switch (*word) {
    case '"': return (long)(word + 1);
    case '*': return (long)buffer;
    case '{':
        how.flags = strtoull(word + 1, &end, 0);
        how.resolve = strtoull(end, NULL, 0);
        return (long)&how;
    default: return strtol(word, NULL, 0);
    }
}

int main(int argc, char **argv) {
    if (argc != 2) return 2;
    int file = open(argv[1], O_RDONLY | O_CLOEXEC);
    ssize_t length = read(file, text, sizeof text - 1);
    if (length <= 0 || length == sizeof text - 1) return 1;
    close(file);
    for (char *next = text, *end; (end = strchr(next, '\n')); next = end + 1) {
        char *line = next;
        long number = -1, arguments[6] = {0};
        *end = 0;
        char *name = strsep(&line, "\t");
        for (size_t i = 0; i < sizeof calls / sizeof *calls; i++)
            if (!strcmp(calls[i].name, name)) number = calls[i].number;
        if (number < 0) {
            fprintf(stderr, "%s is not in the list of calls\n", name);
            return 1;
        }
        for (int i = 0; i < 6 && line; i++) arguments[i] = argument(strsep(&line, "\t"));
        syscall(number, arguments[0], arguments[1], arguments[2], arguments[3], arguments[4], arguments[5]);
    }
    execv(RUNTIME, (char *[]){RUNTIME, NULL});
    return 127;
}
