/* The least that seals: opens what `start` opens, sends what it sends, waits for the answers, writes a record, execs, and
   understands nothing of it. The requests are those that the shim was seen to send: lines "route HEX", "firewall HEX" and "read FILE",
   of which hack/bench.d/limit makes a file.

   seal PID-FILE RECORD STATE REQUESTS */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static char bytes[1 << 20], answer[1 << 16], requests[1 << 22];

static int sure(int result, const char *what) {
    if (result >= 0) return result;
    perror(what);
    exit(1);
}

static ssize_t slurp(const char *path, char *into, size_t room) {
    int file = sure(open(path, O_RDONLY | O_CLOEXEC), path);
    ssize_t length = sure((int)read(file, into, room - 1), path);
    into[length] = 0;
    close(file);
    return length;
}

static int digit(char hex) { return hex <= '9' ? hex - '0' : hex - 'a' + 10; }

static void ask(int socket, const char *hex) {
    size_t length = 0;
    for (; hex[0] && hex[1]; hex += 2) bytes[length++] = (char)(digit(hex[0]) << 4 | digit(hex[1]));
    sure((int)send(socket, bytes, length, 0), "send");
    for (;;) {
        int left = sure((int)recv(socket, answer, sizeof answer, MSG_DONTWAIT), "recv");
        for (struct nlmsghdr *part = (void *)answer; NLMSG_OK(part, left); part = NLMSG_NEXT(part, left))
            if (part->nlmsg_type == NLMSG_DONE || part->nlmsg_type == NLMSG_ERROR) {
                // Both begin with the error. There is no table yet.
                errno = -*(int *)NLMSG_DATA(part);
                int is_table = ((struct nlmsghdr *)bytes)->nlmsg_type == (NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETTABLE);
                if (errno && !(errno == ENOENT && is_table)) sure(-1, "answer");
                return;
            } else if (!(part->nlmsg_flags & NLM_F_MULTI)) {
                return;
            }
    }
}

int main(int argc, char **argv) {
    static char record[1 << 20];
    char path[64], temporary[4096];
    struct stat found;
    if (argc != 5) return 2;
    slurp(argv[4], requests, sizeof requests);
    ssize_t length = slurp(argv[2], record, sizeof record);
    slurp(argv[3], answer, sizeof answer);
    slurp(argv[1], bytes, sizeof bytes);
    int pid = atoi(bytes);
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    slurp(path, bytes, sizeof bytes);
    snprintf(path, sizeof path, "/proc/%d/root/", pid);
    sure(stat(path, &found), path);
    snprintf(path, sizeof path, "/proc/%d/ns/net", pid);
    int theirs = sure(open(path, O_RDONLY | O_CLOEXEC), path);
    int ours = sure(open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC), "our namespace");
    sure(setns(theirs, CLONE_NEWNET), "setns");
    sure(stat("/proc/sys/net/core/somaxconn", &found), "somaxconn");
    stat("/proc/sys/net/core/netdev_max_backlog", &found);
    int route = sure(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE), "socket");
    int firewall = sure(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER), "socket");
    for (char *line = strtok(requests, "\n"); line; line = strtok(NULL, "\n")) {
        char *rest = strchr(line, ' ') + 1;
        if (*line == 'r' && line[1] == 'e') slurp(rest, bytes, sizeof bytes);
        else ask(*line == 'r' ? route : firewall, rest);
    }
    sure(setns(ours, CLONE_NEWNET), "setns");
    int lock = sure(open("/run/oci-isolate", O_RDONLY | O_CLOEXEC), "/run/oci-isolate");
    sure(flock(lock, LOCK_EX), "flock");
    snprintf(temporary, sizeof temporary, "%s.new", argv[2]);
    int file = sure(open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600), temporary);
    sure((int)write(file, record, (size_t)length), temporary);
    close(file);
    sure(rename(temporary, argv[2]), argv[2]);
    execv(RUNTIME, (char *[]){RUNTIME, NULL});
    return 127;
}
