/*
 * burst FIRST COUNT WIDTH < plan: takes COUNT containers through a plan, at most WIDTH of them at a time.
 *
 * The plan is lines of words, separated by single spaces; % stands for the container's number, from FIRST on:
 *   phase NAME     what follows, up to the next phase, is one step for all: it begins when the one before has ended
 *                  for every container; NAME and the nanoseconds that it took go to stdout
 *   once WORD...   must succeed, when the phase before it has ended; it ends that phase, and is not timed
 *   run WORD...    must succeed; what it says on stderr is ours
 *   reap FILE      waits for the orphan whose pid FILE holds: a container's init outlives the runtime that made it
 * A container whose step fails is named on stderr and goes on with the next one; the exit status is then 1.
 *
 * In C because it is part of what is measured: posix_spawn(3) from a process this small costs next to nothing.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>

enum { MAX_STEPS = 64, MAX_WORDS = 32, TEXT = 1 << 14, WORD = 512 };

struct container {
    int step;
    pid_t waits_for;
};

static char text[TEXT];
static char *steps[MAX_STEPS][MAX_WORDS + 1];
static int step_count, failures;
static long first;
static struct container *containers;
static pid_t *orphans; /* that ended before they were waited for */
static long orphan_count, orphan_room;
static posix_spawn_file_actions_t quiet;
extern char **environ;

static void die(const char *what, const char *object) {
    fprintf(stderr, "burst: cannot %s %s: %s\n", what, object, errno ? strerror(errno) : "it is wrong");
    exit(1);
}

static int is(int step, const char *verb) { return strcmp(steps[step][0], verb) == 0; }

static int begins(int step) { return is(step, "phase") || is(step, "once"); }

static void read_plan(void) {
    if (fread(text, 1, TEXT - 1, stdin) == TEXT - 1) die("hold", "the plan");
    for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n"), step_count++) {
        if (step_count == MAX_STEPS) die("hold", "the plan");
        int count = 0;
        for (char *rest = line, *word; (word = strsep(&rest, " "));) {
            if (count == MAX_WORDS) die("hold", line);
            steps[step_count][count++] = word;
        }
        if (!begins(step_count) && !is(step_count, "run") && !is(step_count, "reap")) die("understand", line);
    }
    if (step_count == 0 || !is(0, "phase")) die("begin", "without a phase");
}

static void fill(char *out, const char *word, long number) {
    const char *mark = strchr(word, '%');
    int length = mark ? snprintf(out, WORD, "%.*s%ld%s", (int)(mark - word), word, number, mark + 1)
                      : snprintf(out, WORD, "%s", word);
    if (length >= WORD || (mark && strchr(mark + 1, '%'))) die("fill in", word);
}

static void failed(long index, int step, const char *why) {
    fprintf(stderr, "burst: container %ld:", first + index);
    for (int i = 0; steps[step][i]; i++) fprintf(stderr, " %s", steps[step][i]);
    fprintf(stderr, ": %s\n", why);
    failures++;
}

static pid_t spawn(int step, long number) {
    static char filled[MAX_WORDS][WORD];
    char *words[MAX_WORDS + 1] = {NULL};
    for (int i = 1; steps[step][i]; i++) {
        fill(filled[i], steps[step][i], number);
        words[i - 1] = filled[i];
    }
    pid_t pid;
    if ((errno = posix_spawn(&pid, words[0], &quiet, NULL, words, environ))) die("run", words[0]);
    return pid;
}

/* The pid in a file, if it has not ended; else 0. */
static pid_t living(int step, long index) {
    char path[WORD];
    int pid = 0;
    fill(path, steps[step][1], first + index);
    FILE *file = fopen(path, "re");
    if (!file || fscanf(file, "%d", &pid) != 1) failed(index, step, "there is no pid in it");
    if (file) fclose(file);
    for (long i = 0; i < orphan_count; i++) {
        if (orphans[i] != pid) continue;
        orphans[i] = orphans[--orphan_count];
        return 0;
    }
    return pid;
}

/* Goes on until there is something to wait for; 0 when the phase is over for this container. */
static int advance(long index) {
    struct container *container = &containers[index];
    for (;; container->step++) {
        int step = container->step;
        if (step == step_count || begins(step)) return 0;
        container->waits_for = is(step, "run") ? spawn(step, first + index) : living(step, index);
        if (container->waits_for) return 1;
    }
}

/* Waits until one container can go on, and says which. */
static long ended(long begun) {
    for (;;) {
        int status;
        pid_t pid = wait(&status);
        if (pid < 0 && errno == EINTR) continue;
        if (pid < 0) die("wait for", "a child");
        for (long i = 0; i < begun; i++) {
            if (containers[i].waits_for != pid) continue;
            containers[i].waits_for = 0;
            if (status && is(containers[i].step, "run")) failed(i, containers[i].step, "it failed");
            containers[i].step++;
            return i;
        }
        if (orphan_count == orphan_room) {
            orphan_room += 64;
            if (!(orphans = realloc(orphans, (size_t)orphan_room * sizeof *orphans))) die("hold", "orphans");
        }
        orphans[orphan_count++] = pid;
    }
}

static void once(int step) {
    int status;
    pid_t pid = spawn(step, first);
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR) die("wait for", steps[step][1]);
    if (status) failed(0, step, "it failed");
}

static long long now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1000000000LL + time.tv_nsec;
}

int main(int argc, char **argv) {
    if (argc != 4) die("count", "the containers");
    first = atol(argv[1]);
    long count = atol(argv[2]), width = atol(argv[3]);
    if (count < 1 || width < 1) die("count", "the containers");
    read_plan();
    containers = calloc((size_t)count, sizeof *containers);
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    posix_spawn_file_actions_init(&quiet);
    posix_spawn_file_actions_addopen(&quiet, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&quiet, 1, "/dev/null", O_WRONLY, 0);
    for (int step = 0; step < step_count; step++) {
        if (is(step, "once")) once(step);
        if (!is(step, "phase")) continue;
        long begun = 0, active = 0;
        long long begin = now();
        while (begun < count || active) {
            if (begun < count && active < width) {
                containers[begun].step = step + 1;
                active += advance(begun++);
            } else if (!advance(ended(begun))) {
                active--;
            }
        }
        printf("%s %lld\n", steps[step][1], now() - begin);
    }
    return failures > 0;
}
