/*
 * Ways to make the kernel send: each is gone once, and each has addresses of its own by which its frames are told.
 *     sending NAME...    goes these ways; all of them without a name
 *     sending --list     prints for each its name, where it goes and what its frames have in them
 *     sending --to IP    sends a datagram there
 * Prints a line for each: its name and "done", or the step that failed and why. Ends with "end".
 *
 * The way with number N sends to 10.77.1.N or fd77::1:N on its own link, to 203.0.113.N or 2001:db8:a::1:N beyond the
 * gateway, to the groups 239.1.1.N and ff05::1:N. Static, for images without a C library.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/dccp.h>
#include <linux/errqueue.h>
#include <linux/filter.h>
#include <linux/if_packet.h>
#include <linux/in6.h>
#include <linux/neighbour.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netinet/icmp6.h>
#include <netinet/ip.h>
#include <netinet/ip_icmp.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define LINK "eth0"
#define OPEN_PORT 8080
#define IPPROTO_MPTCP_ 262
#define TCP_FASTOPEN_CONNECT_ 30
#define TCP_MD5SIG_ 14
#define UDP_SEGMENT_ 103
#define UDP_CORK_ 1
#define SOL_UDPLITE_ 136

struct group_req_ { uint32_t interface; struct sockaddr_storage group; };
struct group_source_req_ { uint32_t interface; struct sockaddr_storage group, source; };

/* What is used of linux/in6.h's flow labels. */
struct flowlabel { struct in6_addr dst; uint32_t label; uint8_t action, share; uint16_t flags, expires, linger; uint32_t pad; };

/* The step that failed. */
static const char *step;

#define TRY(what, call) do { step = what; if ((call) < 0) return -1; } while (0)

union address { struct sockaddr any; struct sockaddr_in v4; struct sockaddr_in6 v6; struct sockaddr_storage room; };

static socklen_t to(union address *address, const char *ip, int port)
{
	memset(address, 0, sizeof(*address));
	if (strchr(ip, ':')) {
		address->v6.sin6_family = AF_INET6;
		address->v6.sin6_port = htons((uint16_t)port);
		inet_pton(AF_INET6, ip, &address->v6.sin6_addr);
		if (!strncmp(ip, "fe80", 4) || !strncmp(ip, "ff02", 4))
			address->v6.sin6_scope_id = if_nametoindex(LINK);
		return sizeof(address->v6);
	}
	address->v4.sin_family = AF_INET;
	address->v4.sin_port = htons((uint16_t)port);
	inet_pton(AF_INET, ip, &address->v4.sin_addr);
	return sizeof(address->v4);
}

static int family_of(const char *ip) { return strchr(ip, ':') ? AF_INET6 : AF_INET; }

static int datagram(const char *ip) { return socket(family_of(ip), SOCK_DGRAM | SOCK_CLOEXEC, 0); }

static int on(int fd, int level, int name, int value) { return setsockopt(fd, level, name, &value, sizeof(value)); }

static const char WORD[] = "word";

static int send_on(int fd, const char *ip, int port, int flags)
{
	union address address;
	socklen_t length = to(&address, ip, port);
	TRY("sendto", sendto(fd, WORD, sizeof(WORD), flags, &address.any, length));
	return 0;
}

static int udp(const char *ip, int n)
{
	int fd;
	(void)n;
	TRY("socket", fd = datagram(ip));
	return send_on(fd, ip, 9, 0);
}

/* A connection is begun and not waited for. */
static int begin(int fd, const char *ip, int port)
{
	union address address;
	socklen_t length = to(&address, ip, port);
	step = "connect";
	return connect(fd, &address.any, length) < 0 && errno != EINPROGRESS ? -1 : 0;
}

static int stream(const char *ip, int type, int protocol)
{
	int fd;
	TRY("socket", fd = socket(family_of(ip), type | SOCK_NONBLOCK | SOCK_CLOEXEC, protocol));
	return begin(fd, ip, 80);
}

static int tcp(const char *ip, int n) { (void)n; return stream(ip, SOCK_STREAM, 0); }
static int mptcp(const char *ip, int n) { (void)n; return stream(ip, SOCK_STREAM, IPPROTO_MPTCP_); }
static int sctp(const char *ip, int n) { (void)n; return stream(ip, SOCK_STREAM, IPPROTO_SCTP); }

static int dccp(const char *ip, int n)
{
	int fd;
	(void)n;
	TRY("socket", fd = socket(family_of(ip), SOCK_DCCP | SOCK_NONBLOCK, IPPROTO_DCCP));
	TRY("service", on(fd, SOL_DCCP, DCCP_SOCKOPT_SERVICE, 1));
	return begin(fd, ip, 80);
}

static int udplite(const char *ip, int n)
{
	int fd;
	(void)n;
	TRY("socket", fd = socket(family_of(ip), SOCK_DGRAM, SOL_UDPLITE_));
	return send_on(fd, ip, 9, 0);
}

static int connected(const char *ip, int n)
{
	int fd;
	(void)n;
	TRY("socket", fd = datagram(ip));
	if (begin(fd, ip, 9))
		return -1;
	TRY("send", send(fd, WORD, sizeof(WORD), 0));
	return 0;
}

static int fast_open(const char *ip, int n)
{
	int fd;
	(void)n;
	TRY("socket", fd = socket(family_of(ip), SOCK_STREAM | SOCK_NONBLOCK, 0));
	int result = send_on(fd, ip, 80, MSG_FASTOPEN);
	return result < 0 && errno == EINPROGRESS ? 0 : result;
}

