//! The inet sockets that exist in the namespace of the calling thread.
//!
//! Before the program starts every one of them belongs to somebody else: dockerd's DNS server, a CNI daemon, pasta. It
//! reads only, opens nothing but netlink sockets, and does not walk what is known to be empty: the kernel's tables of
//! sockets are shared by all namespaces, and walking the established TCP connections of a 24 GiB machine takes
//! milliseconds. `/proc/net/protocols` counts, for this namespace alone, the sockets that have a port or protocol.
//! What it does not count is a TCP socket that is bound and neither listens nor is connected; `sockets: used` of
//! `/proc/net/sockstat` counts every socket there is, so a gap between the two is a reason to look for those.
//!
//! Residue, in words: a connected TCP socket is left alone (nobody but its peer reaches it); one that is bound but
//! inactive is seen since Linux 6.8 (`TCPF_BOUND_INACTIVE`); one that its foreign owner binds *after* the seal is not
//! seen, except that 127.0.0.11 is always blocked.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr};

use anyhow::{Context, Result};
use netlink_bindings::consts::NLM_F_DUMP;
use netlink_bindings::inet_diag::Msg;
use netlink_bindings::traits::{NetlinkRequest, Protocol};
use nix::errno::Errno;
use nix::sys::socket::SockProtocol;
use serde::{Deserialize, Serialize};

use super::proc_net::{count, hears_loopback, listeners, ports, read, used};
use super::wire::Wire;

/// Where a foreign socket listens.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Foreign {
    /// At a port, of one address or of all.
    Port {
        /// As in the IP header: 6 TCP, 17 UDP.
        protocol: u8,
        /// None when it is bound to every address.
        address: Option<IpAddr>,
        /// In host order.
        port: u16,
    },
    /// To a whole protocol: raw and ping sockets, and protocols whose sockets the kernel does not list in one way.
    Protocol(u8),
    /// To the frames of the loopback device, or of every device (packet(7)).
    Packet,
}

impl fmt::Display for Foreign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = |f: &mut fmt::Formatter<'_>, protocol| match protocol {
            6 => f.write_str("tcp"),
            17 => f.write_str("udp"),
            other => write!(f, "protocol {other}"),
        };
        match self {
            Self::Port { protocol, address, port } => {
                name(f, *protocol)?;
                match address {
                    Some(IpAddr::V6(address)) => write!(f, " [{address}]:{port}"),
                    Some(address) => write!(f, " {address}:{port}"),
                    None => write!(f, " *:{port}"),
                }
            }
            Self::Protocol(protocol) => {
                f.write_str("raw ")?;
                name(f, *protocol)
            }
            Self::Packet => f.write_str("packet"),
        }
    }
}

/// What was found by the looks at one namespace, so that the next costs less.
#[derive(Default)]
pub(super) struct Looks {
    diag: Option<Wire>,
    last: Option<(Numbers, BTreeSet<Foreign>)>,
}

impl Looks {
    /// Whoever is at the other end of the wire lists the TCP sockets.
    pub(super) fn over(diag: Wire) -> Self {
        Self { diag: Some(diag), last: None }
    }
}

/// Every inet socket here that something inside the namespace could talk to. While there are as many of each protocol
/// as at the look before, they are not listed again: the kernel goes through all of its hash tables for it. Whoever
/// could exchange one for another between two looks, or bind one that is there, could do so after the last, too.
///
/// # Errors
/// `/proc` cannot be read or says something unexpected; the kernel does not answer.
pub(super) fn observe(looks: &mut Looks) -> Result<BTreeSet<Foreign>> {
    listed(read, looks)
}

/// The same by what the files below `/proc/net` say.
pub(super) fn listed(read: impl Fn(&str) -> Result<String>, looks: &mut Looks) -> Result<BTreeSet<Foreign>> {
    let protocols = read("protocols")?;
    let count = count(&protocols).context("cannot read /proc/net/protocols")?;
    let used = used(&read("sockstat")?).context("cannot read /proc/net/sockstat")?;
    let numbers = Numbers::of(&count, used);
    if let Some((_, found)) = looks.last.as_ref().filter(|(last, _)| *last == numbers) {
        return Ok(found.clone());
    }
    let of = |names: &[&str]| names.iter().filter_map(|n| count.get(*n)).sum::<u64>();
    let mut found = BTreeSet::new();
    if numbers.hidden != 0 || of(&["TCP", "TCPv6", "MPTCP", "MPTCPv6", "SMC", "SMC6"]) > 0 {
        if looks.diag.is_none() {
            let open = Wire::open(SockProtocol::NetlinkSockDiag);
            looks.diag = Some(open.context("cannot open a socket to list sockets")?);
        }
        if let Some(wire) = &mut looks.diag {
            found.extend(tcp(&read, wire)?);
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
                Foreign::Port { port, .. } => Some(Foreign::Protocol(port as u8)),
                _ => None,
            }));
        }
    }
    found.extend(WHOLE.iter().filter(|(name, _)| of(&[name]) > 0).map(|(_, p)| Foreign::Protocol(*p)));
    if of(&["PACKET"]) > 0 && hears_loopback(&read("packet")?) {
        found.insert(Foreign::Packet);
    }
    looks.last = Some((numbers, found.clone()));
    Ok(found)
}

