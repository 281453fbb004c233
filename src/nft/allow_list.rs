//! *Allow-list*: the table that lets open ports and peers pass, and nothing else; and the way back, from
//! table to list.
//!
//! In addition to the sealed table ([`super::sealed`]), in the notation of nft(8):
//!
//! ```text
//! set never4 { type ipv4_addr; flags constant; }     # gateways, the host; likewise never6
//! set peers4 { type ipv4_addr; flags interval; }     # likewise peers6; the only part that changes
//! chain input {                                      # priority -300; policy drop
//!     icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } ip6 hoplimit 255 accept
//!     iif != lo icmp type destination-unreachable icmp code frag-needed @th,192,32 @peers4 accept
//!     iif != lo icmpv6 type packet-too-big @th,256,128 @peers6 accept
//!     ...                                            # foreign sockets, `iif lo accept`
//!     tcp dport 8080 ...                             # ingress.rs
//!     ip saddr != @never4 ip saddr @peers4 accept    # and so for IPv6
//! }
//! chain output {                                     # priority -150; policy drop
//!     icmpv6 type ...                                # neighbours, as in `input`
//!     ...                                            # foreign sockets, `oif lo accept`
//!     meta nfproto ipv4 @nh,0,8 != 0x45 goto refuse  # IP options: a source route goes beyond a peer
//!     ip6 nexthdr 43 goto refuse                     # a routing header: needs no capability, as ping6(8) knows
//!     ct direction reply ...                         # ingress.rs
//!     ip daddr != @never4 ip daddr @peers4 fib daddr type unicast accept
//!     ip6 daddr != @never6 ip6 daddr @peers6 fib saddr type local accept
//!     ct state invalid drop
//!     goto refuse
//! }
//! chain postrouting { ... }                          # priority 300; policy drop; the same, `drop` for `goto refuse`
//! ```
//!
//! Without ingress no rule loads `ct`, so connections between peers are not tracked; tracking would cost each
//! packet more than the rest of the table. The two errors that path MTU discovery needs are accepted by `ct
//! state related` with ingress, and without it if the packet that they answer (they carry its beginning) was
//! to a peer.
//!
//! `output` is at -150: behind connection tracking (-200, `NF_IP_PRI_CONNTRACK`), without which there is no
//! direction, and before all translation of destinations (-100). `postrouting` checks again where such a
//! translation leads. It leaves out the two lookups in the routing tables, which concern what a program can
//! ask for: the broadcast address of a peers prefix, and a source address that is not the container's own
//! (IPV6_FREEBIND needs no capability; for IPv4 the kernel lets no unprivileged program choose one,
//! `ip_route_output_key_hash_rcu` in net/ipv4/route.c).
//!
//! Neighbour discovery and path MTU come before the foreign sockets, because Docker 28 has a raw ICMPv6
//! socket in the namespace to announce an address: with the whole protocol blocked the container would be
//! unreachable over IPv6, and long replies would hang. That socket gets a copy of such a message, which is
//! never one that the container sent: no program can without CAP_NET_RAW, and what the kernel itself sends
//! over lo is not accepted here.
//!
//! Multicast listener reports are refused: the groups that a program joins would carry information out.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::expr::{
    Compare, Expr, ICMP, ICMPV6, INVALID, META_IIF, NETWORK, RELATED, SET_CONSTANT, SET_INTERVAL, TRANSPORT,
    address, compare, equals, icmp, in_set, interface, octets, protocol, state,
};
use super::family::{FAMILIES, IpFamily};
use super::ingress;
use super::intervals::{elements, parse};
use super::lockdown::behind_conntrack;
use super::sealed::refuse;
use super::table::Table;
use crate::policy::{Ingress, Prefixes};

/// What passes; everything else is refused in both directions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AllowList {
    /// Open ports; only replies leave.
    pub ingress: Vec<Ingress>,
    /// Any protocol, both directions.
    pub peers: Prefixes,
    /// Not peers even where a prefix contains them, for example the addresses of the host. Sealing adds the
    /// gateways of the namespace's routes. One that is itself given as a peer (/32, /128) is an error.
    pub never: BTreeSet<IpAddr>,
}

/// Elements that are removed from a set and added to it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct ElementChange {
    pub(crate) set: &'static str,
    pub(crate) remove: (BTreeSet<Vec<u8>>, BTreeSet<Vec<u8>>),
    pub(crate) add: (BTreeSet<Vec<u8>>, BTreeSet<Vec<u8>>),
}

