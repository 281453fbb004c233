//! *Allow-list*: the table that lets open ports and peers pass, and nothing else; and the way back, from
//! table to list.
//!
//! In addition to the sealed table ([`super::sealed`]), in the notation of nft(8). A set of peers, and with it its
//! rules, is there once it is needed; what most packets meet comes first:
//!
//! ```text
//! set peers4 { type ipv4_addr; size 16; }            # single addresses; likewise peers6
//! set prefixes4 { type ipv4_addr; flags interval; }  # likewise prefixes6
//! set never4 { type ipv4_addr; flags constant; }     # gateways, the host; only beside prefixes4; likewise never6
//! chain input {                                      # priority -300; policy drop
//!     ...                                            # foreign sockets that have a port
//!     meta l4proto tcp iif != lo ip saddr @peers4 accept
//!     icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } ip6 hoplimit 255 accept
//!     iif != lo icmp type destination-unreachable icmp code frag-needed @th,192,32 @peers4 accept
//!     iif != lo icmpv6 type packet-too-big @th,256,128 @peers6 accept
//!     ...                                            # other foreign sockets, `iif lo accept`
//!     tcp dport 8080 ...                             # ingress.rs
//!     ip saddr @peers4 accept                        # and so for IPv6
//!     ip saddr != @never4 ip saddr @prefixes4 accept
//!     ip saddr @peers4 accept                        # again: see `Rules::peers`
//! }
//! chain output {                                     # priority -150; policy drop
//!     ...                                            # foreign sockets that have a port
//!     @nh,0,8 0x45 ip protocol tcp ip daddr @peers4 accept
//!     ip6 nexthdr tcp ip6 daddr @peers6 fib saddr type local accept
//!     icmpv6 type ...                                # neighbours, as in `input`
//!     ...                                            # other foreign sockets, `oif lo accept`
//!     meta nfproto ipv4 @nh,0,8 != 0x45 goto refuse  # IP options: a source route goes beyond a peer
//!     ip6 nexthdr 43 goto refuse                     # a routing header: needs no capability, as ping6(8) knows
//!     ip6 nexthdr 0 @nh,320,8 43 goto refuse         # and in a jumbogram: see `JUMBO`
//!     ct direction reply ...                         # ingress.rs
//!     ip daddr @peers4 fib daddr type unicast accept
//!     ip daddr != @never4 ip daddr @prefixes4 fib daddr type unicast accept
//!     ip6 daddr @peers6 fib saddr type local accept  # and so with prefixes6
//!     ct state invalid drop
//!     goto refuse
//! }
//! chain postrouting { ... }                          # priority 300; policy drop; the same, `drop` for `goto refuse`
//! ```
//!
//! A single address that never is a peer is an error, so `never4` is looked up beside prefixes only.
//!
//! Without an open port no rule loads `ct`, so connections are not tracked; tracking would cost each
//! packet more than the rest of the table. The two errors that path MTU discovery needs are accepted by `ct
//! state related` where connections are tracked, and elsewhere if the packet that they answer (they carry its beginning)
//! was to a peer.
//!
//! `output` is at -150: behind connection tracking (-200, `NF_IP_PRI_CONNTRACK`), without which there is no
//! direction, and before all translation of destinations (-100). `postrouting` checks again where such a
//! translation leads. It leaves out the two lookups in the routing tables, which concern what a program can
//! ask for: the broadcast address of a peers prefix, and a source address that is not the container's own
//! (IPV6_FREEBIND needs no capability; for IPv4 the kernel lets no unprivileged program choose one,
//! `ip_route_output_key_hash_rcu` in net/ipv4/route.c). TCP does not connect to a broadcast address
//! (`tcp_v4_connect` in net/ipv4/tcp_ipv4.c), so its rule leaves out that lookup in `output` too.
//!
//! Neighbour discovery and path MTU come before the foreign sockets without a port, because Docker 28 has a raw ICMPv6
//! socket in the namespace to announce an address: with the whole protocol blocked the container would be
//! unreachable over IPv6, and long replies would hang. That socket gets a copy of such a message, which is
//! never one that the container sent: no program can without CAP_NET_RAW, and what the kernel itself sends
//! over lo is not accepted here.
//!
//! Multicast listener reports are refused: the groups that a program joins would carry information out.

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnet::IpNet;

use super::expr::{
    Compare, Expr, FIB_DADDR, FIB_SADDR, ICMP, ICMPV6, INVALID, META_IIF, NETWORK, RELATED, RTN_LOCAL,
    RTN_UNICAST, TCP, TRANSPORT, address, byte, compare, equals, fib, icmp, in_set, interface, protocol,
    state,
};
use super::family::{FAMILIES, IpFamily};
use super::ingress;
use super::intervals::parse;
use super::lockdown::{behind_conntrack, neighbours};
use super::peer_sets::{no_peers, peer_sets};
use super::sealed::{FOREIGN_PORTS, refuse};
use super::table::{Set, Table};
use crate::policy::{Ingress, Prefixes};

