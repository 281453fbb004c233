//! The rules of ports that are answered: who may connect, and that nothing but the replies leaves. Pure.
//!
//! A connection that came in over a link is marked, and only the reply direction of one with the mark may leave. Why
//! the mark: a program can make an entry over lo whose reply leads out. It binds a socket to an address that is not its
//! own (IPV6_FREEBIND), sends to its own port over lo, and "answers" from there. No helper is ever assigned.

use ipnet::IpNet;

use super::prefixes::range_of;
use super::steps::{
    CT_DIRECTION, CT_MARK, ESTABLISHED, Family, NETWORK, TCP, UDP, address, compare, ct, equals, octets,
    port, protocol, state,
};
use super::table::{Compare, Expr};
use crate::policy::{Ingress, Protocol};

/// `ip saddr 10.0.0.0-10.0.0.255 tcp dport 8080-8090 ct direction original ct mark set 0x6f636969 accept`
pub(super) fn arriving(ingress: &Ingress) -> Vec<Expr> {
    let mut rule = Vec::new();
    if let Some(from) = &ingress.from {
        let family = Family::of(from.addr());
        let (first, last) = range_of(from);
        rule.extend(family.is());
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

/// The other way round: what values it finds make the very same rule, or it is none of ours.
pub(super) fn read(rule: &[Expr]) -> Option<Ingress> {
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

/// "ocii", and nobody else's.
const MARK: u32 = 0x6f63_6969;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_that_is_not_quite_one_of_ours_is_none() {
        let from = Some("10.0.0.0/24".parse().unwrap());
        let rule = arriving(&Ingress { protocol: Protocol::Tcp, first: 8080, last: 8090, from });
        assert!(read(&rule).is_some());
        for left_out in 0..rule.len() {
            let mut rule = rule.clone();
            rule.remove(left_out);
            assert_eq!(read(&rule), None, "without step {left_out}");
        }
    }
}
