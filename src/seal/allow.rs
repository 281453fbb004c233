//! The table of a namespace that keeps its links: what it lets through, and how to read that off it again. Pure.
//!
//! Beside what the closed table has (table.rs), in the words of nft(8):
//!
//! ```text
//! set never4 { type ipv4_addr; flags constant; }     # gateways, the host; likewise never6
//! set peers4 { type ipv4_addr; flags interval; }     # likewise peers6; the only thing that changes
//! chain input {                                      # priority -300; policy drop; first of all:
//!     meta nfproto ipv6 ip6 hoplimit 255 icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept
//!     ...                                            # the foreign sockets, `iif lo accept`
//!     ip saddr 10.0.0.0-10.0.0.255 tcp dport 8080-8090 ct direction original ct mark set 0x6f636969 accept
//!     meta nfproto ipv4 icmp type destination-unreachable icmp code frag-needed ct state related accept
//!     meta nfproto ipv6 icmpv6 type packet-too-big ct state related accept
//!     ip saddr != @never4 ip saddr @peers4 accept    # and so for IPv6
//! }
//! chain output {                                     # priority -150; policy drop; neighbours as in `input`, then
//!                                                    # the foreign sockets, then:
//!     jump allowed
//!     ct state invalid drop
//!     goto refuse
//! }
//! chain postrouting { jump allowed }                 # priority 300; policy drop
//! chain allowed {
//!     oif lo accept
//!     meta nfproto ipv6 ip6 hoplimit 255 icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept
//!     meta nfproto ipv4 @nh,0,8 != 0x45 return       # IP options: a source route leads on from a peer
//!     ip6 nexthdr 43 return                          # a routing header: needs no capability, as ping6(8) knows
//!     ct direction reply ct mark 0x6f636969 ct state established accept
//!     fib saddr type != local return                 # IPV6_FREEBIND needs no capability
//!     fib daddr type != unicast return               # the broadcast address of a peers prefix
//!     ip daddr != @never4 ip daddr @peers4 accept    # and so for IPv6
//! }
//! ```
//!
//! `output` is at -150: behind connection tracking (-200, `NF_IP_PRI_CONNTRACK`), without which there is no direction,
//! and before every translation of destinations (-100).
//!
//! Neighbours come before the foreign sockets because Docker 28 has a raw ICMPv6 socket in the namespace for the
//! announcement of an address: to block all of the protocol would leave the container unreachable over IPv6.
//!
//! Why the mark: a program can make an entry over lo whose reply leads out. It binds a socket to an address that is
//! not its own (IPV6_FREEBIND), sends to its own port over lo, and "answers" from there. Only a packet that came in
//! over another link gets the mark, so only such a connection is answered outside. No `related` but the two errors
//! that path MTU needs; no helper is ever assigned. Multicast listener reports are refused: the groups that a program
//! joins would be a way to tell the network something.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

use super::Allow;
use super::firewall::Change;
use super::prefixes::{elements, minimal, range_of, read};
use super::table::{
    Chain, Compare, Expr, META_L4PROTO, META_NFPROTO, NETWORK, SET_CONSTANT, Set, TCP, TRANSPORT, Table, UDP,
    base, equals, interface_is_lo, meta, port, refuse,
};
use crate::policy::{Ingress, Protocol};

impl Table {
    /// The table that allows this, in place of one without links: its foreign sockets stay blocked.
    pub(super) fn allowing(closed: &Self, allow: &Allow) -> Self {
        let mut table = closed.clone();
        for chain in &mut table.chains {
            match chain.name.as_str() {
                "input" => {
                    chain.rules.insert(0, neighbours());
                    chain.rules.extend(arriving(&allow.ingress));
                }
                "output" => {
                    chain.rules.insert(0, neighbours());
                    chain.base = base(3, BEHIND_CONNTRACK);
                    // All but the foreign sockets and the engine's DNS server is judged in `allowed`.
                    chain.rules.truncate(chain.rules.len() - 2);
                    chain.rules.push(vec![Expr::Jump(ALLOWED.into())]);
                    chain.rules.push([state(INVALID), vec![Expr::Drop]].concat());
                    chain.rules.push(vec![refuse()]);
                }
                "postrouting" => chain.rules = vec![vec![Expr::Jump(ALLOWED.into())]],
                _ => (),
            }
        }
        table.chains.push(Chain { name: ALLOWED.into(), base: None, rules: leaving() });
        table.chains.sort_by(|a, b| a.name.cmp(&b.name));
        let peers = minimal(&allow.peers);
        for family in FAMILIES {
            let never = allow.never.iter().filter(|a| a.is_ipv4() == family.is_ipv4()).map(octets).collect();
            table.sets.push(family.set(family.never, SET_CONSTANT, never, BTreeSet::new()));
            let (starts, ends) = elements(peers.iter().filter(|p| p.addr().is_ipv4() == family.is_ipv4()));
            table.sets.push(family.set(family.peers, SET_INTERVAL, starts, ends));
        }
        table.sets.sort_by(|a, b| a.name.cmp(&b.name));
        table
    }

