//! Namespaces that keep their links: ports that are answered, peers, and nothing else. A bridge with a gateway, the
//! container, a peer and another; behind the gateway an "internet".

use std::collections::BTreeSet;
use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, TcpListener, UdpSocket};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ipnet::IpNet;
use oci_isolate::nft::AllowList;
use oci_isolate::policy::{Ingress, Prefixes, Protocol};
use oci_isolate::seal::{
    Desired, Sealed, SocketOwner, defects, lock_down, netns_of, observe, peers, seal, set_peers, verify,
};
use oci_isolate::settings::{Firewall, Links};

use super::{Namespace, arrives, at_once, connect, ip};

pub(super) struct Net {
    pub(super) gateway: Namespace,
    pub(super) container: Namespace,
    pub(super) peer: Namespace,
    pub(super) other: Namespace,
    pub(super) internet: Namespace,
}

impl Net {
    /// Addresses end in 1 (gateway), 2 (container), 3 (peer), 4 (other); the internet is 10.88.0.2 and fd88::2.
    pub(super) fn new() -> Self {
        let net = Self {
            gateway: Namespace::new(),
            container: Namespace::new(),
            peer: Namespace::new(),
            other: Namespace::new(),
            internet: Namespace::new(),
        };
        for host in [&net.gateway, &net.container, &net.peer, &net.other, &net.internet] {
            host.sh("sysctl -qw net.ipv6.conf.default.accept_dad=0 net.ipv6.conf.all.accept_dad=0");
        }
        net.gateway.sh("sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
            ip link set lo up; ip link add br0 type bridge; ip link set br0 up
            ip addr add 10.77.0.1/24 dev br0; ip addr add fd77::1/64 dev br0 nodad");
        for (at, host) in [&net.container, &net.peer, &net.other].into_iter().enumerate() {
            net.attach(host, at + 2);
        }
        net.gateway.sh(&format!(
            "ip link add i0 type veth peer name eth0 netns {}; ip link set i0 up
             ip addr add 10.88.0.1/24 dev i0; ip addr add fd88::1/64 dev i0 nodad",
            net.internet.0
        ));
        net.internet.sh("ip link set lo up; ip link set eth0 up
            ip addr add 10.88.0.2/24 dev eth0; ip addr add fd88::2/64 dev eth0 nodad
            ip route add default via 10.88.0.1; ip -6 route add default via fd88::1");
        for host in [&net.gateway, &net.peer, &net.other, &net.internet] {
            host.sh("nft add table inet count
                nft 'add chain inet count in { type filter hook input priority 0; }'
                nft add rule inet count in iif lo accept
                nft add rule inet count in icmpv6 type '{ 133, 134, 135, 136, 143 }' accept
                nft add rule inet count in counter");
        }
        net
    }

    fn attach(&self, host: &Namespace, end: usize) {
        self.gateway.sh(&format!(
            "ip link add p{end} type veth peer name eth0 netns {}; ip link set p{end} up master br0",
            host.0
        ));
        host.sh(&format!(
            "ip link set lo up; ip link set eth0 up
             ip addr add 10.77.0.{end}/24 dev eth0; ip addr add fd77::{end}/64 dev eth0 nodad
             ip route add default via 10.77.0.1; ip -6 route add default via fd77::1"
        ));
    }

    pub(super) fn seal(&self, allow: &AllowList) -> Sealed {
        seal(self.container.open().as_fd(), &opened(allow)).unwrap()
    }

    fn set(&self, peers: &[&str]) -> anyhow::Result<()> {
        set_peers(self.container.open().as_fd(), &prefixes(peers), None, &BTreeSet::new()).map(drop)
    }
}

/// Closing it waits for a grace period, so it is up to the caller when.
#[test]
fn the_socket_that_changed_a_firewall_is_closed_by_the_caller() {
    let net = Net::new();
    net.seal(&to_peers(&["10.77.0.2/32", "10.77.0.3/32"]));
    // NETLINK_NETFILTER; one with port 0 is the kernel's.
    let is_ours = |line: &&str| matches!(line.split_whitespace().collect::<Vec<_>>()[..], [_, "12", port, ..] if port != "0");
    let list = || std::fs::read_to_string("/proc/thread-self/net/netlink").unwrap();
    let open = || net.container.within(list).lines().filter(is_ours).count();
    let changed =
        set_peers(net.container.open().as_fd(), &prefixes(&["10.77.0.2/32"]), None, &BTreeSet::new())
            .unwrap();
    assert_eq!(open(), 1);
    drop(changed);
    assert_eq!(open(), 0);
}

fn prefixes(text: &[&str]) -> Prefixes {
    text.iter().map(|prefix| prefix.parse().unwrap()).collect()
}

pub(super) fn opened(allow: &AllowList) -> Desired {
    Desired {
        addresses: vec![],
        firewall: Firewall::IfAvailable,
        links: Links::Down,
        allow_list: Some(allow.clone()),
        attempts: None,
    }
}

pub(super) fn to_peers(peers: &[&str]) -> AllowList {
    AllowList { peers: prefixes(peers), ..AllowList::default() }
}

pub(super) fn port(protocol: Protocol, port: u16, from: Option<&str>) -> AllowList {
    let from = from.map(|from| from.parse().unwrap());
    AllowList { ingress: vec![Ingress { protocol, first: port, last: port, from }], ..AllowList::default() }
}

pub(super) fn broken(container: &Namespace) -> Vec<String> {
    verify(container.open().as_fd()).unwrap().defects.iter().map(ToString::to_string).collect()
}

#[test]
fn an_open_port_is_answered_and_nothing_is_started_from_it() {
    let net = Net::new();
    let outside = net.internet.within(|| TcpListener::bind("[::]:80").unwrap());
    for to in ["10.88.0.2:80", "[fd88::2]:80"] {
        assert!(net.container.within(|| connect(to)).is_ok(), "{to} before the seal");
    }
    let sealed = net.seal(&port(Protocol::Tcp, 8080, None));
    let open = net.container.within(|| TcpListener::bind("[::]:8080").unwrap());
    let _closed = net.container.within(|| TcpListener::bind("[::]:8081").unwrap());
    assert_eq!(sealed.links_kept, ["eth0"]);
    assert_eq!(sealed.own, [ip("10.77.0.2"), ip("fd77::2")]);
    assert_eq!(sealed.gateways, [ip("10.77.0.1"), ip("fd77::1")]);
    assert!(sealed.links_removed.is_empty() && sealed.links_down.is_empty());
    assert_eq!(broken(&net.container), Vec::<String>::new());
    for (host, to) in [
        (&net.gateway, "10.77.0.2"),
        (&net.other, "[fd77::2]"),
        (&net.internet, "10.77.0.2"),
        (&net.internet, "[fd77::2]"),
    ] {
        let mut client = host.within(|| connect(&format!("{to}:8080"))).unwrap();
        let (mut server, _) = open.accept().unwrap();
        client.write_all(b"ping").unwrap();
        server.read_exact(&mut [0; 4]).unwrap();
        server.write_all(b"pong").unwrap();
        client.read_exact(&mut [0; 4]).unwrap();
        assert_eq!(host.within(|| connect(&format!("{to}:8081"))).unwrap_err(), ErrorKind::TimedOut);
    }
    let before: Vec<_> = [&net.gateway, &net.internet, &net.other].map(|host| host.counted()).into();
    for to in
        ["10.88.0.2:80", "[fd88::2]:80", "10.77.0.1:53", "[fd77::1]:53", "10.77.0.4:80", "10.77.0.255:80"]
    {
        let error = at_once(|| net.container.within(|| connect(to))).unwrap_err();
        assert_eq!(
            error,
            if to.contains("255") { ErrorKind::NetworkUnreachable } else { ErrorKind::ConnectionRefused },
            "{to}"
        );
    }
    drop(open);
    net.container.sh("for to in 10.88.0.2 fd88::2; do
        python3 -c 'import socket,sys
s=socket.socket(socket.AF_INET6 if \":\" in sys.argv[1] else socket.AF_INET)
s.setsockopt(socket.SOL_SOCKET,socket.SO_REUSEADDR,1); s.bind((\"\",8080)); s.settimeout(2)
try: s.connect((sys.argv[1],80)); sys.exit(1)
except ConnectionRefusedError: pass' $to
        done");
    let after: Vec<_> = [&net.gateway, &net.internet, &net.other].map(|host| host.counted()).into();
    assert_eq!(after, before, "not one packet");
    drop(outside);
}

#[test]
fn an_open_udp_port_answers_and_speaks_to_nobody_first() {
    let net = Net::new();
    let server = net.container.within(|| UdpSocket::bind("0.0.0.0:53").unwrap());
    let stranger = net.internet.within(|| UdpSocket::bind("0.0.0.0:9").unwrap());
    server.send_to(b"x", "10.88.0.2:9").unwrap();
    assert!(stranger.recv_from(&mut [0; 9]).is_ok(), "before the seal");
    drop(server);
    net.seal(&port(Protocol::Udp, 53, Some("10.88.0.0/24")));
    let server = net.container.within(|| UdpSocket::bind("0.0.0.0:53").unwrap());
    let client = net.internet.within(|| UdpSocket::bind("0.0.0.0:10").unwrap());
    client.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    client.send_to(b"question", "10.77.0.2:53").unwrap();
    server.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let (_, from) = server.recv_from(&mut [0; 9]).unwrap();
    server.send_to(b"answer", from).unwrap();
    client.recv_from(&mut [0; 9]).unwrap();
    // Its own port, its client's host, another port: no connection was made from there.
    for to in ["10.88.0.2:11", "10.77.0.4:9", "10.77.0.1:53"] {
        assert_eq!(server.send_to(b"x", to).unwrap_err().kind(), ErrorKind::PermissionDenied, "{to}");
    }
    assert!(!arrives(&net.other, "10.77.0.2:53", &server), "10.77.0.4 is not in the prefix");
}

#[test]
fn a_connection_made_over_lo_does_not_lead_out() {
    let attempt = r#"
import socket
IPV6_FREEBIND = 78
a = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM); a.setsockopt(socket.IPPROTO_IPV6, IPV6_FREEBIND, 1)
a.bind(('fd88::2', 5000))
b = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM); b.bind(('fd77::2', 8080))
a.sendto(b'x', ('fd77::2', 8080))
b.settimeout(2)
assert b.recvfrom(9)[1][0] == 'fd88::2'
try: b.sendto(b'out', ('fd88::2', 5000)); print('sent')
except PermissionError: print('refused')
"#;
    let net = Net::new();
    let outside = net.internet.within(|| UdpSocket::bind("[fd88::2]:5000").unwrap());
    outside.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
    net.seal(&port(Protocol::Udp, 8080, None));
    let script = format!("python3 -c \"{attempt}\"");
    assert_eq!(net.container.sh(&script), "refused\n");
    assert!(outside.recv_from(&mut [0; 9]).is_err());
    // The same table without the mark.
    net.container
        .sh("nft list table inet oci_isolate | sed '/ct mark set/d; s/ct mark 0x6f636969 //' > /tmp/$$
        nft delete table inet oci_isolate; nft -f /tmp/$$; rm /tmp/$$");
    assert_eq!(net.container.sh(&script), "sent\n");
    assert!(outside.recv_from(&mut [0; 9]).is_ok(), "the mark is what stops it");
}

#[test]
fn peers_reach_each_other_and_nobody_else() {
    let net = Net::new();
    // The prefix contains the gateway.
    net.seal(&to_peers(&["10.77.0.0/30", "fd77::3/128"]));
    let listeners = |host: &Namespace| host.within(|| TcpListener::bind("[::]:80").unwrap());
    let _all = [&net.container, &net.peer, &net.other, &net.gateway, &net.internet].map(listeners);
    for to in ["10.77.0.3:80", "[fd77::3]:80"] {
        assert!(net.container.within(|| connect(to)).is_ok(), "{to}");
    }
    for to in ["10.77.0.2:80", "[fd77::2]:80"] {
        assert!(net.peer.within(|| connect(to)).is_ok(), "{to}");
        assert!(net.container.within(|| connect(to)).is_ok(), "{to} itself");
        for host in [&net.other, &net.gateway, &net.internet] {
            assert_eq!(host.within(|| connect(to)).unwrap_err(), ErrorKind::TimedOut, "{to}");
        }
    }
    for (at, to) in [("10.77.0.2:9", "10.77.0.3:9"), ("[fd77::2]:9", "[fd77::3]:9")] {
        let here = net.container.within(|| UdpSocket::bind(at).unwrap());
        let there = net.peer.within(|| UdpSocket::bind(to).unwrap());
        for (from, at, to) in [(&here, to, &there), (&there, at, &here)] {
            to.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
            from.send_to(&[7; 4000], at).unwrap();
            assert_eq!(to.recv_from(&mut [0; 5000]).unwrap().0, 4000, "fragments");
        }
    }
    let before: Vec<_> = [&net.gateway, &net.internet, &net.other].map(|host| host.counted()).into();
    for to in [
        "10.77.0.4:80",
        "10.77.0.1:80",
        "10.88.0.2:80",
        "[fd77::4]:80",
        "[fd77::1]:80",
        "[fd88::2]:80",
        "169.254.169.254:80",
    ] {
        let error = at_once(|| net.container.within(|| connect(to))).unwrap_err();
        assert_eq!(error, ErrorKind::ConnectionRefused, "{to}");
    }
    let after: Vec<_> = [&net.gateway, &net.internet, &net.other].map(|host| host.counted()).into();
    assert_eq!(after, before, "not one packet");
    let error = seal(net.container.open().as_fd(), &opened(&to_peers(&["10.77.0.1/32"]))).unwrap_err();
    assert_eq!(
        error.to_string(),
        "cannot seal the network namespace: peer 10.77.0.1 is a gateway or an address of the host; leave it out"
    );
}

/// What a program can put into a packet without a capability, and the rule that stops it.
#[test]
fn spoofing_source_routes_broadcast_and_groups_get_nothing() {
    let net = Net::new();
    net.seal(&to_peers(&["10.77.0.3/32", "10.77.0.255/32", "fd77::3/128", "224.1.2.3/32"]));
    net.peer.sh("nft add table inet see
        nft 'add chain inet see f { type filter hook prerouting priority -400; }'
        nft add rule inet see f ip6 saddr fd99::9 counter
        nft add rule inet see f ip protocol udp ip hdrlength != 5 counter
        nft add rule inet see f ip6 nexthdr 43 counter
        nft add rule inet see f ip daddr 10.77.0.255 counter
        nft add rule inet see f ip saddr 10.77.0.2 ip daddr 224.0.0.0/4 counter");
    let script = r#"python3 - <<'P'
import socket
def send(family, to, *options, bind=None):
    s = socket.socket(family, socket.SOCK_DGRAM)
    for o in options: s.setsockopt(*o)
    if bind: s.bind(bind)
    try: s.sendto(b'x', to)
    except OSError as e: print(e.strerror)
    else: print('sent')
four, six = socket.AF_INET, socket.AF_INET6
send(six, ('fd77::3', 9), (41, 78, 1), bind=('fd99::9', 5000))
lsrr = bytes([131, 7, 4, 10, 77, 0, 3, 0])
send(four, ('10.88.0.2', 9), (0, 4, lsrr))
srh = bytes([0, 4, 4, 1, 1, 0, 0, 0]) + socket.inet_pton(six, 'fd88::2') + socket.inet_pton(six, 'fd77::3')
send(six, ('fd77::3', 9), (41, 57, srh))
send(four, ('10.77.0.255', 9), (socket.SOL_SOCKET, socket.SO_BROADCAST, 1))
s = socket.socket(four, socket.SOCK_DGRAM)
s.setsockopt(0, 35, socket.inet_aton('239.1.2.3') + socket.inet_aton('10.77.0.2'))
send(four, ('224.1.2.3', 9))
import time
time.sleep(1.5)  # A report of a group is sent within a second.
P"#;
    let see = |host: &Namespace| host.sh("nft list table inet see | grep -o 'packets [0-9]*'");
    let said = net.container.sh(script);
    assert_eq!(see(&net.peer), "packets 0\n".repeat(5), "{said}");
    assert!(!said.contains("sent"), "{said}");
    net.container.sh("nft delete table inet oci_isolate");
    net.container.sh(script);
    let open = see(&net.peer);
    assert!(!open.lines().any(|line| line == "packets 0"), "{open}");
}

/// Also past the raw sockets of others, dockerd's for example, to whom nothing that the container sends gets.
#[test]
fn errors_that_path_mtu_needs_get_through() {
    let peers = to_peers(&["10.88.0.2/32", "fd88::2/128"]);
    let both = AllowList { peers: peers.peers.clone(), ..port(Protocol::Tcp, 8080, None) };
    for allow in [port(Protocol::Tcp, 8080, None), peers, both] {
        let net = Net::new();
        net.gateway.sh("ip link set i0 mtu 1300; ip link set br0 mtu 1500");
        // It ends with its input, once it has read everything that has arrived by then.
        let foreign = "import select,socket,sys
a=socket.socket(socket.AF_INET,socket.SOCK_RAW,1); b=socket.socket(socket.AF_INET6,socket.SOCK_RAW,58)
print('x',flush=True)
ready=[]
while sys.stdin not in ready:
    ready=select.select([a,b,sys.stdin],[],[])[0]
    for s in a,b:
        try:
            while True:
                if s.recv(99,socket.MSG_DONTWAIT)[20 if s is a else 0] in (8,128): print('heard',flush=True)
        except BlockingIOError: pass";
        let mut foreign = super::python(&net.container, foreign);
        assert_eq!(net.seal(&allow).foreign_blocked.len(), 2);
        let listener = net.container.within(|| TcpListener::bind("[::]:8080").unwrap());
        for to in ["10.77.0.2:8080", "[fd77::2]:8080"] {
            let mut client = net.internet.within(|| connect(to)).unwrap();
            client.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
            let (mut server, _) = listener.accept().unwrap();
            let sent = std::thread::spawn(move || server.write_all(&vec![7; 200_000]));
            let mut got = vec![0; 200_000];
            client.read_exact(&mut got).unwrap();
            sent.join().unwrap().unwrap();
        }
        let cached = net.container.sh("ip route get 10.88.0.2; ip -6 route get fd88::2");
        assert_eq!(cached.matches("mtu 1300").count(), 2, "the errors were needed: {cached}");
        net.container.sh(&format!(
            "sysctl -qw net.ipv4.ping_group_range='0 2147483647'
            {ECHO}
            nft delete table inet oci_isolate
            {ECHO}"
        ));
        drop(foreign.0.stdin.take());
        let mut heard = String::new();
        foreign.0.stdout.take().unwrap().read_to_string(&mut heard).unwrap();
        assert_eq!(heard, "\nheard\nheard\n", "only once the table was gone");
    }
}

/// Echo requests to itself, which take no capability.
const ECHO: &str = r#"python3 - <<'P'
import socket
for family, number, kind, to in (socket.AF_INET, 1, 8, '10.77.0.2'), (socket.AF_INET6, 58, 128, 'fd77::2'):
    s = socket.socket(family, socket.SOCK_DGRAM, number)
    try: s.sendto(bytes([kind, 0, 0, 0, 0, 0, 0, 1]), (to, 0)); s.settimeout(.1); s.recv(99)
    except OSError: pass
P
"#;

/// Tells the container, in the name of a router, that what it sends to 10.77.0.4 is too big.
const TOO_BIG: &str = r#"python3 - <<'P'
import socket, struct
def sum16(data):
    total = sum(struct.unpack('!%dH' % (len(data) // 2), data))
    while total >> 16: total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff
inner = struct.pack('!BBHHHBBH4s4s', 0x45, 0, 128, 1, 0, 64, 17, 0, socket.inet_aton('10.77.0.2'), socket.inet_aton('10.77.0.4'))
inner += struct.pack('!HHHH', 5000, 9, 108, 0)
body = struct.pack('!BBHHH', 3, 4, 0, 0, 600) + inner
body = body[:2] + struct.pack('!H', sum16(body)) + body[4:]
s = socket.socket(socket.AF_INET, socket.SOCK_RAW, 1)
s.sendto(body, ('10.77.0.2', 0))
P"#;

#[test]
fn errors_about_what_was_not_sent_to_a_peer_get_nowhere() {
    // Not about a UDP socket at a port that is open for TCP either.
    let open = port(Protocol::Tcp, 5000, None);
    for (allow, heard) in
        [(to_peers(&["10.77.0.4/32"]), true), (to_peers(&["10.77.0.3/32"]), false), (open, false)]
    {
        let net = Net::new();
        net.seal(&allow);
        let _socket = net.container.within(|| UdpSocket::bind("10.77.0.2:5000").unwrap());
        net.gateway.sh(TOO_BIG);
        let cached = net.container.sh("ip route get 10.77.0.4");
        assert_eq!(cached.contains("mtu 600"), heard, "{allow:?}: {cached}");
    }
}

#[test]
fn no_packet_between_lockdown_and_seal() {
    let (host, container) = (Namespace::new(), Namespace::new());
    lock_down(container.open().as_fd()).unwrap();
    let rules = container.sh("nft list ruleset");
    lock_down(container.open().as_fd()).unwrap();
    assert_eq!(container.sh("nft -a list ruleset").lines().count(), rules.lines().count());
    super::plumb(&host, &container);
    let server = container.within(|| UdpSocket::bind("0.0.0.0:53").unwrap());
    assert!(server.send_to(b"x", "10.77.0.1:9").is_err());
    assert!(!arrives(&host, "10.77.0.2:53", &server));
    drop(server);
    seal(container.open().as_fd(), &opened(&port(Protocol::Udp, 54, None))).unwrap();
    let server = container.within(|| UdpSocket::bind("0.0.0.0:54").unwrap());
    assert!(server.send_to(b"x", "10.77.0.1:9").is_err());
    assert!(arrives(&host, "10.77.0.2:54", &server));
    let own = netns_of("/proc/self/ns/net".as_ref()).unwrap();
    let set = set_peers(own.as_fd(), &prefixes(&[]), None, &BTreeSet::new()).map(drop);
    for refused in [lock_down(own.as_fd()), set] {
        assert!(format!("{:#}", refused.unwrap_err()).ends_with(": the network namespace is the host's own"));
    }
}

#[test]
fn a_change_of_peers_costs_those_that_stay_not_one_packet() {
    let net = Net::new();
    net.seal(&to_peers(&["10.77.0.3/32"]));
    let there = net.peer.within(|| UdpSocket::bind("10.77.0.3:9").unwrap());
    let here = net.container.within(|| UdpSocket::bind("0.0.0.0:0").unwrap());
    let listener = net.peer.within(|| TcpListener::bind("10.77.0.3:80").unwrap());
    let mut client = net.container.within(|| connect("10.77.0.3:80")).unwrap();
    let (mut server, _) = listener.accept().unwrap();
    let done = AtomicBool::new(false);
    let refused = std::thread::scope(|scope| {
        let flood = scope.spawn(|| {
            let mut refused = 0;
            while !done.load(Ordering::Relaxed) {
                refused += usize::from(here.send_to(b"x", "10.77.0.3:9").is_err());
            }
            refused
        });
        for round in 0..1000u16 {
            let [high, low] = round.to_be_bytes();
            let others = format!("10.78.{high}.{low}/32");
            let peers: &[&str] = if round % 3 == 0 {
                &["10.77.0.2/31", "10.77.0.3/32"]
            } else {
                &["10.77.0.3/32", "10.77.0.2/32", &others]
            };
            net.set(peers).unwrap();
            client.write_all(b"x").unwrap();
            server.read_exact(&mut [0; 1]).unwrap();
        }
        done.store(true, Ordering::Relaxed);
        flood.join().unwrap()
    });
    assert_eq!(refused, 0);
    net.set(&["10.77.0.4/32"]).unwrap();
    assert_eq!(here.send_to(b"x", "10.77.0.3:9").unwrap_err().kind(), ErrorKind::PermissionDenied);
    assert_eq!(broken(&net.container), Vec::<String>::new());
    drop(there);
}

#[test]
fn tens_of_thousands_of_peers() {
    let net = Net::new();
    net.seal(&to_peers(&["10.77.0.3/32"]));
    let many = |n: u32| -> Prefixes {
        let four = (0..n).map(|i| IpNet::from(IpAddr::from((0x0a80_0000 + i).to_be_bytes())));
        let six = (0..n / 10)
            .map(|i| IpNet::from(IpAddr::from((0xfd55_u128 << 112 | u128::from(i)).to_be_bytes())));
        four.chain(six).chain(["10.77.0.3/32".parse().unwrap()]).collect()
    };
    let netns = net.container.open();
    for n in [10_000, 100_000, 10_000] {
        let start = std::time::Instant::now();
        set_peers(netns.as_fd(), &many(n), None, &BTreeSet::new()).unwrap();
        println!("set_peers to {n}: {:?}", start.elapsed());
        assert_eq!(peers(netns.as_fd()).unwrap(), many(n));
    }
    let start = std::time::Instant::now();
    let one = many(10_000).iter().copied().chain(["10.99.0.0/24".parse().unwrap()]).collect();
    set_peers(netns.as_fd(), &one, None, &BTreeSet::new()).unwrap();
    println!("one more: {:?}", start.elapsed());
    assert_eq!(broken(&net.container), Vec::<String>::new());
    let _peer = net.peer.within(|| TcpListener::bind("10.77.0.3:80").unwrap());
    assert!(net.container.within(|| connect("10.77.0.3:80")).is_ok());
    assert!(net.container.within(|| connect("10.77.0.4:80")).is_err());
    let start = std::time::Instant::now();
    net.seal(&AllowList { peers: many(10_000), ..AllowList::default() });
    println!("sealed with 10000: {:?}", start.elapsed());
}

#[test]
fn an_allow_list_that_was_tampered_with_has_a_name() {
    let allow = AllowList { peers: prefixes(&["10.77.0.0/24"]), ..port(Protocol::Tcp, 8080, None) };
    let cases = [
        (
            "nft add element inet oci_isolate prefixes4 '{ 10.99.0.0/16 }'",
            "1 peers are not wanted, and 0 wanted are none",
        ),
        ("nft flush set inet oci_isolate prefixes4", "0 peers are not wanted, and 1 wanted are none"),
        ("nft insert rule inet oci_isolate output accept", "chain output has 11 rules instead of 10"),
        (
            "nft insert rule inet oci_isolate input tcp dport 9090 accept",
            "chain input has 8 rules instead of 7",
        ),
        (
            "nft 'add chain inet oci_isolate postrouting { policy accept; }'",
            "policy of chain postrouting was changed",
        ),
        ("nft flush chain inet oci_isolate postrouting", "chain postrouting has 0 rules instead of 7"),
        ("nft 'add set inet oci_isolate x { type inet_proto; }'", "set x was changed"),
        ("nft delete table inet oci_isolate", "table inet oci_isolate is not loaded"),
        ("ip route add default via 10.77.0.9 metric 9", "10.77.0.9 must not be a peer"),
        (
            "h=$(nft -a list chain inet oci_isolate input | sed -n 's/.*8080.*# handle //p')
          nft replace rule inet oci_isolate input handle $h tcp dport 9090 accept",
            "rule 6 of chain input was changed",
        ),
    ];
    let net = Net::new();
    for (tamper, said) in cases {
        net.seal(&allow);
        net.container.sh(tamper);
        let seen = observe(net.container.open().as_fd(), SocketOwner::Container).unwrap();
        let found = defects(&seen, &opened(&allow), SocketOwner::Container);
        let found: Vec<_> = found.iter().map(ToString::to_string).collect();
        assert!(found.iter().any(|reason| reason.contains(said)), "{tamper}: {found:?}");
        net.seal(&allow);
        assert_eq!(broken(&net.container), Vec::<String>::new(), "{tamper}: sealed again");
    }
    let closed = Desired { allow_list: None, ..opened(&allow) };
    let seen = observe(net.container.open().as_fd(), SocketOwner::Container).unwrap();
    assert!(!defects(&seen, &closed, SocketOwner::Container).is_empty());
    assert_eq!(verify(net.container.open().as_fd()).unwrap().allow_list.unwrap().ingress, allow.ingress);
    net.container.sh("nft flush chain inet oci_isolate output");
    assert!(format!("{:#}", net.set(&["10.77.0.3/32"]).unwrap_err()).contains("chain output has 0 rules"));
    let closed = Namespace::new();
    closed.seal();
    let error = set_peers(closed.open().as_fd(), &prefixes(&[]), None, &BTreeSet::new()).unwrap_err();
    assert_eq!(
        format!("{error:#}"),
        "cannot change the peers: the container was started with no port and no peer open"
    );
}
