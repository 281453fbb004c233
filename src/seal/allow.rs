//! The table of a namespace that keeps its links: what it lets through, and how to read that off it again. Pure.
//!
//! Beside what the closed table has (closed.rs), in the words of nft(8):
//!
//! ```text
//! set never4 { type ipv4_addr; flags constant; }     # gateways, the host; likewise never6
//! set peers4 { type ipv4_addr; flags interval; }     # likewise peers6; the only thing that changes
//! chain input {                                      # priority -300; policy drop
//!     icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } ip6 hoplimit 255 accept
//!     iif != lo icmp type destination-unreachable icmp code frag-needed @th,192,32 @peers4 accept
//!     iif != lo icmpv6 type packet-too-big @th,256,128 @peers6 accept
//!     ...                                            # the foreign sockets, `iif lo accept`
//!     tcp dport 8080 ...                             # ingress.rs
//!     ip saddr != @never4 ip saddr @peers4 accept    # and so for IPv6
//! }
//! chain output {                                     # priority -150; policy drop
//!     icmpv6 type ...                                # neighbours, as in `input`
//!     ...                                            # the foreign sockets, `oif lo accept`
//!     meta nfproto ipv4 @nh,0,8 != 0x45 goto refuse  # IP options: a source route leads on from a peer
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
//! Without ingress nothing asks for `ct`, so that connections between peers are not tracked, which would cost each packet
//! more than all of the table. With ingress the two errors that path MTU needs are let in by `ct state related`, without it if
//! the packet that they answer (of which they carry the beginning) was to a peer.
//!
//! `output` is at -150: behind connection tracking (-200, `NF_IP_PRI_CONNTRACK`), without which there is no direction,
//! and before every translation of destinations (-100). `postrouting` looks again at where such a translation leads;
//! what it leaves out are the two questions to the routing tables, which are for what a program can ask for:
//! the broadcast address of a peers prefix, and a source that is not its own (IPV6_FREEBIND needs no capability; of IPv4 the kernel lets nobody
//! else choose one, `ip_route_output_key_hash_rcu` in net/ipv4/route.c).
//!
//! Neighbours and path MTU come before the foreign sockets because Docker 28 has a raw ICMPv6 socket in the namespace
//! for the announcement of an address: to block all of the protocol would leave the container unreachable over IPv6, and
//! long replies stuck. That socket gets a copy of such a message, which is nothing that the container
//! sent: no program can without CAP_NET_RAW, and what the kernel itself sends over lo is not let in here.
//!
//! Multicast listener reports are refused: the groups that a program joins would be a way to tell the network something.

use std::collections::BTreeSet;

use super::Allow;
use super::closed::{base, refuse};
use super::firewall::Change;
use super::ingress;
use super::prefixes::{elements, read};
use super::steps::{
    FAMILIES, Family, ICMP, ICMPV6, INVALID, META_IIF, NETWORK, RELATED, SET_CONSTANT, SET_INTERVAL,
    TRANSPORT, address, compare, equals, icmp, in_set, interface, octets, protocol, state,
};
use super::table::{Base, Compare, Expr, Table};
use crate::policy::Prefixes;

type Rule = Vec<Expr>;

