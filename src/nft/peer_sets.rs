//! The sets of peers: single addresses in a hash table, prefixes as intervals, and the addresses that never are peers
//! beside those.
//!
//! A hash table has a size. The kernel makes one without a size too, but moves its elements about while it is listed.

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnet::IpNet;

use super::expr::{SET_CONSTANT, SET_INTERVAL, address, octets};
use super::family::IpFamily;
use super::intervals::elements;
use super::keys::Keys;
use super::table::{Set, Table};
use crate::policy::Prefixes;

/// Those of one family that are needed, or are in `like`; that of single addresses `always`, if so wanted. Its size stays if that is enough, and a single address too if a
/// prefix contains it by now: what is added to an interval set is found only a moment after what is removed from a hash
/// table is not found any more.
pub(super) fn peer_sets(
    family: &IpFamily,
    all: &Prefixes,
    never: &BTreeSet<IpAddr>,
    always: bool,
    like: &Table,
) -> Vec<Set> {
    let none = family.no_keys();
    let loaded = |name| like.sets.iter().find(|set| set.name == name);
    let peers = all.iter().filter(|peer| peer.addr().is_ipv4() == family.is_ipv4());
    let (single, wide): (Vec<_>, Vec<_>) = peers.partition(|peer| peer.prefix_len() == peer.max_prefix_len());
    let mut sets = Vec::new();
    if always || !single.is_empty() || loaded(family.peers).is_some() {
        let mut keys = keys(&none, single.iter().map(|peer: &&IpNet| peer.addr()));
        if let Some(set) = loaded(family.peers).filter(|_| !wide.is_empty()) {
            let may_stay = |key: &[u8]| address(key).is_some_and(|a| all.cover(a) && !never.contains(&a));
            let stay = set.keys.iter().filter(|key| may_stay(key));
            keys = Keys::new(keys.width(), keys.iter().chain(stay));
        }
        let size = size_like(loaded(family.peers), keys.len());
        sets.push(family.set(family.peers, 0, size, keys, none.clone()));
    }
    if !wide.is_empty() || loaded(family.prefixes).is_some() {
        let never = never.iter().filter(|a| a.is_ipv4() == family.is_ipv4());
        let keys = keys(&none, never.copied());
        sets.push(family.set(family.never, SET_CONSTANT, keys.len() as u32, keys, none.clone()));
        let (starts, ends) = elements(&none, wide.into_iter());
        sets.push(family.set(family.prefixes, SET_INTERVAL, 0, starts, ends));
    }
    sets
}

/// A set of single addresses without any.
pub(super) fn no_peers(family: &IpFamily) -> Set {
    family.set(family.peers, 0, size(0), family.no_keys(), family.no_keys())
}

/// Of addresses in their order.
pub(super) fn keys(none: &Keys, addresses: impl Iterator<Item = IpAddr>) -> Keys {
    let mut keys = none.clone();
    addresses.for_each(|address| keys.push(&octets(&address)));
    keys
}

/// The size of a set of that many addresses; that of the loaded one stays if it is enough.
pub(super) fn size_like(loaded: Option<&Set>, addresses: usize) -> u32 {
    let enough = |set: &&Set| set.size.is_power_of_two() && set.size >= size(addresses);
    loaded.filter(enough).map_or(size(addresses), |set| set.size)
}

/// The size of a set of that many addresses: there is room for some more.
fn size(addresses: usize) -> u32 {
    addresses.max(SMALLEST).next_power_of_two() as u32
}

const SMALLEST: usize = 16;
