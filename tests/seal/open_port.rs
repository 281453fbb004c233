//! What a program without CAP_NET_RAW and CAP_NET_ADMIN can try to have an open TCP port send to others than those that connected
//! to it. Each gets out where any segment but a SYN, or every segment, may leave from the port.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpListener;
use std::time::Duration;

use oci_isolate::policy::Protocol;

use super::allow_list::{Net, port};
use super::{Namespace, connect, python};

/// Everything that leaves the container, at the other end of its link: segments that start a connection, and all others.
fn watch(net: &Net) {
    net.gateway.sh("nft add table netdev see
        nft 'add chain netdev see in { type filter hook ingress device p2 priority 0; }'
        nft add rule netdev see in tcp flags '&' '(syn|ack)' == syn counter
        nft add rule netdev see in meta l4proto tcp counter");
}

/// Since the last call.
fn seen(net: &Net) -> [u64; 2] {
    let listing = net.gateway.sh("nft list table netdev see; nft delete table netdev see");
    watch(net);
    let counts =
        listing.split("packets ").skip(1).map(|rest| rest.split(' ').next().unwrap().parse().unwrap());
    counts.collect::<Vec<_>>().try_into().unwrap()
}

/// As a program of an isolated container.
fn attempt(container: &Namespace, script: &str) -> String {
    let script = format!("import socket, time\n{script}");
    container.sh(&format!("setpriv --bounding-set=-net_raw,-net_admin python3 - <<'P'\n{script}\nP"))
}

fn opened() -> Net {
    let net = Net::new();
    for host in [&net.container, &net.internet] {
        // Fast Open of clients and servers, also without a cookie.
        // A kernel without MPTCP has nothing to enable, and refuses such a socket.
        host.sh("sysctl -qw net.ipv4.tcp_fastopen=0x603; [ ! -e /proc/sys/net/mptcp/enabled ] || sysctl -qw net.mptcp.enabled=1");
    }
    net.seal(&port(Protocol::Tcp, 8080, None));
    watch(&net);
    net
}

/// What leaves from the port is not asked for its connection.
fn without_tracking(container: &Namespace) {
    untracked(container, "");
}

/// The same, but it may not be the start of a connection: the rule that takes no tracking and seems to do.
fn without_starts(container: &Namespace) {
    untracked(container, "tcp flags '&' '(syn|ack)' != syn");
}

fn untracked(container: &Namespace, which: &str) {
    for (chain, port) in [("input", "dport"), ("output", "sport"), ("postrouting", "sport")] {
        let which = if chain == "input" { "" } else { which };
        container.sh(&format!("nft insert rule inet oci_isolate {chain} tcp {port} 8080 {which} accept"));
    }
}

const STARTS: &str = "
def start(family, to, protocol=0, fast=False, listens=False):
    try: s = socket.socket(family, socket.SOCK_STREAM, protocol)
    except OSError as e: return print(type(e).__name__)
    for option in (socket.SO_REUSEADDR, socket.SO_REUSEPORT): s.setsockopt(socket.SOL_SOCKET, option, 1)
    if listens:
        l = socket.socket(family, socket.SOCK_STREAM)
        for option in (socket.SO_REUSEADDR, socket.SO_REUSEPORT): l.setsockopt(socket.SOL_SOCKET, option, 1)
        l.bind(('', 8080)); l.listen()
    s.bind(('', 8080)); s.settimeout(1)
    try:
        if fast: s.sendto(b'out', 0x20000000, (to, 80))
        else: s.connect((to, 80)); s.send(b'out')
        print('out')
    except OSError as e: print(type(e).__name__)
for family, to in (socket.AF_INET, '10.88.0.2'), (socket.AF_INET6, 'fd88::2'):
    for how in {}, {'fast': True}, {'protocol': 262}, {'listens': True}:
        start(family, to, **how); time.sleep(.05)
";

#[test]
fn no_connection_starts_from_an_open_port() {
    let net = opened();
    let outside = net.internet.within(|| TcpListener::bind("[::]:80").unwrap());
    let said = attempt(&net.container, STARTS);
    assert_eq!(seen(&net), [0, 0], "{said}");
    assert!(!said.contains("out\n"), "{said}");
    without_tracking(&net.container);
    let said = attempt(&net.container, STARTS);
    let [starts, _] = seen(&net);
    assert!(starts >= 4 && said.contains("out\n"), "{starts} without tracking: {said}");
    drop(outside);
}

/// A program sends a SYN over lo in the name of another host, to have the container's port, or a reset, answer that host.
#[test]
fn a_syn_in_the_name_of_another_host_is_not_answered() {
    let net = opened();
    let listener = net.container.within(|| TcpListener::bind("[::]:8080").unwrap());
    let script = |to: &str| {
        let script = format!(
            "
s = socket.socket(socket.AF_INET6); s.setsockopt(41, 78, 1)
s.bind(('fd88::2', 5000)); s.settimeout(.3)
try: s.connect(('{to}', 8080)); print('connected')
except OSError as e: print(type(e).__name__)
f = socket.socket(); f.setsockopt(0, 15, 1); f.bind(('10.88.0.2', 5000)); f.settimeout(.3)
try: f.connect(('10.77.0.2', 8080)); print('connected')
except OSError as e: print(e.strerror)"
        );
        attempt(&net.container, &script)
    };
    // A listener, a reset of the table's for what is refused, and one of the kernel's own.
    let tries = |listener: TcpListener| {
        let mut said = vec![script("fd77::2")];
        let mut leaves = vec![seen(&net)[1]];
        said.push(script("fd77::9"));
        leaves.push(seen(&net)[1]);
        drop(listener);
        said.push(script("fd77::2"));
        leaves.push(seen(&net)[1]);
        (said, leaves)
    };
    let (said, leaves) = tries(listener);
    assert_eq!(leaves, [0; 3], "{said:?}");
    assert!(said.iter().all(|said| said.ends_with("Network is unreachable\n")), "IPv4: {said:?}");
    without_starts(&net.container);
    let listener = net.container.within(|| TcpListener::bind("[::]:8080").unwrap());
    let (said, leaves) = tries(listener);
    assert!(leaves.iter().all(|leaves| *leaves > 0), "{leaves:?} without tracking: {said:?}");
}

/// And each can be again from the same port, which is in TIME_WAIT on the container's side.
#[test]
fn inbound_connections_are_whole() {
    let net = opened();
    // Nothing listens: a reset, at once.
    assert_eq!(net.internet.within(|| connect("10.77.0.2:8080")).unwrap_err(), ErrorKind::ConnectionRefused);
    assert_eq!(net.internet.within(|| connect("[fd77::2]:8080")).unwrap_err(), ErrorKind::ConnectionRefused);
    let listener = net.container.within(|| TcpListener::bind("[::]:8080").unwrap());
    let script = "
import socket, sys
for to in '10.77.0.2', 'fd77::2', '10.77.0.2', 'fd77::2':
    s = socket.socket(socket.AF_INET6 if ':' in to else socket.AF_INET)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind(('', 4000)); s.settimeout(5); s.connect((to, 8080))
    assert s.recv(1) == b'a'
    s.send(b'u', socket.MSG_OOB); assert s.recv(9) == b''
    s.close()";
    let served = std::thread::spawn(move || {
        for _ in 0..4 {
            let (mut server, _) = listener.accept().unwrap();
            server.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
            server.write_all(b"a").unwrap();
            server.shutdown(std::net::Shutdown::Write).unwrap();
            let _ = server.read(&mut [0; 9]);
        }
    });
    net.internet.sh(&format!("python3 - <<'P'\n{script}\nP"));
    served.join().unwrap();
    assert_eq!(seen(&net)[0], 0);
    // Its own TIME_WAIT entries start nothing either.
    let said = attempt(&net.container, "
s = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1); s.bind(('', 8080)); s.settimeout(1)
try: s.connect(('10.88.0.2', 4000)); print('out')
except OSError as e: print(type(e).__name__)");
    assert_eq!((seen(&net), said.contains("out")), ([0, 0], false), "{said}");
}

/// A program connects from the port to a peer. That is allowed, and ends with the peer.
#[test]
fn a_connection_to_a_peer_ends_with_the_peer() {
    let reached = |prepare: fn(&Namespace)| {
        let net = Net::new();
        let peer = "10.88.0.2/32".parse().unwrap();
        let mut allow = port(Protocol::Tcp, 8080, None);
        allow.peers = [peer].into_iter().collect();
        net.seal(&allow);
        prepare(&net.container);
        let other = "import socket
s = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1); s.bind(('', 80)); s.listen(); print('x', flush=True)
c, _ = s.accept()
while True:
    b = c.recv(9)
    if not b: break
    c.send(b)";
        let _other = python(&net.internet, other);
        let script = "import socket, sys, time
s = socket.socket(); s.bind(('', 8080)); s.settimeout(2); s.connect(('10.88.0.2', 80))
s.send(b'1'); assert s.recv(9) == b'1'
print('x', flush=True)
sys.stdin.readline()
try: s.send(b'2'); print(s.recv(9).decode(), flush=True)
except OSError as e: print(type(e).__name__, flush=True)";
        let mut program = python(&net.container, script);
        net.container.sh("nft flush set inet oci_isolate peers4");
        program.0.stdin.take().unwrap().write_all(b"\n").unwrap();
        let mut said = String::new();
        program.0.stdout.take().unwrap().read_to_string(&mut said).unwrap();
        said
    };
    assert!(!reached(|_| ()).contains('2'), "the peer still answers");
    assert!(reached(without_starts).contains('2'), "the positive control");
}

