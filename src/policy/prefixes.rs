//! Address prefixes in their one normal form.
//!
//! Host bits are zero, and none is within another, because the elements of a firewall's set must not overlap.
//! Adjacent prefixes are *not* aggregated: the element of a peer that stays must not be replaced when a
//! neighbour joins or leaves (before Linux 6.18 a lookup can miss an element that is removed and added in one
//! transaction).

use std::net::IpAddr;
use std::ops::Deref;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

/// Prefixes without overlap, sorted. [`Self::minimal`] is the only way to make them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Vec<IpNet>")]
pub struct Prefixes(Vec<IpNet>);

impl Prefixes {
    /// Without host bits, and without those that another contains.
    #[must_use]
    pub fn minimal(prefixes: impl IntoIterator<Item = IpNet>) -> Self {
        let mut sorted: Vec<_> = prefixes.into_iter().map(|prefix| prefix.trunc()).collect();
        // The wider of two that begin alike comes first.
        sorted.sort_unstable();
        sorted.dedup_by(|next, kept| kept.contains(&*next));
        Self(sorted)
    }

    /// Whether this very prefix is one of them.
    #[must_use]
    pub fn contains(&self, prefix: &IpNet) -> bool {
        self.0.binary_search(prefix).is_ok()
    }

    /// Whether the address is in one of them.
    #[must_use]
    pub fn cover(&self, address: IpAddr) -> bool {
        let behind = self.0.partition_point(|prefix| prefix.addr() <= address);
        behind.checked_sub(1).is_some_and(|last| self.0[last].contains(&address))
    }

    /// Those that the others do not have.
    pub fn difference<'a>(&'a self, others: &'a Self) -> impl Iterator<Item = &'a IpNet> {
        self.0.iter().filter(|prefix| !others.contains(prefix))
    }
}

impl Deref for Prefixes {
    type Target = [IpNet];

    fn deref(&self) -> &[IpNet] {
        &self.0
    }
}

impl<'a> IntoIterator for &'a Prefixes {
    type Item = &'a IpNet;
    type IntoIter = std::slice::Iter<'a, IpNet>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

impl FromIterator<IpNet> for Prefixes {
    fn from_iter<I: IntoIterator<Item = IpNet>>(prefixes: I) -> Self {
        Self::minimal(prefixes)
    }
}

impl From<Vec<IpNet>> for Prefixes {
    fn from(prefixes: Vec<IpNet>) -> Self {
        Self::minimal(prefixes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(prefixes: &[&str]) -> Vec<String> {
        let prefixes: Prefixes = prefixes.iter().map(|prefix| prefix.parse().unwrap()).collect();
        prefixes.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn what_another_contains_is_left_out_and_neighbours_stay_two() {
        let all = ["10.0.1.1/32", "10.0.0.0/24", "10.0.0.7/32", "10.0.1.0/32", "fd00::5/64", "fd00::1/128"];
        assert_eq!(shown(&all), ["10.0.0.0/24", "10.0.1.0/32", "10.0.1.1/32", "fd00::/64"]);
        assert_eq!(shown(&["10.0.0.0/25", "10.0.0.0/24", "10.0.0.0/24"]), ["10.0.0.0/24"]);
    }

    #[test]
    fn an_address_is_covered_by_the_prefix_before_it() {
        let all = ["10.0.0.0/24", "10.0.1.1/32", "fd00::/64"];
        let all: Prefixes = all.iter().map(|prefix| prefix.parse().unwrap()).collect();
        let cover = |address: &str| all.cover(address.parse().unwrap());
        assert!(["10.0.0.0", "10.0.0.255", "10.0.1.1", "fd00::9"].into_iter().all(cover));
        assert!(!["9.255.255.255", "10.0.1.0", "10.0.1.2", "fd00:0:0:1::", "::"].into_iter().any(cover));
    }

    #[test]
    fn what_is_read_back_is_minimal_too() {
        let text = r#"["10.0.0.9/24","10.0.0.7/32"]"#;
        let prefixes: Prefixes = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&prefixes).unwrap(), r#"["10.0.0.0/24"]"#);
    }
}