static int fast_open_connect(const char *ip, int n)
{
	int fd;
	(void)n;
	TRY("socket", fd = socket(family_of(ip), SOCK_STREAM | SOCK_NONBLOCK, 0));
	TRY("TCP_FASTOPEN_CONNECT", on(fd, IPPROTO_TCP, TCP_FASTOPEN_CONNECT_, 1));
	if (begin(fd, ip, 80))
		return -1;
	step = "send";
	return send(fd, WORD, sizeof(WORD), 0) < 0 && errno != EINPROGRESS ? -1 : 0;
}

static int from_port(const char *ip, int type, int port)
{
	union address own;
	int fd;
	TRY("socket", fd = socket(family_of(ip), type | SOCK_NONBLOCK, 0));
	TRY("SO_REUSEADDR", on(fd, SOL_SOCKET, SO_REUSEADDR, 1));
	TRY("SO_REUSEPORT", on(fd, SOL_SOCKET, SO_REUSEPORT, 1));
	TRY("bind", bind(fd, &own.any, to(&own, strchr(ip, ':') ? "::" : "0.0.0.0", port)));
	if (begin(fd, ip, 80))
		return -1;
	step = "send";
	return type == SOCK_DGRAM && send(fd, WORD, sizeof(WORD), 0) < 0 ? -1 : 0;
}

static int tcp_from_open_port(const char *ip, int n) { (void)n; return from_port(ip, SOCK_STREAM, OPEN_PORT); }
static int udp_from_open_port(const char *ip, int n) { (void)n; return from_port(ip, SOCK_DGRAM, OPEN_PORT); }

/* Both ends connect: the SYN of the one goes to the port that the other connects from. */
static int simultaneous(const char *ip, int n)
{
	union address own;
	int fd;
	(void)n;
	TRY("socket", fd = socket(family_of(ip), SOCK_STREAM | SOCK_NONBLOCK, 0));
	TRY("bind", bind(fd, &own.any, to(&own, "0.0.0.0", 7000)));
	return begin(fd, ip, 7000);
}

static int md5(const char *ip, int n)
{
	struct { struct sockaddr_storage to; uint8_t flags, prefix; uint16_t length; int index; uint8_t key[80]; } key = { 0 };
	int fd;
	(void)n;
	to((union address *)&key.to, ip, 80);
	key.length = 1;
	key.key[0] = 'k';
	TRY("socket", fd = socket(family_of(ip), SOCK_STREAM | SOCK_NONBLOCK, 0));
	TRY("TCP_MD5SIG", setsockopt(fd, IPPROTO_TCP, TCP_MD5SIG_, &key, sizeof(key)));
	return begin(fd, ip, 80);
}

static int with_option(const char *ip, int level, int name, int value, const char *what)
{
	int fd;
	TRY("socket", fd = datagram(ip));
	TRY(what, on(fd, level, name, value));
	return send_on(fd, ip, 9, 0);
}

static int broadcast(const char *ip, int n) { (void)n; return with_option(ip, SOL_SOCKET, SO_BROADCAST, 1, "SO_BROADCAST"); }
static int tos(const char *ip, int n) { (void)n; return with_option(ip, IPPROTO_IP, IP_TOS, 0xb8, "IP_TOS"); }
static int tclass(const char *ip, int n) { (void)n; return with_option(ip, IPPROTO_IPV6, IPV6_TCLASS, 0xb8, "IPV6_TCLASS"); }
static int priority(const char *ip, int n) { (void)n; return with_option(ip, SOL_SOCKET, SO_PRIORITY, 6, "SO_PRIORITY"); }
static int so_mark(const char *ip, int n) { (void)n; return with_option(ip, SOL_SOCKET, SO_MARK, 1, "SO_MARK"); }
static int ttl(const char *ip, int n) { (void)n; return with_option(ip, IPPROTO_IP, IP_TTL, 1, "IP_TTL"); }
static int hops(const char *ip, int n) { (void)n; return with_option(ip, IPPROTO_IPV6, IPV6_UNICAST_HOPS, 255, "IPV6_UNICAST_HOPS"); }
static int dontroute(const char *ip, int n) { (void)n; return with_option(ip, SOL_SOCKET, SO_DONTROUTE, 1, "SO_DONTROUTE"); }
static int no_check(const char *ip, int n) { (void)n; return with_option(ip, SOL_SOCKET, SO_NO_CHECK, 1, "SO_NO_CHECK"); }
static int autoflow(const char *ip, int n) { (void)n; return with_option(ip, IPPROTO_IPV6, 70 /* IPV6_AUTOFLOWLABEL */, 1, "IPV6_AUTOFLOWLABEL"); }

static int unicast_if(const char *ip, int n)
{
	(void)n;
	return with_option(ip, IPPROTO_IP, 50 /* IP_UNICAST_IF */, (int)htonl(if_nametoindex(LINK)), "IP_UNICAST_IF");
}

static int unicast_if6(const char *ip, int n)
{
	(void)n;
	return with_option(ip, IPPROTO_IPV6, 76 /* IPV6_UNICAST_IF */, (int)htonl(if_nametoindex(LINK)), "IPV6_UNICAST_IF");
}

static int multicast_if(const char *ip, int n)
{
	struct ip_mreqn request = { .imr_ifindex = (int)if_nametoindex(LINK) };
	int fd;
	(void)n;
	TRY("socket", fd = datagram(ip));
	TRY("IP_MULTICAST_IF", setsockopt(fd, IPPROTO_IP, IP_MULTICAST_IF, &request, sizeof(request)));
	return send_on(fd, ip, 9, 0);
}

static int multicast_if6(const char *ip, int n)
{
	(void)n;
	return with_option(ip, IPPROTO_IPV6, IPV6_MULTICAST_IF, (int)if_nametoindex(LINK), "IPV6_MULTICAST_IF");
}

