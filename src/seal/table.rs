//! The firewall table `inet oci_isolate` as data, and how two of them differ.
//!
//! Pure. Only what the table needs has a name here; any other expression that a kernel reports is [`Expr::Other`], so
//! it never equals one of ours. In the words of nft(8), with the sets and their rules left out when they are empty:
//!
//! ```text
//! table inet oci_isolate {
//!     set foreign4 { type ipv4_addr . inet_proto . inet_service; flags constant; }  # bound to an address
//!     set foreign6 { type ipv6_addr . inet_proto . inet_service; flags constant; }
//!     set foreign_any { type inet_proto . inet_service; flags constant; }           # bound to every address
//!     set foreign_protocols { type inet_proto; flags constant; }                    # raw, ping, SCTP
//!     chain input {
//!         type filter hook input priority -300; policy drop;
//!         ip daddr 127.0.0.11 drop
//!         ip daddr . meta l4proto . th dport @foreign4 drop                         # and so for each set
//!         iif "lo" accept
//!     }
//!     chain output {
//!         type filter hook output priority -300; policy drop;
//!         ip daddr 127.0.0.11 goto refuse
//!         ip daddr . meta l4proto . th dport @foreign4 goto refuse
//!         oif "lo" accept
//!         goto refuse
//!     }
//!     chain forward { type filter hook forward priority -300; policy drop; }
//!     chain postrouting { type filter hook postrouting priority 300; policy drop; oif "lo" accept }
//!     chain refuse {
//!         meta l4proto tcp reject with tcp reset
//!         reject with icmpx type admin-prohibited
//!     }
//! }
//! ```
//!
//! What it looks like where links stay is allow.rs. -300 is before every translation (Docker's rules for 127.0.0.11 are at -100, dstnat), so `output` sees where a
//! program wants to go. `input` sees where the packet arrived after all translation, so a foreign socket is met by its
//! real address and port. `postrouting` is for a translation that sends loopback traffic to an interface after
//! `output` has accepted it. TCP is reset because an ICMP error is no more than a hint to a connect(2) in progress,
//! which goes on for a second (tcp(7), "Error handling"). lo always has index 1 (`LOOPBACK_IFINDEX`).

use std::collections::BTreeSet;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr};

use super::Allow;
use super::sockets::Foreign;

/// A table of family inet.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Table {
    /// 1 is dormant: the chains see nothing.
    pub flags: u32,
    /// By name.
    pub sets: Vec<Set>,
    /// By name.
    pub chains: Vec<Chain>,
}

/// A chain; without `base` it is only reached by a jump.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chain {
    /// Unique in the table.
    pub name: String,
    /// Where it hangs in the network stack.
    pub base: Option<Base>,
    /// In order.
    pub rules: Vec<Vec<Expr>>,
}

/// Where a base chain hangs, and what it does with what no rule decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Base {
    /// `filter` and no other.
    pub kind: String,
    /// `NF_INET_*` of linux/netfilter.h.
    pub hook: u32,
    /// Lower comes first.
    pub priority: i32,
    /// `NF_DROP` or `NF_ACCEPT`.
    pub policy: u32,
    /// Hardware offload and other flags of nftables.
    pub flags: u32,
}

/// A named set; what is in it is compared by [`Table::blocks`] alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Set {
    /// Unique in the table.
    pub name: String,
    /// As nft numbers its types, six bits for each part; only for its listings.
    pub key_type: u32,
    /// In bytes; parts are padded to four.
    pub key_length: u32,
    /// `NFT_SET_*`.
    pub flags: u32,
    /// The keys; of an interval set the first of each interval.
    pub keys: BTreeSet<Vec<u8>>,
    /// Of an interval set the first key behind each interval.
    pub ends: BTreeSet<Vec<u8>>,
}

