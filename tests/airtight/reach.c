/*
 * Goes one way out of a container to its end: prints the word that only the other side knows, or why not.
 *     reach WAY [ARGUMENT...]
 * Static, for images without a C library. The ways that begin with "host-" are the other side.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_link.h>
#include <linux/if_packet.h>
#include <linux/net_namespace.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/seccomp.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/klog.h>
#include <sys/ptrace.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define WORD "outside"
#define SIOCGSKNS_ 0x894C

struct sockaddr_vm_ {
	unsigned short family, reserved;
	unsigned int port, cid;
	unsigned char zero[4];
};

static _Noreturn void fail(const char *what)
{
	printf("%s: %s\n", what, strerror(errno));
	exit(1);
}

static long must(const char *what, long result)
{
	if (result < 0)
		fail(what);
	return result;
}

static int arrived(void)
{
	puts(WORD);
	return 0;
}

static socklen_t internet(const char *ip, const char *port, struct sockaddr_storage *to)
{
	struct sockaddr_in *v4 = (void *)to;
	struct sockaddr_in6 *v6 = (void *)to;
	memset(to, 0, sizeof(*to));
	to->ss_family = strchr(ip, ':') ? AF_INET6 : AF_INET;
	v4->sin_port = htons((uint16_t)atoi(port));
	if (to->ss_family == AF_INET)
		return inet_pton(AF_INET, ip, &v4->sin_addr), sizeof(*v4);
	return inet_pton(AF_INET6, ip, &v6->sin6_addr), sizeof(*v6);
}

/* Says what comes back. */
static int listen_to(int fd)
{
	char text[4096];
	struct pollfd wait = { .fd = fd, .events = POLLIN };
	ssize_t length;
	while (poll(&wait, 1, 3000) > 0 && (length = read(fd, text, sizeof(text) - 1)) > 0)
		fwrite(text, 1, (size_t)length, stdout);
	return 0;
}

static int ask(int fd, char **to)
{
	struct sockaddr_storage address;
	socklen_t length = internet(to[0], to[1], &address);
	static const char request[] = "GET / HTTP/1.0\r\n\r\n";
	struct timeval patience = { .tv_sec = 3 };
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	must("connect", connect(fd, (void *)&address, length));
	must("write", write(fd, request, sizeof(request) - 1));
	return listen_to(fd);
}

static int tcp(char **argv)
{
	return ask((int)must("socket", socket(strchr(argv[0], ':') ? AF_INET6 : AF_INET, SOCK_STREAM, 0)), argv);
}

static int udp(char **argv)
{
	struct sockaddr_storage address;
	socklen_t length = internet(argv[0], argv[1], &address);
	int fd = (int)must("socket", socket(AF_INET, SOCK_DGRAM, 0));
	must("sendto", sendto(fd, WORD "\n", sizeof(WORD), 0, (void *)&address, length));
	return listen_to(fd);
}

/* A foreign socket is the whole network of its namespace: it is connected anew. */
static int redial(char **argv)
{
	struct sockaddr none = { .sa_family = AF_UNSPEC };
	int fd = atoi(argv[0]);
	connect(fd, &none, sizeof(none));
	return ask(fd, argv + 1);
}

static int unix_to(const char *path, int is_abstract)
{
	struct sockaddr_un to = { .sun_family = AF_UNIX };
	int fd = (int)must("socket", socket(AF_UNIX, SOCK_STREAM, 0));
	strncpy(to.sun_path + is_abstract, path, sizeof(to.sun_path) - 2);
	must("connect", connect(fd, (void *)&to, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + is_abstract + strlen(path) + !is_abstract)));
	return listen_to(fd);
}

static int unix_path(char **argv) { return unix_to(argv[0], 0); }
static int abstract(char **argv) { return unix_to(argv[0], 1); }

static int serve(const char *path, int is_abstract)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	int fd = (int)must("socket", socket(AF_UNIX, SOCK_STREAM, 0)), client;
	strncpy(at.sun_path + is_abstract, path, sizeof(at.sun_path) - 2);
	must("bind", bind(fd, (void *)&at, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + is_abstract + strlen(path) + !is_abstract)));
	must("listen", listen(fd, 8));
	while ((client = accept(fd, NULL, NULL)) >= 0) {
		write(client, WORD "\n", sizeof(WORD));
		close(client);
	}
	return 1;
}

static int host_unix(char **argv) { return serve(argv[0], 0); }
static int host_abstract(char **argv) { return serve(argv[0], 1); }

