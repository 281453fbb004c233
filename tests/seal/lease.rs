//! Peers for as long as a lease runs: the kernel closes them by itself, and a renewal costs no packet.

use std::collections::BTreeSet;
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, UdpSocket};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ipnet::IpNet;
use oci_isolate::nft::AllowList;
use oci_isolate::policy::Protocol;
use oci_isolate::seal::{SocketOwner, defects, lease, observe, renew_lease, set_peers};

use super::allow_list::{Net, broken, opened, port, to_peers};
use super::{connect, ip};

fn leased(addresses: &[&str]) -> AllowList {
    AllowList { leased: Some(addresses.iter().map(|address| ip(address)).collect()), ..AllowList::default() }
}

fn left(net: &Net) -> Duration {
    lease(net.container.open().as_fd()).unwrap()
}

fn renew(net: &Net, wanted: Duration) {
    renew_lease(net.container.open().as_fd(), wanted).unwrap();
}

fn wait_until_it_has_run_out(net: &Net) {
    while !left(net).is_zero() {
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A peer, its server, where a socket of the container is bound, and a port of it where none is.
const BY_FAMILY: [[&str; 4]; 2] = [
    ["10.77.0.3", "10.77.0.3:80", "0.0.0.0:0", "10.77.0.2:9"],
    ["fd77::3", "[fd77::3]:80", "[::]:0", "[fd77::2]:9"],
];

/// Whether packets pass in both directions: TCP and UDP to the peer, and a connection from it.
fn is_open(net: &Net, [_, server, any, closed_port]: [&str; 4]) -> bool {
    let is_open = net.container.within(|| connect(server)).is_ok();
    let socket = net.container.within(|| UdpSocket::bind(any).unwrap());
    assert_eq!(socket.send_to(b"x", server).is_ok(), is_open, "{server}");
    // Nothing listens there, and who may send there is told so.
    let answer = net.peer.within(|| connect(closed_port));
    let is_told = answer.is_err_and(|error| error == ErrorKind::ConnectionRefused);
    assert_eq!(is_told, is_open, "from {server}");
    is_open
}

#[test]
fn what_is_leased_is_a_peer_until_the_lease_runs_out() {
    for family in BY_FAMILY {
        let net = Net::new();
        let [address, server, ..] = family;
        let _there = net.peer.within(|| TcpListener::bind(server).unwrap());
        assert!(net.container.within(|| connect(server)).is_ok(), "{server} before the seal");
        net.seal(&leased(&[address]));
        // There is no lease yet.
        assert_eq!(left(&net), Duration::ZERO);
        assert!(!is_open(&net, family));
        renew(&net, Duration::from_secs(3));
        assert!(is_open(&net, family));
        wait_until_it_has_run_out(&net);
        assert!(!is_open(&net, family));
        assert_eq!(broken(&net.container), Vec::<String>::new());
        renew(&net, Duration::from_secs(60));
        assert!(is_open(&net, family));
        assert_eq!(broken(&net.container), Vec::<String>::new());
    }
}

#[test]
fn without_a_lease_a_peer_stays() {
    for family in BY_FAMILY {
        let net = Net::new();
        let _there = net.peer.within(|| TcpListener::bind(family[1]).unwrap());
        let peer = IpNet::from(ip(family[0])).to_string();
        net.seal(&AllowList { peers: to_peers(&[&peer]).peers, ..leased(&[]) });
        renew(&net, Duration::from_millis(1500));
        wait_until_it_has_run_out(&net);
        assert!(is_open(&net, family));
    }
}

#[test]
fn a_connection_is_cut_off_when_the_lease_runs_out() {
    let net = Net::new();
    let listener = net.peer.within(|| TcpListener::bind("10.77.0.3:80").unwrap());
    net.seal(&leased(&["10.77.0.3"]));
    renew(&net, Duration::from_secs(3));
    let mut client = net.container.within(|| connect("10.77.0.3:80")).unwrap();
    let (mut server, _) = listener.accept().unwrap();
    client.write_all(b"x").unwrap();
    server.read_exact(&mut [0; 1]).unwrap();
    wait_until_it_has_run_out(&net);
    // What is refused is lost, as on the way.
    let _ = client.write_all(b"x");
    server.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
    assert_eq!(server.read(&mut [0; 1]).unwrap_err().kind(), ErrorKind::WouldBlock);
}

#[test]
fn a_lease_is_never_shortened_and_ends_at_the_last_renewal() {
    let net = Net::new();
    net.seal(&leased(&["10.77.0.3"]));
    let seconds = Duration::from_secs;
    renew(&net, seconds(100));
    renew(&net, seconds(50));
    assert!(left(&net) > seconds(90) && left(&net) <= seconds(100), "{:?}", left(&net));
    for wanted in [200, 300, 400, 500] {
        renew(&net, seconds(wanted));
        assert!(left(&net) > seconds(wanted - 10) && left(&net) <= seconds(wanted), "{:?}", left(&net));
    }
    // The peers and what is leased change without it.
    let four = BTreeSet::from([ip("10.77.0.4")]);
    set_peers(net.container.open().as_fd(), &to_peers(&[]).peers, Some(&four), &BTreeSet::new()).unwrap();
    assert!(left(&net) > seconds(490) && left(&net) <= seconds(500), "{:?}", left(&net));
    let _other = net.other.within(|| TcpListener::bind("10.77.0.4:80").unwrap());
    let _peer = net.peer.within(|| TcpListener::bind("10.77.0.3:80").unwrap());
    assert!(net.container.within(|| connect("10.77.0.4:80")).is_ok());
    assert!(net.container.within(|| connect("10.77.0.3:80")).is_err());
    assert_eq!(broken(&net.container), Vec::<String>::new());
    let gateway = BTreeSet::from([ip("10.77.0.1")]);
    let why = set_peers(net.container.open().as_fd(), &to_peers(&[]).peers, Some(&gateway), &BTreeSet::new());
    assert!(format!("{:#}", why.unwrap_err()).contains("10.77.0.1 became a gateway"));
}

#[test]
fn a_renewal_costs_not_one_packet() {
    let net = Net::new();
    net.seal(&AllowList { ingress: port(Protocol::Tcp, 8080, None).ingress, ..leased(&["10.77.0.3"]) });
    let there = net.peer.within(|| UdpSocket::bind("10.77.0.3:9").unwrap());
    let here = net.container.within(|| UdpSocket::bind("0.0.0.0:0").unwrap());
    assert_eq!(here.send_to(b"x", "10.77.0.3:9").unwrap_err().kind(), ErrorKind::PermissionDenied);
    renew(&net, Duration::from_secs(1000));
    let done = AtomicBool::new(false);
    let (sent, refused) = std::thread::scope(|scope| {
        let flood = scope.spawn(|| {
            let (mut sent, mut refused) = (0, 0);
            while !done.load(Ordering::Relaxed) {
                let is_sent = here.send_to(b"x", "10.77.0.3:9").is_ok();
                (sent, refused) = (sent + usize::from(is_sent), refused + usize::from(!is_sent));
            }
            (sent, refused)
        });
        for round in 1..1000 {
            renew(&net, Duration::from_secs(1000 + 100 * round));
        }
        done.store(true, Ordering::Relaxed);
        flood.join().unwrap()
    });
    println!("{sent} datagrams, {refused} refused, during 999 renewals");
    assert!(refused == 0 && sent > 1000 && left(&net) > Duration::from_secs(100_000));
    drop(there);
}

#[test]
fn a_lease_that_was_tampered_with_has_a_name() {
    let net = Net::new();
    let allow = leased(&["10.77.0.3"]);
    for (tamper, said) in [
        (
            "nft add element inet oci_isolate leased4 '{ 10.77.0.4 }'",
            "1 peers are not wanted, and 0 wanted are none",
        ),
        ("nft flush set inet oci_isolate leased4", "0 peers are not wanted, and 1 wanted are none"),
        ("nft insert rule inet oci_isolate leased accept", "chain leased has 3 rules instead of 2"),
        ("nft 'add set inet oci_isolate lease3 { type nf_proto; flags timeout; }'", "set lease3 was changed"),
    ] {
        net.seal(&allow);
        net.container.sh(tamper);
        let seen = observe(net.container.open().as_fd(), SocketOwner::Container).unwrap();
        let found = defects(&seen, &opened(&allow), SocketOwner::Container);
        let found: Vec<_> = found.iter().map(ToString::to_string).collect();
        assert!(found.iter().any(|found| found.contains(said)), "{tamper}: {found:?}");
        net.container.sh("nft delete table inet oci_isolate");
    }
    // One without an end runs the longest.
    net.seal(&allow);
    net.container.sh("nft add element inet oci_isolate lease1 '{ ipv4 }'");
    assert!(left(&net) > Duration::from_secs(365 * 24 * 3600));
}