impl Table {
    /// This sealed table, opened for what the list allows. Foreign sockets stay blocked.
    pub(super) fn with_allow_list(mut self, allow: &AllowList) -> Self {
        let tracked = !allow.ingress.is_empty();
        let ingress: BTreeSet<_> = allow.ingress.iter().copied().collect();
        for chain in &mut self.chains {
            match chain.name.as_str() {
                "input" => {
                    chain.rules.splice(0..0, path_mtu(tracked));
                    chain.rules.extend(ingress.iter().map(ingress::arriving));
                    chain.rules.extend(FAMILIES.iter().map(|family| peer(family, family.source, vec![])));
                }
                "output" => {
                    chain.base = behind_conntrack();
                    // The refusal of everything comes last.
                    chain.rules.pop();
                    chain.rules.extend(leaving(tracked, &refuse(), true));
                    chain.rules.extend(tracked.then(|| [state(INVALID), vec![Expr::Drop]].concat()));
                    chain.rules.push(vec![refuse()]);
                }
                "postrouting" => chain.rules.extend(leaving(tracked, &Expr::Drop, false)),
                _ => (),
            }
        }
        for family in FAMILIES {
            let never = allow.never.iter().filter(|a| a.is_ipv4() == family.is_ipv4()).map(octets).collect();
            self.sets.push(family.set(family.never, SET_CONSTANT, never, BTreeSet::new()));
            let (starts, ends) =
                elements(allow.peers.iter().filter(|p| p.addr().is_ipv4() == family.is_ipv4()));
            self.sets.push(family.set(family.peers, SET_INTERVAL, starts, ends));
        }
        self.sets.sort_by(|a, b| a.name.cmp(&b.name));
        self.with_neighbours()
    }

    /// The list that this table says it allows; `None` if it is not an allow-list, or its intervals overlap.
    /// True only if the table [differs](Self::differs) in nothing from the one made of that list.
    pub fn allow_list(&self) -> Option<AllowList> {
        self.sets.iter().find(|set| FAMILIES.iter().any(|family| set.name == family.peers))?;
        let input = self.chains.iter().find(|chain| chain.name == "input");
        let ingress = input.into_iter().flat_map(|input| &input.rules);
        let ingress = ingress.filter_map(|rule| ingress::parse(rule)).collect();
        let mut peers = BTreeSet::new();
        let mut never = BTreeSet::new();
        for family in FAMILIES {
            for set in &self.sets {
                if set.name == family.peers {
                    peers.extend(parse(set, family.is_ipv4()));
                } else if set.name == family.never {
                    never.extend(set.keys.iter().filter_map(|key| address(key)));
                }
            }
        }
        let parsed = peers.len();
        let peers = Prefixes::minimal(peers);
        (peers.len() == parsed).then_some(AllowList { ingress, peers, never })
    }
}

/// The elements to change so that some peers become others. An element that stays is not touched.
pub(crate) fn peer_changes(is: &Prefixes, should: &Prefixes) -> Vec<ElementChange> {
    let of = |family: &IpFamily, a: &Prefixes, b: &Prefixes| {
        let gone: Vec<_> =
            a.difference(b).filter(|p| p.addr().is_ipv4() == family.is_ipv4()).copied().collect();
        elements(gone.iter())
    };
    let change = |family: &IpFamily| ElementChange {
        set: family.peers,
        remove: of(family, is, should),
        add: of(family, should, is),
    };
    let changes = FAMILIES.iter().map(change);
    changes.filter(|change| !change.remove.0.is_empty() || !change.add.0.is_empty()).collect()
}

/// The errors that path MTU discovery needs: about tracked connections, else about packets to peers.
fn path_mtu(tracked: bool) -> [Vec<Expr>; 2] {
    let [v4, v6] = &FAMILIES;
    let rule = |family: &IpFamily, number, error: Vec<Expr>| {
        let about = match tracked {
            true => state(RELATED),
            // The destination in the header that follows the error's own eight bytes.
            false => vec![family.address(TRANSPORT, 8 + family.destination), in_set(1, family.peers)],
        };
        let outside = interface(META_IIF, Compare::NotEqual);
        [protocol(number), family.matches(), outside, error, about, vec![Expr::Accept]].concat()
    };
    [rule(v4, ICMP, vec![icmp(2), equals(1, &[3, 4])]), rule(v6, ICMPV6, vec![icmp(1), equals(1, &[2])])]
}

