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
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::net::{IpAddr, Ipv4Addr};

use anyhow::{Context, Result, bail};
use netlink_bindings::consts::NLM_F_DUMP;
use netlink_bindings::inet_diag::Msg;
use netlink_bindings::traits::{NetlinkRequest, Protocol};
use nix::errno::Errno;
use nix::sys::socket::SockProtocol;
use serde::{Deserialize, Serialize};

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
/// could exchange one for another between two looks could open one after the last, too.
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

fn at(protocol: u8, address: IpAddr, port: u16) -> Foreign {
    Foreign::Port { protocol, address: (!address.is_unspecified()).then_some(address), port }
}

fn address(family: u8, bytes: [u8; 16]) -> Option<IpAddr> {
    match family {
        2 => bytes.first_chunk::<4>().map(|v4| Ipv4Addr::from(*v4).into()),
        10 => Some(IpAddr::from(bytes).to_canonical()),
        _ => None,
    }
}

/// Of the thread's own namespace. A kernel without IPv6 has no file for it, and then nothing is in it.
fn read(file: &str) -> Result<String> {
    let path = format!("/proc/thread-self/net/{file}");
    let mut open = match File::open(&path) {
        Ok(open) => open,
        Err(error) if error.kind() == ErrorKind::NotFound && file.ends_with('6') => return Ok(String::new()),
        Err(error) => return Err(error).with_context(|| format!("cannot open {path}")),
    };
    let mut text = Vec::with_capacity(PAGE);
    while text.len() < LIMIT {
        let start = text.len();
        text.resize(start + PAGE, 0);
        let count = open.read(&mut text[start..]).with_context(|| format!("cannot read {path}"))?;
        text.truncate(start + count);
        if count == 0 {
            return String::from_utf8(text).with_context(|| format!("cannot read {path}"));
        }
    }
    bail!("cannot read {path}: it is longer than {LIMIT} bytes")
}

/// `protocol  size sockets ...`: how many sockets of each protocol this namespace has.
fn count(protocols: &str) -> Option<BTreeMap<&str, u64>> {
    let mut lines = protocols.lines();
    lines.next()?.starts_with("protocol  size sockets").then_some(())?;
    // A count is a sum over processors that is read without a lock, so it can be below zero for a moment.
    let parse = |text: &str| text.parse::<i64>().ok().map(|n| n.unsigned_abs());
    lines
        .map(|line| {
            let mut words = line.split_ascii_whitespace();
            Some((words.next()?, parse(words.nth(1)?)?))
        })
        .collect()
}

fn used(sockstat: &str) -> Option<u64> {
    sockstat.lines().next()?.strip_prefix("sockets: used ")?.parse().ok()
}

/// The local addresses and ports of a `/proc/net/{udp,raw,tcp}`-like file.
fn ports(text: &str, protocol: u8) -> Option<Vec<Foreign>> {
    text.lines().skip(1).map(|line| local(line, protocol)).collect()
}

fn listeners(text: &str) -> Result<Vec<Foreign>> {
    let listening = |line: &&str| line.split_ascii_whitespace().nth(3) == Some("0A");
    let found: Option<_> = text.lines().skip(1).filter(listening).map(|line| local(line, 6)).collect();
    found.context("cannot read /proc/net/tcp")
}

/// `  12: 0B00007F:8D4B 00000000:0000 0A ...`; addresses are printed as words in the byte order of the machine.
fn local(line: &str, protocol: u8) -> Option<Foreign> {
    let (hex, port) = line.split_ascii_whitespace().nth(1)?.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let words: Option<Vec<[u8; 4]>> = (0..hex.len())
        .step_by(8)
        .map(|i| Some(u32::from_str_radix(hex.get(i..i + 8)?, 16).ok()?.to_ne_bytes()))
        .collect();
    let bytes = words?.concat();
    let address = match bytes.len() {
        4 => IpAddr::from(*bytes.first_chunk::<4>()?),
        _ => IpAddr::from(*bytes.first_chunk::<16>()?).to_canonical(),
    };
    Some(at(protocol, address, port))
}

/// `sk RefCnt Type Proto Iface R ...`: a socket of protocol 0, or not running, hears nothing (Docker 28 announces
/// addresses through such a one for some seconds); one of a device that is removed will not.
fn hears_loopback(packet: &str) -> bool {
    packet.lines().skip(1).any(|line| {
        let words: Vec<_> = line.split_ascii_whitespace().collect();
        !matches!(words[..], [_, _, _, "0000", ..] | [_, _, _, _, _, "0", ..])
            && matches!(words.get(4), None | Some(&("0" | "1")))
    })
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

/// The kernel formats these files a page at a time.
const PAGE: usize = 4096;
/// Half a million sockets.
const LIMIT: usize = 64 << 20;

/// Bits of `idiag_states` (net/tcp_states.h); an older kernel does not know the second and finds nothing for it.
const LISTEN: u32 = 1 << 10;
const BOUND_INACTIVE: u32 = 1 << 13;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dockers_dns_server_is_read_as_the_kernel_prints_it() {
        let text = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n \
                    5141: 0B00007F:8D4B 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 1 2\n";
        let expected =
            Foreign::Port { protocol: 17, address: Some(Ipv4Addr::new(127, 0, 0, 11).into()), port: 0x8d4b };
        assert_eq!(ports(text, 17), Some(vec![expected]));
    }

    #[test]
    fn ipv6_wildcard_and_mapped_addresses() {
        let line = |address: &str| format!("1: {address}:0035 0:0 07");
        let read = |address: &str| local(&line(address), 17).map(|f| f.to_string());
        assert_eq!(read("00000000000000000000000000000000").as_deref(), Some("udp *:53"));
        assert_eq!(read("00000000000000000000000001000000").as_deref(), Some("udp [::1]:53"));
        assert_eq!(read("0000000000000000FFFF00000B00007F").as_deref(), Some("udp 127.0.0.11:53"));
        assert_eq!(read("00000000"), Some("udp *:53".into()));
        assert_eq!(read("0000"), None);
        assert_eq!(read("xyz"), None);
    }

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

    #[test]
    fn the_counts_of_a_namespace() {
        let text = "protocol  size sockets  memory press maxhdr\nTCPv6     2432      3     278   no     192\n\
                    NETLINK   1096      1      -1   NI       0\n";
        assert_eq!(count(text), Some(BTreeMap::from([("TCPv6", 3), ("NETLINK", 1)])));
        assert_eq!(count("something else\n"), None);
        assert_eq!(count("protocol  size sockets  memory\nTCP 12 many\n"), None);
        assert_eq!(used("sockets: used 4\nTCP: inuse 0\n"), Some(4));
        assert_eq!(used(""), None);
    }

    #[test]
    fn a_packet_socket_counts_when_it_hears_loopback() {
        let line =
            |rest: &str| format!("sk RefCnt Type Proto  Iface R Rmem   User   Inode\n0 3 {rest} 0 0 7\n");
        assert!(hears_loopback(&line("3 0003 0 1")));
        assert!(hears_loopback(&line("3 0003 1 1")));
        assert!(!hears_loopback(&line("3 0003 9 1")));
        assert!(!hears_loopback(&line("2 0000 0 0")));
        assert!(hears_loopback("head\nunexpected\n"));
    }
}