static int bind_to_device(const char *ip, int n)
{
	int fd;
	(void)n;
	TRY("socket", fd = datagram(ip));
	TRY("SO_BINDTODEVICE", setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, LINK, sizeof(LINK)));
	return send_on(fd, ip, 9, 0);
}

static int with_flag(const char *ip, int flag)
{
	int fd;
	TRY("socket", fd = datagram(ip));
	return send_on(fd, ip, 9, flag);
}

static int msg_dontroute(const char *ip, int n) { (void)n; return with_flag(ip, MSG_DONTROUTE); }
static int msg_confirm(const char *ip, int n) { (void)n; return with_flag(ip, MSG_CONFIRM); }
static int msg_probe(const char *ip, int n) { (void)n; return with_flag(ip, MSG_PROXY); }

static int cork(const char *ip, int n)
{
	int fd;
	(void)n;
	TRY("socket", fd = datagram(ip));
	TRY("UDP_CORK", on(fd, IPPROTO_UDP, UDP_CORK_, 1));
	if (send_on(fd, ip, 9, 0) || send_on(fd, ip, 9, 0))
		return -1;
	TRY("uncork", on(fd, IPPROTO_UDP, UDP_CORK_, 0));
	return 0;
}

static int more(const char *ip, int n)
{
	int fd;
	(void)n;
	TRY("socket", fd = datagram(ip));
	return send_on(fd, ip, 9, MSG_MORE) || send_on(fd, ip, 9, 0) ? -1 : 0;
}

static int many(const char *ip, int n)
{
	union address address;
	socklen_t length = to(&address, ip, 9);
	struct iovec part = { (void *)WORD, sizeof(WORD) };
	struct mmsghdr both[2] = { 0 };
	int fd;
	(void)n;
	for (int i = 0; i < 2; i++)
		both[i].msg_hdr = (struct msghdr){ &address, length, &part, 1, NULL, 0, 0 };
	TRY("socket", fd = datagram(ip));
	TRY("sendmmsg", sendmmsg(fd, both, 2, 0));
	return 0;
}

static int file_out(const char *ip, int n)
{
	off_t at = 0;
	int fd, file;
	(void)n;
	TRY("open", file = open("/proc/self/exe", O_RDONLY));
	TRY("socket", fd = datagram(ip));
	if (begin(fd, ip, 9))
		return -1;
	TRY("sendfile", sendfile(fd, file, &at, 64));
	return 0;
}

static int spliced(const char *ip, int n)
{
	int fd, ends[2];
	(void)n;
	TRY("pipe", pipe(ends));
	TRY("write", write(ends[1], WORD, sizeof(WORD)));
	TRY("socket", fd = datagram(ip));
	if (begin(fd, ip, 9))
		return -1;
	TRY("splice", splice(ends[0], NULL, fd, NULL, sizeof(WORD), 0));
	return 0;
}

static int zero_copy(const char *ip, int n)
{
	int fd;
	(void)n;
	TRY("socket", fd = datagram(ip));
	TRY("SO_ZEROCOPY", on(fd, SOL_SOCKET, SO_ZEROCOPY, 1));
	return send_on(fd, ip, 9, MSG_ZEROCOPY);
}

static int segmented(const char *ip, int n)
{
	static char large[4000];
	union address address;
	socklen_t length = to(&address, ip, 9);
	int fd;
	(void)n;
	TRY("socket", fd = datagram(ip));
	TRY("UDP_SEGMENT", on(fd, IPPROTO_UDP, UDP_SEGMENT_, 1000));
	TRY("sendto", sendto(fd, large, sizeof(large), 0, &address.any, length));
	return 0;
}

static int written(const char *ip, int n)
{
	int fd;
	(void)n;
	TRY("socket", fd = datagram(ip));
	if (begin(fd, ip, 9))
		return -1;
	struct iovec part = { (void *)WORD, sizeof(WORD) };
	TRY("writev", writev(fd, &part, 1));
	return 0;
}

static int fragments(const char *ip, int n)
{
	static char large[4000];
	union address address;
	socklen_t length = to(&address, ip, 9);
	int fd;
	(void)n;
	TRY("socket", fd = datagram(ip));
	if (!strchr(ip, ':'))
		TRY("IP_MTU_DISCOVER", on(fd, IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DONT));
	TRY("sendto", sendto(fd, large, sizeof(large), 0, &address.any, length));
	return 0;
}

static int probes_mtu(const char *ip, int n) { (void)n; return with_option(ip, IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_PROBE, "IP_MTU_DISCOVER"); }

static int options(const char *ip, const uint8_t *bytes, socklen_t length)
{
	int fd;
	TRY("socket", fd = datagram(ip));
	TRY("IP_OPTIONS", setsockopt(fd, IPPROTO_IP, IP_OPTIONS, bytes, length));
	return send_on(fd, ip, 9, 0);
}

/* RFC 791: the hops to go by are 203.0.113.N and what the packet is for. */
static int source_route(const char *ip, int n, uint8_t kind)
{
	const uint8_t bytes[] = { kind, 7, 4, 203, 0, 113, (uint8_t)n, 0 };
	return options(ip, bytes, sizeof(bytes));
}

static int lsrr(const char *ip, int n) { return source_route(ip, n, IPOPT_LSRR); }
static int ssrr(const char *ip, int n) { return source_route(ip, n, IPOPT_SSRR); }

static int record_route(const char *ip, int n)
{
	const uint8_t bytes[8] = { IPOPT_RR, 7, 4 };
	(void)n;
	return options(ip, bytes, sizeof(bytes));
}

static int timestamps(const char *ip, int n)
{
	const uint8_t bytes[8] = { IPOPT_TIMESTAMP, 8, 5, 0 };
	(void)n;
	return options(ip, bytes, sizeof(bytes));
}

