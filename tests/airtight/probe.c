/*
 * Tries every way out that system calls offer, and what programs need, each in a process of its own:
 *     way|need NAME ok | NUMBER of the error | killed
 * Static; i386 calls are made by int $0x80 from 64-bit code, so no second C library is wanted.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <ifaddrs.h>
#include <linux/io_uring.h>
#include <linux/netlink.h>
#include <netdb.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define X32 0x40000000L
#define HIGH (1L << 32)

static long checked(long result)
{
	if (result < 0 && result > -4096) {
		errno = (int)-result;
		return -1;
	}
	return result;
}

static long i386(long nr, long a, long b, long c)
{
	long result;
	__asm__ volatile("int $0x80" : "=a"(result) : "a"(nr), "b"(a), "c"(b), "d"(c), "S"(0), "D"(0)
			 : "memory", "r8", "r9", "r10", "r11");
	return checked((int)result);
}

static long vsock(void) { return syscall(SYS_socket, 40L, 1L, 0L); }
static long vsock_high(void) { return syscall(SYS_socket, HIGH | 40L, 1L, 0L); }
static long vsock_x32(void) { return syscall(X32 + SYS_socket, 40L, 1L, 0L); }
static long vsock_i386(void) { return i386(359, 40, 1, 0); }

static long vsock_socketcall(void)
{
	/* Where 32 bits reach. */
	uint32_t *args = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
	args[0] = 40;
	args[1] = 1;
	args[2] = 0;
	return i386(102, 1, (long)args, 0);
}

static long uring_setup(void)
{
	struct io_uring_params params = { 0 };
	return syscall(SYS_io_uring_setup, 2, &params);
}

static long uring_i386(void)
{
	void *params = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
	return i386(425, 2, (long)params, 0);
}

static long uring_socket(int family)
{
	struct io_uring_params params = { 0 };
	int ring = (int)syscall(SYS_io_uring_setup, 2, &params);
	if (ring < 0)
		return -1;
	char *sq = mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, ring, IORING_OFF_SQ_RING);
	char *cq = mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, ring, IORING_OFF_CQ_RING);
	struct io_uring_sqe *sqe = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, ring, IORING_OFF_SQES);
	if (sq == MAP_FAILED || cq == MAP_FAILED || sqe == MAP_FAILED)
		return -1;
	memset(sqe, 0, sizeof(*sqe));
	sqe->opcode = 45; /* IORING_OP_SOCKET, Linux 5.19; the header may be older */
	sqe->fd = family;
	sqe->off = SOCK_STREAM;
	((unsigned *)(sq + params.sq_off.array))[0] = 0;
	__atomic_store_n((unsigned *)(sq + params.sq_off.tail), 1, __ATOMIC_RELEASE);
	if (syscall(SYS_io_uring_enter, ring, 1, 1, IORING_ENTER_GETEVENTS, NULL, 0) < 0)
		return -1;
	return checked(((struct io_uring_cqe *)(cq + params.cq_off.cqes))->res);
}

static long vsock_uring(void) { return uring_socket(40); }

static long netlink_socket(long protocol, unsigned groups)
{
	struct sockaddr_nl address = { .nl_family = AF_NETLINK, .nl_groups = groups };
	long fd = syscall(SYS_socket, (long)AF_NETLINK, (long)SOCK_RAW, protocol);
	return fd < 0 ? fd : bind((int)fd, (struct sockaddr *)&address, sizeof(address));
}

static long uevent(void) { return netlink_socket(NETLINK_KOBJECT_UEVENT, 1); }
static long uevent_high(void) { return netlink_socket(HIGH | NETLINK_KOBJECT_UEVENT, 1); }
static long uevent_i386(void) { return i386(359, AF_NETLINK, SOCK_RAW, NETLINK_KOBJECT_UEVENT); }
/* The way to nf_tables, also for who has made a user and a network namespace of its own. */
static long netfilter(void) { return netlink_socket(NETLINK_NETFILTER, 0); }
static long alg(void) { return socket(38, SOCK_SEQPACKET, 0); }
static long can(void) { return socket(29, SOCK_RAW, 1); }
static long tipc(void) { return socket(30, SOCK_STREAM, 0); }
static long bluetooth(void) { return socket(31, SOCK_RAW, 1); }
static long rds(void) { return socket(21, SOCK_SEQPACKET, 0); }
static long kcm(void) { return socket(41, SOCK_DGRAM, 0); }
static long qipcrtr(void) { return socket(42, SOCK_DGRAM, 0); }
static long smc(void) { return socket(43, SOCK_STREAM, 0); }
static long add_key(void) { return syscall(SYS_add_key, "user", "airtight", "x", 1L, -2L); }
static long keyctl(void) { return syscall(SYS_keyctl, 0L, -4L, 1L); }
static long keyctl_i386(void) { return i386(288, 0, -4, 1); }
static long keyctl_x32(void) { return syscall(X32 + SYS_keyctl, 0L, -4L, 1L); }

static long request_key(void)
{
	long key = syscall(SYS_request_key, "user", "airtight-none", NULL, 0L);
	/* The kernel looked for it. */
	return key < 0 && errno == ENOKEY ? 0 : key;
}

static long open_by_handle_at_(void)
{
	long fd = syscall(SYS_open_by_handle_at, -1L, 0L, 0L);
	/* The kernel went for the handle. */
	return fd < 0 && errno == EFAULT ? 0 : fd;
}

