//! Lists the inet sockets that exist in the network namespace of the calling thread.
//!
//! Before the program starts each of them is foreign: dockerd's DNS server, a CNI daemon, pasta. Must not
//! open anything but netlink sockets. What is known to be empty is not listed: the kernel's tables of sockets
//! are shared by all namespaces, and walking the TCP connections, or the bound ports, of a 24 GiB machine takes
//! milliseconds. `/proc/net/protocols` counts, for this namespace alone, the sockets that have a port or
//! protocol. It does not count a TCP socket that is bound and neither listens nor is connected; `sockets:
//! used` of `/proc/net/sockstat` counts every socket of a process, so a difference between the two is a reason
//! to look for those. The difference also has closed sockets that are not freed yet, such as those of the
//! runtime that has just created the container, or of who has just plumbed it. That they are gone is not waited for: it takes
//! a grace period of RCU, some 10 ms, and the list 0.2 ms.
//!
//! Not seen: a connected TCP socket (only its peer reaches it); before Linux 6.8 (`TCPF_BOUND_INACTIVE`) one
//! that is bound but inactive; one that its foreign owner binds *after* the seal, except that 127.0.0.11 is
//! always blocked.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};

use anyhow::{Context, Result};
use netlink_bindings::consts::NLM_F_DUMP;
use netlink_bindings::inet_diag::Msg;
use netlink_bindings::traits::{NetlinkRequest, Protocol};
use nix::errno::Errno;
use nix::sys::socket::SockProtocol;

use super::proc_net::{count, hears_loopback, listeners, ports, read_file, used};
use crate::netlink::Socket;
use crate::nft::{ENGINE_DNS, ForeignSocket};

/// What was listed last in one namespace, so that the next observation costs less.
#[derive(Default)]
pub(super) struct SocketCache(Option<(SocketCounts, BTreeSet<ForeignSocket>)>);

/// Every inet socket that is reachable from inside the namespace. While the number of each protocol is the
/// same as before, they are not listed again, because for that the kernel walks all of its hash tables. What
/// could replace one by another between two observations, or bind an existing one, could also do so after the
/// last.
///
/// # Errors
/// `/proc` cannot be read or has an unexpected format; the kernel does not answer.
pub(super) fn observe(diag: &mut Option<Socket>, cache: &mut SocketCache) -> Result<BTreeSet<ForeignSocket>> {
    list(read_file, diag, cache)
}

/// The same with the files below `/proc/net` given.
pub(super) fn list(
    read: impl Fn(&str) -> Result<String>,
    diag: &mut Option<Socket>,
    cache: &mut SocketCache,
) -> Result<BTreeSet<ForeignSocket>> {
    let counts = SocketCounts::read(&read)?;
    if let Some(found) = cache.found(&counts) {
        return Ok(found.clone());
    }
    let of = |names: &[&str]| names.iter().filter_map(|n| counts.of.get(*n)).sum::<u64>();
    let mut found = BTreeSet::new();
    if counts.hidden != 0 || of(&["TCP", "TCPv6", "MPTCP", "MPTCPv6", "SMC", "SMC6"]) > 0 {
        if diag.is_none() {
            let open = Socket::open(SockProtocol::NetlinkSockDiag);
            *diag = Some(open.context("cannot open a socket to list sockets")?);
        }
        if let Some(socket) = diag {
            found.extend(tcp(&read, socket, LISTEN)?);
            // A listening socket of the kernel's own is not among the used ones, and could hide one that is.
            if counts.hidden != 0 || !found.iter().all(is_engine_dns) {
                found.extend(tcp(&read, socket, BOUND_INACTIVE)?);
            }
        }
    }
    for (name, file, protocol) in [("UDP", "udp", 17), ("UDPv6", "udp6", 17)] {
        if of(&[name]) > 0 {
            found.extend(
                ports(&read(file)?, protocol).with_context(|| format!("cannot read /proc/net/{file}"))?,
            );
        }
    }
    for (name, file) in [("RAW", "raw"), ("RAWv6", "raw6")] {
        if of(&[name]) > 0 {
            // The column of the port holds the protocol of a raw socket.
            let raw = ports(&read(file)?, 0).with_context(|| format!("cannot read /proc/net/{file}"))?;
            found.extend(raw.into_iter().filter_map(|socket| match socket {
                ForeignSocket::Port { port, .. } => Some(ForeignSocket::Protocol(port as u8)),
                _ => None,
            }));
        }
    }
    found.extend(WHOLE.iter().filter(|(name, _)| of(&[name]) > 0).map(|(_, p)| ForeignSocket::Protocol(*p)));
    if of(&["PACKET"]) > 0 && hears_loopback(&read("packet")?) {
        found.insert(ForeignSocket::Packet);
    }
    cache.0 = Some((counts, found.clone()));
    Ok(found)
}

/// How many sockets there are, without those of netlink, of which an observation itself has some.
#[derive(PartialEq)]
struct SocketCounts {
    of: BTreeMap<String, u64>,
    /// Those that no protocol counts: TCP sockets that do not listen yet, and closed ones that are not freed
    /// yet.
    hidden: i128,
}

