//! The rules of an open port: who may connect to it, and that nothing but replies leaves.
//!
//! An inbound connection is marked, and only the reply direction of a marked connection may leave. Without
//! the mark a program could create an entry over lo whose replies lead out: it binds a socket to an address
//! that is not its own (IPV6_FREEBIND), sends to its own port over lo, and "replies" from there. No
//! connection tracking helper is assigned.
//!
//! TCP needs the tracking, too. A rule that lets everything but a SYN leave from the port would be cheaper, but two kinds of
//! connection that came in by no port would leave: one that a program began from the port to a peer, once that is a
//! peer no more, and one over lo, once its client's address is the container's no more (`tests/seal/open_port.rs`).

use ipnet::IpNet;

use super::expr::{
    CT_DIRECTION, CT_MARK, Compare, ESTABLISHED, Expr, NETWORK, TCP, UDP, address, compare, ct, equals,
    octets, port, protocol, state,
};
use super::family::IpFamily;
use super::intervals::range_of;
use crate::policy::{Ingress, Protocol};

/// `ip saddr 10.0.0.0-10.0.0.255 tcp dport 8080-8090 ct direction original ct mark set 0x6f636969 accept`
pub(super) fn arriving(ingress: &Ingress) -> Vec<Expr> {
    let number = match ingress.protocol {
        Protocol::Tcp => TCP,
        Protocol::Udp => UDP,
    };
    let from = ingress.from.map(within).unwrap_or_default();
    let to = [vec![port(1)], ports(ingress)].concat();
    let mark = vec![
        ct(CT_DIRECTION),
        equals(1, &[0]),
        Expr::Immediate { register: 1, value: MARK.to_ne_bytes().to_vec() },
        Expr::SetCt { key: CT_MARK, register: 1 },
        Expr::Accept,
    ];
    [protocol(number), from, to, mark].concat()
}

/// Inverse of [`arriving`]: parses a rule; `None` unless encoding the result gives the same rule again.
pub(super) fn parse(rule: &[Expr]) -> Option<Ingress> {
    let values = rule.iter().filter_map(|expr| match expr {
        Expr::Compare { value, .. } => Some(value.as_slice()),
        _ => None,
    });
    let values: Vec<_> = values.collect();
    let (protocol, values) = match values[..] {
        [[TCP], ref values @ .., _direction] => (Protocol::Tcp, values),
        [[UDP], ref values @ .., _direction] => (Protocol::Udp, values),
        _ => return None,
    };
    let (from, first, last) = match *values {
        [port] => (None, port, port),
        [first, last] => (None, first, last),
        [_family, lowest, highest, first, ref last @ ..] => {
            let differ = lowest.iter().zip(highest).map(|(a, b)| (a ^ b).count_ones()).sum::<u32>();
            let prefix = lowest.len() as u32 * 8 - differ;
            let last = last.first().copied().unwrap_or(first);
            (Some(IpNet::new(address(lowest)?, prefix as u8).ok()?), first, last)
        }
        _ => return None,
    };
    let number = |value: &[u8]| value.first_chunk().map(|bytes| u16::from_be_bytes(*bytes));
    let ingress = Ingress { protocol, first: number(first)?, last: number(last)?, from };
    (arriving(&ingress) == rule).then_some(ingress)
}

/// `ct direction reply ct mark 0x6f636969 ct state established accept`
pub(super) fn replies() -> Vec<Expr> {
    let is_reply = vec![ct(CT_DIRECTION), equals(1, &[1]), ct(CT_MARK), equals(1, &MARK.to_ne_bytes())];
    [is_reply, state(ESTABLISHED), vec![Expr::Accept]].concat()
}

/// The source is in the prefix.
fn within(prefix: IpNet) -> Vec<Expr> {
    let family = IpFamily::of(prefix.addr());
    let (first, last) = range_of(&prefix);
    let range = [compare(Compare::AtLeast, &octets(&first)), compare(Compare::AtMost, &octets(&last))];
    [&family.matches()[..], &[family.address(NETWORK, family.source)], &range].concat()
}

/// The port in register 1 is one of these.
fn ports(ingress: &Ingress) -> Vec<Expr> {
    let (first, last) = (ingress.first.to_be_bytes(), ingress.last.to_be_bytes());
    if first == last {
        // The kernel is quicker to compare for equality (`nft_cmp_fast_eval`).
        return vec![equals(1, &first)];
    }
    vec![compare(Compare::AtLeast, &first), compare(Compare::AtMost, &last)]
}

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
            for last in [8080, 8090] {
                let ingress = Ingress { protocol, first: 8080, last, from };
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
}
