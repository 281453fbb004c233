//! *Counting*: a table that counts the packets that it refuses, by destination. What is accepted is the same.
//!
//! In addition to the sealed table or the allow-list ([`super::sealed`], [`super::allow_list`]), in the notation of
//! nft(8):
//!
//! ```text
//! set ported { type inet_proto; flags constant; elements = { tcp, udp, dccp, sctp, udplite } }
//! set attempts4 { type ipv4_addr . inet_proto . inet_service; size 1024; flags dynamic,timeout; timeout 3650d; }
//! set attempts4_first { ... }                        # the same; and both for IPv6
//! chain output {                                     # first of all
//!     oif lo ip daddr != 127.0.0.0/8 fib daddr type != local goto refuse
//!     oif lo meta nfproto ipv6 fib daddr type != local goto refuse
//!     ...
//! }
//! chain postrouting { ... }                          # the same with `drop`, and not for ip6 daddr fe00::/8
//! chain refuse {
//!     icmpv6 type 0-127 drop                         # what only the kernel sends: see `of_the_kernel`
//!     icmpv6 type 129-255 drop
//!     tcp flags rst drop                             # exactly; likewise rst,ack and syn,ack
//!     counter
//!     meta l4proto @ported add @attempts4_first { ip daddr . meta l4proto . th dport } update @attempts4 { ... counter }
//!     meta l4proto != @ported add @attempts4_first { ip daddr . meta l4proto . 0 } update @attempts4 { ... counter }
//!     ...                                            # likewise IPv6; then the rejects
//! }
//! ```
//!
//! Without a route a program's attempt fails before it meets a table, so there is a default route over lo. It leads only
//! here: what lo would carry to an address that is not the container's is refused before anything else is looked at. What a
//! rule behind the counter adds to no set meets the next rule, so it is refused like any other; the difference to the counter
//! of all is what was not kept.
//!
//! The time limit of an element tells when it was added: `update` begins it again with each packet, `add` does not.
//! An element that is refused room in the first set is not looked for in the second, so what the second has is in the first.
//!
//! In an allow-list, what comes from outside and is not accepted is counted likewise by its source, in chain `uninvited`
//! and the sets `arrivals4` and `arrivals6`, which outsiders can fill: they are others than those of the attempts.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use super::expr::{
    Compare, Expr, FIB_DADDR, ICMPV6, META_L4PROTO, META_OIF, NETWORK, RTN_LOCAL, SET_CONSTANT, SET_EVAL,
    SET_TIMEOUT, TCP, TRANSPORT, UDP, address, byte, compare, equals, fib, icmp, interface, meta, port,
    protocol,
};
use super::family::{FAMILIES, IpFamily};
use super::keys::Keys;
use super::sealed::{REFUSE, concat_type, refuse};
use super::table::{Chain, Set, Table};

/// Where packets that are counted went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Direction {
    /// A program of the container sent them.
    Out,
    /// They came from outside.
    In,
}

/// What is counted: packets to an address, or from it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Destination {
    /// Of the other end.
    pub address: IpAddr,
    /// As in the IP header.
    pub protocol: u8,
    /// The destination port, of a protocol that has ports.
    pub port: Option<u16>,
}

/// Where packets of one direction are counted.
pub(crate) struct Tally {
    pub(crate) direction: Direction,
    /// The first of its rules that begins with a counter counts all.
    pub(crate) chain: &'static str,
    /// By family: the set that counts, and the set of first times.
    pub(crate) sets: [(&'static str, &'static str); 2],
    /// The address by which they are counted, at its offset.
    address: fn(&IpFamily) -> u32,
}

/// What leaves.
pub(crate) const ATTEMPTS: Tally = Tally {
    direction: Direction::Out,
    chain: REFUSE,
    sets: [("attempts4", "attempts4_first"), ("attempts6", "attempts6_first")],
    address: |family| family.destination,
};

/// What comes from outside.
pub(crate) const ARRIVALS: Tally = Tally {
    direction: Direction::In,
    chain: "uninvited",
    sets: [("arrivals4", "arrivals4_first"), ("arrivals6", "arrivals6_first")],
    address: |family| family.source,
};

impl Table {
    /// How many destinations of each family it counts; `None` if it counts nothing.
    #[must_use]
    pub fn counts(&self) -> Option<u32> {
        self.sets.iter().find(|set| set.name == ATTEMPTS.sets[0].0).map(|set| set.size)
    }