/// How many sockets there are, those for netlink aside, of which the looks themselves have some.
#[derive(PartialEq)]
struct Numbers {
    of: BTreeMap<String, u64>,
    /// Those of no protocol's number: TCP sockets that are not listening yet, and what is closed and not yet gone.
    hidden: i128,
}

impl Numbers {
    fn of(count: &BTreeMap<&str, u64>, used: u64) -> Self {
        let hidden = i128::from(used) - count.values().map(|n| i128::from(*n)).sum::<i128>();
        let others = count.iter().filter(|(name, _)| **name != "NETLINK");
        Self { of: others.map(|(name, n)| ((*name).to_owned(), *n)).collect(), hidden }
    }
}

/// Listening and bound sockets; MPTCP listens through a TCP socket, which is listed too.
fn tcp(read: impl Fn(&str) -> Result<String>, wire: &mut Wire) -> Result<Vec<Foreign>> {
    let listed = wire.ask(&TcpSockets::default(), |socket| {
        let id = &socket.sockid;
        Some(at(6, address(socket.family, id.src)?, u16::from_be(id._sport_be)))
    });
    match listed {
        Ok(listed) => Ok(listed),
        // A kernel without inet_diag: the slow list, in which sockets that are only bound are missing.
        Err(Errno::ENOENT | Errno::EINVAL | Errno::EOPNOTSUPP) => {
            let mut found = listeners(&read("tcp")?)?;
            found.extend(listeners(&read("tcp6")?)?);
            Ok(found)
        }
        Err(error) => Err(error).context("cannot list the tcp sockets"),
    }
}

/// `TCPDIAG_GETSOCK` (linux/inet_diag.h): older than what netlink-bindings has (sock_diag(7)), and the only question
/// that IPv4 and IPv6 answer in one walk of the kernel's tables (`inet_diag_dump_compat`).
struct TcpSockets([u8; 60]);

impl Default for TcpSockets {
    /// struct inet_diag_req: everything zero but the states, at its end.
    fn default() -> Self {
        let mut request = [0; 60];
        request[52..56].copy_from_slice(&(LISTEN | BOUND_INACTIVE).to_ne_bytes());
        Self(request)
    }
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

pub(super) fn at(protocol: u8, address: IpAddr, port: u16) -> Foreign {
    Foreign::Port { protocol, address: (!address.is_unspecified()).then_some(address), port }
}

fn address(family: u8, bytes: [u8; 16]) -> Option<IpAddr> {
    match family {
        2 => bytes.first_chunk::<4>().map(|v4| Ipv4Addr::from(*v4).into()),
        10 => Some(IpAddr::from(bytes).to_canonical()),
        _ => None,
    }
}

/// Protocols that are blocked whole. A ping socket is told apart by an identifier, not by a port.
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

/// Bits of `idiag_states` (net/tcp_states.h); an older kernel does not know the second and finds nothing for it.
const LISTEN: u32 = 1 << 10;
const BOUND_INACTIVE: u32 = 1 << 13;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_are_listed_again_when_there_are_more_or_fewer() {
        let look = |looks: &mut Looks, count: u64, port: &str| {
            let files = |name: &str| {
                Ok(match name {
                    "protocols" => {
                        format!("protocol  size sockets  memory\nNETLINK 1 2 -1\nUDP 1152 {count} 0\n")
                    }
                    "sockstat" => format!("sockets: used {}\n", 2 + count),
                    _ => format!("head\n 1: 0100007F:{port} 00000000:0000 07 0\n"),
                })
            };
            listed(files, looks).unwrap().iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        let mut looks = Looks::default();
        assert_eq!(look(&mut looks, 1, "0035"), ["udp 127.0.0.1:53"]);
        assert_eq!(look(&mut looks, 1, "0036"), ["udp 127.0.0.1:53"]);
        assert_eq!(look(&mut looks, 2, "0036"), ["udp 127.0.0.1:54"]);
        assert!(look(&mut looks, 0, "0036").is_empty());
    }
}
