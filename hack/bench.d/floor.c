/* The floor: what any program in front of the runtime costs. It execs and does nothing else. */
#include <unistd.h>

int main(int argc, char **argv) {
    (void)argc;
    argv[0] = RUNTIME;
    execv(RUNTIME, argv);
    return 127;
}