/* A frame on the first link but lo goes out below the hooks of `inet` tables. */
static int packet(char **argv)
{
	(void)argv;
	struct if_nameindex *links = if_nameindex();
	int fd = (int)must("socket", socket(AF_PACKET, SOCK_DGRAM, htons(0x88b5)));
	for (struct if_nameindex *link = links; link && link->if_index; link++) {
		struct sockaddr_ll to = { .sll_family = AF_PACKET, .sll_protocol = htons(0x88b5), .sll_halen = 6, .sll_addr = { 255, 255, 255, 255, 255, 255 } };
		to.sll_ifindex = (int)link->if_index;
		if (strcmp(link->if_name, "lo") && sendto(fd, WORD, sizeof(WORD), 0, (void *)&to, sizeof(to)) > 0)
			return arrived();
	}
	errno = ENODEV;
	fail("no link");
}

static int vsock_bind(unsigned port)
{
	struct sockaddr_vm_ at = { .family = 40, .port = port, .cid = 0xffffffff };
	return bind((int)must("socket", socket(40, SOCK_STREAM, 0)), (void *)&at, sizeof(at));
}

/* One table of ports for the whole machine, so the hypervisor is reached from everywhere. Never connects. */
static int vsock(char **argv)
{
	if (vsock_bind((unsigned)atoi(argv[0])) < 0 && errno == EADDRINUSE)
		return arrived();
	fail("the port is not taken");
}

static int host_vsock(char **argv)
{
	must("bind", vsock_bind((unsigned)atoi(argv[0])));
	pause();
	return 0;
}

static int uevent(char **argv)
{
	struct sockaddr_nl at = { .nl_family = AF_NETLINK, .nl_groups = 1 };
	int fd = (int)must("socket", socket(AF_NETLINK, SOCK_RAW, NETLINK_KOBJECT_UEVENT));
	char text[4096];
	(void)argv;
	must("bind", bind(fd, (void *)&at, sizeof(at)));
	for (struct pollfd wait = { .fd = fd, .events = POLLIN }; poll(&wait, 1, 5000) > 0;) {
		ssize_t length = read(fd, text, sizeof(text) - 1);
		text[length > 0 ? length : 0] = 0;
		if (strstr(text, "/devices/virtual/mem/null"))
			return arrived();
	}
	errno = ETIMEDOUT;
	fail("nothing is heard");
}

static int shm(char **argv)
{
	int id = (int)must("shmget", shmget((key_t)atoi(argv[0]), 4096, 0600));
	puts(shmat(id, NULL, SHM_RDONLY));
	return 0;
}

static int host_shm(char **argv)
{
	int id = (int)must("shmget", shmget((key_t)atoi(argv[0]), 4096, IPC_CREAT | 0600));
	strcpy(shmat(id, NULL, 0), WORD);
	pause();
	return 0;
}

static int trace(char **argv)
{
	pid_t pid = atoi(argv[0]);
	must("ptrace", ptrace(PTRACE_SEIZE, pid, NULL, NULL));
	return arrived();
}

/* A socket of another process: the whole network of that process. */
static int take_fd(char **argv)
{
	int process = (int)must("pidfd_open", syscall(SYS_pidfd_open, atoi(argv[0]), 0));
	int fd = (int)must("pidfd_getfd", syscall(SYS_pidfd_getfd, process, atoi(argv[1]), 0));
	struct sockaddr none = { .sa_family = AF_UNSPEC };
	connect(fd, &none, sizeof(none));
	return ask(fd, argv + 2);
}

static int enter(char **argv)
{
	must("setns", setns((int)must("open", open(argv[0], O_RDONLY)), CLONE_NEWNET));
	return tcp(argv + 1);
}

/* With CAP_NET_ADMIN a socket gives away its namespace, in which links can then be made. */
static int namespace_of(char **argv)
{
	struct stat its, ours;
	must("fstat", fstat((int)must("SIOCGSKNS", ioctl(atoi(argv[0]), SIOCGSKNS_)), &its));
	must("stat", stat("/proc/self/ns/net", &ours));
	return its.st_ino == ours.st_ino ? 1 : arrived();
}

static int below(char **argv)
{
	char text[64] = { 0 };
	int fd = (int)must("openat", openat(atoi(argv[0]), argv[1], O_RDONLY));
	must("read", read(fd, text, sizeof(text) - 1));
	fputs(text, stdout);
	return 0;
}