static long unix_pair(void)
{
	int pair[2];
	return socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair);
}

static long unix_bind(void)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX, .sun_path = "\0airtight" };
	return bind(socket(AF_UNIX, SOCK_DGRAM, 0), (struct sockaddr *)&address, sizeof(address));
}

static long talk(int family, int kind)
{
	struct sockaddr_storage address = { .ss_family = (sa_family_t)family };
	socklen_t length = family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);
	int server = socket(family, kind, 0), client = socket(family, kind, 0);
	char byte = 0;

	if (family == AF_INET)
		((struct sockaddr_in *)&address)->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	else
		((struct sockaddr_in6 *)&address)->sin6_addr = in6addr_loopback;
	if (bind(server, (struct sockaddr *)&address, length) || (kind == SOCK_STREAM && listen(server, 1)))
		return -1;
	getsockname(server, (struct sockaddr *)&address, &length);
	if (connect(client, (struct sockaddr *)&address, length))
		return -1;
	if (kind == SOCK_STREAM)
		server = accept(server, NULL, NULL);
	return write(client, "x", 1) == 1 && read(server, &byte, 1) == 1 && byte == 'x' ? 0 : -1;
}

static long tcp(void) { return talk(AF_INET, SOCK_STREAM); }
static long udp(void) { return talk(AF_INET, SOCK_DGRAM); }
static long tcp6(void) { return talk(AF_INET6, SOCK_STREAM); }
static long udp_i386(void) { return i386(359, AF_INET, SOCK_DGRAM, 0); }
static long getpid_i386(void) { return i386(20, 0, 0, 0); }
static long route(void) { return netlink_socket(NETLINK_ROUTE, 0); }
static long diag(void) { return netlink_socket(NETLINK_SOCK_DIAG, 0); }
static long audit(void) { return netlink_socket(NETLINK_AUDIT, 0); }
static long generic(void) { return netlink_socket(NETLINK_GENERIC, 0); }

static long interfaces(void)
{
	struct ifaddrs *list;
	return getifaddrs(&list) || !list ? -1 : 0;
}

static long resolve(void)
{
	struct addrinfo hints = { .ai_flags = AI_ADDRCONFIG | AI_NUMERICHOST }, *list;
	return getaddrinfo("127.0.0.1", "80", &hints, &list) ? -1 : 0;
}

static void *nothing(void *argument) { return argument; }

static long thread(void)
{
	pthread_t id;
	int error = pthread_create(&id, NULL, nothing, NULL);
	return checked(-(error ? error : pthread_join(id, NULL)));
}

static const struct {
	const char *what, *name;
	long (*attempt)(void);
} ATTEMPTS[] = {
	{ "way", "vsock", vsock },
	{ "way", "vsock-high-bits", vsock_high },
	{ "way", "vsock-x32", vsock_x32 },
	{ "way", "vsock-i386-socket", vsock_i386 },
	{ "way", "vsock-i386-socketcall", vsock_socketcall },
	{ "way", "vsock-io_uring", vsock_uring },
	{ "way", "io_uring_setup", uring_setup },
	{ "way", "io_uring_setup-i386", uring_i386 },
	{ "way", "uevent", uevent },
	{ "way", "uevent-high-bits", uevent_high },
	{ "way", "uevent-i386", uevent_i386 },
	{ "way", "netfilter", netfilter },
	{ "way", "alg", alg },
	{ "way", "bluetooth", bluetooth },
	{ "way", "can", can },
	{ "way", "kcm", kcm },
	{ "way", "qipcrtr", qipcrtr },
	{ "way", "rds", rds },
	{ "way", "smc", smc },
	{ "way", "tipc", tipc },
	{ "way", "add_key", add_key },
	{ "way", "keyctl", keyctl },
	{ "way", "keyctl-i386", keyctl_i386 },
	{ "way", "keyctl-x32", keyctl_x32 },
	{ "way", "request_key", request_key },
	{ "way", "open_by_handle_at", open_by_handle_at_ },
	{ "need", "unix-pair", unix_pair },
	{ "need", "unix-bind", unix_bind },
	{ "need", "tcp-loopback", tcp },
	{ "need", "udp-loopback", udp },
	{ "need", "tcp6-loopback", tcp6 },
	{ "need", "udp-i386", udp_i386 },
	{ "need", "getpid-i386", getpid_i386 },
	{ "need", "netlink-route", route },
	{ "need", "netlink-diag", diag },
	{ "way", "netlink-audit", audit },
	{ "need", "netlink-generic", generic },
	{ "need", "getifaddrs", interfaces },
	{ "need", "getaddrinfo", resolve },
	{ "need", "thread", thread },
};

int main(void)
{
	for (size_t i = 0; i < sizeof(ATTEMPTS) / sizeof(*ATTEMPTS); i++) {
		int status;
		pid_t child = fork();
		if (child == 0) {
			alarm(5);
			errno = 0;
			_exit(ATTEMPTS[i].attempt() >= 0 ? 0 : errno ? errno : 255);
		}
		waitpid(child, &status, 0);
		printf("%s %s ", ATTEMPTS[i].what, ATTEMPTS[i].name);
		if (!WIFEXITED(status))
			printf("killed\n");
		else if (WEXITSTATUS(status))
			printf("%d\n", WEXITSTATUS(status));
		else
			printf("ok\n");
	}
	puts("done");
	return 0;
}