/// What passes; everything else is refused in both directions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AllowList {
    /// Open ports; only replies leave.
    pub ingress: Vec<Ingress>,
    /// Any protocol, both directions.
    pub peers: Prefixes,
    /// Addresses of members of a job on other nodes, which are peers while the lease runs; `None`: there is no lease.
    pub leased: Option<BTreeSet<IpAddr>>,
    /// Not peers even where a prefix contains them, for example the addresses of the host. Sealing adds the
    /// gateways of the namespace's routes. One that is itself given as a peer (/32, /128) is an error.
    pub never: BTreeSet<IpAddr>,
}

impl Table {
    /// This sealed table, opened for what the list allows. Foreign sockets stay blocked. What has a set of peers in
    /// `like` has one here too, and as large a one.
    pub(super) fn with_allow_list(mut self, allow: &AllowList, like: &Self) -> Self {
        // What is leased has rules like those of peers.
        let always = allow.leased.is_some();
        let of = |family| peer_sets(family, &allow.peers, &allow.never, always, like);
        let mut sets: Vec<Set> = FAMILIES.iter().flat_map(of).collect();
        if sets.is_empty() && allow.ingress.is_empty() {
            // A job's first member has no peers yet, and its table is told from others by the set.
            sets.push(no_peers(&FAMILIES[0]));
        }
        let rules = Rules { allow, sets: &sets };
        for chain in &mut self.chains {
            match chain.name.as_str() {
                "input" => chain.rules = rules.input(std::mem::take(&mut chain.rules)),
                "output" => {
                    chain.base = behind_conntrack();
                    chain.rules = rules.output(std::mem::take(&mut chain.rules));
                }
                "postrouting" => chain.rules = rules.postrouting(std::mem::take(&mut chain.rules)),
                _ => (),
            }
        }
        self.sets.extend(sets);
        self.sets.sort_by(|a, b| a.name.cmp(&b.name));
        match &allow.leased {
            Some(leased) => self.leasing(leased, like),
            None => self,
        }
    }

    /// The list that this table says it allows; `None` if it is not an allow-list, or its intervals overlap.
    /// True only if the table [differs](Self::differs) in nothing from the one made of that list.
    pub fn allow_list(&self) -> Option<AllowList> {
        let input = self.chains.iter().find(|chain| chain.name == "input");
        let ingress = input.into_iter().flat_map(|input| &input.rules);
        let ingress: Vec<_> = ingress.filter_map(|rule| ingress::parse(rule)).collect();
        let (mut single, mut wide, mut never) = (Vec::new(), Vec::new(), BTreeSet::new());
        let mut has_peers = false;
        for family in FAMILIES {
            for set in &self.sets {
                if set.name == family.peers {
                    single.extend(set.keys.iter().filter_map(address).map(IpNet::from));
                } else if set.name == family.prefixes {
                    wide.extend(parse(set, family.is_ipv4()));
                } else if set.name == family.never {
                    never.extend(set.keys.iter().filter_map(address));
                }
                has_peers |= set.name == family.peers || set.name == family.prefixes;
            }
        }
        let overlap = Prefixes::minimal(wide.iter().copied()).len() != wide.len();
        let peers = Prefixes::minimal(single.into_iter().chain(wide));
        let is_list = (has_peers || !ingress.is_empty()) && !overlap;
        is_list.then(|| AllowList { ingress, peers, leased: self.leased(), never })
    }
}

/// The rules of an allow-list with these sets of peers.
struct Rules<'a> {
    allow: &'a AllowList,
    sets: &'a [Set],
}

