//! What the kernel has after the seal, as nft(8) lists it, beside what it should have: `tests/seal/golden/*.nft`. A rule
//! that changes changes a file there; `UPDATE_GOLDEN=1 cargo test --test seal golden` writes them.

use std::os::fd::AsFd;
use std::path::Path;

use oci_isolate::nft::AllowList;
use oci_isolate::policy::{Ingress, Protocol};
use oci_isolate::seal::{Desired, lock_down, seal};
use oci_isolate::settings::{Firewall, Links};

use super::{Namespace, UdpSocket, python};

/// Numbers instead of names, which are read from files of the machine.
fn listed(namespace: &Namespace) -> String {
    namespace.sh("nft --numeric list ruleset")
}

#[track_caller]
fn is_as_written(name: &str, namespace: &Namespace) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/seal/golden").join(name);
    let listed = listed(namespace);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, &listed).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap();
    assert!(listed == written, "{} is\n{written}\nand the kernel has\n{listed}", path.display());
}

fn desired(allow_list: Option<AllowList>) -> Desired {
    let (firewall, links) = (Firewall::Required, Links::Down);
    Desired { addresses: vec![], firewall, links, allow_list, attempts: None }
}

fn ingress() -> Vec<Ingress> {
    let port = |protocol, first, last, from: Option<&str>| Ingress {
        protocol,
        first,
        last,
        from: from.map(|from| from.parse().unwrap()),
    };
    vec![
        port(Protocol::Tcp, 8080, 8080, None),
        port(Protocol::Tcp, 9000, 9010, Some("10.0.0.0/24")),
        port(Protocol::Udp, 53, 53, Some("fd00::/64")),
    ]
}

fn peers() -> AllowList {
    AllowList {
        peers: ["10.77.0.3/32", "10.78.0.0/24", "fd77::3/128"]
            .map(|p| p.parse().unwrap())
            .into_iter()
            .collect(),
        never: ["10.77.0.1", "fd77::1"].map(|a| a.parse().unwrap()).into(),
        ..AllowList::default()
    }
}

#[test]
fn golden_sealed() {
    let container = Namespace::new();
    container.seal();
    is_as_written("sealed.nft", &container);
}

#[test]
fn golden_lockdown() {
    let container = Namespace::new();
    lock_down(container.open().as_fd()).unwrap();
    is_as_written("lockdown.nft", &container);
}

#[test]
fn golden_with_foreign_sockets() {
    let container = Namespace::new();
    container.sh("ip link set lo up");
    let script = "import socket,time
s=socket.socket(socket.AF_INET6,socket.SOCK_RAW,58); print('x',flush=True); time.sleep(60)";
    let _raw = python(&container, script);
    let bind = |at: &str| container.within(|| UdpSocket::bind(at).unwrap());
    let _all = ["127.0.0.1:4000", "[::1]:4001", "0.0.0.0:4002"].map(bind);
    container.seal();
    is_as_written("foreign.nft", &container);
    seal(container.open().as_fd(), &desired(Some(peers()))).unwrap();
    is_as_written("foreign-peers.nft", &container);
}

fn allow_lists() -> [(&'static str, AllowList); 3] {
    [
        ("ingress.nft", AllowList { ingress: ingress(), ..AllowList::default() }),
        ("peers.nft", peers()),
        ("ingress-peers.nft", AllowList { ingress: ingress(), ..peers() }),
    ]
}

#[test]
fn golden_allow_lists() {
    for (name, allow) in allow_lists() {
        let container = Namespace::new();
        seal(container.open().as_fd(), &desired(Some(allow))).unwrap();
        is_as_written(name, &container);
    }
}

/// Before there is a lease: the kernel lists what is left of one.
#[test]
fn golden_leased() {
    let leased = ["10.79.0.3", "fd79::3"].map(|address| address.parse().unwrap()).into();
    let container = Namespace::new();
    seal(container.open().as_fd(), &desired(Some(AllowList { leased: Some(leased), ..peers() }))).unwrap();
    is_as_written("leased.nft", &container);
}

#[test]
fn golden_counting() {
    for (name, allow) in
        [("counting.nft", None), ("counting-ingress-peers.nft", Some(allow_lists()[2].1.clone()))]
    {
        let container = Namespace::new();
        if allow.is_some() {
            lock_down(container.open().as_fd()).unwrap();
        }
        let before = allow.is_some().then(|| number(&container));
        seal(container.open().as_fd(), &Desired { attempts: Some(1024), ..desired(allow) }).unwrap();
        is_as_written(name, &container);
        // Lockdown grows into it.
        assert!(before.is_none_or(|before| number(&container) == before), "{name}");
    }
}

/// The kernel numbers tables, so one that was put in another's place has another number.
fn number(namespace: &Namespace) -> String {
    namespace.sh("nft --handle list table inet oci_isolate | head -n 1")
}

#[test]
fn lockdown_grows_into_the_same_table_by_additions_alone() {
    for (name, allow) in allow_lists() {
        let container = Namespace::new();
        lock_down(container.open().as_fd()).unwrap();
        let before = number(&container);
        seal(container.open().as_fd(), &desired(Some(allow))).unwrap();
        is_as_written(name, &container);
        assert_eq!(number(&container), before, "{name}");
    }
}

#[test]
fn lockdown_that_was_changed_is_replaced() {
    let changes = [
        "insert rule inet oci_isolate output accept",
        "add rule inet oci_isolate forward counter accept",
        "add chain inet oci_isolate mine",
        "add set inet oci_isolate peers4 { type ipv4_addr; flags interval; elements = { 10.0.0.0/8 }; }",
        "add chain inet oci_isolate input { policy accept; }",
    ];
    for change in changes {
        let container = Namespace::new();
        lock_down(container.open().as_fd()).unwrap();
        let before = number(&container);
        container.sh(&format!("nft '{change}'"));
        seal(container.open().as_fd(), &desired(Some(peers()))).unwrap();
        is_as_written("peers.nft", &container);
        assert_ne!(number(&container), before, "{change}");
    }
}