/// A step of a rule (linux/netfilter/nf_tables.h).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expr {
    /// Loads a packet's meta information.
    Meta {
        /// `NFT_META_*`.
        key: u32,
        /// Where to.
        register: u32,
    },
    /// Loads bytes of a header; the rule does not match a packet that lacks them.
    Payload {
        /// `NFT_PAYLOAD_*_HEADER`.
        base: u32,
        /// From the start of that header.
        offset: u32,
        /// In bytes.
        length: u32,
        /// Where to.
        register: u32,
    },
    /// Goes on if the register compares to this, as big-endian numbers do.
    Compare {
        /// Which.
        register: u32,
        /// How.
        op: Compare,
        /// The bytes.
        value: Vec<u8>,
    },
    /// Puts bytes into a register.
    Immediate {
        /// Which.
        register: u32,
        /// The bytes.
        value: Vec<u8>,
    },
    /// Loads what connection tracking knows of the packet; the rule does not match one without an entry.
    Ct {
        /// `NFT_CT_*`.
        key: u32,
        /// Where to.
        register: u32,
    },
    /// Sets it, for the whole connection.
    SetCt {
        /// `NFT_CT_*`.
        key: u32,
        /// From where.
        register: u32,
    },
    /// Loads what the routing tables say of an address.
    Fib {
        /// `NFTA_FIB_F_*`: of which.
        flags: u32,
        /// `NFT_FIB_RESULT_*`.
        result: u32,
        /// Where to.
        register: u32,
    },
    /// Goes on if what starts at the register is in the set.
    InSet {
        /// Which.
        register: u32,
        /// The set's name.
        set: String,
        /// Goes on if it is not.
        inverted: bool,
    },
    /// Ends it.
    Accept,
    /// Ends it without a word.
    Drop,
    /// Goes on in another chain, for good.
    Goto(String),
    /// Goes on in another chain, and here if that decides nothing.
    Jump(String),
    /// Goes back to where the jump came from.
    Return,
    /// Ends it with a TCP reset.
    Reset,
    /// Ends it with an ICMP or ICMPv6 error, "administratively prohibited".
    Prohibit,
    /// Nothing that we ever load.
    Other(String),
}

/// How a register is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "their own names")]
pub enum Compare {
    Equal,
    NotEqual,
    AtMost,
    AtLeast,
}

/// In what a table is not the one that was loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Difference {
    /// Its flags, for example dormant.
    Flags(u32),
    /// A chain is missing.
    NoChain(String),
    /// A chain that is not ours.
    ExtraChain(String),
    /// Type, hook, priority or policy of a chain.
    Hook(String),
    /// So many rules, and so many wanted.
    Rules(String, usize, usize),
    /// The rule at this place of this chain, from one.
    Rule(String, usize),
    /// A set is missing, of other make, or not ours.
    Set(String),
    /// So many peers that are not wanted, and so many wanted that are none.
    Peers(usize, usize),
    /// A gateway or an address of the host is a peer.
    Never(IpAddr),
}

impl Table {
    /// The name; the family is inet.
    pub const NAME: &'static str = "oci_isolate";