/// A connection of the container with itself leaves when the address of its client is another host's by now.
#[test]
fn a_connection_over_lo_stays_when_its_client_loses_its_address() {
    let leaves = |prepare: fn(&Namespace)| {
        let net = opened();
        net.container.sh("ip addr add 10.77.0.9/24 dev eth0");
        prepare(&net.container);
        let script = "import socket, sys
l = socket.socket(); l.bind(('10.77.0.2', 8080)); l.listen()
c = socket.socket(); c.bind(('10.77.0.9', 5000)); c.connect(('10.77.0.2', 8080)); s, _ = l.accept()
print('x', flush=True)
sys.stdin.readline()
try: s.send(b'out')
except OSError as e: print(type(e).__name__)
print('sent', flush=True); sys.stdin.readline()";
        let mut program = python(&net.container, script);
        net.container.sh("ip addr del 10.77.0.9/24 dev eth0");
        net.gateway.sh("ip addr add 10.77.0.9/32 dev p2");
        seen(&net);
        program.0.stdin.as_mut().unwrap().write_all(b"\n").unwrap();
        std::thread::sleep(Duration::from_millis(500));
        seen(&net)[1]
    };
    assert_eq!(leaves(|_| ()), 0);
    assert!(leaves(without_starts) > 0, "the positive control");
}

#[test]
fn only_the_clients_of_a_port_are_answered() {
    let net = Net::new();
    net.seal(&port(Protocol::Tcp, 8080, Some("10.88.0.0/24")));
    watch(&net);
    let _listener = net.container.within(|| TcpListener::bind("[::]:8080").unwrap());
    assert!(net.internet.within(|| connect("10.77.0.2:8080")).is_ok());
    assert!(seen(&net)[1] > 0);
    for (host, to) in [(&net.other, "10.77.0.2:8080"), (&net.internet, "[fd77::2]:8080")] {
        assert_eq!(host.within(|| connect(to)).unwrap_err(), ErrorKind::TimedOut, "{to}");
    }
    assert_eq!(seen(&net), [0, 0]);
}