    /// This table, counting at that many destinations of each family; what comes from outside too, if something may.
    pub(super) fn counting(mut self, destinations: u32, is_open: bool) -> Self {
        for chain in &mut self.chains {
            match chain.name.as_str() {
                "input" if is_open => chain.rules.push(vec![Expr::Goto(ARRIVALS.chain.into())]),
                "output" => drop(chain.rules.splice(0..0, only_local(&refuse(), [Some(127), None]))),
                "postrouting" => {
                    drop(chain.rules.splice(0..0, only_local(&Expr::Drop, [Some(127), Some(0xfe)])))
                }
                REFUSE => drop(chain.rules.splice(0..0, [of_the_kernel(), ATTEMPTS.rules()].concat())),
                _ => (),
            }
        }
        let ported = Keys::new(1, PORTED.map(|protocol| [protocol]));
        self.sets.push(Set {
            name: PORTED_SET.into(),
            key_type: 12,
            key_length: 1,
            flags: SET_CONSTANT,
            size: ported.len() as u32,
            keys: ported,
            ends: Keys::none(1),
        });
        self.sets.extend(ATTEMPTS.empty(destinations));
        if is_open {
            self.sets.extend(ARRIVALS.empty(destinations));
            self.chains.push(Chain { name: ARRIVALS.chain.into(), base: None, rules: ARRIVALS.rules() });
        }
        self.sets.sort_by(|a, b| a.name.cmp(&b.name));
        self.chains.sort_by(|a, b| a.name.cmp(&b.name));
        self
    }
}

impl Tally {
    /// Its sets, without elements.
    fn empty(&self, size: u32) -> impl Iterator<Item = Set> {
        let all =
            self.sets.into_iter().zip(KEYS).flat_map(|((last, first), key)| [(last, key), (first, key)]);
        all.map(move |(name, (key_type, key_length))| Set {
            name: name.into(),
            key_type,
            key_length,
            flags: SET_TIMEOUT | SET_EVAL,
            size,
            keys: Keys::none(key_length as usize),
            ends: Keys::none(key_length as usize),
        })
    }

    fn rules(&self) -> Vec<Vec<Expr>> {
        let mut rules = vec![vec![Expr::Counter]];
        for (family, (last, first)) in FAMILIES.iter().zip(self.sets) {
            // As in the sets of foreign sockets: protocol and port follow the address.
            let (protocol, number) = if family.is_ipv4() { (9, 10) } else { (2, 13) };
            let none = Expr::Immediate { register: number, value: vec![0; 2] };
            for (inverted, number) in [(false, port(number)), (true, none)] {
                let ported = Expr::InSet { register: 1, set: PORTED_SET.into(), inverted };
                let key =
                    [family.address(NETWORK, (self.address)(family)), meta(META_L4PROTO, protocol), number];
                let add = |set: &str, count| Expr::Remember { register: 1, set: set.into(), count };
                let kept = [add(first, false), add(last, true)];
                let is_ported = [meta(META_L4PROTO, 1), ported];
                rules.push([&family.matches()[..], &is_ported, &key, &kept].concat());
            }
        }
        rules
    }
}

impl Direction {
    /// The word for it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Out => "out",
            Self::In => "in",
        }
    }
}

impl Destination {
    /// The protocol's name, or its number.
    #[must_use]
    pub fn protocol_name(&self) -> String {
        let known = NAMES.iter().find(|(number, _)| *number == self.protocol);
        known.map_or_else(|| self.protocol.to_string(), |(_, name)| (*name).to_owned())
    }

    /// From the key of a set.
    pub(crate) fn of(key: &[u8]) -> Option<Self> {
        let (address_bytes, rest) = key.split_at_checked(key.len().checked_sub(8)?)?;
        let (protocol, number) = (rest[0], u16::from_be_bytes([rest[4], rest[5]]));
        let port = PORTED.contains(&protocol).then_some(number);
        Some(Self { address: address(address_bytes)?, protocol, port })
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", self.protocol_name())?;
        match self.port {
            Some(port) => write!(f, "{}", SocketAddr::new(self.address, port)),
            None => write!(f, "{}", self.address),
        }
    }
}

/// What leaves by lo goes to the container itself: to one of its addresses, or to 127.0.0.0/8, of which the addresses of
/// networks and broadcast are not local to the routing tables. `besides`, by family: what addresses begin with that are
/// not looked up. In `postrouting` those are IPv6 link-local ones, because there the kernel looks for them on the device of
/// the packet, lo, where those of other links are not (`nft_fib6_flowi_init` in net/ipv6/netfilter/nft_fib_ipv6.c).
fn only_local(otherwise: &Expr, besides: [Option<u8>; 2]) -> Vec<Vec<Expr>> {
    let rule = |(family, besides): (&IpFamily, Option<u8>)| {
        let looked_up = besides.map_or_else(Vec::new, |first| {
            vec![byte(NETWORK, family.destination), compare(Compare::NotEqual, &[first])]
        });
        let not_local =
            [fib(FIB_DADDR), compare(Compare::NotEqual, &RTN_LOCAL.to_ne_bytes()), otherwise.clone()];
        [&interface(META_OIF, Compare::Equal)[..], &family.matches(), &looked_up, &not_local].concat()
    };
    FAMILIES.iter().zip(besides).map(rule).collect()
}

