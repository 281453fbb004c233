//! The rules of an open port: who may connect to it, and that nothing but replies leaves.
//!
//! An inbound connection is marked, and only the reply direction of a marked connection may leave. Without
//! the mark a program could create an entry over lo whose replies lead out: it binds a socket to an address
//! that is not its own (IPV6_FREEBIND), sends to its own port over lo, and "replies" from there. No
//! connection tracking helper is assigned.

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
    let mut rule = Vec::new();
    if let Some(from) = &ingress.from {
        let family = IpFamily::of(from.addr());
        let (first, last) = range_of(from);
        rule.extend(family.matches());
        rule.push(family.address(NETWORK, family.source));
        rule.extend([compare(Compare::AtLeast, &octets(&first)), compare(Compare::AtMost, &octets(&last))]);
    }
    rule.extend(protocol(match ingress.protocol {
        Protocol::Tcp => TCP,
        Protocol::Udp => UDP,
    }));
    rule.push(port(1));
    rule.push(compare(Compare::AtLeast, &ingress.first.to_be_bytes()));
    rule.push(compare(Compare::AtMost, &ingress.last.to_be_bytes()));
    rule.extend([ct(CT_DIRECTION), equals(1, &[0])]);
    rule.push(Expr::Immediate { register: 1, value: MARK.to_ne_bytes().to_vec() });
    rule.extend([Expr::SetCt { key: CT_MARK, register: 1 }, Expr::Accept]);
    rule
}

/// Inverse of [`arriving`]: parses a rule; `None` unless encoding the result gives the same rule again.
pub(super) fn parse(rule: &[Expr]) -> Option<Ingress> {
    let values = rule.iter().filter_map(|expr| match expr {
        Expr::Compare { value, .. } => Some(value.as_slice()),
        _ => None,
    });
    let values: Vec<_> = values.collect();
    let number = |value: &[u8]| value.first_chunk().map(|bytes| u16::from_be_bytes(*bytes));
    let (from, protocol, first, last) = match values[..] {
        [[protocol], first, last, _] => (None, *protocol, number(first)?, number(last)?),
        [_, lowest, highest, [protocol], first, last, _] => {
            let bits = address(lowest)?;
            let differ = lowest.iter().zip(highest).map(|(a, b)| (a ^ b).count_ones()).sum::<u32>();
            let prefix = lowest.len() as u32 * 8 - differ;
            let from = IpNet::new(bits, prefix as u8).ok()?;
            (Some(from), *protocol, number(first)?, number(last)?)
        }
        _ => return None,
    };
    let protocol = match protocol {
        TCP => Protocol::Tcp,
        UDP => Protocol::Udp,
        _ => return None,
    };
    let ingress = Ingress { protocol, first, last, from };
    (arriving(&ingress) == rule).then_some(ingress)
}

/// `ct direction reply ct mark 0x6f636969 ct state established accept`
pub(super) fn replies() -> Vec<Expr> {
    let is_reply = vec![ct(CT_DIRECTION), equals(1, &[1]), ct(CT_MARK), equals(1, &MARK.to_ne_bytes())];
    [is_reply, state(ESTABLISHED), vec![Expr::Accept]].concat()
}

/// "ocii".
const MARK: u32 = 0x6f63_6969;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_with_an_expression_too_few_is_not_one_of_ours() {
        let from = Some("10.0.0.0/24".parse().unwrap());
        let rule = arriving(&Ingress { protocol: Protocol::Tcp, first: 8080, last: 8090, from });
        assert!(parse(&rule).is_some());
        for left_out in 0..rule.len() {
            let mut rule = rule.clone();
            rule.remove(left_out);
            assert_eq!(parse(&rule), None, "without expression {left_out}");
        }
    }
}