struct handle {
	struct file_handle head;
	unsigned char bytes[128];
};

static int host_handle(char **argv)
{
	struct handle handle = { .head.handle_bytes = sizeof(handle.bytes) };
	int mount;
	must("name_to_handle_at", name_to_handle_at(AT_FDCWD, argv[0], &handle.head, &mount, AT_SYMLINK_FOLLOW));
	printf("%d ", handle.head.handle_type);
	for (unsigned i = 0; i < handle.head.handle_bytes; i++)
		printf("%02x", handle.head.f_handle[i]);
	puts("");
	return 0;
}

/* handle AT TYPE HEX [IP PORT]: AT is on the same file system; IP and PORT for a network namespace. */
static int handle(char **argv)
{
	struct handle handle = { .head.handle_type = atoi(argv[1]) };
	char text[64] = { 0 };
	for (const char *hex = argv[2]; *hex; hex += 2)
		sscanf(hex, "%2hhx", &handle.head.f_handle[handle.head.handle_bytes++]);
	int at = (int)must("open", open(argv[0], O_RDONLY));
	int fd = (int)must("open_by_handle_at", open_by_handle_at(at, &handle.head, O_RDONLY));
	if (argv[3]) {
		must("setns", setns(fd, CLONE_NEWNET));
		return tcp(argv + 3);
	}
	must("read", read(fd, text, sizeof(text) - 1));
	fputs(text, stdout);
	return 0;
}

static struct {
	struct nlmsghdr head;
	char rest[1024];
} request;

static struct rtattr *add(unsigned short type, const void *data, size_t length)
{
	struct rtattr *attribute = (void *)((char *)&request + NLMSG_ALIGN(request.head.nlmsg_len));
	attribute->rta_type = type;
	attribute->rta_len = (unsigned short)RTA_LENGTH(length);
	if (length)
		memcpy(RTA_DATA(attribute), data, length);
	request.head.nlmsg_len = NLMSG_ALIGN(request.head.nlmsg_len) + RTA_ALIGN(attribute->rta_len);
	return attribute;
}

static void rtnetlink(const char *what)
{
	int fd = (int)must("socket", socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE));
	struct {
		struct nlmsghdr head;
		struct nlmsgerr error;
		char rest[1024];
	} answer;
	must("send", send(fd, &request, request.head.nlmsg_len, 0));
	must("recv", recv(fd, &answer, sizeof(answer), 0));
	errno = -answer.error.error;
	if (answer.head.nlmsg_type != NLMSG_ERROR || answer.error.error)
		fail(what);
}

/* macvlan PID|nsid LINK: a link of ours on a link of the namespace of that process, or that is known by that id. */
static int macvlan(char **argv)
{
	int32_t nsid = 77, pid = atoi(argv[0]), link = atoi(argv[1]);
	if (pid) {
		struct rtgenmsg *body = NLMSG_DATA(&request.head);
		request.head = (struct nlmsghdr){ NLMSG_LENGTH(sizeof(*body)), RTM_NEWNSID, NLM_F_REQUEST | NLM_F_ACK, 1, 0 };
		add(NETNSA_PID, &pid, 4);
		add(NETNSA_NSID, &nsid, 4);
		rtnetlink("RTM_NEWNSID");
	} else {
		nsid = 0;
	}
	memset(&request, 0, sizeof(request));
	request.head = (struct nlmsghdr){ NLMSG_LENGTH(sizeof(struct ifinfomsg)), RTM_NEWLINK,
					  NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL, 2, 0 };
	add(IFLA_LINK, &link, 4);
	add(IFLA_LINK_NETNSID, &nsid, 4);
	struct rtattr *info = add(IFLA_LINKINFO, NULL, 0);
	add(IFLA_INFO_KIND, "macvlan", 7);
	info->rta_len = (unsigned short)((char *)&request + request.head.nlmsg_len - (char *)info);
	rtnetlink("RTM_NEWLINK");
	return arrived();
}

static int kernel_log(char **argv)
{
	static char text[8192];
	(void)argv;
	if (must("syslog", klogctl(3, text, sizeof(text))) > 0)
		return arrived();
	return 1;
}

/* Opens for writing what a container must not write, and writes nothing. */
static int writable(char **argv)
{
	must("open", open(argv[0], O_WRONLY));
	return arrived();
}

static int disk(char **argv)
{
	must("mknod", mknod("/tmp/disk", S_IFBLK | 0600, makedev(atoi(argv[0]), atoi(argv[1]))));
	must("open", open("/tmp/disk", O_RDONLY));
	return arrived();
}