    /// The closed table for the time in which an engine plumbs. Docker 28 announces an IPv6 address by a neighbour
    /// advertisement from inside, and gives the container up if it cannot. It is not taken for sealed.
    pub(super) fn closing() -> Self {
        let mut table = Self::sealing([]);
        for chain in &mut table.chains {
            match chain.name.as_str() {
                // Before the refusal of everything else.
                "output" => chain.rules.insert(chain.rules.len() - 1, neighbours()),
                "postrouting" => chain.rules.push(neighbours()),
                _ => (),
            }
        }
        table
    }

    /// What this table says that it lets through; none of a closed one. To be believed once the table
    /// [differs](Self::differs) in nothing from the one that allows it.
    pub fn allows(&self) -> Option<Allow> {
        self.chains.iter().find(|chain| chain.name == ALLOWED)?;
        let input = self.chains.iter().find(|chain| chain.name == "input")?;
        let ingress = input.rules.iter().filter_map(|rule| ingress_of(rule)).collect();
        let mut peers = BTreeSet::new();
        let mut never = BTreeSet::new();
        for family in FAMILIES {
            for set in &self.sets {
                if set.name == family.peers {
                    peers.extend(read(set, family.is_ipv4()));
                } else if set.name == family.never {
                    never.extend(set.keys.iter().filter_map(|key| address(key)));
                }
            }
        }
        Some(Allow { ingress, peers, never })
    }
}

/// What leads from some peers to others: only elements that come or go. Both sets of prefixes are minimal.
pub(super) fn change_of(is: &BTreeSet<IpNet>, should: &BTreeSet<IpNet>) -> Vec<Change> {
    let of = |family: &Family, a: &BTreeSet<IpNet>, b: &BTreeSet<IpNet>| {
        let gone: Vec<_> =
            a.difference(b).filter(|p| p.addr().is_ipv4() == family.is_ipv4()).copied().collect();
        elements(gone.iter())
    };
    let change = |family: &Family| Change {
        set: family.peers,
        remove: of(family, is, should),
        add: of(family, should, is),
    };
    let changes = FAMILIES.iter().map(change);
    changes.filter(|change| !change.remove.0.is_empty() || !change.add.0.is_empty()).collect()
}

/// What differs between the families.
struct Family {
    nfproto: u8,
    key_type: u32,
    length: u32,
    source: u32,
    destination: u32,
    peers: &'static str,
    never: &'static str,
}

const FAMILIES: [Family; 2] = [
    Family {
        nfproto: 2,
        key_type: 7,
        length: 4,
        source: 12,
        destination: 16,
        peers: "peers4",
        never: "never4",
    },
    Family {
        nfproto: 10,
        key_type: 8,
        length: 16,
        source: 8,
        destination: 24,
        peers: "peers6",
        never: "never6",
    },
];

impl Family {
    fn is_ipv4(&self) -> bool {
        self.length == 4
    }

    fn of(address: IpAddr) -> &'static Self {
        &FAMILIES[usize::from(address.is_ipv6())]
    }

    fn set(&self, name: &str, flags: u32, keys: BTreeSet<Vec<u8>>, ends: BTreeSet<Vec<u8>>) -> Set {
        Set { name: name.into(), key_type: self.key_type, key_length: self.length, flags, keys, ends }
    }

    fn is(&self) -> Vec<Expr> {
        vec![meta(META_NFPROTO, 1), equals(1, &[self.nfproto])]
    }

    fn address(&self, offset: u32) -> Expr {
        Expr::Payload { base: NETWORK, offset, length: self.length, register: 1 }
    }

    /// Is a peer and none of those that never are.
    fn peer(&self, offset: u32) -> Vec<Expr> {
        let never = Expr::InSet { register: 1, set: self.never.into(), inverted: true };
        let peer = Expr::InSet { register: 1, set: self.peers.into(), inverted: false };
        [self.is(), vec![self.address(offset), never, peer, Expr::Accept]].concat()
    }
}

