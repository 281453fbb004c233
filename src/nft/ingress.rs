//! The rules of an open port: who may connect to it, and that nothing but replies leaves.
//!
//! TCP takes no connection tracking. A connection starts with a segment that has SYN and no ACK, and from an
//! open port such a segment does not leave: every other one belongs to a connection that came in by the port, or answers
//! a segment that did. That holds because the container has neither CAP_NET_RAW nor CAP_NET_ADMIN, so the kernel alone
//! makes its segments. A connection can also come in over lo, and IPv6 lets a program send from an address that is not
//! its own (IPV6_FREEBIND takes no capability): the reply to it would leave. So such a SYN is dropped, before anything
//! can answer it ([`no_spoofed_syn`]); for IPv4 the kernel itself refuses it (`ip_route_output_key_hash_rcu`).
//!
//! UDP is tracked. An inbound connection is marked, and only the reply direction of a marked connection may leave.
//! Without the mark a program could create an entry over lo whose replies lead out, in the same way. No connection
//! tracking helper is assigned.

use ipnet::IpNet;

use super::expr::{
    CT_DIRECTION, CT_MARK, Compare, ESTABLISHED, Expr, FIB_SADDR, ICMP, ICMPV6, META_IIF, NETWORK, RTN_LOCAL,
    TCP, TRANSPORT, UDP, address, byte, compare, ct, equals, fib, icmp, interface, octets, port, protocol,
    state,
};
use super::family::{FAMILIES, IpFamily};
use super::intervals::range_of;
use crate::policy::{Ingress, Protocol};

/// TCP: `meta l4proto tcp iif != lo ip saddr 10.0.0.0-10.0.0.255 tcp dport 8080-8090 accept`, UDP: `meta l4proto udp
/// ip saddr 10.0.0.0-10.0.0.255 udp dport 8080-8090 ct direction original ct mark set 0x6f636969 accept`
pub(super) fn arriving(ingress: &Ingress) -> Vec<Expr> {
    let family = ingress.from.map(|from| IpFamily::of(from.addr()));
    let from = family.map(|family| within(family, NETWORK, family.source, ingress.from)).unwrap_or_default();
    let family = family.map(IpFamily::matches).unwrap_or_default();
    let to = [vec![port(1)], ports(ingress)].concat();
    match ingress.protocol {
        Protocol::Tcp => {
            let outside = interface(META_IIF, Compare::NotEqual);
            [protocol(TCP), outside, family, from, to, vec![Expr::Accept]].concat()
        }
        Protocol::Udp => {
            let mark = vec![
                ct(CT_DIRECTION),
                equals(1, &[0]),
                Expr::Immediate { register: 1, value: MARK.to_ne_bytes().to_vec() },
                Expr::SetCt { key: CT_MARK, register: 1 },
                Expr::Accept,
            ];
            [protocol(UDP), family, from, to, mark].concat()
        }
    }
}

/// Inverse of [`arriving`]: parses a rule; `None` unless encoding the result gives the same rule again.
pub(super) fn parse(rule: &[Expr]) -> Option<Ingress> {
    let values = rule.iter().filter_map(|expr| match expr {
        Expr::Compare { value, .. } => Some(value.as_slice()),
        _ => None,
    });
    let values: Vec<_> = values.collect();
    let (protocol, values) = match values[..] {
        [[TCP], _outside, ref values @ ..] => (Protocol::Tcp, values),
        [[UDP], ref values @ .., _direction] => (Protocol::Udp, values),
        _ => return None,
    };
    let (from, first, last) = match *values {
        [first, last] => (None, first, last),
        [_family, lowest, highest, first, last] => {
            let differ = lowest.iter().zip(highest).map(|(a, b)| (a ^ b).count_ones()).sum::<u32>();
            let prefix = lowest.len() as u32 * 8 - differ;
            (Some(IpNet::new(address(lowest)?, prefix as u8).ok()?), first, last)
        }
        _ => return None,
    };
    let number = |value: &[u8]| value.first_chunk().map(|bytes| u16::from_be_bytes(*bytes));
    let ingress = Ingress { protocol, first: number(first)?, last: number(last)?, from };
    (arriving(&ingress) == rule).then_some(ingress)
}

/// What may leave from an open TCP port: `meta nfproto ipv4 @nh,0,8 0x45 meta l4proto tcp ip daddr 10.0.0.0-10.0.0.255
/// tcp sport 8080-8090 tcp flags & (syn | ack) != syn accept`
pub(super) fn leaving(ingress: &Ingress) -> Vec<Vec<Expr>> {
    let of = |family: &&IpFamily| ingress.from.is_none_or(|from| from.addr().is_ipv4() == family.is_ipv4());
    let rule = |family: &IpFamily| {
        let to = within(family, NETWORK, family.destination, ingress.from);
        let from = [vec![source_port(TRANSPORT, 0)], ports(ingress)].concat();
        let starts_none = [flags(SYN | ACK), vec![compare(Compare::NotEqual, &[SYN])]].concat();
        [family.plain_tcp(), to, from, starts_none, vec![Expr::Accept]].concat()
    };
    FAMILIES.iter().filter(of).map(rule).collect()
}

