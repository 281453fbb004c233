// The server of a model: /ping and /invocations on port 8080, a process for each connection. What it answers to an invocation is what
// /bin/answer prints, which has the body in BODY.
#include <arpa/inet.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static void respond(int to, int status, const char *body, size_t length) {
    dprintf(to, "HTTP/1.1 %d X\r\nContent-Type: text/plain\r\nContent-Length: %zu\r\n\r\n", status, length);
    for (size_t sent = 0; sent < length;) {
        ssize_t count = write(to, body + sent, length - sent);
        if (count <= 0) exit(1);
        sent += count;
    }
}

static void serve(int from) {
    static char request[8 << 20], answer[8 << 20];
    size_t have = 0, head = 0, length = 0;
    while (!head || have < head + length) {
        ssize_t count = read(from, request + have, sizeof request - 1 - have);
        if (count <= 0) return;
        request[have += count] = 0;
        char *end = head ? NULL : strstr(request, "\r\n\r\n");
        if (end) {
            head = end + 4 - request;
            char *header = strcasestr(request, "content-length:");
            if (header && header < end) length = strtoul(header + 15, NULL, 10);
        }
    }
    if (!strncmp(request, "GET /ping ", 10)) return respond(from, access("/opt/ml/model/sick", F_OK) ? 200 : 503, "", 0);
    const char *parameters = "{\"MaxConcurrentTransforms\": 2, \"BatchStrategy\": \"SINGLE_RECORD\", \"MaxPayloadInMB\": 1}";
    if (!strncmp(request, "GET /execution-parameters ", 26)) {
        if (getenv("MODE") && !strcmp(getenv("MODE"), "silent")) sleep(100);
        int chooses = !access("/opt/ml/model/weights", F_OK);
        return respond(from, chooses ? 200 : 404, parameters, strlen(parameters));
    }
    if (length < 1000) setenv("BODY", request + head, 1);
    FILE *answers = popen("/bin/answer", "r");
    size_t size = fread(answer, 1, sizeof answer, answers);
    respond(from, pclose(answers) ? 500 : 200, answer, size);
}

static void end(int signal) { _exit(0); }

int main(void) {
    // As process 1 it would not end by SIGTERM otherwise.
    signal(SIGTERM, end);
    int on = 1, listener = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in any = {.sin_family = AF_INET, .sin_port = htons(8080)};
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(listener, (struct sockaddr *)&any, sizeof any) || listen(listener, 16)) return perror("listen"), 1;
    puts("listening");
    fflush(stdout);
    for (;;) {
        int from = accept(listener, NULL, NULL);
        if (from < 0) continue;
        while (waitpid(-1, NULL, WNOHANG) > 0);
        if (!fork()) serve(from), _exit(0);
        close(from);
    }
}