impl Rules<'_> {
    /// Of the sealed table's rules, those about foreign sockets with a port stay first.
    fn input(&self, sealed: Vec<Vec<Expr>>) -> Vec<Vec<Expr>> {
        let (mut rules, others): (Vec<_>, Vec<_>) = sealed.into_iter().partition(|rule| is_about_port(rule));
        let outside = [protocol(TCP), interface(META_IIF, Compare::NotEqual)].concat();
        for family in self.with(|family| family.peers) {
            let from = vec![family.address(NETWORK, family.source), in_set(1, family.peers), Expr::Accept];
            rules.push([outside.clone(), family.matches(), from].concat());
        }
        rules.push(neighbours());
        rules.extend(self.path_mtu());
        rules.extend(others);
        let ingress: BTreeSet<_> = self.allow.ingress.iter().collect();
        rules.extend(ingress.into_iter().map(ingress::arriving));
        rules.extend(self.peers(|family| (family.source, vec![])));
        rules
    }

    fn output(&self, sealed: Vec<Vec<Expr>>) -> Vec<Vec<Expr>> {
        let (ports, mut others): (Vec<_>, Vec<_>) = sealed.into_iter().partition(|rule| is_about_port(rule));
        // The refusal of everything comes last.
        let last = others.pop();
        let mut rules = ports;
        rules.extend(self.tcp_leaving(own_source));
        rules.push(neighbours());
        rules.extend(others);
        rules.extend(self.others_leaving(&refuse(), |family| match family.is_ipv4() {
            true => vec![fib(FIB_DADDR), equals(1, &RTN_UNICAST.to_ne_bytes())],
            false => own_source(family),
        }));
        rules.extend(self.is_tracked().then(|| [state(INVALID), vec![Expr::Drop]].concat()));
        rules.extend(last);
        rules
    }

    fn postrouting(&self, sealed: Vec<Vec<Expr>>) -> Vec<Vec<Expr>> {
        let mut rules = self.tcp_leaving(|_| vec![]);
        rules.push(neighbours());
        rules.extend(sealed);
        rules.extend(self.others_leaving(&Expr::Drop, |_| vec![]));
        rules
    }

    /// TCP to single peers.
    fn tcp_leaving(&self, also: fn(&IpFamily) -> Vec<Expr>) -> Vec<Vec<Expr>> {
        let to_peer = |family: &IpFamily| {
            let to = vec![family.address(NETWORK, family.destination), in_set(1, family.peers)];
            [family.plain_tcp(), to, also(family), vec![Expr::Accept]].concat()
        };
        self.with(|family| family.peers).map(to_peer).collect()
    }

    /// Any protocol to peers, and replies from open ports.
    fn others_leaving(&self, otherwise: &Expr, also: fn(&IpFamily) -> Vec<Expr>) -> Vec<Vec<Expr>> {
        let [v4, v6] = &FAMILIES;
        let options = [byte(NETWORK, 0), compare(Compare::NotEqual, &[0x45]), otherwise.clone()];
        let next = |offset, header| [byte(NETWORK, offset), equals(1, &[header])];
        let routing = [v6.matches(), next(6, ROUTING).to_vec(), vec![otherwise.clone()]].concat();
        let jumbo = [next(6, JUMBO), next(40, ROUTING)].concat();
        let in_jumbo = [v6.matches(), jumbo, vec![otherwise.clone()]].concat();
        let mut rules = vec![[&v4.matches()[..], &options].concat(), routing, in_jumbo];
        rules.extend(self.is_tracked().then(ingress::replies));
        rules.extend(self.peers(|family| (family.destination, also(family))));
        rules
    }

    /// The address at that offset is a peer's, and one that may be. Beside prefixes, single addresses are looked up
    /// before them and after: one may move from there to here in between, when the peers change.
    fn peers(&self, rule: impl Fn(&IpFamily) -> (u32, Vec<Expr>)) -> Vec<Vec<Expr>> {
        let accept = |family: &IpFamily, lookups: Vec<Expr>| {
            let (offset, also) = rule(family);
            [family.matches(), vec![family.address(NETWORK, offset)], lookups, also, vec![Expr::Accept]]
                .concat()
        };
        let single = |family| accept(family, vec![in_set(1, family.peers)]);
        let mut rules: Vec<_> = self.with(|family| family.peers).map(single).collect();
        for family in self.with(|family| family.prefixes) {
            let never = Expr::InSet { register: 1, set: family.never.into(), inverted: true };
            rules.push(accept(family, vec![never, in_set(1, family.prefixes)]));
            if self.with(|family| family.peers).any(|other| other.is_ipv4() == family.is_ipv4()) {
                rules.push(single(family));
            }
        }
        rules
    }

    /// The errors that path MTU discovery needs: about tracked connections, else about packets to peers.
    fn path_mtu(&self) -> Vec<Vec<Expr>> {
        let rule = |family: &IpFamily, about: Vec<Expr>| {
            let outside = interface(META_IIF, Compare::NotEqual);
            let error = match family.is_ipv4() {
                true => [protocol(ICMP), family.matches(), outside, vec![icmp(2), equals(1, &[3, 4])]],
                false => [protocol(ICMPV6), family.matches(), outside, vec![icmp(1), equals(1, &[2])]],
            };
            [error.concat(), about, vec![Expr::Accept]].concat()
        };
        if self.is_tracked() {
            return FAMILIES.iter().map(|family| rule(family, state(RELATED))).collect();
        }
        // The destination in the header that follows the error's own eight bytes.
        let to = |family: &IpFamily, set: &str| {
            rule(family, vec![family.address(TRANSPORT, 8 + family.destination), in_set(1, set)])
        };
        let single = self.with(|family| family.peers).map(|family| to(family, family.peers));
        let wide = self.with(|family| family.prefixes).map(|family| to(family, family.prefixes));
        single.chain(wide).collect()
    }

    /// The families that have this set.
    fn with(&self, name: fn(&IpFamily) -> &'static str) -> impl Iterator<Item = &'static IpFamily> {
        FAMILIES.iter().filter(move |family| self.sets.iter().any(|set| set.name == name(family)))
    }

    fn is_tracked(&self) -> bool {
        !self.allow.ingress.is_empty()
    }
}