static int bpf(char **argv)
{
	struct { uint32_t start, next, flags; } attr = { 0 };
	(void)argv;
	/* BPF_PROG_GET_NEXT_ID: programs of the whole machine. ENOENT: there is none, but we were let in. */
	if (syscall(SYS_bpf, 11, &attr, sizeof(attr)) < 0 && errno != ENOENT)
		fail("bpf");
	return arrived();
}

static int upcall(char **argv)
{
	char text[64] = { 0 };
	(void)argv;
	long key = must("request_key", syscall(SYS_request_key, "user", "airtight", "callout", -2L));
	must("keyctl", syscall(SYS_keyctl, 11L, key, text, sizeof(text) - 1));
	puts(text);
	return 0;
}

static int crash(char **argv)
{
	(void)argv;
	abort();
}

/* The agent of SCMP_ACT_NOTIFY: for the container's socket() it hands in a socket of its own network. */
static int host_agent(char **argv)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	int listener = (int)must("socket", socket(AF_UNIX, SOCK_STREAM, 0));
	strncpy(at.sun_path, argv[0], sizeof(at.sun_path) - 1);
	must("bind", bind(listener, (void *)&at, sizeof(at)));
	must("listen", listen(listener, 1));
	char text[65536], control[CMSG_SPACE(64)];
	struct iovec part = { text, sizeof(text) };
	struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control) };
	must("recvmsg", recvmsg((int)must("accept", accept(listener, NULL, NULL)), &message, 0));
	int notify = *(int *)CMSG_DATA(CMSG_FIRSTHDR(&message));
	for (;;) {
		struct seccomp_notif asked = { 0 };
		if (ioctl(notify, SECCOMP_IOCTL_NOTIF_RECV, &asked) < 0)
			return 0;
		struct seccomp_notif_addfd given = { .id = asked.id, .flags = SECCOMP_ADDFD_FLAG_SEND };
		given.srcfd = (uint32_t)socket(AF_INET, SOCK_STREAM, 0);
		ioctl(notify, SECCOMP_IOCTL_NOTIF_ADDFD, &given);
		close((int)given.srcfd);
	}
}

/* host-with KIND FD COMMAND...: the command inherits a descriptor. */
static int host_with(char **argv)
{
	int fd = (int)must("open", !strcmp(argv[0], "tcp") ? socket(AF_INET, SOCK_STREAM, 0) : open(argv[0], O_RDONLY));
	int wanted = atoi(argv[1]);
	if (fd != wanted) {
		dup2(fd, wanted);
		close(fd);
	}
	char number[16];
	snprintf(number, sizeof(number), "%d", getpid());
	setenv("LISTEN_PID", number, 1);
	execvp(argv[2], argv + 2);
	fail(argv[2]);
}

/* A process without capabilities that has a socket on descriptor 9. */
static int host_victim(char **argv)
{
	(void)argv;
	dup2((int)must("socket", socket(AF_INET, SOCK_STREAM, 0)), 9);
	return pause();
}

static const struct {
	const char *name;
	int (*go)(char **argv);
} WAYS[] = {
	{ "tcp", tcp }, { "udp", udp }, { "redial", redial }, { "unix", unix_path }, { "abstract", abstract },
	{ "packet", packet }, { "vsock", vsock }, { "uevent", uevent }, { "shm", shm }, { "trace", trace },
	{ "take-fd", take_fd }, { "enter", enter }, { "namespace-of", namespace_of }, { "below", below },
	{ "handle", handle }, { "macvlan", macvlan }, { "kernel-log", kernel_log }, { "writable", writable },
	{ "disk", disk }, { "bpf", bpf }, { "upcall", upcall }, { "crash", crash },
	{ "host-unix", host_unix }, { "host-abstract", host_abstract }, { "host-vsock", host_vsock },
	{ "host-shm", host_shm }, { "host-handle", host_handle }, { "host-agent", host_agent },
	{ "host-with", host_with }, { "host-victim", host_victim },
};

int main(int argc, char **argv)
{
	(void)argc;
	setvbuf(stdout, NULL, _IONBF, 0);
	for (size_t i = 0; argv[1] && i < sizeof(WAYS) / sizeof(*WAYS); i++)
		if (!strcmp(argv[1], WAYS[i].name))
			return WAYS[i].go(argv + 2);
	puts("there is no such way");
	return 2;
}
