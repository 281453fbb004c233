//! Attempts that are counted: each destination, how often, and nothing else; and that a namespace which counts lets
//! through no more than one that does not.

use std::collections::BTreeMap;
use std::net::UdpSocket;
use std::os::fd::AsFd;
use std::time::{Duration, SystemTime};

use oci_isolate::nft::{AllowList, Direction};
use oci_isolate::policy::Protocol;
use oci_isolate::seal::{Attempts, Desired, attempts, lock_down, remove_table, seal};

use super::allow_list::{Net, opened, port, to_peers};
use super::{Namespace, arrives, connect, desired, plumb, run};

fn counting(destinations: u32) -> Desired {
    Desired { attempts: Some(destinations), ..desired(&[]) }
}

fn sealed() -> Namespace {
    let container = Namespace::new();
    seal(container.open().as_fd(), &counting(1024)).unwrap();
    container
}

fn counted(container: &Namespace) -> Attempts {
    let found = attempts(container.open().as_fd()).unwrap().expect("it counts");
    assert_eq!(found.missing, Vec::<String>::new());
    found
}

/// By direction and destination.
fn table(found: &Attempts) -> BTreeMap<(Direction, String), u64> {
    let all = found.destinations.iter().map(|a| ((a.direction, a.destination.to_string()), a.packets));
    let table: BTreeMap<_, _> = all.collect();
    assert_eq!(table.len(), found.destinations.len(), "{found:?}");
    table
}

fn expected(list: &[(&str, u64)]) -> BTreeMap<(Direction, String), u64> {
    list.iter().map(|(to, count)| ((Direction::Out, (*to).to_owned()), *count)).collect()
}

/// Without rights over the namespace, as a container's program is.
fn script(container: &Namespace, python: &str) -> String {
    let words = ["netns", "exec", &container.0, "setpriv", "--bounding-set=-all", "--inh-caps=-all"];
    run("ip", &[&words[..], &["python3", "-c", &format!("{HELPERS}\n{python}")]].concat())
}

/// `tcp` and `udp` say which error there was; each waits for at most a minute, which would be an error of its own.
const HELPERS: &str = r#"
import errno, os, select, socket, threading
def family(host): return socket.AF_INET6 if ":" in host else socket.AF_INET
def tcp(host, port, times=1):
    for _ in range(times):
        s = socket.socket(family(host)); s.setblocking(False)
        error = s.connect_ex((host, port))
        if error == errno.EINPROGRESS:
            p = select.poll(); p.register(s, select.POLLOUT)
            assert p.poll(60000), "no answer"
            error = s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        s.close()
    return errno.errorcode.get(error, "connected")
def udp(host, port, times=1):
    s = socket.socket(family(host), socket.SOCK_DGRAM)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
    answer = "sent"
    for _ in range(times):
        try: s.sendto(b"x", (host, port)); answer = "sent"
        except OSError as e: answer = errno.errorcode[e.errno]
    return answer
def ping(host, times=1):
    s = socket.socket(family(host), socket.SOCK_DGRAM, socket.IPPROTO_ICMP if family(host) == socket.AF_INET else 58)
    answer = "sent"
    for n in range(times):
        try: s.sendto(bytes([8 if family(host) == socket.AF_INET else 128, 0, 0, 0, 0, 0, 0, n]), (host, 0))
        except OSError as e: answer = errno.errorcode[e.errno]
    return answer
"#;

