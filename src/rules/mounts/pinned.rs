//! The sources that the bind mounts of a verified document must show once the runtime has made them. After a
//! source was examined and before the runtime mounts it, another container that shares a directory above it
//! may replace it by a link; so `start` compares.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};

use super::{Class, MountSource, binds, clean, mounts};
use crate::config::View;
use crate::rules::RuleContext;

/// A bind mount, and the source that was checked. In a record it is a list of these four, without their names: there may be
/// hundreds of thousands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "(String, String, u64, u64)", into = "(String, String, u64, u64)")]
pub struct Pinned {
    /// The destination, without `.` and `..`.
    pub destination: String,
    /// Its source, as it is written.
    pub source: String,
    /// The source's device.
    pub dev: u64,
    /// The source's inode.
    pub ino: u64,
}

impl From<(String, String, u64, u64)> for Pinned {
    fn from((destination, source, dev, ino): (String, String, u64, u64)) -> Self {
        Self { destination, source, dev, ino }
    }
}

impl From<Pinned> for (String, String, u64, u64) {
    fn from(Pinned { destination, source, dev, ino }: Pinned) -> Self {
        (destination, source, dev, ino)
    }
}

/// The bind mounts that can be compared: not those that a later mount or a mask covers, and not those on file
/// systems with unstable inode numbers (network file systems; overlays, on which a file changes its inode
/// when it is written).
#[must_use]
pub fn pinned(view: &View, context: &RuleContext) -> Vec<Pinned> {
    let destinations: Vec<String> = mounts(view).map(|(_, mount)| clean(&mount.destination)).collect();
    let masked = view.linux.as_ref().and_then(|linux| linux.masked_paths.as_deref()).unwrap_or_default();
    let covered = covered(&destinations, masked);
    let comparable = |source: &&MountSource| {
        !matches!(source.file_system.class, Class::Network) && source.file_system.name != "overlay"
    };
    binds(view, context)
        .filter(|(index, _, source)| comparable(source) && !covered[*index])
        .filter_map(|(index, mount, source)| {
            let (dev, ino) = source.identity?;
            let source = mount.source.as_deref().unwrap_or_default().to_owned();
            Some(Pinned { destination: destinations[index].clone(), source, dev, ino })
        })
        .collect()
}

/// For each destination, whether a later one or a mask is the same path or a directory above it. In one pass from the last to the
/// first, since there may be hundreds of thousands.
fn covered(destinations: &[String], masked: &[String]) -> Vec<bool> {
    let mut covers: HashSet<&str> = masked.iter().map(|path| path.trim_end_matches('/')).collect();
    let mut covered = vec![false; destinations.len()];
    for (destination, covered) in destinations.iter().zip(&mut covered).rev() {
        // Every directory above it, of which the root is the empty path, and itself.
        let above = destination.match_indices('/').map(|(at, _)| &destination[..at]);
        *covered = above.chain([destination.as_str()]).any(|path| covers.contains(path));
        covers.insert(destination.trim_end_matches('/'));
    }
    covered
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::is_within;
    use super::*;

    proptest! {
        #[test]
        fn what_covers_a_destination_is_found_as_by_comparison_with_all(
            destinations in prop::collection::vec("(/[ab]{1,2}){0,3}", 0..8),
            masked in prop::collection::vec("(/[ab]{1,2}){1,2}/?", 0..3),
        ) {
            let destinations: Vec<_> = destinations.iter().map(|path| clean(path)).collect();
            let all = |index: usize| destinations.iter().skip(index + 1).chain(&masked);
            let by_comparison: Vec<_> = (0..destinations.len())
                .map(|index| all(index).any(|cover| is_within(&destinations[index], cover)))
                .collect();
            prop_assert_eq!(covered(&destinations, &masked), by_comparison);
        }
    }
}
