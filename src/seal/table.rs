//! A firewall table as data, and how two of them differ. Pure.
//!
//! Only what our table needs has a name here; any other expression that a kernel reports is [`Expr::Other`], so it never
//! equals one of ours. What the table says is closed.rs and, where links stay, allow.rs.

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;

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
