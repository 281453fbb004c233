# What a container that serves may try: to start a connection from the port that it serves, to send from another, and to
# send with an address that is not its own, to a peer as to others. One line for each attempt: what the kernel said.
import socket, struct

IPV6_FREEBIND = 78
IPV4, IPV6 = socket.AF_INET, socket.AF_INET6
SPOOFED4, PEER4 = "10.44.0.66", "10.44.0.9"
SPOOFED6, PEER6, OUTSIDE6 = "fd44::66", "fd44::9", "2001:db8:a::7"


def attempt(name, send):
    try:
        send()
        print(name, "went out")
    except OSError as error:
        print(name, error.strerror or error)


def served():
    with socket.socket(IPV4, socket.SOCK_STREAM) as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        s.settimeout(3)
        s.bind(("", 8080))
        s.connect(("203.0.113.7", 80))


def other():
    with socket.socket(IPV4, socket.SOCK_DGRAM) as s:
        s.bind(("", 9001))
        s.sendto(b"x", ("203.0.113.7", 7))


def spoofed4():
    """A whole packet: without a capability IPv4 binds no address that is not the host's."""
    addresses = socket.inet_aton(SPOOFED4) + socket.inet_aton(PEER4)
    packet = struct.pack(">BBHHHBBH", 0x45, 0, 28, 0, 0, 64, 17, 0) + addresses + struct.pack(">HHHH", 9, 9, 8, 0)
    with socket.socket(IPV4, socket.SOCK_RAW, socket.IPPROTO_RAW) as s:
        s.sendto(packet, (PEER4, 0))


def spoofed6(to):
    with socket.socket(IPV6, socket.SOCK_DGRAM) as s:
        s.setsockopt(socket.IPPROTO_IPV6, IPV6_FREEBIND, 1)
        s.bind((SPOOFED6, 9001))
        s.sendto(b"x", (to, 9))


attempt("tcp from 8080:", served)
attempt("udp from 9001:", other)
attempt("spoofed IPv4 to a peer:", spoofed4)
attempt("spoofed IPv6 to a peer:", lambda: spoofed6(PEER6))
attempt("spoofed IPv6 outward:", lambda: spoofed6(OUTSIDE6))