static int router_alert(const char *ip, int n)
{
	const uint8_t bytes[4] = { IPOPT_RA, 4, 0, 0 };
	(void)n;
	return options(ip, bytes, sizeof(bytes));
}

static int from_foreign(const char *ip, int level, int name, const char *source, const char *what)
{
	union address own;
	int fd;
	TRY("socket", fd = datagram(ip));
	TRY(what, on(fd, level, name, 1));
	TRY("bind", bind(fd, &own.any, to(&own, source, 0)));
	return send_on(fd, ip, 9, 0);
}

static int freebind(const char *ip, int n) { (void)n; return from_foreign(ip, IPPROTO_IP, IP_FREEBIND, "10.77.9.9", "IP_FREEBIND"); }
static int freebind6(const char *ip, int n) { (void)n; return from_foreign(ip, IPPROTO_IPV6, 78 /* IPV6_FREEBIND */, "fd77::9:9", "IPV6_FREEBIND"); }
static int transparent(const char *ip, int n) { (void)n; return from_foreign(ip, IPPROTO_IP, IP_TRANSPARENT, "10.77.9.9", "IP_TRANSPARENT"); }
static int transparent6(const char *ip, int n) { (void)n; return from_foreign(ip, IPPROTO_IPV6, IPV6_TRANSPARENT, "fd77::9:9", "IPV6_TRANSPARENT"); }

static int with_message(const char *ip, int level, int type, const void *data, size_t size)
{
	union address address;
	socklen_t length = to(&address, ip, 9);
	struct iovec part = { (void *)WORD, sizeof(WORD) };
	union { struct cmsghdr head; char room[CMSG_SPACE(64)]; } control = { 0 };
	struct msghdr message = { &address, length, &part, 1, control.room, CMSG_SPACE(size), 0 };
	struct cmsghdr *head = CMSG_FIRSTHDR(&message);
	int fd;
	head->cmsg_level = level;
	head->cmsg_type = type;
	head->cmsg_len = CMSG_LEN(size);
	memcpy(CMSG_DATA(head), data, size);
	TRY("socket", fd = datagram(ip));
	TRY("sendmsg", sendmsg(fd, &message, 0));
	return 0;
}

static int packet_info(const char *ip, int n)
{
	struct in_pktinfo info = { .ipi_ifindex = (int)if_nametoindex(LINK) };
	(void)n;
	inet_pton(AF_INET, "10.77.0.2", &info.ipi_spec_dst);
	return with_message(ip, IPPROTO_IP, IP_PKTINFO, &info, sizeof(info));
}

static int packet_info6(const char *ip, int n)
{
	struct in6_pktinfo info = { .ipi6_ifindex = if_nametoindex(LINK) };
	(void)n;
	return with_message(ip, IPPROTO_IPV6, IPV6_PKTINFO, &info, sizeof(info));
}

static int ttl_message(const char *ip, int n) { (void)n; return with_message(ip, IPPROTO_IP, IP_TTL, &(int){ 3 }, sizeof(int)); }

static int lsrr_message(const char *ip, int n)
{
	const uint8_t bytes[] = { IPOPT_LSRR, 7, 4, 203, 0, 113, (uint8_t)n, 0 };
	return with_message(ip, IPPROTO_IP, IP_RETOPTS, bytes, sizeof(bytes));
}

/* RFC 6275, 6.4: the one type of a routing header that Linux takes without a setting. */
static int routing_header(const char *ip, int n)
{
	struct { uint8_t next, length, type, left; uint32_t zero; struct in6_addr hop; } header = { .length = 2, .type = 2, .left = 1 };
	char hop[64];
	snprintf(hop, sizeof(hop), "2001:db8:a::1:%x", n);
	inet_pton(AF_INET6, hop, &header.hop);
	return with_message(ip, IPPROTO_IPV6, IPV6_RTHDR, &header, sizeof(header));
}

/* RFC 8754, 2: by way of 2001:db8:a::1:N to what the packet is for. */
static int segments6(const char *ip, int n)
{
	struct { uint8_t next, length, type, left, last, flags; uint16_t tag; struct in6_addr segments[2]; } header = {
		.length = 4, .type = 4, .left = 1, .last = 1,
	};
	char hop[64];
	int fd;
	snprintf(hop, sizeof(hop), "2001:db8:a::1:%x", n);
	inet_pton(AF_INET6, ip, &header.segments[0]);
	inet_pton(AF_INET6, hop, &header.segments[1]);
	TRY("socket", fd = datagram(ip));
	TRY("IPV6_RTHDR", setsockopt(fd, IPPROTO_IPV6, IPV6_RTHDR, &header, sizeof(header)));
	return send_on(fd, ip, 9, 0);
}

static int hop_options(const char *ip, int n)
{
	const uint8_t bytes[8] = { 0, 0, 1, 4, 0, 0, 0, 0 };
	(void)n;
	return with_message(ip, IPPROTO_IPV6, IPV6_HOPOPTS, bytes, sizeof(bytes));
}

static int destination_options(const char *ip, int n)
{
	const uint8_t bytes[8] = { 0, 0, 1, 4, 0, 0, 0, 0 };
	(void)n;
	return with_message(ip, IPPROTO_IPV6, IPV6_DSTOPTS, bytes, sizeof(bytes));
}