#[test]
fn each_destination_is_counted_and_nothing_else() {
    let container = sealed();
    container.sh("sysctl -qw net.ipv4.ping_group_range='0 0'");
    let before = SystemTime::now();
    let said = script(
        &container,
        r#"
own = socket.create_server(("127.0.0.1", 8080))
print(tcp("1.2.3.4", 443, 3), udp("8.8.8.8", 53, 5), tcp("2001:db8::1", 443, 2), udp("2001:db8::1", 53, 4))
print(tcp("169.254.169.254", 80, 7), udp("127.0.0.11", 53, 6), ping("9.9.9.9", 2), ping("2001:db8::9", 3))
print(tcp("127.0.0.1", 8080), tcp("127.0.0.1", 9), udp("127.0.0.1", 9), udp("255.255.255.255", 67))
"#,
    );
    let (errors, local) = ("ECONNREFUSED EPERM ECONNREFUSED EPERM", "connected ECONNREFUSED sent EPERM");
    assert_eq!(said, format!("{errors}\nECONNREFUSED EPERM EPERM sent\n{local}\n"));
    let found = counted(&container);
    let list = [
        ("tcp 1.2.3.4:443", 3),
        ("udp 8.8.8.8:53", 5),
        ("tcp [2001:db8::1]:443", 2),
        ("udp [2001:db8::1]:53", 4),
        ("tcp 169.254.169.254:80", 7),
        ("udp 127.0.0.11:53", 6),
        ("icmp 9.9.9.9", 2),
        ("icmpv6 2001:db8::9", 3),
        ("udp 255.255.255.255:67", 1),
    ];
    assert_eq!(table(&found), expected(&list));
    assert_eq!((found.not_kept, found.arrivals_not_kept), (0, 0));
    // The kernel's clock ticks every 10 ms at most.
    let (from, to) = (before - Duration::from_millis(50), SystemTime::now() + Duration::from_millis(50));
    for attempt in &found.destinations {
        assert!(from <= attempt.first && attempt.first <= attempt.last && attempt.last <= to, "{attempt:?}");
    }
    assert_eq!(container.defects(), Vec::<String>::new());
    // A second seal changes nothing, and what was counted stays.
    seal(container.open().as_fd(), &counting(1024)).unwrap();
    assert_eq!(table(&counted(&container)), expected(&list));
}

/// A kernel that is busy with links takes its time to make an address local.
#[test]
fn sealing_itself_is_not_counted() {
    let addresses: Vec<_> = (1..=20).map(|n| format!("2001:db8::{n}")).collect();
    let addresses: Vec<_> = addresses.iter().map(String::as_str).collect();
    let wanted = Desired { attempts: Some(1024), ..desired(&addresses) };
    let elsewhere = Namespace::new();
    let plumb =
        || elsewhere.sh("for n in $(seq 100); do ip link add x type veth peer name y; ip link del x; done");
    std::thread::scope(|scope| {
        let busy = scope.spawn(plumb);
        while !busy.is_finished() {
            let container = Namespace::new();
            seal(container.open().as_fd(), &wanted).unwrap();
            assert_eq!(counted(&container), Attempts::default());
        }
    });
}

#[test]
fn the_first_time_stays_and_the_last_one_moves() {
    let container = sealed();
    script(&container, "tcp('1.2.3.4', 443)");
    let first = counted(&container).destinations.remove(0);
    std::thread::sleep(Duration::from_millis(300));
    script(&container, "tcp('1.2.3.4', 443)");
    let again = counted(&container).destinations.remove(0);
    let apart = |a: SystemTime, b: SystemTime| b.duration_since(a).unwrap_or_else(|e| e.duration());
    assert!(apart(first.first, again.first) < Duration::from_millis(100), "{first:?} {again:?}");
    assert!(apart(again.first, again.last) > Duration::from_millis(200), "{again:?}");
}

#[test]
fn without_counting_nothing_is_different() {
    let (counts, not) = (sealed(), Namespace::new());
    not.seal();
    assert_eq!(attempts(not.open().as_fd()).unwrap(), None);
    assert_eq!(not.sh("ip route; ip -6 route show default"), "");
    assert!(!not.sh("nft list ruleset").contains("attempts"));
    for route in ["ip route", "ip -6 route show default"] {
        assert!(counts.sh(route).contains("default dev lo"), "{}", counts.sh(route));
    }
    // The errors that programs see where nothing is counted, for comparison.
    let said = script(&not, "print(tcp('1.2.3.4', 443), tcp('2001:db8::1', 443), udp('8.8.8.8', 53))");
    assert_eq!(said, "ENETUNREACH ENETUNREACH ENETUNREACH\n");
}

#[test]
fn threads_and_forks_are_counted() {
    let container = sealed();
    script(
        &container,
        r#"
threads = [threading.Thread(target=tcp, args=("1.2.3.4", 443, 50)) for _ in range(8)]
for t in threads: t.start()
for _ in range(8):
    if os.fork() == 0:
        tcp("1.2.3.4", 443, 25); udp("8.8.8.8", 53, 25)
        os._exit(0)
for t in threads: t.join()
while True:
    try: os.wait()
    except ChildProcessError: break
"#,
    );
    assert_eq!(table(&counted(&container)), expected(&[("tcp 1.2.3.4:443", 600), ("udp 8.8.8.8:53", 200)]));
}

