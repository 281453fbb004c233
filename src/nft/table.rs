//! A table of nftables as data.
//!
//! Only what our table needs has a name here. What the kernel reports beyond that is kept as [`Expr::Other`] or as an
//! unknown flag, so it never equals anything of ours. Which table a namespace gets is decided elsewhere: [`super::lockdown`],
//! [`super::sealed`], [`super::allow_list`].

use std::collections::BTreeSet;

use super::expr::Expr;

/// What became of the question for our table.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Loaded {
    /// This kernel has no nf_tables.
    Unavailable,
    /// There is no table of that name.
    #[default]
    Absent,
    /// As the kernel reports it.
    Present(Table),
}

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

impl Table {
    /// The name; the family is inet.
    pub const NAME: &'static str = "oci_isolate";
}
