//! Address prefixes in their one normal form.
//!
//! Host bits are zero, and none is within another, because the elements of a firewall's set must not overlap.
//! Adjacent prefixes are *not* aggregated: the element of a peer that stays must not be replaced when a
//! neighbour joins or leaves (before Linux 6.18 a lookup can miss an element that is removed and added in one
//! transaction).

use std::collections::BTreeSet;
use std::ops::Deref;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

/// Prefixes without overlap. [`Self::minimal`] is the only way to make one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Vec<IpNet>")]
pub struct Prefixes(BTreeSet<IpNet>);

impl Prefixes {
    /// Without host bits, and without those that another contains.
    #[must_use]
    pub fn minimal(prefixes: impl IntoIterator<Item = IpNet>) -> Self {
        let mut sorted: Vec<_> = prefixes.into_iter().map(|prefix| prefix.trunc()).collect();
        // The wider of two that begin alike comes first.
        sorted.sort();
        sorted.dedup_by(|next, kept| kept.contains(&*next));
        Self(sorted.into_iter().collect())
    }
}

impl Deref for Prefixes {
    type Target = BTreeSet<IpNet>;

    fn deref(&self) -> &BTreeSet<IpNet> {
        &self.0
    }
}

impl<'a> IntoIterator for &'a Prefixes {
    type Item = &'a IpNet;
    type IntoIter = std::collections::btree_set::Iter<'a, IpNet>;

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
    fn what_is_read_back_is_minimal_too() {
        let text = r#"["10.0.0.9/24","10.0.0.7/32"]"#;
        let prefixes: Prefixes = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&prefixes).unwrap(), r#"["10.0.0.0/24"]"#);
    }
}