/// The source is an address of the container, where the kernel itself does not see to that.
fn own_source(family: &IpFamily) -> Vec<Expr> {
    match family.is_ipv4() {
        true => vec![],
        false => vec![fib(FIB_SADDR), equals(1, &RTN_LOCAL.to_ne_bytes())],
    }
}

fn is_about_port(rule: &[Expr]) -> bool {
    rule.iter().any(|expr| matches!(expr, Expr::InSet { set, .. } if FOREIGN_PORTS.contains(&&**set)))
}

/// The routing header (RFC 8200, 4.4).
const ROUTING: u8 = 43;

/// The hop-by-hop options (RFC 8200, 4.3), which a program may not set without CAP_NET_RAW. The kernel puts eight bytes of them
/// before all other extensions of a packet of more than 64 KiB (BIG TCP: `ip6_xmit` in net/ipv6/ip6_output.c).
const JUMBO: u8 = 0;

#[cfg(test)]
mod tests {
    use super::super::keys::Keys;
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
            leased: None,
            never: ["10.0.0.5"].map(|a| a.parse().unwrap()).into(),
        }
    }

    #[test]
    fn the_list_can_be_parsed_from_its_table() {
        let table = Table::new([], Some(&allow()));
        assert_eq!(table.allow_list(), Some(allow()));
        assert_eq!(Table::sealed([]).allow_list(), None);
    }

    #[test]
    fn a_list_without_peers_is_one() {
        let none = AllowList::default();
        assert_eq!(Table::new([], Some(&none)).allow_list(), Some(none));
        let port = AllowList { ingress: allow().ingress[..1].to_vec(), ..AllowList::default() };
        let table = Table::new([], Some(&port));
        assert!(table.sets.is_empty());
        assert_eq!(table.allow_list(), Some(port));
    }

    #[test]
    fn an_address_that_a_prefix_contains_is_ours_unless_it_never_is_a_peer() {
        let table = Table::new([], Some(&allow()));
        let differs = |last| {
            let mut other = table.clone();
            let set = other.sets.iter_mut().find(|set| set.name == "peers4").unwrap();
            set.keys = Keys::new(4, set.keys.iter().chain([&[10, 0, 0, last][..]]));
            other
                .differs(&other.intended(Some(&allow())))
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
                .join("; ")
        };
        assert_eq!(differs(4), "");
        assert_eq!(differs(7), "1 peers are not wanted, and 0 wanted are none");
        assert_eq!(differs(5), "set peers4 was changed");
    }

    #[test]
    fn a_set_of_a_size_that_is_not_ours_is_a_difference() {
        let table = Table::new([], Some(&allow()));
        for (size, is_ours) in [(0, false), (15, false), (16, true), (24, false), (32, true), (1 << 20, true)]
        {
            let mut other = table.clone();
            other.sets.iter_mut().find(|set| set.name == "peers4").unwrap().size = size;
            assert_eq!(other.differs(&other.intended(Some(&allow()))).is_empty(), is_ours, "{size}");
        }
    }

    #[test]
    fn a_table_with_intervals_that_overlap_is_not_an_allow_list() {
        let allow = AllowList { peers: prefixes(&["10.0.0.4/30"]), ..AllowList::default() };
        let mut table = Table::new([], Some(&allow));
        let prefixes = table.sets.iter_mut().find(|set| set.name == "prefixes4").unwrap();
        // 10.0.0.0/29 around 10.0.0.4/30.
        prefixes.keys = Keys::new(4, [[10, 0, 0, 0], [10, 0, 0, 4]]);
        assert_eq!(table.allow_list(), None);
        let intended = Table::new([], Some(&allow));
        assert_ne!(table.differs(&intended), []);
        assert_eq!(intended.differs(&intended), []);
    }

    #[test]
    fn without_an_open_port_no_connection_is_tracked() {
        let tracks = |allow: &AllowList| {
            let table = Table::new([], Some(allow));
            let tracks = |expr: &&Expr| matches!(expr, Expr::Ct { .. } | Expr::SetCt { .. });
            table.chains.iter().flat_map(|chain| &chain.rules).flatten().filter(tracks).count()
        };
        assert_ne!(tracks(&allow()), 0);
        assert_eq!(tracks(&AllowList { ingress: vec![], ..allow() }), 0);
    }
}