    /// The table for a namespace with these foreign sockets.
    pub fn sealing<'a>(foreign: impl IntoIterator<Item = &'a Foreign>) -> Self {
        let mut keys: [BTreeSet<Vec<u8>>; 4] = Default::default();
        for (set, key) in foreign.into_iter().filter_map(key_of) {
            keys[set].insert(key);
        }
        Self::with_keys(keys)
    }

    /// The table that this one should be, given what its sets say it blocks and what is to be let through.
    pub fn intended(&self, allow: Option<&Allow>) -> Self {
        let keys = SETS.map(|(name, ..)| {
            self.sets.iter().find(|set| set.name == name).map(|set| set.keys.clone()).unwrap_or_default()
        });
        Self::with_keys(keys).opened(allow)
    }

    /// The intended table, and these sockets as well.
    pub fn blocking_also(&self, foreign: &[Foreign], allow: Option<&Allow>) -> Self {
        let mut keys = SETS.map(|_| BTreeSet::new());
        for (position, (name, ..)) in SETS.iter().enumerate() {
            for set in self.sets.iter().filter(|set| set.name == *name) {
                keys[position]
                    .extend(set.keys.iter().filter(|k| k.len() == set.key_length as usize).cloned());
            }
        }
        for (set, key) in foreign.iter().filter_map(key_of) {
            keys[set].insert(key);
        }
        Self::with_keys(keys).opened(allow)
    }

    /// This closed table, or the one that allows something in its place.
    pub fn opened(self, allow: Option<&Allow>) -> Self {
        match allow {
            Some(allow) => Self::allowing(&self, allow),
            None => self,
        }
    }

    /// Whether the sets hold this socket (127.0.0.11 is blocked by a rule of its own).
    pub fn blocks(&self, foreign: &Foreign) -> bool {
        key_of(foreign).is_some_and(|(set, key)| {
            self.sets.iter().any(|s| s.name == SETS[set].0 && s.keys.contains(&key))
        })
    }

    /// In what this table, as it is, differs from the `intended` one. Of what is in sets, only
    /// peers are compared: what is blocked is for [`Self::blocks`].
    pub fn differs(&self, intended: &Self) -> Vec<Difference> {
        let mut found = Vec::new();
        if self.flags != intended.flags {
            found.push(Difference::Flags(self.flags));
        }
        for chain in &intended.chains {
            match self.chains.iter().find(|is| is.name == chain.name) {
                None => found.push(Difference::NoChain(chain.name.clone())),
                Some(is) => found.extend(chain_differs(is, chain)),
            }
        }
        let extra = |is: &&Chain| !intended.chains.iter().any(|chain| chain.name == is.name);
        found.extend(self.chains.iter().filter(extra).map(|is| Difference::ExtraChain(is.name.clone())));
        let make = |s: &Set| (s.name.clone(), s.key_length, s.flags);
        let is: BTreeSet<_> = self.sets.iter().map(make).collect();
        let should: BTreeSet<_> = intended.sets.iter().map(make).collect();
        let names: BTreeSet<_> = is.symmetric_difference(&should).map(|(name, ..)| name.clone()).collect();
        found.extend(names.into_iter().map(Difference::Set));
        if let (Some(is), Some(should)) = (self.allows(), intended.allows()) {
            let lacking =
                |a: &&IpAddr| !is.never.contains(a) && is.peers.iter().any(|peer| peer.contains(*a));
            found.extend(should.never.iter().filter(lacking).copied().map(Difference::Never));
            let (extra, missing) =
                (is.peers.difference(&should.peers).count(), should.peers.difference(&is.peers).count());
            if extra + missing > 0 {
                found.push(Difference::Peers(extra, missing));
            }
        }
        found
    }

    fn with_keys(keys: [BTreeSet<Vec<u8>>; 4]) -> Self {
        let mut sets = Vec::new();
        let mut input = vec![[to_engine_dns(), vec![Expr::Drop]].concat()];
        let mut output = vec![[to_engine_dns(), vec![refuse()]].concat()];
        for ((name, key_type, key_length, load), keys) in SETS.into_iter().zip(keys) {
            if keys.is_empty() {
                continue;
            }
            input.push([load(name), vec![Expr::Drop]].concat());
            output.push([load(name), vec![refuse()]].concat());
            sets.push(Set {
                name: name.into(),
                key_type,
                key_length,
                flags: SET_CONSTANT,
                keys,
                ends: BTreeSet::new(),
            });
        }
        input.push([interface_is_lo(META_IIF), vec![Expr::Accept]].concat());
        output.push([interface_is_lo(META_OIF), vec![Expr::Accept]].concat());
        output.push(vec![refuse()]);
        let postrouting = vec![[interface_is_lo(META_OIF), vec![Expr::Accept]].concat()];
        let tcp = [meta(META_L4PROTO, 1), equals(1, &[TCP])];
        let chains = vec![
            Chain { name: "forward".into(), base: base(2, FIRST), rules: vec![] },
            Chain { name: "input".into(), base: base(1, FIRST), rules: input },
            Chain { name: "output".into(), base: base(3, FIRST), rules: output },
            Chain { name: "postrouting".into(), base: base(4, LAST), rules: postrouting },
            Chain {
                name: REFUSE.into(),
                base: None,
                rules: vec![[&tcp[..], &[Expr::Reset]].concat(), vec![Expr::Prohibit]],
            },
        ];
        Self { flags: 0, sets, chains }
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flags(flags) if flags & 1 != 0 => write!(f, "it is dormant"),
            Self::Flags(flags) => write!(f, "its flags are {flags:#x}"),
            Self::NoChain(chain) => write!(f, "chain {chain} is missing"),
            Self::ExtraChain(chain) => write!(f, "chain {chain} is not ours"),
            Self::Hook(chain) => write!(f, "type, hook, priority or policy of chain {chain} was changed"),
            Self::Rules(chain, is, should) => write!(f, "chain {chain} has {is} rules instead of {should}"),
            Self::Rule(chain, place) => write!(f, "rule {place} of chain {chain} was changed"),
            Self::Set(set) => write!(f, "set {set} was changed"),
            Self::Peers(extra, missing) => {
                write!(f, "{extra} peers are not wanted, and {missing} wanted are none")
            }
            Self::Never(address) => write!(f, "{address} must not be a peer"),
        }
    }
}