static int flow_label(const char *ip, int n)
{
	struct flowlabel label = { .label = htonl(0x12345), .action = 0, .share = 255, .flags = 1, .linger = 0 };
	union address address;
	socklen_t length = to(&address, ip, 9);
	int fd;
	(void)n;
	label.dst = address.v6.sin6_addr;
	TRY("socket", fd = datagram(ip));
	TRY("IPV6_FLOWLABEL_MGR", setsockopt(fd, IPPROTO_IPV6, 32, &label, sizeof(label)));
	TRY("IPV6_FLOWINFO_SEND", on(fd, IPPROTO_IPV6, 33, 1));
	address.v6.sin6_flowinfo = htonl(0x12345);
	TRY("sendto", sendto(fd, WORD, sizeof(WORD), 0, &address.any, length));
	return 0;
}

static int mapped(const char *ip, int n)
{
	char text[64];
	(void)n;
	snprintf(text, sizeof(text), "::ffff:%s", ip);
	return udp(text, 0);
}

/* Groups: the sockets stay open, for a group that is left again is a frame more. */
static int join(const char *ip, int n)
{
	struct group_req_ request = { .interface = if_nametoindex(LINK) };
	int v6 = family_of(ip) == AF_INET6, fd;
	(void)n;
	to((union address *)&request.group, ip, 0);
	TRY("socket", fd = datagram(ip));
	TRY("MCAST_JOIN_GROUP", setsockopt(fd, v6 ? IPPROTO_IPV6 : IPPROTO_IP, MCAST_JOIN_GROUP, &request, sizeof(request)));
	return 0;
}

static int join_old(const char *ip, int n)
{
	struct ip_mreqn request = { .imr_ifindex = (int)if_nametoindex(LINK) };
	int fd;
	(void)n;
	inet_pton(AF_INET, ip, &request.imr_multiaddr);
	TRY("socket", fd = datagram(ip));
	TRY("IP_ADD_MEMBERSHIP", setsockopt(fd, IPPROTO_IP, IP_ADD_MEMBERSHIP, &request, sizeof(request)));
	return 0;
}

static int join_old6(const char *ip, int n)
{
	struct ipv6_mreq request = { .ipv6mr_interface = if_nametoindex(LINK) };
	int fd;
	(void)n;
	inet_pton(AF_INET6, ip, &request.ipv6mr_multiaddr);
	TRY("socket", fd = datagram(ip));
	TRY("IPV6_ADD_MEMBERSHIP", setsockopt(fd, IPPROTO_IPV6, IPV6_ADD_MEMBERSHIP, &request, sizeof(request)));
	return 0;
}

static int join_source(const char *ip, int n)
{
	struct group_source_req_ request = { .interface = if_nametoindex(LINK) };
	int v6 = family_of(ip) == AF_INET6, fd;
	(void)n;
	to((union address *)&request.group, ip, 0);
	to((union address *)&request.source, v6 ? "fd77::5" : "10.77.0.5", 0);
	TRY("socket", fd = datagram(ip));
	TRY("MCAST_JOIN_SOURCE_GROUP", setsockopt(fd, v6 ? IPPROTO_IPV6 : IPPROTO_IP, MCAST_JOIN_SOURCE_GROUP, &request, sizeof(request)));
	return 0;
}

static int join_and_leave(const char *ip, int n)
{
	struct group_req_ request = { .interface = if_nametoindex(LINK) };
	int level = family_of(ip) == AF_INET6 ? IPPROTO_IPV6 : IPPROTO_IP, fd;
	(void)n;
	to((union address *)&request.group, ip, 0);
	TRY("socket", fd = datagram(ip));
	TRY("MCAST_JOIN_GROUP", setsockopt(fd, level, MCAST_JOIN_GROUP, &request, sizeof(request)));
	TRY("MCAST_LEAVE_GROUP", setsockopt(fd, level, MCAST_LEAVE_GROUP, &request, sizeof(request)));
	return 0;
}

/* Its solicited-node group is reported. */
static int anycast(const char *ip, int n)
{
	struct ipv6_mreq request = { .ipv6mr_interface = if_nametoindex(LINK) };
	int fd;
	(void)n;
	inet_pton(AF_INET6, ip, &request.ipv6mr_multiaddr);
	TRY("socket", fd = datagram(ip));
	TRY("IPV6_JOIN_ANYCAST", setsockopt(fd, IPPROTO_IPV6, IPV6_JOIN_ANYCAST, &request, sizeof(request)));
	return 0;
}

static int echo(const char *ip, int type)
{
	struct icmphdr v4 = { .type = ICMP_ECHO };
	struct icmp6_hdr v6 = { .icmp6_type = ICMP6_ECHO_REQUEST };
	union address address;
	socklen_t length = to(&address, ip, 0);
	int is6 = family_of(ip) == AF_INET6, fd;
	v4.checksum = htons((uint16_t)~(ICMP_ECHO << 8));
	TRY("socket", fd = socket(family_of(ip), type, is6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP));
	TRY("SO_BROADCAST", on(fd, SOL_SOCKET, SO_BROADCAST, 1));
	TRY("sendto", sendto(fd, is6 ? (void *)&v6 : (void *)&v4, 8, 0, &address.any, length));
	return 0;
}

static int ping(const char *ip, int n) { (void)n; return echo(ip, SOCK_DGRAM); }
static int raw_icmp(const char *ip, int n) { (void)n; return echo(ip, SOCK_RAW); }

static int raw_of(const char *ip, int protocol)
{
	static const uint8_t bytes[24] = { 0x16, 0 };
	union address address;
	socklen_t length = to(&address, ip, 0);
	int fd;
	TRY("socket", fd = socket(family_of(ip), SOCK_RAW, protocol));
	TRY("sendto", sendto(fd, bytes, sizeof(bytes), 0, &address.any, length));
	return 0;
}

static int raw_igmp(const char *ip, int n) { (void)n; return raw_of(ip, IPPROTO_IGMP); }
static int raw_gre(const char *ip, int n) { (void)n; return raw_of(ip, IPPROTO_GRE); }
static int raw_unknown(const char *ip, int n) { (void)n; return raw_of(ip, 253); }