fn arriving(ingress: &[Ingress]) -> Vec<Vec<Expr>> {
    let ingress: BTreeSet<_> = ingress.iter().copied().collect();
    let [v4, v6] = &FAMILIES;
    let mut rules: Vec<_> = ingress.iter().map(ingress_rule).collect();
    let too_big4 = [v4.is(), vec![meta(META_L4PROTO, 1), equals(1, &[ICMP]), icmp(2), equals(1, &[3, 4])]];
    let too_big6 = [v6.is(), vec![meta(META_L4PROTO, 1), equals(1, &[ICMPV6]), icmp(1), equals(1, &[2])]];
    for error in [too_big4, too_big6] {
        rules.push([error.concat(), state(RELATED), vec![Expr::Accept]].concat());
    }
    rules.extend([v4.peer(v4.source), v6.peer(v6.source)]);
    rules
}

fn leaving() -> Vec<Vec<Expr>> {
    let [v4, v6] = &FAMILIES;
    let byte = |offset| Expr::Payload { base: NETWORK, offset, length: 1, register: 1 };
    let fib = |flags, kind: u32| {
        let load = Expr::Fib { flags, result: FIB_ADDRTYPE, register: 1 };
        vec![load, compare(Compare::NotEqual, &kind.to_ne_bytes()), Expr::Return]
    };
    let is_reply = vec![ct(CT_DIRECTION), equals(1, &[1]), ct(CT_MARK), equals(1, &MARK.to_ne_bytes())];
    vec![
        [interface_is_lo(super::table::META_OIF), vec![Expr::Accept]].concat(),
        neighbours(),
        [v4.is(), vec![byte(0), compare(Compare::NotEqual, &[0x45]), Expr::Return]].concat(),
        [v6.is(), vec![byte(6), equals(1, &[ROUTING]), Expr::Return]].concat(),
        [is_reply, state(ESTABLISHED), vec![Expr::Accept]].concat(),
        fib(FIB_SADDR, RTN_LOCAL),
        fib(FIB_DADDR, RTN_UNICAST),
        v4.peer(v4.destination),
        v6.peer(v6.destination),
    ]
}

/// RFC 4861, 7.1: hop limit 255 shows that no router passed it on. Programs cannot send these without CAP_NET_RAW, and
/// the kernel asks for a neighbour only to send it what postrouting let through.
fn neighbours() -> Vec<Expr> {
    let hop_limit = Expr::Payload { base: NETWORK, offset: 7, length: 1, register: 1 };
    let neighbour = [compare(Compare::AtLeast, &[135]), compare(Compare::AtMost, &[136])];
    let of = [meta(META_L4PROTO, 1), equals(1, &[ICMPV6]), hop_limit, equals(1, &[255]), icmp(1)];
    [&FAMILIES[1].is()[..], &of, &neighbour, &[Expr::Accept]].concat()
}

fn ingress_rule(ingress: &Ingress) -> Vec<Expr> {
    let mut rule = Vec::new();
    if let Some(from) = &ingress.from {
        let family = Family::of(from.addr());
        let (first, last) = range_of(from);
        rule.extend(family.is());
        rule.push(family.address(family.source));
        rule.extend([compare(Compare::AtLeast, &octets(&first)), compare(Compare::AtMost, &octets(&last))]);
    }
    let protocol = match ingress.protocol {
        Protocol::Tcp => TCP,
        Protocol::Udp => UDP,
    };
    rule.extend([meta(META_L4PROTO, 1), equals(1, &[protocol]), port(1)]);
    rule.push(compare(Compare::AtLeast, &ingress.first.to_be_bytes()));
    rule.push(compare(Compare::AtMost, &ingress.last.to_be_bytes()));
    rule.extend([ct(CT_DIRECTION), equals(1, &[0])]);
    rule.push(Expr::Immediate { register: 1, value: MARK.to_ne_bytes().to_vec() });
    rule.extend([Expr::SetCt { key: CT_MARK, register: 1 }, Expr::Accept]);
    rule
}