/// What may leave over a link: replies, and packets to peers.
fn leaving(tracked: bool, otherwise: &Expr, ask_fib: bool) -> Vec<Vec<Expr>> {
    let [v4, v6] = &FAMILIES;
    let byte = |offset| Expr::Payload { base: NETWORK, offset, length: 1, register: 1 };
    let fib = |flags, kind: u32| match ask_fib {
        true => vec![Expr::Fib { flags, result: FIB_ADDRTYPE, register: 1 }, equals(1, &kind.to_ne_bytes())],
        false => vec![],
    };
    let mut rules = vec![
        [v4.matches(), vec![byte(0), compare(Compare::NotEqual, &[0x45]), otherwise.clone()]].concat(),
        [v6.matches(), vec![byte(6), equals(1, &[ROUTING]), otherwise.clone()]].concat(),
    ];
    rules.extend(tracked.then(ingress::replies));
    rules.push(peer(v4, v4.destination, fib(FIB_DADDR, RTN_UNICAST)));
    rules.push(peer(v6, v6.destination, fib(FIB_SADDR, RTN_LOCAL)));
    rules
}

/// Is a peer and not one of those that never are.
fn peer(family: &IpFamily, offset: u32, also: Vec<Expr>) -> Vec<Expr> {
    let never = Expr::InSet { register: 1, set: family.never.into(), inverted: true };
    let known = vec![family.address(NETWORK, offset), never, in_set(1, family.peers)];
    [family.matches(), known, also, vec![Expr::Accept]].concat()
}

/// The routing header (RFC 8200, 4.4).
const ROUTING: u8 = 43;
const FIB_ADDRTYPE: u32 = 3;
const FIB_SADDR: u32 = 1;
const FIB_DADDR: u32 = 2;
/// linux/rtnetlink.h
const RTN_UNICAST: u32 = 1;
const RTN_LOCAL: u32 = 2;

#[cfg(test)]
mod tests {
    use ipnet::IpNet;

    use super::*;
    use crate::policy::Protocol;

    fn prefixes(text: &[&str]) -> Prefixes {
        text.iter().map(|prefix| prefix.parse().unwrap()).collect()
    }

    fn allow() -> AllowList {
        let ingress = |protocol, first, last, from: Option<&str>| Ingress {
            protocol,
            first,
            last,
            from: from.map(|from| from.parse().unwrap()),
        };
        AllowList {
            ingress: vec![
                ingress(Protocol::Tcp, 80, 80, None),
                ingress(Protocol::Tcp, 8080, 8090, Some("10.0.0.0/24")),
                ingress(Protocol::Udp, 1, 65535, Some("0.0.0.0/0")),
                ingress(Protocol::Udp, 53, 53, Some("fd00::/64")),
            ],
            peers: prefixes(&["10.0.0.4/31", "10.0.0.6/32", "fd00::1/128"]),
            never: ["10.0.0.1", "fd00::ff"].map(|a| a.parse().unwrap()).into(),
        }
    }

    #[test]
    fn the_list_can_be_parsed_from_its_table() {
        let table = Table::sealed([]).with_allow_list(&allow());
        assert_eq!(table.allow_list(), Some(allow()));
        assert_eq!(Table::sealed([]).allow_list(), None);
    }

    #[test]
    fn a_peer_that_joins_or_leaves_touches_no_other_element() {
        let all: Vec<IpNet> = (0..32).map(|n| format!("10.0.0.{n}/32").parse().unwrap()).collect();
        let with: Prefixes = all.iter().copied().collect();
        for one in &all {
            let without = all.iter().copied().filter(|peer| peer != one).collect();
            let (set, elements, none) = ("peers4", elements([one].into_iter()), Default::default);
            let joins = ElementChange { set, remove: none(), add: elements.clone() };
            assert_eq!(peer_changes(&without, &with), [joins]);
            let leaves = ElementChange { set, remove: elements, add: none() };
            assert_eq!(peer_changes(&with, &without), [leaves]);
        }
    }

    #[test]
    fn a_table_with_intervals_that_overlap_is_not_an_allow_list() {
        let allow = AllowList { peers: prefixes(&["10.0.0.4/30"]), ..AllowList::default() };
        let mut table = Table::sealed([]).with_allow_list(&allow);
        let peers = table.sets.iter_mut().find(|set| set.name == "peers4").unwrap();
        // 10.0.0.0/29 around 10.0.0.4/30.
        peers.keys.insert(vec![10, 0, 0, 0]);
        assert_eq!(table.allow_list(), None);
        let intended = Table::sealed([]).with_allow_list(&allow);
        assert_ne!(table.differs(&intended), []);
        assert_eq!(intended.differs(&intended), []);
    }

    #[test]
    fn without_ingress_no_connection_is_tracked() {
        let tracks = |allow: &AllowList| {
            let table = Table::sealed([]).with_allow_list(allow);
            let tracks = |expr: &&Expr| matches!(expr, Expr::Ct { .. } | Expr::SetCt { .. });
            table.chains.iter().flat_map(|chain| &chain.rules).flatten().filter(tracks).count()
        };
        assert_ne!(tracks(&allow()), 0);
        assert_eq!(tracks(&AllowList { ingress: vec![], ..allow() }), 0);
    }
}