#[test]
fn a_hundred_thousand_destinations_stay_within_bounds() {
    let container = Namespace::new();
    seal(container.open().as_fd(), &counting(64)).unwrap();
    script(
        &container,
        r#"
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for n in range(100000):
    try: s.sendto(b"x", (f"10.{n >> 16}.{n >> 8 & 255}.{n & 255}", 53))
    except PermissionError: pass
udp("10.0.0.0", 53, 5)
"#,
    );
    let found = counted(&container);
    assert_eq!((found.destinations.len(), found.not_kept), (64, 100_000 - 64));
    assert_eq!(table(&found)[&(Direction::Out, "udp 10.0.0.0:53".to_owned())], 6);
    let listed = container.sh("nft list set inet oci_isolate attempts4");
    assert_eq!(listed.matches("counter packets").count(), 64);
}

#[test]
fn a_program_can_neither_see_nor_flush_nor_forge_nor_route() {
    let container = sealed();
    script(&container, "tcp('1.2.3.4', 443)");
    for change in [
        "nft list ruleset",
        "nft reset set inet oci_isolate attempts4",
        "nft flush set inet oci_isolate attempts4",
        "nft flush ruleset",
        "nft add element inet oci_isolate attempts4 '{ 6.6.6.6 . tcp . 1 }'",
        "ip route del default",
        "ip route add 1.2.3.4 dev lo src 127.0.0.1",
    ] {
        // With all capabilities in a user namespace of its own, too: the network namespace is not of that one.
        for user in ["", "unshare --user --map-root-user"] {
            let refused = container.sh(&format!(
                "setpriv --bounding-set=-all --inh-caps=-all {user} {change} 2>&1 && echo changed || true"
            ));
            assert!(refused.contains("not permitted") && !refused.contains("1.2.3.4"), "{change}: {refused}");
        }
    }
    // What would have done it.
    assert!(container.sh("nft list ruleset").contains("1.2.3.4 . tcp . 443"));
    assert_eq!(table(&counted(&container)), expected(&[("tcp 1.2.3.4:443", 1)]));
}

