//! The closed calls and the open families and protocols, each with its reason. docs/rules.md has the same
//! tables; a test compares them.

/// A call, a family or a protocol.
#[derive(Debug)]
pub struct Listed<T> {
    /// Its name, or its number.
    pub is: T,
    /// Its name in the kernel's headers.
    pub name: &'static str,
    /// Why it is on the list.
    pub why: &'static str,
}

const fn call(name: &'static str, why: &'static str) -> Listed<&'static str> {
    Listed { is: name, name, why }
}

const fn number(is: u32, name: &'static str, why: &'static str) -> Listed<u32> {
    Listed { is, name, why }
}

/// Calls that do not exist for the container.
pub const CLOSED: [Listed<&str>; 8] = [
    call("socketcall", "makes sockets whose family a filter cannot see"),
    call("io_uring_setup", "makes sockets and connects them without any system call"),
    call("io_uring_enter", "makes sockets and connects them without any system call"),
    call("io_uring_register", "makes sockets and connects them without any system call"),
    call("request_key", "has the host's /sbin/request-key resolve names"),
    call("keyctl", "reaches keyrings, which containers share by user id"),
    call("add_key", "reaches keyrings, which containers share by user id"),
    call("open_by_handle_at", "opens files and namespaces that nothing leads to"),
];

/// Calls that create sockets; the family is their first argument, the protocol the third.
pub(super) const SOCKETS: [&str; 2] = ["socket", PAIR];

pub(super) const PAIR: &str = "socketpair";

/// The kernel has no families of more bits: there were 46 in Linux 7.0 (linux/socket.h, AF_MAX; net/socket.c,
/// __sock_create, refuses others).
pub(super) const FAMILY_BITS: u32 = 8;

/// The kernel has no netlink protocols of more bits (linux/netlink.h, MAX_LINKS).
pub(super) const PROTOCOL_BITS: u32 = 5;

pub(super) const INET: u32 = 2;
pub(super) const INET6: u32 = 10;
pub(super) const NETLINK: u32 = 16;

/// Socket families that are open.
pub const FAMILIES: [Listed<u32>; 4] = [
    number(1, "AF_UNIX", "abstract names are per network namespace, files are judged as mounts"),
    number(INET, "AF_INET", "is per network namespace, which is closed"),
    number(INET6, "AF_INET6", "is per network namespace, which is closed"),
    number(NETLINK, "AF_NETLINK", "for the protocols below"),
];

/// Protocols of netlink that are open. Others are the machine's: AUDIT writes into its log, KOBJECT_UEVENT,
/// CONNECTOR, SCSITRANSPORT, ISCSI and FIB_LOOKUP report about it, USERSOCK reaches any listener, NETFILTER
/// needs CAP_NET_ADMIN.
pub const PROTOCOLS: [Listed<u32>; 3] = [
    number(
        0,
        "NETLINK_ROUTE",
        "links and addresses of the own network namespace, which getaddrinfo(3) asks for",
    ),
    number(4, "NETLINK_SOCK_DIAG", "sockets of the own network namespace, as ss(8) lists them"),
    number(
        16,
        "NETLINK_GENERIC",
        "families that are per network namespace; what of the machine they configure needs CAP_NET_ADMIN there",
    ),
];