fn chain_differs(is: &Chain, should: &Chain) -> Vec<Difference> {
    let mut found = Vec::new();
    if is.base != should.base {
        found.push(Difference::Hook(is.name.clone()));
    }
    if is.rules.len() != should.rules.len() {
        found.push(Difference::Rules(is.name.clone(), is.rules.len(), should.rules.len()));
    }
    let changed = is.rules.iter().zip(&should.rules).position(|(is, should)| is != should);
    found.extend(changed.map(|place| Difference::Rule(is.name.clone(), place + 1)));
    found
}

/// Name, key type, key length, and the steps that load and look up such a key. A key fills registers of four bytes, 8
/// and on; one that begins a register of sixteen bytes goes by that one's number (8 is 1, 12 is 2), because that is how
/// the kernel reports it (`nft_dump_register` in net/netfilter/nf_tables_api.c).
type SetKind = (&'static str, u32, u32, fn(&str) -> Vec<Expr>);

const SETS: [SetKind; 4] = [
    ("foreign4", concat_type(&[7, 12, 13]), 12, |set| {
        let address = Expr::Payload { base: NETWORK, offset: 16, length: 4, register: 1 };
        vec![meta(META_NFPROTO, 1), equals(1, &[2]), address, meta(META_L4PROTO, 9), port(10), in_set(1, set)]
    }),
    ("foreign6", concat_type(&[8, 12, 13]), 24, |set| {
        let address = Expr::Payload { base: NETWORK, offset: 24, length: 16, register: 1 };
        vec![
            meta(META_NFPROTO, 1),
            equals(1, &[10]),
            address,
            meta(META_L4PROTO, 2),
            port(13),
            in_set(1, set),
        ]
    }),
    ("foreign_any", concat_type(&[12, 13]), 8, |set| vec![meta(META_L4PROTO, 1), port(9), in_set(1, set)]),
    ("foreign_protocols", 12, 1, |set| vec![meta(META_L4PROTO, 1), in_set(1, set)]),
];

/// Which set blocks it and by which key; none for what the loopback interface itself would have to go for.
fn key_of(foreign: &Foreign) -> Option<(usize, Vec<u8>)> {
    match *foreign {
        Foreign::Port { protocol, address, port } => {
            let address = address.map(|a| a.to_canonical());
            let (set, mut key) = match address {
                Some(IpAddr::V4(a)) => (0, a.octets().to_vec()),
                Some(IpAddr::V6(a)) => (1, a.octets().to_vec()),
                None => (2, vec![]),
            };
            key.extend([protocol, 0, 0, 0]);
            key.extend(port.to_be_bytes());
            key.extend([0, 0]);
            Some((set, key))
        }
        Foreign::Protocol(TCP | UDP) | Foreign::Packet => None,
        Foreign::Protocol(protocol) => Some((3, vec![protocol])),
    }
}

pub(super) fn to_engine_dns() -> Vec<Expr> {
    let address = Expr::Payload { base: NETWORK, offset: 16, length: 4, register: 1 };
    vec![meta(META_NFPROTO, 1), equals(1, &[2]), address, equals(1, &ENGINE_DNS.octets())]
}

pub(super) fn interface_is_lo(key: u32) -> Vec<Expr> {
    vec![meta(key, 1), equals(1, &1u32.to_ne_bytes())]
}

pub(super) fn meta(key: u32, register: u32) -> Expr {
    Expr::Meta { key, register }
}

pub(super) fn equals(register: u32, value: &[u8]) -> Expr {
    Expr::Compare { register, op: Compare::Equal, value: value.to_vec() }
}

pub(super) fn port(register: u32) -> Expr {
    Expr::Payload { base: TRANSPORT, offset: 2, length: 2, register }
}

fn in_set(register: u32, set: &str) -> Expr {
    Expr::InSet { register, set: set.into(), inverted: false }
}

pub(super) fn refuse() -> Expr {
    Expr::Goto(REFUSE.into())
}

pub(super) fn base(hook: u32, priority: i32) -> Option<Base> {
    Some(Base { kind: "filter".into(), hook, priority, policy: 0, flags: 0 })
}

const fn concat_type(parts: &[u32]) -> u32 {
    let mut all = 0;
    let mut i = 0;
    while i < parts.len() {
        all = all << 6 | parts[i];
        i += 1;
    }
    all
}

/// dockerd's DNS server inside the namespace, and therefore every container's: blocked whoever listens there.
const ENGINE_DNS: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 11);
const REFUSE: &str = "refuse";
const FIRST: i32 = -300;
const LAST: i32 = 300;
pub(super) const TCP: u8 = 6;
pub(super) const UDP: u8 = 17;
pub(super) const NETWORK: u32 = 1;
pub(super) const TRANSPORT: u32 = 2;
const META_IIF: u32 = 4;
pub(super) const META_OIF: u32 = 5;
pub(super) const META_NFPROTO: u32 = 15;
pub(super) const META_L4PROTO: u32 = 16;
pub(super) const SET_CONSTANT: u32 = 2;