/* A header of one's own, with another's source. */
static int raw_header(const char *ip, int n)
{
	struct { struct iphdr ip; char text[8]; } packet = { .ip = { .version = 4, .ihl = 5, .ttl = 9, .protocol = 253 } };
	union address address;
	socklen_t length = to(&address, ip, 0);
	int fd;
	(void)n;
	packet.ip.daddr = address.v4.sin_addr.s_addr;
	packet.ip.saddr = inet_addr("10.77.9.9");
	TRY("socket", fd = socket(AF_INET, SOCK_RAW, IPPROTO_RAW));
	TRY("sendto", sendto(fd, &packet, sizeof(packet), 0, &address.any, length));
	return 0;
}

static int router_solicitation(const char *ip, int n)
{
	const struct nd_router_solicit message = { .nd_rs_hdr = { .icmp6_type = ND_ROUTER_SOLICIT } };
	union address address;
	socklen_t length = to(&address, ip, 0);
	int fd;
	(void)n;
	TRY("socket", fd = socket(AF_INET6, SOCK_RAW, IPPROTO_ICMPV6));
	TRY("IPV6_MULTICAST_HOPS", on(fd, IPPROTO_IPV6, IPV6_MULTICAST_HOPS, 255));
	TRY("sendto", sendto(fd, &message, sizeof(message), 0, &address.any, length));
	return 0;
}

/* ARP, or an IPv4 packet, below the firewall. */
static int packet_socket(const char *ip, int n)
{
	struct sockaddr_ll link = { .sll_family = AF_PACKET, .sll_halen = 6, .sll_protocol = htons(ETH_P_IP) };
	struct { struct iphdr ip; char text[8]; } packet = { .ip = { .version = 4, .ihl = 5, .ttl = 9, .protocol = 253 } };
	int fd;
	(void)n;
	packet.ip.tot_len = htons(sizeof(packet));
	packet.ip.saddr = inet_addr("10.77.0.2");
	packet.ip.daddr = inet_addr(ip);
	link.sll_ifindex = (int)if_nametoindex(LINK);
	memset(link.sll_addr, 0xff, 6);
	TRY("socket", fd = socket(AF_PACKET, SOCK_DGRAM, 0));
	TRY("sendto", sendto(fd, &packet, sizeof(packet), 0, (void *)&link, sizeof(link)));
	return 0;
}

/* One message to rtnetlink about an address, with an attribute, and what the kernel says to it. */
static int route_message(uint16_t type, const void *body, size_t size, uint16_t attribute, const char *ip)
{
	struct { struct nlmsghdr head; char rest[128]; } message = { 0 };
	struct { struct nlmsghdr head; struct nlmsgerr error; char rest[1024]; } answer;
	union address address;
	int is6 = family_of(ip) == AF_INET6, fd;
	to(&address, ip, 0);
	memcpy(message.rest, body, size);
	struct rtattr *at = (void *)(message.rest + NLMSG_ALIGN(size));
	at->rta_type = attribute;
	at->rta_len = RTA_LENGTH(is6 ? 16 : 4);
	memcpy(RTA_DATA(at), is6 ? (void *)&address.v6.sin6_addr : (void *)&address.v4.sin_addr, is6 ? 16 : 4);
	message.head.nlmsg_len = NLMSG_LENGTH(NLMSG_ALIGN(size) + RTA_ALIGN(at->rta_len));
	message.head.nlmsg_type = type;
	message.head.nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | (type == RTM_GETNEIGH ? 0 : NLM_F_CREATE);
	TRY("socket", fd = socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE));
	TRY("send", send(fd, &message, message.head.nlmsg_len, 0));
	TRY("recv", recv(fd, &answer, sizeof(answer), 0));
	step = "netlink";
	errno = answer.head.nlmsg_type == NLMSG_ERROR ? -answer.error.error : 0;
	return errno ? -1 : 0;
}

static int neighbour(const char *ip, uint16_t type)
{
	struct ndmsg body = {
		.ndm_family = (uint8_t)family_of(ip), .ndm_ifindex = (int)if_nametoindex(LINK),
		.ndm_flags = type == RTM_GETNEIGH ? 0 : NTF_USE,
	};
	return route_message(type, &body, sizeof(body), NDA_DST, ip);
}

static int new_neighbour(const char *ip, int n) { (void)n; return neighbour(ip, RTM_NEWNEIGH); }
static int get_neighbour(const char *ip, int n) { (void)n; return neighbour(ip, RTM_GETNEIGH); }

/* Duplicate address detection asks for it. */
static int new_address(const char *ip, int n)
{
	struct ifaddrmsg body = { .ifa_family = AF_INET6, .ifa_prefixlen = 64, .ifa_index = if_nametoindex(LINK) };
	(void)n;
	return route_message(RTM_NEWADDR, &body, sizeof(body), IFA_LOCAL, ip);
}

/* Neighbours that are not known yet: the address itself is requested. */
static int twenty(const char *ip, int n)
{
	char text[64];
	int result = 0;
	(void)n;
	for (int i = 1; i <= 20; i++) {
		snprintf(text, sizeof(text), "%s%d", ip, i);
		result = udp(text, 0);
	}
	return result;
}

/* io_uring_setup(2) and io_uring_enter(2) with one IORING_OP_SEND take forty lines; that the ring is refused is enough. */
static int ring(const char *ip, int n)
{
	char parameters[120] = { 0 };
	int fd;
	(void)n;
	TRY("io_uring_setup", fd = (int)syscall(425, 2, parameters));
	return udp(ip, 0);
}

enum where { ON_LINK, BEYOND, GROUP, ON_LINK6, BEYOND6, GROUP6, AT };

