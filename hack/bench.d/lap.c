/*
 * lap ROUNDS < plan: runs commands and says how long they took.
 *
 * The plan is lines of words; words are separated by single spaces:
 *   case                 what follows belongs together, up to the next case
 *   copy FROM TO         not timed, in this process: TO gets FROM's content, in place
 *   run WORD...          not timed; must succeed
 *   reap FILE            not timed: waits for the orphan whose pid FILE holds
 *   pause MILLISECONDS   not timed: the kernel takes namespaces apart behind a container's back
 *   time LABEL WORD...   timed; must succeed
 * Every round runs every case, each round begins with another one: what one case leaves behind in caches
 * is every other's in turn, and a machine that becomes slower becomes so for all.
 *
 * Out: LABEL, samples, median, lower and upper quartile in nanoseconds, largest resident set in KiB, median of the processor time in
 * nanoseconds, which tells two programs apart on a machine that is busy, too.
 *
 * In C because the driver is part of every sample: posix_spawn(3) from a process this small costs the same for
 * all and no fork copies pages; and a child's ru_maxrss counts what its parent had before the exec.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { MAX_STEPS = 256, MAX_WORDS = 32, MAX_CASES = 64, TEXT = 1 << 16 };

struct step {
    char *words[MAX_WORDS + 1];
    long long *samples; /* of a timed one */
    long long *busy;
    long taken;
    long rss;
};

static char text[TEXT];
static struct step steps[MAX_STEPS];
static int first_of[MAX_CASES + 1]; /* and one behind the last */
static int step_count, case_count;
static posix_spawn_file_actions_t quiet;
extern char **environ;

static void die(const char *what, const char *object) {
    fprintf(stderr, "lap: cannot %s %s: %s\n", what, object, errno ? strerror(errno) : "it failed");
    exit(1);
}

static int is(const struct step *step, const char *verb) { return strcmp(step->words[0], verb) == 0; }

static void read_plan(long rounds) {
    if (fread(text, 1, TEXT - 1, stdin) == TEXT - 1) die("hold", "the plan");
    for (char *line = strtok(text, "\n"), *next; line; line = next) {
        next = strtok(NULL, "\n");
        if (strcmp(line, "case") == 0) {
            if (case_count == MAX_CASES) die("hold", "the plan");
            first_of[case_count++] = step_count;
            continue;
        }
        if (step_count == MAX_STEPS || case_count == 0) die("hold", "the plan");
        struct step *step = &steps[step_count++];
        int count = 0;
        for (char *word; (word = strsep(&line, " "));) {
            if (count == MAX_WORDS) die("hold", "the plan");
            step->words[count++] = word;
        }
        if (is(step, "time")) {
            step->samples = calloc((size_t)rounds, sizeof *step->samples);
            step->busy = calloc((size_t)rounds, sizeof *step->busy);
        }
    }
    first_of[case_count] = step_count;
}

static void copy(const char *from, const char *to) {
    int in = open(from, O_RDONLY | O_CLOEXEC), out = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    struct stat stat;
    if (in < 0 || out < 0 || fstat(in, &stat)) die("copy", from);
    /* Not through this process' memory, which would count as the child's. */
    for (off_t done = 0; done < stat.st_size;)
        if (sendfile(out, in, &done, (size_t)(stat.st_size - done)) <= 0) die("copy", from);
    close(in);
    close(out);
}

static void reap(const char *path) {
    int pid = 0;
    FILE *file = fopen(path, "re");
    if (!file || fscanf(file, "%d", &pid) != 1) die("read", path);
    fclose(file);
    while (waitpid(pid, NULL, 0) < 0)
        if (errno != EINTR) die("wait for the pid in", path);
}

static long long now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1000000000LL + time.tv_nsec;
}

static long long nanoseconds(struct timeval time) { return time.tv_sec * 1000000000LL + time.tv_usec * 1000LL; }

static long long run(char **words, long *rss, long long *busy) {
    pid_t pid;
    int status;
    struct rusage usage;
    long long begin = now();
    if ((errno = posix_spawn(&pid, words[0], &quiet, NULL, words, environ))) die("run", words[0]);
    while (wait4(pid, &status, 0, &usage) < 0)
        if (errno != EINTR) die("wait for", words[0]);
    long long took = now() - begin;
    errno = 0;
    if (status) die("go on after", words[0]);
    if (usage.ru_maxrss > *rss) *rss = usage.ru_maxrss;
    *busy = nanoseconds(usage.ru_utime) + nanoseconds(usage.ru_stime);
    return took;
}

static void run_case(int index) {
    for (int i = first_of[index]; i < first_of[index + 1]; i++) {
        struct step *step = &steps[i];
        long ignored = 0;
        long long unused;
        if (is(step, "time")) {
            step->samples[step->taken] = run(step->words + 2, &step->rss, &step->busy[step->taken]);
            step->taken++;
        } else if (is(step, "run"))
            run(step->words + 1, &ignored, &unused);
        else if (is(step, "copy"))
            copy(step->words[1], step->words[2]);
        else if (is(step, "reap"))
            reap(step->words[1]);
        else if (is(step, "pause"))
            usleep((useconds_t)atoi(step->words[1]) * 1000);
        else
            die("understand", step->words[0]);
    }
}

static int ascending(const void *a, const void *b) {
    long long x = *(const long long *)a, y = *(const long long *)b;
    return (x > y) - (x < y);
}

int main(int argc, char **argv) {
    long rounds = argc == 2 ? atol(argv[1]) : 0;
    if (rounds < 1) die("count", "the rounds");
    read_plan(rounds);
    /* The container's init outlives the runtime that made it; it is ours to wait for. */
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    posix_spawn_file_actions_init(&quiet);
    posix_spawn_file_actions_addopen(&quiet, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&quiet, 1, "/dev/null", O_WRONLY, 0);
    for (long round = 0; round < rounds; round++)
        for (int i = 0; i < case_count; i++) run_case((int)((round + i) % case_count));
    for (int i = 0; i < step_count; i++) {
        struct step *step = &steps[i];
        if (!step->samples) continue;
        qsort(step->samples, (size_t)step->taken, sizeof *step->samples, ascending);
        qsort(step->busy, (size_t)step->taken, sizeof *step->busy, ascending);
        long long *s = step->samples;
        long n = step->taken;
        printf("%s %ld %lld %lld %lld %ld %lld\n", step->words[1], n, (s[n / 2] + s[(n - 1) / 2]) / 2, s[n / 4],
               s[n - 1 - n / 4], step->rss, step->busy[n / 2]);
    }
    return 0;
}