#[test]
fn what_the_default_route_leads_to_is_accepted_nowhere() {
    let container = sealed();
    let receiver = container.within(|| UdpSocket::bind("0.0.0.0:5000").unwrap());
    let receiver6 = container.within(|| UdpSocket::bind("[::]:5001").unwrap());
    assert!(arrives(&container, "127.0.0.1:5000", &receiver), "loopback works");
    assert!(arrives(&container, "127.8.9.10:5000", &receiver), "loopback works");
    assert!(arrives(&container, "[::1]:5001", &receiver6), "loopback works");
    for to in ["1.2.3.4", "224.0.0.1", "239.1.2.3", "255.255.255.255", "169.254.1.1", "240.0.0.1"] {
        assert!(!arrives(&container, &format!("{to}:5000"), &receiver), "{to}");
    }
    for to in ["2001:db8::1", "fd00::1", "ff02::1", "ff05::2", "fe80::1%1", "::ffff:1.2.3.4"] {
        assert!(!arrives(&container, &format!("[{to}]:5001"), &receiver6), "{to}");
    }
    // A translation that leads out after `output` has accepted meets `postrouting`.
    container.sh("nft 'add table ip nat'; nft 'add chain ip nat out { type nat hook output priority -100; }'
         nft 'add rule ip nat out udp dport 5555 dnat to 1.2.3.4:5000'");
    let before = container.sh("cat /proc/net/dev | grep lo: | awk '{print $3}'");
    assert!(!arrives(&container, "127.0.0.1:5555", &receiver));
    assert_eq!(
        container.sh("cat /proc/net/dev | grep lo: | awk '{print $3}'"),
        before,
        "a packet went over lo"
    );
}

/// From an address that is not the container's, which takes no capability over IPv6.
#[test]
fn what_the_kernel_answers_is_not_counted() {
    let container = sealed();
    container.sh("sysctl -qw net.ipv4.ping_group_range='0 0'");
    let said = script(
        &container,
        r#"
def foreign(kind, protocol=0):
    s = socket.socket(socket.AF_INET6, kind, protocol)
    s.setsockopt(socket.IPPROTO_IPV6, 78, 1)
    s.bind(("2001:db8::5", 0)); s.setblocking(False)
    return s
try: print(foreign(socket.SOCK_DGRAM).sendto(b"x", ("2001:db8::6", 5001)))
except OSError as e: print(errno.errorcode[e.errno])
foreign(socket.SOCK_STREAM).connect_ex(("2001:db8::6", 443))
# Answered by the container's own kernel: an echo request, an unreachable port, a listening one, a closed one.
listening = socket.create_server(("::1", 8080), family=socket.AF_INET6)
print(foreign(socket.SOCK_DGRAM, 58).sendto(bytes([128, 0, 0, 0, 0, 0, 0, 1]), ("::1", 0)))
print(foreign(socket.SOCK_DGRAM).sendto(b"x", ("::1", 9)))
for port in 8080, 9: foreign(socket.SOCK_STREAM).connect_ex(("::1", port))
"#,
    );
    assert_eq!(said, "EPERM\n8\n1\n");
    let list = [("udp [2001:db8::6]:5001", 1), ("tcp [2001:db8::6]:443", 1)];
    assert_eq!(table(&counted(&container)), expected(&list));
}

#[test]
fn without_the_guard_lo_would_take_packets_to_any_address() {
    let container = sealed();
    let sent = || {
        let packets = || container.sh("awk '/lo:/ {print $3}' /proc/net/dev").trim().parse::<u64>().unwrap();
        let before = packets();
        script(&container, "udp('1.2.3.4', 5000)");
        packets() - before
    };
    let refused = sent();
    let handles =
        container.sh("nft -a list chain inet oci_isolate output | sed -n 's/.*goto refuse # handle //p'");
    for handle in handles.lines().take(2) {
        container.sh(&format!("nft delete rule inet oci_isolate output handle {handle}"));
    }
    let handles =
        container.sh("nft -a list chain inet oci_isolate postrouting | sed -n 's/.*drop # handle //p'");
    for handle in handles.lines() {
        container.sh(&format!("nft delete rule inet oci_isolate postrouting handle {handle}"));
    }
    assert_eq!((refused, sent()), (0, 1));
    assert_eq!(script(&container, "print(udp('1.2.3.4', 5000))"), "sent\n");
    let broken = container.defects();
    assert!(broken[0].contains("chain output has 3 rules instead of"), "{broken:?}");
}

#[test]
fn an_interface_that_is_added_later_carries_nothing_and_is_counted() {
    let (host, container) = (Namespace::new(), sealed());
    plumb(&host, &container);
    let before = host.counted();
    assert!(container.within(|| connect("10.77.0.1:80")).is_err());
    assert!(container.within(|| connect("8.8.8.8:53")).is_err());
    assert_eq!(host.counted(), before);
    assert_eq!(table(&counted(&container)), expected(&[("tcp 10.77.0.1:80", 1), ("tcp 8.8.8.8:53", 1)]));
}

#[test]
fn an_allow_list_counts_what_it_refuses_in_both_directions() {
    let net = Net::new();
    let list = AllowList { ingress: port(Protocol::Tcp, 8080, None).ingress, ..to_peers(&["10.77.0.3/32"]) };
    let wanted = Desired { attempts: Some(1024), ..opened(&list) };
    seal(net.container.open().as_fd(), &wanted).unwrap();
    assert_eq!(net.container.sh("ip route show default"), "default via 10.77.0.1 dev eth0 \n");
    let said = script(
        &net.container,
        "print(tcp('10.88.0.2', 80, 2), udp('10.77.0.4', 53, 3), tcp('fd88::2', 80), udp('10.77.0.255', 9))",
    );
    assert_eq!(said, "ECONNREFUSED EPERM ECONNREFUSED EPERM\n");
    let peer = net.peer.within(|| UdpSocket::bind("10.77.0.3:99").unwrap());
    assert!(arrives(&net.container, "10.77.0.3:99", &peer), "the peer is reached");
    let closed = net.container.within(|| UdpSocket::bind("0.0.0.0:5000").unwrap());
    assert!(!arrives(&net.other, "10.77.0.2:5000", &closed));
    assert!(arrives(&net.peer, "10.77.0.2:5000", &closed), "from the peer");
    let own = net
        .container
        .sh("ip -6 -o addr show dev eth0 scope link | sed 's/\\([0-9]*\\): .* inet6 \\([^/]*\\).*/\\2%\\1/'");
    let closed6 = net.container.within(|| UdpSocket::bind("[::]:5001").unwrap());
    assert!(arrives(&net.container, &format!("[{}]:5001", own.trim()), &closed6), "{own}");
    let found = table(&counted(&net.container));
    let mut all = expected(&[
        ("tcp 10.88.0.2:80", 2),
        ("udp 10.77.0.4:53", 3),
        ("tcp [fd88::2]:80", 1),
        ("udp 10.77.0.255:9", 1),
    ]);
    all.insert((Direction::In, "udp 10.77.0.4:5000".into()), 1);
    // And no listener report or router solicitation, which the kernel has sent meanwhile.
    assert_eq!(found, all);
    assert_eq!(super::allow_list::broken(&net.container), Vec::<String>::new());
}

#[test]
fn a_peer_without_a_route_is_refused_and_not_looped() {
    let net = Net::new();
    net.container.sh("ip route del default; ip -6 route del default");
    let list = to_peers(&["10.88.0.2/32", "fd88::2/128"]);
    let wanted = Desired { attempts: Some(16), ..opened(&list) };
    seal(net.container.open().as_fd(), &wanted).unwrap();
    let said =
        script(&net.container, "print(tcp('10.88.0.2', 80), udp('10.88.0.2', 80), tcp('fd88::2', 80))");
    assert_eq!(said, "ECONNREFUSED EPERM ECONNREFUSED\n");
    let all = [("tcp 10.88.0.2:80", 1), ("udp 10.88.0.2:80", 1), ("tcp [fd88::2]:80", 1)];
    assert_eq!(table(&counted(&net.container)), expected(&all));
    // An engine's own route takes precedence.
    net.container.sh("ip route add default via 10.77.0.1");
    let outside = net.internet.within(|| UdpSocket::bind("10.88.0.2:99").unwrap());
    assert!(arrives(&net.container, "10.88.0.2:99", &outside));
}

#[test]
fn a_route_that_is_missing_is_told() {
    let container = sealed();
    container.sh("ip route del default");
    let missing = attempts(container.open().as_fd()).unwrap().unwrap().missing;
    assert_eq!(missing, ["IPv4 attempts are not counted: there is no default route over lo"]);
    // Of the promises all hold.
    assert_eq!(container.defects(), Vec::<String>::new());
    container.sh("nft insert rule inet oci_isolate refuse return");
    let missing = attempts(container.open().as_fd()).unwrap().unwrap().missing;
    assert_eq!(missing[0], "table inet oci_isolate was changed");
}

/// By root; a container's program can do none of it.
#[test]
fn counters_that_were_changed_are_told() {
    let container = sealed();
    script(&container, "tcp('1.2.3.4', 443, 3)");
    container.sh("nft flush set inet oci_isolate attempts4");
    let found = counted(&container);
    assert_eq!((found.destinations.len(), found.not_kept), (0, 3));
    script(&container, "tcp('1.2.3.4', 443)");
    let found = counted(&container);
    assert_eq!((found.destinations[0].packets, found.not_kept), (1, 3));
    container
        .sh("nft add element inet oci_isolate attempts4 '{ 6.6.6.6 . tcp . 1 counter packets 9 bytes 360 }'");
    let missing = attempts(container.open().as_fd()).unwrap().unwrap().missing;
    assert_eq!(missing, ["counters were changed: more packets out are counted by destination than in all"]);
    // Of the promises all hold.
    assert_eq!(container.defects(), Vec::<String>::new());
    container.sh("nft delete table inet oci_isolate");
    assert_eq!(attempts(container.open().as_fd()).unwrap(), None);
    assert_eq!(container.defects(), ["table inet oci_isolate is not loaded"]);
}

/// Whether there is a default route over lo, of IPv4 and of IPv6.
fn over_lo(container: &Namespace) -> [bool; 2] {
    ["ip route", "ip -6 route"].map(|list| container.sh(list).contains("default dev lo"))
}

#[test]
fn a_released_namespace_has_its_routes_no_more() {
    let net = Net::new();
    net.container.sh("ip route del default; ip -6 route del default");
    let wanted = Desired { attempts: Some(16), ..opened(&to_peers(&["10.77.0.3/32"])) };
    seal(net.container.open().as_fd(), &wanted).unwrap();
    assert_eq!(over_lo(&net.container), [true, true]);
    remove_table(net.container.open().as_fd(), || Ok(true)).unwrap();
    assert_eq!(over_lo(&net.container), [false, false]);
    assert_eq!(net.container.sh("nft list ruleset"), "");
    // Likewise if lockdown takes the place of the table, even where it was stopped before it removed them.
    seal(net.container.open().as_fd(), &wanted).unwrap();
    lock_down(net.container.open().as_fd()).unwrap();
    assert_eq!(over_lo(&net.container), [false, false]);
    net.container.sh("ip route add default dev lo proto static scope link src 127.0.0.1 metric 4294967295
        ip -6 route add default dev lo proto static src ::1 metric 4294967295
        ip route add default via 10.77.0.1");
    remove_table(net.container.open().as_fd(), || Ok(true)).unwrap();
    assert_eq!(net.container.sh("ip route show default"), "default via 10.77.0.1 dev eth0 \n");
    assert_eq!(over_lo(&net.container), [false, false]);
    assert_eq!(net.container.sh("nft list ruleset"), "");
}
