/*
 * resolver ADDRESS: answers every DNS query on ADDRESS:53/udp with one made-up A record (RFC 1035, section 4), so
 * that the demo's "internet" has something that speaks UDP. busybox has no such server.
 */
#include <arpa/inet.h>
#include <string.h>
#include <sys/socket.h>

enum { HEADER = 12, LARGEST = 512 };

int main(int argc, char **argv) {
    struct sockaddr_in here = {.sin_family = AF_INET, .sin_port = htons(53)};
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    if (argc != 2 || inet_pton(AF_INET, argv[1], &here.sin_addr) != 1) return 2;
    if (bind(fd, (struct sockaddr *)&here, sizeof here)) return 1;
    for (;;) {
        /* The name again by pointer, type A, class IN, a minute, 4 bytes: 203.0.113.7. */
        static const unsigned char answer[16] = {0xc0, HEADER, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 203, 0, 113, 7};
        unsigned char message[LARGEST + sizeof answer];
        struct sockaddr_in from;
        socklen_t size = sizeof from;
        ssize_t length = recvfrom(fd, message, LARGEST, 0, (struct sockaddr *)&from, &size);
        if (length < HEADER + 5) continue;
        message[2] |= 0x80; /* a response */
        /* The question is the last thing of a plain query; its type the two bytes before the class. */
        if (message[length - 3] == 1) {
            message[7] = 1; /* one answer */
            memcpy(message + length, answer, sizeof answer);
            length += sizeof answer;
        }
        sendto(fd, message, (size_t)length, 0, (struct sockaddr *)&from, size);
    }
}