struct way {
	const char *name;
	int (*go)(const char *ip, int n);
	enum where where;
	/* The address, where it is none of the way's own. */
	const char *at;
	/* What tcpdump shows of its frames, where that is not the address. */
	const char *shows;
};

/* The groups come first: the kernel reports some of them a moment later. */
static const struct way WAYS[] = {
	{ "igmp-join", join, GROUP, 0, 0 },
	{ "igmp-join-by-ip-add-membership", join_old, GROUP, 0, 0 },
	{ "igmp-join-source", join_source, GROUP, 0, 0 },
	{ "igmp-join-and-leave", join_and_leave, GROUP, 0, 0 },
	{ "mld-join", join, GROUP6, 0, 0 },
	{ "mld-join-by-ipv6-add-membership", join_old6, GROUP6, 0, 0 },
	{ "mld-join-source", join_source, GROUP6, 0, 0 },
	{ "mld-join-and-leave", join_and_leave, GROUP6, 0, 0 },
	{ "anycast-join", anycast, AT, "fd77::77:abcd", "ff02::1:ff77:abcd" },
	{ "new-address", new_address, AT, "fd77::78:bcde", "fd77::78:bcde" },
	{ "udp", udp, ON_LINK, 0, 0 },
	{ "udp-beyond-the-gateway", udp, BEYOND, 0, 0 },
	{ "udp6", udp, ON_LINK6, 0, 0 },
	{ "udp6-beyond-the-gateway", udp, BEYOND6, 0, 0 },
	{ "udp-connected", connected, BEYOND, 0, 0 },
	{ "udp6-connected", connected, BEYOND6, 0, 0 },
	{ "udp-writev", written, BEYOND, 0, 0 },
	{ "udp-to-a-mapped-address", mapped, BEYOND, 0, 0 },
	{ "udp-from-the-open-port", udp_from_open_port, BEYOND, 0, 0 },
	{ "udp6-from-the-open-port", udp_from_open_port, BEYOND6, 0, 0 },
	{ "tcp", tcp, ON_LINK, 0, 0 },
	{ "tcp-beyond-the-gateway", tcp, BEYOND, 0, 0 },
	{ "tcp6", tcp, ON_LINK6, 0, 0 },
	{ "tcp6-beyond-the-gateway", tcp, BEYOND6, 0, 0 },
	{ "tcp-from-the-open-port", tcp_from_open_port, BEYOND, 0, 0 },
	{ "tcp6-from-the-open-port", tcp_from_open_port, BEYOND6, 0, 0 },
	{ "tcp-simultaneous-open", simultaneous, ON_LINK, 0, 0 },
	{ "tcp-fast-open", fast_open, BEYOND, 0, 0 },
	{ "tcp-fast-open-connect", fast_open_connect, BEYOND, 0, 0 },
	{ "tcp-md5", md5, BEYOND, 0, 0 },
	{ "mptcp", mptcp, BEYOND, 0, 0 },
	{ "mptcp6", mptcp, BEYOND6, 0, 0 },
	{ "udp-lite", udplite, BEYOND, 0, 0 },
	{ "udp-lite6", udplite, BEYOND6, 0, 0 },
	{ "sctp", sctp, BEYOND, 0, 0 },
	{ "dccp", dccp, BEYOND, 0, 0 },
	{ "broadcast", broadcast, AT, "255.255.255.255", 0 },
	{ "broadcast-of-the-subnet", broadcast, AT, "10.77.255.255", "10.77.255.255.9" },
	{ "multicast", udp, GROUP, 0, 0 },
	{ "multicast6", udp, GROUP6, 0, 0 },
	{ "multicast-by-link", multicast_if, GROUP, 0, 0 },
	{ "multicast6-by-link", multicast_if6, GROUP6, 0, 0 },
	{ "all-hosts", udp, AT, "224.0.0.1", 0 },
	{ "all-nodes", udp, AT, "ff02::1", 0 },
	{ "mdns", udp, AT, "224.0.0.251", 0 },
	{ "link-local", udp, AT, "169.254.169.254", 0 },
	{ "link-local6", udp, AT, "fe80::77", 0 },
	{ "subnet-router-anycast", udp, AT, "fd77::", 0 },
	{ "ping", ping, BEYOND, 0, 0 },
	{ "ping6", ping, BEYOND6, 0, 0 },
	{ "ping-broadcast", ping, AT, "10.77.255.255", "10.77.255.255: ICMP" },
	{ "ping6-all-routers", ping, AT, "ff02::2", "ff02::2 & ICMP6, echo request" },
	{ "bind-to-device", bind_to_device, BEYOND, 0, 0 },
	{ "bind-to-device6", bind_to_device, BEYOND6, 0, 0 },
	{ "unicast-if", unicast_if, BEYOND, 0, 0 },
	{ "unicast-if6", unicast_if6, BEYOND6, 0, 0 },
	{ "packet-info", packet_info, BEYOND, 0, 0 },
	{ "packet-info6", packet_info6, BEYOND6, 0, 0 },
	{ "so-dontroute", dontroute, ON_LINK, 0, 0 },
	{ "msg-dontroute", msg_dontroute, ON_LINK, 0, 0 },
	{ "msg-confirm", msg_confirm, BEYOND, 0, 0 },
	{ "msg-probe", msg_probe, BEYOND, 0, 0 },
	{ "fragments", fragments, BEYOND, 0, 0 },
	{ "fragments6", fragments, BEYOND6, 0, 0 },
	{ "path-mtu-probe", probes_mtu, BEYOND, 0, 0 },
	{ "cork", cork, BEYOND, 0, 0 },
	{ "msg-more", more, BEYOND, 0, 0 },
	{ "sendmmsg", many, BEYOND, 0, 0 },
	{ "sendfile", file_out, BEYOND, 0, 0 },
	{ "splice", spliced, BEYOND, 0, 0 },
	{ "zero-copy", zero_copy, BEYOND, 0, 0 },
	{ "segments", segmented, BEYOND, 0, 0 },
	{ "no-checksum", no_check, BEYOND, 0, 0 },
	{ "tos", tos, BEYOND, 0, 0 },
	{ "traffic-class", tclass, BEYOND6, 0, 0 },
	{ "priority", priority, BEYOND, 0, 0 },
	{ "mark", so_mark, BEYOND, 0, 0 },
	{ "ttl", ttl, BEYOND, 0, 0 },
	{ "ttl-by-message", ttl_message, BEYOND, 0, 0 },
	{ "hop-limit", hops, ON_LINK6, 0, 0 },
	{ "loose-source-route", lsrr, BEYOND, 0, 0 },
	{ "strict-source-route", ssrr, BEYOND, 0, 0 },
	{ "source-route-by-message", lsrr_message, BEYOND, 0, 0 },
	{ "record-route", record_route, BEYOND, 0, 0 },
	{ "timestamps", timestamps, BEYOND, 0, 0 },
	{ "router-alert", router_alert, BEYOND, 0, 0 },
	{ "free-bind", freebind, BEYOND, 0, 0 },
	{ "free-bind6", freebind6, BEYOND6, 0, 0 },
	{ "transparent", transparent, BEYOND, 0, 0 },
	{ "transparent6", transparent6, BEYOND6, 0, 0 },
	{ "routing-header", routing_header, BEYOND6, 0, 0 },
	{ "segment-routing-header", segments6, BEYOND6, 0, 0 },
	{ "hop-by-hop-options", hop_options, BEYOND6, 0, 0 },
	{ "destination-options", destination_options, BEYOND6, 0, 0 },
	{ "flow-label", flow_label, BEYOND6, 0, 0 },
	{ "automatic-flow-label", autoflow, BEYOND6, 0, 0 },
	{ "raw-icmp", raw_icmp, BEYOND, 0, 0 },
	{ "raw-icmp6", raw_icmp, BEYOND6, 0, 0 },
	{ "raw-igmp", raw_igmp, BEYOND, 0, 0 },
	{ "raw-gre", raw_gre, BEYOND, 0, 0 },
	{ "raw-protocol-253", raw_unknown, BEYOND, 0, 0 },
	{ "raw6-protocol-253", raw_unknown, BEYOND6, 0, 0 },
	{ "raw-header", raw_header, BEYOND, 0, 0 },
	{ "router-solicitation", router_solicitation, AT, "ff02::2", "ff02::2 & router solicitation" },
	{ "packet-socket", packet_socket, BEYOND, 0, 0 },
	{ "io-uring", ring, BEYOND, 0, 0 },
	{ "neighbour-by-netlink", new_neighbour, AT, "10.77.3.1", "who-has 10.77.3.1" },
	{ "neighbour-by-netlink6", new_neighbour, AT, "fd77::3:1", "who has fd77::3:1" },
	{ "neighbour-asked-by-netlink", get_neighbour, AT, "10.77.3.2", 0 },
	{ "twenty-neighbours", twenty, AT, "10.77.2.", "who-has 10.77.2.20" },
	{ "twenty-neighbours6", twenty, AT, "fd77::2:", "who has fd77::2:20" },
	/* The harness sets which version of the protocol is spoken, and asks for these by name. */
	{ "igmp-1-join", join, GROUP, 0, 0 },
	{ "igmp-2-join", join, GROUP, 0, 0 },
	{ "mld-1-join", join, GROUP6, 0, 0 },
};

