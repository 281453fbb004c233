//! A table of nftables as data.
//!
//! Only what our table needs has a name here. What the kernel reports beyond that is kept as [`Expr::Other`]
//! or as an unknown flag, so it never equals anything of ours. Which table a namespace gets is decided
//! elsewhere: [`super::lockdown`], [`super::sealed`], [`super::allow_list`].

use super::expr::{Expr, SET_TIMEOUT};
use super::keys::Keys;

/// Whether our table is loaded.
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
    /// `NFT_TABLE_F_*`; 1 is dormant: the chains are not traversed.
    pub flags: u32,
    /// Sorted by name.
    pub sets: Vec<Set>,
    /// Sorted by name.
    pub chains: Vec<Chain>,
}

/// A chain; without `base` it is only reached by a jump.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chain {
    /// Unique in the table.
    pub name: String,
    /// Where it is hooked into the network stack.
    pub base: Option<Base>,
    /// In order.
    pub rules: Vec<Vec<Expr>>,
}

/// Where a base chain is hooked in, and what happens to a packet that no rule decides on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Base {
    /// Always `filter`.
    pub kind: String,
    /// `NF_INET_*` of linux/netfilter.h.
    pub hook: u32,
    /// Lower is traversed first.
    pub priority: i32,
    /// `NF_DROP` or `NF_ACCEPT`.
    pub policy: u32,
    /// Hardware offload and other flags of nftables.
    pub flags: u32,
}

/// A named set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Set {
    /// Unique in the table.
    pub name: String,
    /// The number that nft(8) gives the type, six bits for each part; opaque to the kernel.
    pub key_type: u32,
    /// In bytes; parts are padded to four.
    pub key_length: u32,
    /// `NFT_SET_*`.
    pub flags: u32,
    /// The most elements that it takes; 0 is no limit. The kernel makes a hash table of this size, and without a size
    /// one that grows while it is listed.
    pub size: u32,
    /// The keys; in an interval set the first of each interval.
    pub keys: Keys,
    /// In an interval set the first key behind each interval.
    pub ends: Keys,
}

impl Set {
    /// How long an element without a limit of its own stays in a set with one, in milliseconds: ten years. When it was added is told by what
    /// is left of that.
    pub(crate) const LIFETIME: u64 = 3650 * 24 * 3600 * 1000;

    /// Whether its elements have time limits: packets have added them, or they are the lease's.
    pub(crate) fn is_timed(&self) -> bool {
        self.flags & SET_TIMEOUT != 0
    }

    /// The same without elements.
    pub(super) fn clone_empty(&self) -> Self {
        let (keys, ends) = (Keys::none(self.key_length as usize), Keys::none(self.key_length as usize));
        Self { name: self.name.clone(), keys, ends, ..*self }
    }
}

impl Table {
    /// The name; the family is inet.
    pub const NAME: &'static str = "oci_isolate";
}