impl SocketCache {
    /// What was listed, if nothing has changed since.
    fn found(&self, counts: &SocketCounts) -> Option<&BTreeSet<ForeignSocket>> {
        self.0.as_ref().filter(|(last, _)| last == counts).map(|(_, found)| found)
    }
}

impl SocketCounts {
    fn read(read: impl Fn(&str) -> Result<String>) -> Result<Self> {
        let protocols = read("protocols")?;
        let count = count(&protocols).context("cannot read /proc/net/protocols")?;
        let used = used(&read("sockstat")?).context("cannot read /proc/net/sockstat")?;
        let hidden = i128::from(used) - count.values().map(|n| i128::from(*n)).sum::<i128>();
        let others = count.iter().filter(|(name, _)| **name != "NETLINK");
        Ok(Self { of: others.map(|(name, n)| ((*name).to_owned(), *n)).collect(), hidden })
    }
}

/// Sockets in these states; MPTCP listens through a TCP socket, which is listed too.
fn tcp(
    read: impl Fn(&str) -> Result<String>,
    socket: &mut Socket,
    states: u32,
) -> Result<Vec<ForeignSocket>> {
    let listed = socket.query(&TcpSockets::in_states(states), |socket| {
        let id = &socket.sockid;
        Some(ForeignSocket::at(6, address(socket.family, id.src)?, u16::from_be(id._sport_be)))
    });
    match listed {
        Ok(listed) => Ok(listed),
        // A kernel without inet_diag: the slow list, which lacks sockets that are only bound.
        Err(Errno::ENOENT | Errno::EINVAL | Errno::EOPNOTSUPP) => {
            let mut found = listeners(&read("tcp")?)?;
            found.extend(listeners(&read("tcp6")?)?);
            Ok(found)
        }
        Err(error) => Err(error).context("cannot list the tcp sockets"),
    }
}

/// `TCPDIAG_GETSOCK` (linux/inet_diag.h): older than what netlink-bindings has (sock_diag(7)), and the only
/// request that lists IPv4 and IPv6 in one walk of the kernel's tables (`inet_diag_dump_compat`).
struct TcpSockets([u8; 60]);

impl TcpSockets {
    /// struct inet_diag_req: everything zero but the states, at its end.
    fn in_states(states: u32) -> Self {
        let mut request = [0; 60];
        request[52..56].copy_from_slice(&states.to_ne_bytes());
        Self(request)
    }
}

/// Docker's, a process.
fn is_engine_dns(socket: &ForeignSocket) -> bool {
    matches!(socket, ForeignSocket::Port { address: Some(address), .. } if *address == ENGINE_DNS)
}

impl NetlinkRequest for TcpSockets {
    fn protocol(&self) -> Protocol {
        Protocol::Raw { protonum: 4, request_type: 18 }
    }
    fn flags(&self) -> u16 {
        NLM_F_DUMP as u16
    }
    fn payload(&self) -> &[u8] {
        &self.0
    }
    type ReplyType<'buf> = Msg;
    fn decode_reply(payload: &[u8]) -> Msg {
        Msg::new_from_zeroed(payload)
    }
}

fn address(family: u8, bytes: [u8; 16]) -> Option<IpAddr> {
    match family {
        2 => bytes.first_chunk::<4>().map(|v4| Ipv4Addr::from(*v4).into()),
        10 => Some(IpAddr::from(bytes).to_canonical()),
        _ => None,
    }
}

/// Protocols that are blocked as a whole. A ping socket is identified by an identifier, not by a port.
const WHOLE: [(&str, u8); 11] = [
    ("PING", 1),
    ("PINGv6", 58),
    ("SCTP", 132),
    ("SCTPv6", 132),
    ("DCCP", 33),
    ("DCCPv6", 33),
    ("UDP-Lite", 136),
    ("UDPLITE", 136),
    ("UDPLITEv6", 136),
    ("L2TP/IP", 115),
    ("L2TP/IPv6", 115),
];

/// Bits of `idiag_states` (net/tcp_states.h); an older kernel ignores the second.
const LISTEN: u32 = 1 << 10;
const BOUND_INACTIVE: u32 = 1 << 13;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_are_listed_again_when_there_are_more_or_fewer() {
        let observe = |cache: &mut SocketCache, count: u64, port: &str| {
            let files = |name: &str| {
                Ok(match name {
                    "protocols" => {
                        format!("protocol  size sockets  memory\nNETLINK 1 2 -1\nUDP 1152 {count} 0\n")
                    }
                    "sockstat" => format!("sockets: used {}\n", 2 + count),
                    _ => format!("head\n 1: 0100007F:{port} 00000000:0000 07 0\n"),
                })
            };
            list(files, &mut None, cache).unwrap().iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        let mut cache = SocketCache::default();
        assert_eq!(observe(&mut cache, 1, "0035"), ["udp 127.0.0.1:53"]);
        assert_eq!(observe(&mut cache, 1, "0036"), ["udp 127.0.0.1:53"]);
        assert_eq!(observe(&mut cache, 2, "0036"), ["udp 127.0.0.1:54"]);
        assert!(observe(&mut cache, 0, "0036").is_empty());
    }
}