#[cfg(test)]
mod tests {
    use super::*;

    fn socket(address: &str, port: u16) -> Foreign {
        Foreign::Port { protocol: UDP, address: address.parse().ok(), port }
    }

    #[test]
    fn the_table_for_the_time_of_plumbing_is_not_taken_for_a_sealed_one() {
        let closing = Table::closing();
        let said: Vec<_> = closing.differs(&closing.intended(None)).iter().map(ToString::to_string).collect();
        assert_eq!(said[0], "chain output has 4 rules instead of 3");
        assert_eq!(closing.allows(), None);
    }

    #[test]
    fn each_kind_of_socket_finds_its_set() {
        let all = [
            socket("127.0.0.1", 53),
            socket("::1", 53),
            socket("", 53),
            socket("::ffff:10.0.0.1", 53),
            Foreign::Protocol(1),
        ];
        let table = Table::sealing(&all);
        assert_eq!(
            table.sets.iter().map(|s| (s.name.as_str(), s.keys.len())).collect::<Vec<_>>(),
            [("foreign4", 2), ("foreign6", 1), ("foreign_any", 1), ("foreign_protocols", 1)]
        );
        assert!(all.iter().all(|foreign| table.blocks(foreign)));
        assert!(!table.blocks(&socket("127.0.0.1", 54)));
        let key = table.sets[0].keys.iter().next_back();
        assert_eq!(key, Some(&vec![127, 0, 0, 1, 17, 0, 0, 0, 0, 53, 0, 0]));
    }

    #[test]
    fn what_cannot_be_blocked_is_never_called_blocked() {
        for foreign in [Foreign::Protocol(TCP), Foreign::Protocol(UDP), Foreign::Packet] {
            assert!(!Table::sealing([&foreign]).blocks(&foreign));
        }
    }

    #[test]
    fn without_foreign_sockets_there_is_no_set() {
        let table = Table::sealing([]);
        assert!(table.sets.is_empty());
        assert_eq!(table.intended(None), table);
    }

    #[test]
    fn every_change_has_a_name() {
        let intact = Table::sealing(&[socket("", 53)]);
        let said = |change: fn(&mut Table)| {
            let mut table = intact.clone();
            change(&mut table);
            let found = table.differs(&table.intended(None));
            found.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
        };
        assert_eq!(said(|_| ()), "");
        assert_eq!(said(|t| t.flags = 1), "it is dormant");
        assert_eq!(said(|t| drop(t.chains.remove(0))), "chain forward is missing");
        assert_eq!(
            said(|t| t.chains[2].base.as_mut().unwrap().policy = 1),
            "type, hook, priority or policy of chain output was changed"
        );
        assert_eq!(said(|t| t.chains[1].rules[0] = vec![Expr::Accept]), "rule 1 of chain input was changed");
        assert_eq!(
            said(|t| t.chains[2].rules.insert(0, vec![Expr::Other("counter".into()), Expr::Accept])),
            "chain output has 5 rules instead of 4; rule 1 of chain output was changed"
        );
        assert_eq!(said(|t| t.sets[0].flags = 0), "set foreign_any was changed");
        let extra = |t: &mut Table| t.chains.push(Chain { name: "x".into(), base: None, rules: vec![] });
        assert_eq!(said(extra), "chain x is not ours");
    }

    #[test]
    fn an_emptied_set_is_a_change_of_the_rules() {
        let mut table = Table::sealing(&[socket("", 53)]);
        table.sets[0].keys.clear();
        let found = table.differs(&table.intended(None));
        assert!(found.contains(&Difference::Set("foreign_any".into())), "{found:?}");
    }
}
