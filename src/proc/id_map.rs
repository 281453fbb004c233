//! The id maps of a user namespace (user_namespaces(7), "User and group ID mappings").

use anyhow::{Context, Result};

use super::Dir;
use crate::files;

/// The maps of a process.
pub const ID_MAPS: [&str; 2] = ["uid_map", "gid_map"];

/// A line of a map.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IdRange {
    /// The first id in the namespace.
    pub inside: u64,
    /// The same id in the reader's namespace.
    pub outside: u64,
    /// How many ids.
    pub size: u64,
}

impl IdRange {
    /// The ids that map to root in the reader's namespace.
    pub fn roots(map: &[Self]) -> impl Iterator<Item = u64> {
        map.iter().filter(|range| range.outside == 0 && range.size > 0).map(|range| range.inside)
    }

    /// The inside id of an outside id.
    #[must_use]
    pub fn inside_of(self, id: u64) -> Option<u64> {
        id.checked_sub(self.outside).filter(|offset| *offset < self.size).map(|offset| self.inside + offset)
    }

    fn of(line: &str) -> Option<Self> {
        let numbers: Option<Vec<u64>> = line.split_ascii_whitespace().map(|word| word.parse().ok()).collect();
        let [inside, outside, size] = numbers?.try_into().ok()?;
        Some(Self { inside, outside, size })
    }
}

impl Dir {
    /// One of the maps of its user namespace ([`ID_MAPS`]).
    ///
    /// # Errors
    /// The process has ended, or the map is malformed.
    pub fn id_map(&self, map: &str) -> Result<Vec<IdRange>> {
        let path = self.join(map);
        let bytes = files::read(&path, files::SMALL_LIMIT)?.bytes;
        let ranges: Option<Vec<IdRange>> = String::from_utf8_lossy(&bytes).lines().map(IdRange::of).collect();
        ranges.with_context(|| format!("cannot understand {}", path.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roots_are_found_wherever_a_map_has_them() {
        let map = |text: &str| text.lines().map(IdRange::of).collect::<Option<Vec<_>>>();
        let roots = |text| IdRange::roots(&map(text).unwrap()).collect::<Vec<_>>();
        assert_eq!(roots("         0          0 4294967295\n"), [0]);
        // A rootless engine's: the caller is not root.
        assert_eq!(roots("0 1000 1\n1 100000 65536\n"), [0; 0]);
        assert_eq!(roots("0 1000 1\n5 0 1\n6 7 0\n"), [5]);
        let inside = |text: &str, id| IdRange::of(text).unwrap().inside_of(id);
        assert_eq!(inside("10 0 5", 0), Some(10));
        assert_eq!(inside("0 100000 65536", 0), None);
        assert_eq!(inside("0 3 2", 4), Some(1));
        assert_eq!(inside("0 3 2", 5), None);
        assert!(map("0 0\n").is_none() && map("0 x 1\n").is_none() && map("0 0 1 1\n").is_none());
    }
}