impl Table {
    /// The table that allows this, in place of one without links: its foreign sockets stay blocked.
    pub(super) fn allowing(closed: &Self, allow: &Allow) -> Self {
        let mut table = closed.clone();
        let tracked = !allow.ingress.is_empty();
        let ingress: BTreeSet<_> = allow.ingress.iter().copied().collect();
        for chain in &mut table.chains {
            match chain.name.as_str() {
                "input" => {
                    chain.rules.splice(0..0, path_mtu(tracked));
                    chain.rules.extend(ingress.iter().map(ingress::arriving));
                    chain.rules.extend(FAMILIES.iter().map(|family| peer(family, family.source, vec![])));
                }
                "output" => {
                    chain.base = behind_conntrack();
                    // The refusal of everything goes to the end.
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
            table.sets.push(family.set(family.never, SET_CONSTANT, never, BTreeSet::new()));
            let (starts, ends) =
                elements(allow.peers.iter().filter(|p| p.addr().is_ipv4() == family.is_ipv4()));
            table.sets.push(family.set(family.peers, SET_INTERVAL, starts, ends));
        }
        table.sets.sort_by(|a, b| a.name.cmp(&b.name));
        table.with_neighbours()
    }

    /// The closed table for the time in which an engine plumbs. Docker 28 announces an IPv6 address by a neighbour
    /// advertisement from inside, and gives the container up if it cannot. It is not taken for sealed. `output` hangs where
    /// that of [`Self::allowing`] does, so that it can grow into such a one.
    pub(super) fn closing() -> Self {
        let mut table = Self::sealing([]).with_neighbours();
        for chain in table.chains.iter_mut().filter(|chain| chain.name == "output") {
            chain.base = behind_conntrack();
        }
        table
    }

    /// What this table says that it lets through; none of a closed one, nor of one in which peers overlap. To be believed once the table
    /// [differs](Self::differs) in nothing from the one that allows it.
    pub fn allows(&self) -> Option<Allow> {
        self.sets.iter().find(|set| FAMILIES.iter().any(|family| set.name == family.peers))?;
        let input = self.chains.iter().find(|chain| chain.name == "input");
        let ingress = input.into_iter().flat_map(|input| &input.rules);
        let ingress = ingress.filter_map(|rule| ingress::read(rule)).collect();
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
        let read = peers.len();
        let peers = Prefixes::minimal(peers);
        (peers.len() == read).then_some(Allow { ingress, peers, never })
    }

    /// Neighbours find each other, before anything else is asked.
    fn with_neighbours(mut self) -> Self {
        for chain in self.chains.iter_mut().filter(|chain| NEIGHBOURLY.contains(&chain.name.as_str())) {
            chain.rules.insert(0, neighbours());
        }
        self
    }
}

/// Where `output` hangs.
fn behind_conntrack() -> Option<Base> {
    base(3, -150)
}

/// What leads from some peers to others: only elements that come or go.
pub(super) fn change_of(is: &Prefixes, should: &Prefixes) -> Vec<Change> {
    let of = |family: &Family, a: &Prefixes, b: &Prefixes| {
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

/// RFC 4861, 7.1: hop limit 255 shows that no router passed it on. Programs cannot send these without CAP_NET_RAW, and
/// the kernel asks for a neighbour only to send it what postrouting let through.
fn neighbours() -> Rule {
    let hop_limit = Expr::Payload { base: NETWORK, offset: 7, length: 1, register: 1 };
    let types = [compare(Compare::AtLeast, &[135]), compare(Compare::AtMost, &[136])];
    let [_, v6] = &FAMILIES;
    [&protocol(ICMPV6)[..], &v6.is(), &[hop_limit, equals(1, &[255]), icmp(1)], &types, &[Expr::Accept]]
        .concat()
}

/// The errors that path MTU needs: about connections that are tracked, else about packets to peers.
fn path_mtu(tracked: bool) -> [Rule; 2] {
    let [v4, v6] = &FAMILIES;
    let rule = |family: &Family, number, error: Rule| {
        let about = match tracked {
            true => state(RELATED),
            // The destination in the header that follows the error's own eight bytes.
            false => vec![family.address(TRANSPORT, 8 + family.destination), in_set(1, family.peers)],
        };
        let outside = interface(META_IIF, Compare::NotEqual);
        [protocol(number), family.is(), outside, error, about, vec![Expr::Accept]].concat()
    };
    [rule(v4, ICMP, vec![icmp(2), equals(1, &[3, 4])]), rule(v6, ICMPV6, vec![icmp(1), equals(1, &[2])])]
}

/// What may leave over a link: replies, and what is for peers.
fn leaving(tracked: bool, otherwise: &Expr, ask_fib: bool) -> Vec<Rule> {
    let [v4, v6] = &FAMILIES;
    let byte = |offset| Expr::Payload { base: NETWORK, offset, length: 1, register: 1 };
    let fib = |flags, kind: u32| match ask_fib {
        true => vec![Expr::Fib { flags, result: FIB_ADDRTYPE, register: 1 }, equals(1, &kind.to_ne_bytes())],
        false => vec![],
    };
    let mut rules = vec![
        [v4.is(), vec![byte(0), compare(Compare::NotEqual, &[0x45]), otherwise.clone()]].concat(),
        [v6.is(), vec![byte(6), equals(1, &[ROUTING]), otherwise.clone()]].concat(),
    ];
    rules.extend(tracked.then(ingress::replies));
    rules.push(peer(v4, v4.destination, fib(FIB_DADDR, RTN_UNICAST)));
    rules.push(peer(v6, v6.destination, fib(FIB_SADDR, RTN_LOCAL)));
    rules
}

/// Is a peer and none of those that never are.
fn peer(family: &Family, offset: u32, also: Rule) -> Rule {
    let never = Expr::InSet { register: 1, set: family.never.into(), inverted: true };
    let known = vec![family.address(NETWORK, offset), never, in_set(1, family.peers)];
    [family.is(), known, also, vec![Expr::Accept]].concat()
}

/// The chains in which neighbours pass.
const NEIGHBOURLY: [&str; 3] = ["input", "output", "postrouting"];
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
    use super::*;
    use crate::policy::{Ingress, Protocol};

    fn prefixes(text: &[&str]) -> Prefixes {
        text.iter().map(|prefix| prefix.parse().unwrap()).collect()
    }

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
            peers: prefixes(&["10.0.0.4/31", "10.0.0.6/32", "fd00::1/128"]),
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
    fn without_ingress_no_connection_is_tracked() {
        let tracks = |allow: &Allow| {
            let table = Table::allowing(&Table::sealing([]), allow);
            let tracks = |expr: &&Expr| matches!(expr, Expr::Ct { .. } | Expr::SetCt { .. });
            table.chains.iter().flat_map(|chain| &chain.rules).flatten().filter(tracks).count()
        };
        assert_ne!(tracks(&allow()), 0);
        assert_eq!(tracks(&Allow { ingress: vec![], ..allow() }), 0);
    }
}