/// What is refused and is no attempt, because no program sends it without CAP_NET_RAW: ICMPv6 other than echo requests, which is
/// neighbour discovery, listener reports, and what answers a packet; and TCP segments in answer to one. The kernel
/// answers to a source that is not the container's, as IPV6_FREEBIND allows, and a refused packet is answered too. To drop
/// these is as good as to reject them: nothing is answered to an answer.
fn of_the_kernel() -> Vec<Vec<Expr>> {
    let [_, v6] = &FAMILIES;
    let no_echo = |op, number| {
        let is = [icmp(1), compare(op, &[number]), Expr::Drop];
        [&protocol(ICMPV6)[..], &v6.matches(), &is].concat()
    };
    let flags =
        |flags: u8| [protocol(TCP), vec![byte(TRANSPORT, 13), equals(1, &[flags]), Expr::Drop]].concat();
    [
        vec![no_echo(Compare::AtMost, 127), no_echo(Compare::AtLeast, 129)],
        [RST, RST | ACK, SYN | ACK].map(flags).to_vec(),
    ]
    .concat()
}

/// The protocols whose header begins with a source and a destination port.
const PORTED: [u8; 5] = [TCP, UDP, 33, 132, 136];
/// IANA, "Assigned Internet Protocol Numbers".
const NAMES: [(u8, &str); 8] = [
    (1, "icmp"),
    (2, "igmp"),
    (TCP, "tcp"),
    (UDP, "udp"),
    (33, "dccp"),
    (58, "icmpv6"),
    (132, "sctp"),
    (136, "udplite"),
];
pub(super) const PORTED_SET: &str = "ported";
/// RFC 9293, 3.1.
const SYN: u8 = 2;
const RST: u8 = 4;
const ACK: u8 = 16;
/// By family: type and length of address, protocol and port.
const KEYS: [(u32, u32); 2] = [(concat_type(&[7, 12, 13]), 12), (concat_type(&[8, 12, 13]), 24)];

#[cfg(test)]
mod tests {
    use super::super::allow_list::AllowList;
    use super::*;

    fn allow() -> AllowList {
        AllowList { peers: ["10.0.0.2/32".parse().unwrap()].into_iter().collect(), ..AllowList::default() }
    }

    #[test]
    fn a_table_says_itself_whether_it_counts() {
        for allow in [None, Some(&allow())] {
            let table = Table::default().blocking_also([], allow, Some(16));
            assert_eq!((table.counts(), table.allow_list()), (Some(16), allow.cloned()));
            assert_eq!(table.differs(&table.intended(allow)), []);
            let without = Table::new([], allow);
            assert_eq!(without.counts(), None);
            assert_ne!(table.differs(&without), []);
        }
    }

    #[test]
    fn a_rule_that_is_missing_or_accepts_is_a_difference() {
        let intact = Table::default().blocking_also([], Some(&allow()), Some(16));
        for chain in 0..intact.chains.len() {
            for place in 0..intact.chains[chain].rules.len() {
                let mut less = intact.clone();
                less.chains[chain].rules.remove(place);
                assert_ne!(less.differs(&less.intended(Some(&allow()))), [], "{chain} {place}");
                let mut more = intact.clone();
                more.chains[chain].rules[place].push(Expr::Accept);
                assert_ne!(more.differs(&more.intended(Some(&allow()))), [], "{chain} {place}");
            }
        }
    }

    #[test]
    fn a_set_that_is_missing_or_changed_is_a_difference() {
        for allow in [None, Some(&allow())] {
            let intact = Table::default().blocking_also([], allow, Some(16));
            for place in 0..intact.sets.len() {
                let differs = |change: fn(&mut Vec<Set>, usize)| {
                    let mut other = intact.clone();
                    change(&mut other.sets, place);
                    assert_ne!(other.differs(&other.intended(allow)), [], "{place}");
                };
                differs(|sets, place| drop(sets.remove(place)));
                differs(|sets, place| sets[place].flags ^= SET_CONSTANT);
                if intact.sets[place].is_timed() {
                    continue;
                }
                differs(|sets, place| {
                    let width = sets[place].key_length as usize;
                    sets[place].keys = Keys::new(width, sets[place].keys.iter().chain([&vec![9; width][..]]));
                });
            }
        }
    }

    #[test]
    fn no_counting_rule_has_a_verdict() {
        let decides = |expr: &Expr| {
            !matches!(
                expr,
                Expr::Counter
                    | Expr::Remember { .. }
                    | Expr::Meta { .. }
                    | Expr::Payload { .. }
                    | Expr::Compare { .. }
                    | Expr::Immediate { .. }
                    | Expr::InSet { .. }
            )
        };
        for tally in [ATTEMPTS, ARRIVALS] {
            assert!(!tally.rules().iter().flatten().any(decides));
        }
    }

    #[test]
    fn a_key_is_parsed_back() {
        let of = |key: &[u8]| Destination::of(key).unwrap();
        let tcp = of(&[1, 2, 3, 4, 6, 0, 0, 0, 1, 187, 0, 0]);
        assert_eq!((tcp.address, tcp.protocol, tcp.port), ("1.2.3.4".parse().unwrap(), 6, Some(443)));
        let mut key = vec![0; 24];
        (key[15], key[16]) = (1, 58);
        let ping = of(&key);
        assert_eq!((ping.address, ping.protocol, ping.port), ("::1".parse().unwrap(), 58, None));
        assert!(Destination::of(&[0; 7]).is_none() && Destination::of(&[0; 9]).is_none());
    }
}
