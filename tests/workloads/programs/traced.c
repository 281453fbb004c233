/* Asks, or waits until a debugger ends it; allows one under Yama, where only ancestors may attach unasked. */
#include <stdio.h>
#include <sys/prctl.h>
#include <unistd.h>

static volatile int waiting = 1;

static int answer(int question) { return question * 7; }

int main(int count, char **words) {
    (void)words;
    prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY, 0, 0, 0);
    if (count == 1) return answer(6) != 42;
    puts("started");
    fflush(stdout);
    for (int n = 0; waiting && n < 1000; n++) usleep(20000);
    return waiting;
}