/// The errors that path MTU discovery needs, about what left from an open TCP port. They carry the header of that
/// packet behind eight bytes of their own, and of its TCP header at least the ports; the kernel looks for the socket.
pub(super) fn path_mtu(ingress: &Ingress) -> Vec<Vec<Expr>> {
    let of = |family: &&IpFamily| ingress.from.is_none_or(|from| from.addr().is_ipv4() == family.is_ipv4());
    let rule = |family: &IpFamily| {
        let (error, about) = if family.is_ipv4() {
            let header =
                [vec![byte(TRANSPORT, 8), equals(1, &[0x45]), byte(TRANSPORT, 17), equals(1, &[TCP])]];
            ([protocol(ICMP), vec![icmp(2), equals(1, &[3, 4])]].concat(), header.concat())
        } else {
            let header = vec![byte(TRANSPORT, 14), equals(1, &[TCP])];
            ([protocol(ICMPV6), vec![icmp(1), equals(1, &[2])]].concat(), header)
        };
        let outside = interface(META_IIF, Compare::NotEqual);
        let to = within(family, TRANSPORT, 8 + family.destination, ingress.from);
        let from = [vec![source_port(TRANSPORT, 8 + family.header)], ports(ingress)].concat();
        [error, family.matches(), outside, about, to, from, vec![Expr::Accept]].concat()
    };
    FAMILIES.iter().filter(of).map(rule).collect()
}

/// `ip6 nexthdr tcp tcp flags & syn == syn fib saddr type != local drop`. Dropped, because an answer, also a reset, would
/// go to that address.
pub(super) fn no_spoofed_syn() -> Vec<Expr> {
    let [_, v6] = &FAMILIES;
    let not_own = vec![fib(FIB_SADDR), compare(Compare::NotEqual, &RTN_LOCAL.to_ne_bytes()), Expr::Drop];
    [v6.matches(), protocol(TCP), flags(SYN), vec![equals(1, &[SYN])], not_own].concat()
}

/// `ct direction reply ct mark 0x6f636969 ct state established accept`
pub(super) fn replies() -> Vec<Expr> {
    let is_reply = vec![ct(CT_DIRECTION), equals(1, &[1]), ct(CT_MARK), equals(1, &MARK.to_ne_bytes())];
    [is_reply, state(ESTABLISHED), vec![Expr::Accept]].concat()
}

/// The address at that offset is in the prefix; without one, anything.
fn within(family: &IpFamily, base: u32, offset: u32, prefix: Option<IpNet>) -> Vec<Expr> {
    let Some(prefix) = prefix else { return vec![] };
    let (first, last) = range_of(&prefix);
    let (first, last) =
        (compare(Compare::AtLeast, &octets(&first)), compare(Compare::AtMost, &octets(&last)));
    vec![family.address(base, offset), first, last]
}

/// The port in register 1 is one of these.
fn ports(ingress: &Ingress) -> Vec<Expr> {
    let (first, last) = (ingress.first.to_be_bytes(), ingress.last.to_be_bytes());
    vec![compare(Compare::AtLeast, &first), compare(Compare::AtMost, &last)]
}

fn source_port(base: u32, offset: u32) -> Expr {
    Expr::Payload { base, offset, length: 2, register: 1 }
}

/// These of the flags in a TCP header (RFC 9293, 3.1).
fn flags(mask: u8) -> Vec<Expr> {
    vec![byte(TRANSPORT, 13), Expr::Mask { register: 1, mask: vec![mask] }]
}

const SYN: u8 = 2;
const ACK: u8 = 16;
/// "ocii".
const MARK: u32 = 0x6f63_6969;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_with_an_expression_too_few_is_not_one_of_ours() {
        for (protocol, from) in
            [(Protocol::Tcp, "10.0.0.0/24"), (Protocol::Udp, "10.0.0.0/24"), (Protocol::Tcp, "")]
        {
            let from = from.parse().ok();
            let ingress = Ingress { protocol, first: 8080, last: 8090, from };
            let rule = arriving(&ingress);
            assert_eq!(parse(&rule), Some(ingress));
            for left_out in 0..rule.len() {
                let mut rule = rule.clone();
                rule.remove(left_out);
                assert_eq!(parse(&rule), None, "without expression {left_out}");
            }
        }
    }
}
