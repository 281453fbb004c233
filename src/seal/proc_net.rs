//! Reads and parses the files below `/proc/net` about sockets (proc_net(5)), of the calling thread's
//! namespace.
//!
//! Must not guess: an unexpected format is `None` or an error.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::net::IpAddr;

use anyhow::{Context, Result, bail};

use crate::nft::ForeignSocket;

/// A file as a whole. A kernel without IPv6 has no file for it, which counts as an empty one.
pub(super) fn read_file(file: &str) -> Result<String> {
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
pub(super) fn count(protocols: &str) -> Option<BTreeMap<&str, u64>> {
    let mut lines = protocols.lines();
    lines.next()?.starts_with("protocol  size sockets").then_some(())?;
    // A count is a sum over processors that is read without a lock, so it can be negative for a moment.
    let parse = |text: &str| text.parse::<i64>().ok().map(|n| n.unsigned_abs());
    lines
        .map(|line| {
            let mut words = line.split_ascii_whitespace();
            Some((words.next()?, parse(words.nth(1)?)?))
        })
        .collect()
}

/// How many sockets of any kind there are.
pub(super) fn used(sockstat: &str) -> Option<u64> {
    sockstat.lines().next()?.strip_prefix("sockets: used ")?.parse().ok()
}

/// The local addresses and ports of a `/proc/net/{udp,raw,tcp}`-like file.
pub(super) fn ports(text: &str, protocol: u8) -> Option<Vec<ForeignSocket>> {
    text.lines().skip(1).map(|line| local(line, protocol)).collect()
}

/// The listening sockets of a `/proc/net/tcp`-like file.
pub(super) fn listeners(text: &str) -> Result<Vec<ForeignSocket>> {
    let listening = |line: &&str| line.split_ascii_whitespace().nth(3) == Some("0A");
    let found: Option<_> = text.lines().skip(1).filter(listening).map(|line| local(line, 6)).collect();
    found.context("cannot read /proc/net/tcp")
}

/// ` 12: 0B00007F:8D4B 00000000:0000 0A ...`; addresses are printed as words in the byte order of the
/// machine.
fn local(line: &str, protocol: u8) -> Option<ForeignSocket> {
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
    Some(ForeignSocket::at(protocol, address, port))
}

/// Whether a packet socket receives frames of lo. `sk RefCnt Type Proto Iface R ...`: a socket of protocol 0,
/// or one that is not running, receives nothing (Docker 28 has one for some seconds, to announce addresses);
/// one of another device will not.
pub(super) fn hears_loopback(packet: &str) -> bool {
    packet.lines().skip(1).any(|line| {
        let words: Vec<_> = line.split_ascii_whitespace().collect();
        !matches!(words[..], [_, _, _, "0000", ..] | [_, _, _, _, _, "0", ..])
            && matches!(words.get(4), None | Some(&("0" | "1")))
    })
}

/// The kernel formats these files a page at a time.
const PAGE: usize = 4096;
/// Half a million sockets.
const LIMIT: usize = 64 << 20;

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[test]
    fn dockers_dns_server_is_read_as_the_kernel_prints_it() {
        let text = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n \
                    5141: 0B00007F:8D4B 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 1 2\n";
        let expected = ForeignSocket::Port {
            protocol: 17,
            address: Some(Ipv4Addr::new(127, 0, 0, 11).into()),
            port: 0x8d4b,
        };
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
