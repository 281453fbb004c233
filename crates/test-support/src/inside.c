/* A process whose main thread is in a network namespace.
 *
 * inside NAMESPACE READY [THREAD]
 *   NAMESPACE  its path
 *   READY      a file that is made when it is in there
 *   THREAD     another thread stays outside, as in Podman when Go has kept its main thread in there
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <unistd.h>

static void *stays(void *nothing)
{
	for (;;)
		pause();
	return nothing;
}

int main(int argc, char **argv)
{
	pthread_t thread;
	int netns = argc > 2 ? open(argv[1], O_RDONLY | O_CLOEXEC) : -1;

	if (netns < 0 || (argc > 3 && pthread_create(&thread, NULL, stays, NULL)))
		return 1;
	if (setns(netns, CLONE_NEWNET) || open(argv[2], O_CREAT | O_WRONLY, 0600) < 0)
		return 1;
	for (;;)
		pause();
}
