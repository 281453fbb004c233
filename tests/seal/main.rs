//! The seal on real namespaces. Each test makes its own, including the "host"; the machine's own is never touched.
//!
//! Every claim is shown open first and closed afterwards. Needs root, `ip`, `nft` and `python3`.

#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests")]

mod allow_list;
mod attempts;
mod golden;
mod lease;
mod open_port;

use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use nix::sched::{CloneFlags, setns};
use oci_isolate::nft::{ForeignSocket, Loaded};
use oci_isolate::seal::{
    Desired, Sealed, SocketOwner, addresses, is_host, join_user_namespace, netns_of, observe, seal, verify,
};
use oci_isolate::settings::{Firewall, Links};
use test_support::command::wait_for;

/// A namespace that goes away with the value.
struct Namespace(String);

impl Namespace {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("oi-test-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        run("ip", &["netns", "add", &name]);
        Self(name)
    }

    fn path(&self) -> PathBuf {
        PathBuf::from("/run/netns").join(&self.0)
    }

    fn open(&self) -> File {
        netns_of(&self.path()).unwrap()
    }

    fn ip(&self, line: &str) {
        let words: Vec<_> = ["-n", &self.0].into_iter().chain(line.split(' ')).collect();
        run("ip", &words);
    }

    fn sh(&self, script: &str) -> String {
        run("ip", &["netns", "exec", &self.0, "sh", "-ec", script])
    }

    fn within<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let netns = self.open();
        let enter = || {
            setns(&netns, CloneFlags::CLONE_NEWNET).unwrap();
            work()
        };
        std::thread::scope(|scope| scope.spawn(enter).join().unwrap())
    }

    fn seal(&self) -> Sealed {
        self.seal_with(&[])
    }

    fn seal_with(&self, addresses: &[&str]) -> Sealed {
        seal(self.open().as_fd(), &desired(addresses)).unwrap()
    }

    fn refusal(&self) -> String {
        format!("{:#}", seal(self.open().as_fd(), &desired(&[])).unwrap_err())
    }

    fn defects(&self) -> Vec<String> {
        verify(self.open().as_fd()).unwrap().defects.iter().map(ToString::to_string).collect()
    }

    /// IP packets seen by a "host" that counts (ARP is not IP).
    fn counted(&self) -> u64 {
        let listing = self.sh("nft list table inet count");
        let counts = listing.split("packets ").skip(1).map(|rest| rest.split(' ').next().unwrap());
        counts.map(|n| n.parse::<u64>().unwrap()).sum()
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = Command::new("ip").args(["netns", "del", &self.0]).status();
    }
}

struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn run(program: &str, args: &[&str]) -> String {
    let out = Command::new(program).args(args).output().unwrap();
    assert!(out.status.success(), "{program} {args:?}: {}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).unwrap()
}

fn desired(addresses: &[&str]) -> Desired {
    Desired {
        addresses: addresses.iter().map(|a| a.parse().unwrap()).collect(),
        firewall: Firewall::Required,
        links: Links::Down,
        allow_list: None,
        attempts: None,
    }
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// Connects "eth0" of the container, 10.77.0.2, with a host at 10.77.0.1 that counts IP packets.
fn plumb(host: &Namespace, container: &Namespace) {
    host.ip(&format!("link add h0 type veth peer name eth0 netns {}", container.0));
    host.ip("addr add 10.77.0.1/24 dev h0");
    host.ip("addr add fd77::1/64 dev h0 nodad");
    host.ip("link set h0 up");
    container.ip("addr add 10.77.0.2/24 dev eth0");
    container.ip("addr add fd77::2/64 dev eth0 nodad");
    container.ip("link set eth0 up");
    container.ip("route replace default via 10.77.0.1");
    host.sh("nft add table inet count
        nft 'add chain inet count in { type filter hook prerouting priority -400; }'
        nft flush chain inet count in
        nft add rule inet count in counter");
}

fn sealed_then_plumbed() -> (Namespace, Namespace) {
    let (host, container) = (Namespace::new(), Namespace::new());
    container.seal();
    plumb(&host, &container);
    (host, container)
}

fn connect(to: &str) -> Result<TcpStream, ErrorKind> {
    let to: SocketAddr = to.parse().unwrap();
    TcpStream::connect_timeout(&to, Duration::from_secs(2)).map_err(|e| e.kind())
}

/// Sends a datagram to a socket and says whether it arrived.
fn arrives(from: &Namespace, to: &str, at: &UdpSocket) -> bool {
    from.within(|| {
        let to: SocketAddr = to.parse().unwrap();
        let any = if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
        let _ = UdpSocket::bind(any).unwrap().send_to(b"hello", to);
    });
    at.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    at.recv_from(&mut [0; 16]).is_ok()
}

fn at_once<T>(work: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let result = work();
    // The kernel repeats a SYN after one second. An emulated machine (hack/kernels) takes as long for anything.
    let emulated = std::env::var_os("OCI_ISOLATE_TEST_EMULATED").is_some();
    let limit = if emulated { Duration::from_secs(5) } else { Duration::from_secs(1) };
    assert!(start.elapsed() < limit, "it took {:?}", start.elapsed());
    result
}

/// Runs one of the ignored tests below alone, on the main thread, under another program.
fn helper(name: &str, before: &[&str], environment: &[(&str, &str)]) -> (bool, String) {
    let exe = std::env::current_exe().unwrap();
    let words = ["--exact", name, "--ignored", "--nocapture", "--test-threads=1"];
    let mut command = Command::new(before[0]);
    command.args(&before[1..]).arg(exe).args(words).envs(environment.iter().copied());
    let out = command.output().unwrap();
    (
        out.status.success(),
        String::from_utf8_lossy(&out.stdout).into_owned() + &String::from_utf8_lossy(&out.stderr),
    )
}

/// As an engine plumbs it. The other end, which is the host's, stays as it is.
#[test]
fn a_link_goes_down_and_its_addresses_move_to_lo() {
    let (host, container) = (Namespace::new(), Namespace::new());
    plumb(&host, &container);
    let outside = host.within(|| TcpListener::bind("10.77.0.1:80").unwrap());
    assert!(container.within(|| connect("10.77.0.1:80")).is_ok());
    let sealed = container.seal_with(&["10.9.9.9"]);
    assert_eq!((sealed.links_down, sealed.links_removed), (vec!["eth0".to_owned()], vec![]));
    assert_eq!(sealed.addresses_kept, [ip("10.9.9.9"), ip("10.77.0.2"), ip("fd77::2")]);
    // The kernel looks at the other end's carrier later, up to a second.
    let is_down = || host.sh("ip link show h0").contains("state DOWN").then_some(());
    assert!(wait_for(Duration::from_secs(5), is_down).is_some(), "{}", host.sh("ip link show h0"));
    assert!(container.sh("ip link show eth0").contains("state DOWN"), "{}", container.sh("ip link"));
    assert_eq!(container.sh("ip -o addr show eth0; ip route"), "");
    let error = at_once(|| container.within(|| connect("10.77.0.1:80"))).unwrap_err();
    assert_eq!(error, ErrorKind::NetworkUnreachable);
    for address in ["10.77.0.2:99", "[fd77::2]:99", "127.0.0.1:99", "10.9.9.9:99"] {
        container.within(|| {
            let _own = TcpListener::bind(address).unwrap();
            connect(address).unwrap();
        });
    }
    // Up again, as only root of the namespace can have it, it meets the table, and that it is up is a defect.
    container.sh("ip addr add 10.77.0.2/24 dev eth0; ip link set eth0 up");
    assert_eq!(container.defects(), ["link eth0 is up"]);
    assert!(container.within(|| connect("10.77.0.1:80")).is_err());
    container.sh("nft flush table inet oci_isolate; nft delete table inet oci_isolate");
    assert!(container.within(|| connect("10.77.0.1:80")).is_ok());
    drop(outside);
}

/// Of a kind that is not known to stay down, as a VLAN device is: the kernel brings it up with its parent.
#[test]
fn a_link_of_another_kind_is_removed() {
    let container = Namespace::new();
    container.sh("ip link add br5 type bridge; ip link add v5 type veth peer name v6");
    let sealed = container.seal();
    assert_eq!(
        (sealed.links_removed, sealed.links_down),
        (vec!["br5".to_owned()], vec!["v5".into(), "v6".into()])
    );
    assert_eq!(container.defects(), Vec::<String>::new());
}

#[test]
fn a_link_goes_and_its_addresses_stay_on_lo() {
    let (host, container) = (Namespace::new(), Namespace::new());
    plumb(&host, &container);
    let outside = host.within(|| TcpListener::bind("10.77.0.1:80").unwrap());
    assert!(container.within(|| connect("10.77.0.1:80")).is_ok());
    let wanted = Desired { links: Links::Remove, ..desired(&["10.9.9.9"]) };
    let sealed = seal(container.open().as_fd(), &wanted).unwrap();
    assert_eq!(sealed.links_removed, ["eth0"]);
    assert_eq!(sealed.addresses_kept, [ip("10.9.9.9"), ip("10.77.0.2"), ip("fd77::2")]);
    assert!(sealed.firewall && sealed.foreign_blocked.is_empty() && sealed.addresses_skipped.is_empty());
    assert!(container.sh("nft list ruleset").contains("table inet oci_isolate"));
    assert!(!host.sh("ip link").contains("h0"));
    assert_eq!(
        at_once(|| container.within(|| connect("10.77.0.1:80"))).unwrap_err(),
        ErrorKind::NetworkUnreachable
    );
    for address in ["10.77.0.2:99", "[fd77::2]:99", "127.0.0.1:99", "10.9.9.9:99"] {
        container.within(|| {
            let _own = TcpListener::bind(address).unwrap();
            connect(address).unwrap();
        });
    }
    assert_eq!(addresses(Some(container.open().as_fd())).unwrap(), sealed.addresses_kept);
    drop(outside);
}

#[test]
fn an_interface_that_comes_later_carries_nothing() {
    let (host, open) = (Namespace::new(), Namespace::new());
    plumb(&host, &open);
    open.within(|| UdpSocket::bind("0.0.0.0:0").unwrap().send_to(b"x", "10.77.0.1:53").unwrap());
    assert!(host.counted() > 0, "a namespace that is not sealed is heard");
    drop(host);

    let (host, container) = sealed_then_plumbed();
    let listener = host.within(|| TcpListener::bind("10.77.0.1:80").unwrap());
    container.within(|| {
        for to in ["10.77.0.1:80", "[fd77::1]:80", "169.254.169.254:80", "1.1.1.1:443"] {
            let refused = at_once(|| connect(to)).unwrap_err();
            let expected = [ErrorKind::ConnectionRefused, ErrorKind::NetworkUnreachable];
            assert!(expected.contains(&refused), "{to}: {refused}");
        }
        assert_eq!(connect("10.77.0.1:80").unwrap_err(), ErrorKind::ConnectionRefused);
        let udp = UdpSocket::bind("0.0.0.0:0").unwrap();
        let error = at_once(|| udp.send_to(b"x", "10.77.0.1:53")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::PermissionDenied);
        let udp = UdpSocket::bind("[::]:0").unwrap();
        assert!(at_once(|| udp.send_to(b"x", "[fd77::1]:53")).is_err());
    });
    let ping = "ping -c1 -W2 10.77.0.1 && exit 1; exit 0";
    at_once(|| container.sh(ping));
    assert_eq!(host.counted(), 0, "not one IP packet came out");
    drop(listener);
}

#[test]
fn nobody_comes_in_through_an_interface_that_comes_later() {
    let (host, open) = (Namespace::new(), Namespace::new());
    plumb(&host, &open);
    let _server = open.within(|| TcpListener::bind("0.0.0.0:80").unwrap());
    assert!(host.within(|| connect("10.77.0.2:80")).is_ok());
    drop(host);

    let (host, container) = sealed_then_plumbed();
    let _server = container.within(|| TcpListener::bind("0.0.0.0:80").unwrap());
    assert_eq!(host.within(|| connect("10.77.0.2:80")).unwrap_err(), ErrorKind::TimedOut);
    let server = container.within(|| UdpSocket::bind("0.0.0.0:53").unwrap());
    assert!(!arrives(&host, "10.77.0.2:53", &server));
}

#[test]
fn dockers_dns_server_is_out_of_reach() {
    let container = Namespace::new();
    container.ip("link set lo up");
    let dns = container.within(|| UdpSocket::bind("127.0.0.11:0").unwrap());
    let over_tcp = container.within(|| TcpListener::bind("127.0.0.11:0").unwrap());
    let (udp, tcp) = (dns.local_addr().unwrap().port(), over_tcp.local_addr().unwrap().port());
    // What dockerd loads (libnetwork/resolver_unix.go).
    container.sh(&format!(
        "nft add table ip nat
        nft 'add chain ip nat OUTPUT {{ type nat hook output priority -100; }}'
        nft add rule ip nat OUTPUT ip daddr 127.0.0.11 udp dport 53 dnat to 127.0.0.11:{udp}
        nft add rule ip nat OUTPUT ip daddr 127.0.0.11 tcp dport 53 dnat to 127.0.0.11:{tcp}"
    ));
    assert!(arrives(&container, "127.0.0.11:53", &dns));
    assert!(container.within(|| connect("127.0.0.11:53")).is_ok());
    let sealed = container.seal();
    let of = |protocol, port| ForeignSocket::Port { protocol, address: Some(ip("127.0.0.11")), port };
    assert_eq!(sealed.foreign_blocked, [of(6, tcp), of(17, udp)]);
    for to in ["127.0.0.11:53".to_owned(), format!("127.0.0.11:{udp}")] {
        assert!(!arrives(&container, &to, &dns), "{to}");
    }
    for to in ["127.0.0.11:53".to_owned(), format!("127.0.0.11:{tcp}")] {
        assert_eq!(at_once(|| container.within(|| connect(&to))).unwrap_err(), ErrorKind::ConnectionRefused);
    }
    // And one that comes with `docker network connect`.
    let later = container.within(|| UdpSocket::bind("127.0.0.11:0").unwrap());
    assert!(!arrives(&container, &later.local_addr().unwrap().to_string(), &later));
}

#[test]
fn a_foreign_socket_is_blocked_at_every_address() {
    for bind in ["0.0.0.0:4000", "[::]:4000", "127.0.0.1:4000", "[::1]:4000"] {
        let container = Namespace::new();
        container.ip("link set lo up");
        let udp = container.within(|| UdpSocket::bind(bind).unwrap());
        let tcp = container.within(|| TcpListener::bind(bind).unwrap());
        let to = if bind.contains('[') { "[::1]:4000" } else { "127.0.0.1:4000" };
        assert!(arrives(&container, to, &udp), "{bind}");
        assert!(container.within(|| connect(to)).is_ok(), "{bind}");
        let sealed = container.seal_with(&["10.9.9.9"]);
        assert_eq!(sealed.foreign_blocked.len(), 2, "{sealed:?}");
        let mut tried = vec![to];
        tried.extend(["10.9.9.9:4000"].iter().filter(|_| bind.contains("0.0.0.0") || bind.contains("[::]")));
        for to in tried {
            assert!(!arrives(&container, to, &udp), "{bind} {to}");
            let refused = at_once(|| container.within(|| connect(to))).unwrap_err();
            assert_eq!(refused, ErrorKind::ConnectionRefused, "{bind} {to}");
        }
        drop(tcp);
    }
}

#[test]
fn a_translation_does_not_lead_to_a_foreign_socket() {
    let container = Namespace::new();
    container.ip("link set lo up");
    let foreign = container.within(|| UdpSocket::bind("127.0.0.1:4000").unwrap());
    container.sh("nft add table ip nat
        nft 'add chain ip nat OUTPUT { type nat hook output priority -100; }'
        nft add rule ip nat OUTPUT udp dport 53 dnat to 127.0.0.1:4000");
    assert!(arrives(&container, "127.0.0.1:53", &foreign));
    container.seal();
    assert!(!arrives(&container, "127.0.0.1:53", &foreign));
}

#[test]
fn a_translation_does_not_lead_out() {
    let (host, container) = (Namespace::new(), Namespace::new());
    container.seal_with(&["10.9.9.9"]);
    plumb(&host, &container);
    container.sh("nft add table ip nat
        nft 'add chain ip nat OUTPUT { type nat hook output priority -100; }'
        nft add rule ip nat OUTPUT ip daddr 10.9.9.9 dnat to 10.77.0.1");
    let send = || {
        container.within(|| {
            let _ = UdpSocket::bind("0.0.0.0:0").unwrap().send_to(b"x", "10.9.9.9:53");
        });
    };
    send();
    assert_eq!(host.counted(), 0);
    container.sh("nft delete chain inet oci_isolate postrouting");
    send();
    assert!(host.counted() > 0, "that chain is what stops it");
}

#[test]
fn a_foreign_socket_that_listens_only_after_the_seal_is_blocked() {
    let container = Namespace::new();
    container.ip("link set lo up");
    let script = "import socket,sys
s=socket.socket(); s.bind(('127.0.0.1',4000)); print('bound',flush=True)
sys.stdin.readline(); s.listen(); print('listens',flush=True); sys.stdin.readline()";
    let mut child = Command::new("ip");
    child.args(["netns", "exec", &container.0, "python3", "-c", script]);
    let mut child = Killed(child.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap());
    let mut said = [0; 8];
    child.0.stdout.as_mut().unwrap().read_exact(&mut said[..6]).expect("python3 is needed");
    let sealed = container.seal();
    assert!(!sealed.foreign_blocked.is_empty(), "needs Linux 6.8, before which bound sockets are not listed");
    child.0.stdin.as_mut().unwrap().write_all(b"\n").unwrap();
    child.0.stdout.as_mut().unwrap().read_exact(&mut said).unwrap();
    assert_eq!(
        at_once(|| container.within(|| connect("127.0.0.1:4000"))).unwrap_err(),
        ErrorKind::ConnectionRefused
    );
    container.sh("nft flush ruleset");
    assert!(container.within(|| connect("127.0.0.1:4000")).is_ok(), "it did listen");
}

#[test]
fn programs_of_the_container_reach_each_other() {
    let container = Namespace::new();
    container.seal_with(&["10.9.9.9", "fd09::9"]);
    for to in ["127.0.0.1:80", "10.9.9.9:80", "[::1]:80", "[fd09::9]:80"] {
        container.within(|| {
            let _server = TcpListener::bind(to).unwrap();
            connect(to).unwrap_or_else(|error| panic!("{to}: {error}"));
        });
        let udp = container.within(|| UdpSocket::bind(to).unwrap());
        assert!(arrives(&container, to, &udp), "{to}");
    }
    assert_eq!(
        at_once(|| container.within(|| connect("127.0.0.1:1"))).unwrap_err(),
        ErrorKind::ConnectionRefused
    );
    assert_eq!(container.defects(), Vec::<String>::new(), "sockets of the container's own are no reason");
}

#[test]
fn the_hosts_namespace_is_refused() {
    let own = netns_of("/proc/self/ns/net".as_ref()).unwrap();
    assert!(is_host(own.as_fd()).unwrap());
    let error = seal(own.as_fd(), &desired(&[])).unwrap_err().to_string();
    assert_eq!(error, "cannot seal the network namespace: it is the host's own");
    assert!(!is_host(Namespace::new().open().as_fd()).unwrap());
}

#[test]
fn the_hosts_namespace_is_refused_from_within_another_too() {
    let elsewhere = Namespace::new();
    let host = format!("/proc/{}/ns/net", std::process::id());
    let before = ["ip", "netns", "exec", &elsewhere.0];
    let (_, said) = helper("helper_seal", &before, &[("OI_NETNS", &host), ("OI_LOOK_ONLY", "1")]);
    assert!(said.contains("is_host: Ok(true)"), "{said}");
}

/// What is not there proves nothing where another mount hides it, also one of procfs.
#[test]
fn where_the_sysctls_are_hidden_no_namespace_is_taken_for_another_than_the_hosts() {
    let elsewhere = Namespace::new();
    let host = format!("/proc/{}/ns/net", std::process::id());
    let hiding = [
        "mount -t tmpfs t /proc/sys/net/core",
        "mount -t tmpfs t /proc/sys/net; mkdir /proc/sys/net/ipv4; touch /proc/sys/net/ipv4/ip_forward",
        "mount -t tmpfs t /proc/sys",
        "mount --bind /proc/sys/kernel /proc/sys/net/core",
        "mount -t tmpfs t /mnt; touch /mnt/f; mount --bind /proc/sys/net/ipv4/ip_forward /mnt/f
         mount -t tmpfs t /proc/sys/net; mkdir /proc/sys/net/ipv4; touch /proc/sys/net/ipv4/ip_forward
         mount --bind /mnt/f /proc/sys/net/ipv4/ip_forward",
    ];
    for hides in hiding {
        let script = format!("{hides}; exec \"$@\"");
        // Hidden from the machine's own namespace: each has directories of its own.
        let before = ["unshare", "--mount", "sh", "-euc", &script, "sh", "ip", "netns", "exec", &elsewhere.0];
        let (_, said) = helper("helper_seal", &before, &[("OI_NETNS", &host), ("OI_LOOK_ONLY", "1")]);
        assert!(said.contains("is_host: Err(\"cannot tell whether"), "{hides}: {said}");
    }
}

#[test]
fn what_is_no_network_namespace_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let fifo = dir.path().join("fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
    for path in ["/proc/self/ns/uts", "/etc/passwd", "/dev/null", fifo.to_str().unwrap()] {
        let error = netns_of(path.as_ref()).unwrap_err().to_string();
        assert_eq!(error, format!("cannot use {path} as a network namespace: it is not one"));
    }
    let gone = netns_of("/proc/999999999".as_ref()).unwrap_err();
    assert_eq!(gone.to_string(), "cannot open network namespace /proc/999999999");
    let disguised = dir.path().join("uts");
    File::create(&disguised).unwrap();
    run("mount", &["--bind", "/proc/self/ns/uts", disguised.to_str().unwrap()]);
    let netns = netns_of(&disguised).unwrap();
    let error = seal(netns.as_fd(), &desired(&[])).unwrap_err();
    drop(netns);
    run("umount", &[disguised.to_str().unwrap()]);
    assert_eq!(error.to_string(), "cannot enter the network namespace");
}

#[test]
fn tampering_has_a_name() {
    let cases = [
        ("nft flush table inet oci_isolate", "chain input has 0 rules instead of 2"),
        ("nft delete table inet oci_isolate", "table inet oci_isolate is not loaded"),
        ("nft delete chain inet oci_isolate postrouting", "chain postrouting is missing"),
        ("nft 'add chain inet oci_isolate output { policy accept; }'", "policy of chain output was changed"),
        ("nft insert rule inet oci_isolate output accept", "chain output has 4 rules instead of 3"),
        ("nft add rule inet oci_isolate forward accept", "chain forward has 1 rules instead of 0"),
        ("nft 'add chain inet oci_isolate x'", "chain x is not ours"),
        ("nft 'add table inet oci_isolate { flags dormant; }'", "it is dormant"),
        ("nft 'add set inet oci_isolate x { type inet_proto; }'", "set x was changed"),
        (
            "h=$(nft -a list chain inet oci_isolate input | sed -n 's/.*drop # handle //p');
             nft replace rule inet oci_isolate input handle $h ip daddr 127.0.0.12 drop",
            "rule 1 of chain input was changed",
        ),
        (
            "h=$(nft -a list chain inet oci_isolate output | sed -n 's/.*accept # handle //p');
             nft replace rule inet oci_isolate output handle $h oif != lo accept",
            "rule 2 of chain output was changed",
        ),
        (
            "h=$(nft -a list chain inet oci_isolate output | sed -n 's/.*accept # handle //p');
             nft replace rule inet oci_isolate output handle $h oif lo counter accept",
            "rule 2 of chain output was changed",
        ),
        ("ip link set lo down", "lo is not up"),
        ("ip link add eth1 type veth peer name eth2; ip link set eth1 up", "link eth1 is up"),
        ("ip link add br1 type bridge", "link br1 is still there"),
    ];
    for (tamper, said) in cases {
        let container = Namespace::new();
        container.seal();
        assert_eq!(container.defects(), Vec::<String>::new());
        container.sh(tamper);
        let broken = container.defects();
        assert!(broken.iter().any(|reason| reason.contains(said)), "{tamper}: {broken:?}");
        container.seal();
        assert_eq!(container.defects(), Vec::<String>::new(), "{tamper}: sealed again");
    }
}

#[test]
fn tables_of_others_are_none_of_our_business() {
    let container = Namespace::new();
    container
        .sh("nft add table inet other; nft 'add chain inet other c { type filter hook output priority 0; }'");
    container.seal();
    assert_eq!(container.defects(), Vec::<String>::new());
    assert!(container.sh("nft list tables").contains("inet other"));
}

#[test]
fn an_older_table_of_that_name_is_replaced() {
    let container = Namespace::new();
    container.sh("nft add table inet oci_isolate
        nft 'add chain inet oci_isolate output { type filter hook output priority 0; policy accept; }'");
    container.seal();
    assert_eq!(container.defects(), Vec::<String>::new());
}

#[test]
fn to_seal_twice_changes_nothing() {
    let container = Namespace::new();
    container.ip("link set lo up");
    let _foreign = container.within(|| UdpSocket::bind("0.0.0.0:53").unwrap());
    let first = container.seal_with(&["10.9.9.9"]);
    let rules = container.sh("nft -a list ruleset");
    let second = container.seal_with(&["10.9.9.9"]);
    assert_eq!(container.sh("nft -a list ruleset"), rules);
    assert_eq!(second, first);
}

#[test]
fn a_foreign_ping_socket_costs_its_protocol() {
    let container = Namespace::new();
    container.sh("ip link set lo up; sysctl -qw net.ipv4.ping_group_range='0 2147483647'");
    let script = "import socket,time
s=socket.socket(socket.AF_INET,socket.SOCK_DGRAM,socket.IPPROTO_ICMP); s.bind(('127.0.0.1',0)); print('x',flush=True)
time.sleep(60)";
    let _child = python(&container, script);
    assert_eq!(container.seal().foreign_blocked, [ForeignSocket::Protocol(1)]);
}

#[test]
fn a_foreign_raw_tcp_socket_is_refused() {
    let container = Namespace::new();
    let script = "import socket,time
s=socket.socket(socket.AF_INET,socket.SOCK_RAW,6); print('x',flush=True); time.sleep(60)";
    let _child = python(&container, script);
    let said = "foreign socket raw tcp hears the loopback interface and cannot be blocked";
    assert_eq!(container.refusal(), format!("cannot seal the network namespace: {said}"));
}

#[test]
fn a_foreign_packet_socket_is_refused_when_it_hears_loopback() {
    for (protocol, refused) in [(3, true), (0, false)] {
        let container = Namespace::new();
        let script = format!(
            "import socket,time
s=socket.socket(socket.AF_PACKET,socket.SOCK_DGRAM,socket.htons({protocol})); print('x',flush=True); time.sleep(60)"
        );
        let _child = python(&container, &script);
        let sealed = seal(container.open().as_fd(), &desired(&[]));
        assert_eq!(sealed.is_err(), refused, "{sealed:?}");
    }
}

fn python(container: &Namespace, script: &str) -> Killed {
    let mut child = Command::new("ip");
    child.args(["netns", "exec", &container.0, "python3", "-c", script]);
    child.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = Killed(child.spawn().unwrap());
    child
        .0
        .stdout
        .as_mut()
        .unwrap()
        .read_exact(&mut [0; 1])
        .expect("python3 is there and may open the socket");
    child
}

#[test]
fn where_ipv6_is_disabled_its_addresses_are_skipped() {
    let container = Namespace::new();
    container.sh("sysctl -qw net.ipv6.conf.all.disable_ipv6=1");
    let sealed = container.seal_with(&["10.9.9.9", "fd09::9"]);
    assert_eq!(sealed.addresses_kept, [ip("10.9.9.9")]);
    assert_eq!(sealed.addresses_skipped, [ip("fd09::9")]);
}

#[test]
fn thousands_of_links_and_addresses() {
    let container = Namespace::new();
    let links: String = (0..1000)
        .map(|i| {
            format!(
                "link add a{i} type veth peer name b{i}\naddr add 10.5.{}.{}/32 dev a{i}\n",
                i / 250,
                i % 250
            )
        })
        .collect();
    let more: String =
        (0..4000).map(|i| format!("addr add 10.6.{}.{}/32 dev a0\n", i / 250, i % 250)).collect();
    let mut batch = Command::new("ip");
    let mut batch = batch.args(["-n", &container.0, "-batch", "-"]).stdin(Stdio::piped()).spawn().unwrap();
    batch.stdin.take().unwrap().write_all((links + &more).as_bytes()).unwrap();
    assert!(batch.wait().unwrap().success());
    let sealed = container.seal();
    assert_eq!((sealed.links_down.len(), sealed.addresses_kept.len()), (2000, 5000));
    assert_eq!(container.defects(), Vec::<String>::new());
    let seen = observe(container.open().as_fd(), SocketOwner::Container).unwrap();
    assert_eq!((seen.links.len(), seen.links.iter().filter(|link| link.up).count()), (2001, 1));
    assert!(seen.addresses.iter().all(|address| address.link == 1), "{:?}", seen.addresses);
}

#[test]
fn hundreds_of_foreign_sockets() {
    let container = Namespace::new();
    container.ip("link set lo up");
    let udp: Vec<_> =
        container.within(|| (0..1000).map(|i| UdpSocket::bind(("127.0.0.1", 4000 + i)).unwrap()).collect());
    let tcp: Vec<_> =
        container.within(|| (0..250).map(|i| TcpListener::bind(("::1", 4000 + i)).unwrap()).collect());
    assert!(arrives(&container, "127.0.0.1:4999", &udp[999]));
    assert_eq!(container.seal().foreign_blocked.len(), 1250);
    assert!(!arrives(&container, "127.0.0.1:4999", &udp[999]));
    assert!(container.within(|| connect("[::1]:4249")).is_err());
    let Loaded::Present(table) = observe(container.open().as_fd(), SocketOwner::Container).unwrap().table
    else {
        panic!()
    };
    assert_eq!(table.sets.iter().map(|set| set.keys.len()).collect::<Vec<_>>(), [1000, 250]);
    drop(tcp);
}

#[test]
fn known_peers_are_reported_and_no_reason() {
    let (host, container) = (Namespace::new(), Namespace::new());
    plumb(&host, &container);
    container.sh("ip link");
    let nsids = observe(container.open().as_fd(), SocketOwner::Container).unwrap().nsids;
    assert_eq!(container.seal().nsids_left, nsids);
    assert!(!nsids.is_empty());
}

#[test]
fn the_namespace_of_a_user_namespace() {
    let holder = Command::new("unshare").args(["-Urn", "sleep", "60"]).spawn().unwrap();
    let holder = Killed(holder);
    let process = PathBuf::from(format!("/proc/{}", holder.0.id()));
    let netns = settled(&process);
    seal(netns.as_fd(), &desired(&["10.9.9.9"])).unwrap();
    assert!(verify(netns.as_fd()).unwrap().defects.is_empty());
}

/// The network namespace of a process, once it is one of its own.
fn settled(process: &std::path::Path) -> File {
    for _ in 0..200 {
        let netns = netns_of(process).unwrap();
        if !is_host(netns.as_fd()).unwrap() {
            return netns;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("unshare did not unshare")
}

#[test]
fn without_root() {
    let user = ["--reuid=65534", "--regid=65534", "--clear-groups"];
    let holder = Command::new("setpriv").args(user).args(["unshare", "-Urn", "sleep", "60"]).spawn().unwrap();
    let holder = Killed(holder);
    let process = format!("/proc/{}", holder.0.id());
    let netns = settled(process.as_ref());
    let before: Vec<_> = ["setpriv"].into_iter().chain(user).collect();
    let (_, said) = helper("helper_seal", &before, &[("OI_NETNS", &process)]);
    assert!(said.contains("cannot enter the network namespace: EPERM"), "{said}");
    // nsenter does what `join_user_namespace` does: the test harness has threads, and then setns(2) refuses.
    let pid = holder.0.id().to_string();
    let nsenter = ["nsenter", "--preserve-credentials", "-U", "-t", &pid];
    let before: Vec<_> = before.into_iter().chain(nsenter).collect();
    let (_, said) = helper("helper_seal", &before, &[("OI_NETNS", &process), ("OI_JOIN", &process)]);
    assert!(said.contains("seal: Ok("), "{said}");
    assert!(verify(netns.as_fd()).unwrap().defects.is_empty());
}

#[test]
fn to_be_forbidden_is_not_to_be_unavailable() {
    let container = Namespace::new();
    let path = container.path();
    let before = ["setpriv", "--bounding-set=-net_admin", "--inh-caps=-net_admin"];
    let (_, said) = helper("helper_seal", &before, &[("OI_NETNS", path.to_str().unwrap())]);
    assert!(said.contains("cannot load table inet oci_isolate of the firewall: EPERM"), "{said}");
}

#[test]
fn without_nf_tables() {
    let script = r#"
import ctypes, os, struct, sys
# socket(AF_NETLINK, _, NETLINK_NETFILTER) fails with EPROTONOSUPPORT, as on a kernel without nfnetlink (x86-64).
f = [(0x20,0,0,0),(0x15,0,5,41),(0x20,0,0,16),(0x15,0,3,16),(0x20,0,0,32),(0x15,0,1,12),(6,0,0,0x50000|93),(6,0,0,0x7fff0000)]
code = b''.join(struct.pack('HBBI',*x) for x in f); buf = ctypes.create_string_buffer(code)
class Prog(ctypes.Structure): _fields_=[('len',ctypes.c_ushort),('filter',ctypes.c_void_p)]
prog = Prog(len(f), ctypes.addressof(buf)); libc = ctypes.CDLL(None, use_errno=True)
libc.prctl(38,1,0,0,0)
if libc.prctl(22,2,ctypes.byref(prog),0,0): sys.exit('no seccomp')
os.execv(sys.argv[1], sys.argv[1:])
"#;
    if !cfg!(target_arch = "x86_64") {
        panic!("the filter is written for x86-64; write it for this machine");
    }
    let container = Namespace::new();
    let path = container.path();
    let netns = [("OI_NETNS", path.to_str().unwrap())];
    let (_, said) = helper("helper_seal", &["python3", "-c", script], &netns);
    assert!(said.contains("firewall: false"), "if-available: {said}");
    let netns = [netns[0], ("OI_REQUIRED", "1")];
    let (_, said) = helper("helper_seal", &["python3", "-c", script], &netns);
    assert!(said.contains("this kernel has no nf_tables"), "required: {said}");
}

/// Not a test: what the tests above run under other rights.
#[test]
#[ignore = "a helper of other tests"]
fn helper_seal() {
    let Some(netns) = std::env::var_os("OI_NETNS") else { return };
    if let Some(process) = std::env::var_os("OI_JOIN") {
        join_user_namespace(process.as_ref()).unwrap();
    }
    let netns = netns_of(netns.as_ref()).unwrap();
    println!("is_host: {:?}", is_host(netns.as_fd()).map_err(|e| format!("{e:#}")));
    if std::env::var_os("OI_LOOK_ONLY").is_some() {
        return;
    }
    let required = std::env::var_os("OI_REQUIRED").is_some();
    let firewall = if required { Firewall::Required } else { Firewall::IfAvailable };
    let wanted = Desired { firewall, ..desired(&["10.9.9.9"]) };
    let sealed = seal(netns.as_fd(), &wanted);
    println!("seal: {:?}", sealed.map_err(|e| format!("{e:#}")));
}