#define COUNT ((int)(sizeof(WAYS) / sizeof(WAYS[0])))

static const char *target(int at)
{
	static const char *const FORMATS[] = {
		"10.77.1.%d", "203.0.113.%d", "239.1.1.%d", "fd77::1:%x", "2001:db8:a::1:%x", "ff05::1:%x",
	};
	static char text[64];
	if (WAYS[at].where == AT)
		return WAYS[at].at;
	snprintf(text, sizeof(text), FORMATS[WAYS[at].where], at + 1);
	return text;
}

/* Reports of groups go out by a timer, which a group that is left again takes along. */
static void reported(void)
{
	for (int tries = 0; tries < 1000; tries++) {
		char line[256];
		int runs = 0;
		FILE *groups = fopen("/proc/net/igmp", "r");
		while (groups && fgets(line, sizeof(line), groups))
			runs |= strstr(line, " 1:") != NULL;
		if (groups)
			fclose(groups);
		if (!runs)
			return;
		poll(NULL, 0, 10);
	}
}

int main(int argc, char **argv)
{
	setvbuf(stdout, NULL, _IOLBF, 0);
	if (argc == 3 && !strcmp(argv[1], "--to"))
		return udp(argv[2], 0) ? perror(step), 1 : 0;
	for (int at = 0; at < COUNT; at++) {
		const struct way *way = &WAYS[at];
		int asked = argc == 1;
		if (argc > 1 && !strcmp(argv[1], "--list")) {
			printf("%s\t%s\t%s\n", way->name, target(at), way->shows ? way->shows : target(at));
			continue;
		}
		for (int i = 1; i < argc; i++)
			asked |= !strcmp(argv[i], way->name);
		if (!asked)
			continue;
		step = "?";
		if (way->go(target(at), at + 1) < 0)
			printf("%s\t%s: %s\n", way->name, step, strerror(errno));
		else
			printf("%s\tdone\n", way->name);
	}
	reported();
	puts("end");
	return 0;
}
