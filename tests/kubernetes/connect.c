/* Prints what a Unix socket sends.
 *
 * connect PATH
 */
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	struct sockaddr_un to = { .sun_family = AF_UNIX };
	char text[64];
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	if (argc != 2 || strlen(argv[1]) >= sizeof(to.sun_path))
		return 2;
	strcpy(to.sun_path, argv[1]);
	if (connect(fd, (struct sockaddr *)&to, sizeof(to)))
		return 1;
	ssize_t length = read(fd, text, sizeof(text));
	return length <= 0 || write(1, text, length) != length;
}