/// The other way round: what values it finds make the very same rule, or it is none of ours.
fn ingress_of(rule: &[Expr]) -> Option<Ingress> {
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
    (ingress_rule(&ingress) == rule).then_some(ingress)
}

pub(super) fn octets(address: &IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(a) => a.octets().to_vec(),
        IpAddr::V6(a) => a.octets().to_vec(),
    }
}

pub(super) fn address(octets: &[u8]) -> Option<IpAddr> {
    match octets.len() {
        4 => Some(Ipv4Addr::from(*octets.first_chunk::<4>()?).into()),
        16 => Some(Ipv6Addr::from(*octets.first_chunk::<16>()?).into()),
        _ => None,
    }
}

fn icmp(length: u32) -> Expr {
    Expr::Payload { base: TRANSPORT, offset: 0, length, register: 1 }
}

fn ct(key: u32) -> Expr {
    Expr::Ct { key, register: 1 }
}

/// Of the bits of a state exactly one is set (`NF_CT_STATE_BIT`).
fn state(bit: u32) -> Vec<Expr> {
    vec![ct(CT_STATE), equals(1, &bit.to_ne_bytes())]
}

fn compare(op: Compare, value: &[u8]) -> Expr {
    Expr::Compare { register: 1, op, value: value.to_vec() }
}

/// "ocii", and nobody else's.
const MARK: u32 = 0x6f63_6969;
const ALLOWED: &str = "allowed";
const BEHIND_CONNTRACK: i32 = -150;
const SET_INTERVAL: u32 = 4;
const ICMP: u8 = 1;
const ICMPV6: u8 = 58;
/// The routing header (RFC 8200, 4.4).
const ROUTING: u8 = 43;
const CT_STATE: u32 = 0;
const CT_DIRECTION: u32 = 1;
const CT_MARK: u32 = 3;
const INVALID: u32 = 1;
const ESTABLISHED: u32 = 2;
const RELATED: u32 = 4;
const FIB_ADDRTYPE: u32 = 3;
const FIB_SADDR: u32 = 1;
const FIB_DADDR: u32 = 2;
/// linux/rtnetlink.h
const RTN_UNICAST: u32 = 1;
const RTN_LOCAL: u32 = 2;

#[cfg(test)]
mod tests {
    use super::*;

    fn allow() -> Allow {
        let ingress = |protocol, first, last, from: Option<&str>| Ingress {
            protocol,
            first,
            last,
            from: from.map(|from| from.parse().unwrap()),
        };
        Allow {
            ingress: vec![
                ingress(Protocol::Tcp, 80, 80, None),
                ingress(Protocol::Tcp, 8080, 8090, Some("10.0.0.0/24")),
                ingress(Protocol::Udp, 1, 65535, Some("0.0.0.0/0")),
                ingress(Protocol::Udp, 53, 53, Some("fd00::/64")),
            ],
            peers: ["10.0.0.4/31", "10.0.0.6/32", "fd00::1/128"].map(|p| p.parse().unwrap()).into(),
            never: ["10.0.0.1", "fd00::ff"].map(|a| a.parse().unwrap()).into(),
        }
    }

    #[test]
    fn what_is_allowed_can_be_read_off_the_table() {
        let table = Table::allowing(&Table::sealing([]), &allow());
        assert_eq!(table.allows(), Some(allow()));
        assert_eq!(Table::sealing([]).allows(), None);
    }

    #[test]
    fn a_rule_that_is_not_quite_one_of_ours_is_none() {
        let rule = ingress_rule(&allow().ingress[1]);
        assert!(ingress_of(&rule).is_some());
        for left_out in 0..rule.len() {
            let mut rule = rule.clone();
            rule.remove(left_out);
            assert_eq!(ingress_of(&rule), None, "without step {left_out}");
        }
    }

    #[test]
    fn only_ingress_marks_a_connection() {
        let table = Table::allowing(&Table::sealing([]), &Allow { ingress: vec![], ..allow() });
        let marks = |rule: &&Vec<Expr>| rule.iter().any(|e| matches!(e, Expr::SetCt { .. }));
        assert_eq!(table.chains.iter().flat_map(|chain| &chain.rules).filter(marks).count(), 0);
    }
}
