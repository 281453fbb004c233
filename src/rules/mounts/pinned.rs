//! The sources that the bind mounts of a verified document must show once the runtime has made them. After a
//! source was examined and before the runtime mounts it, another container that shares a directory above it
//! may replace it by a link; so `start` compares.

use serde::{Deserialize, Serialize};

use super::{Class, MountSource, binds, clean, is_within, mounts};
use crate::config::View;
use crate::rules::RuleContext;

/// A bind mount, and the source that was checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
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

/// The bind mounts that can be compared: not those that a later mount or a mask covers, and not those on file
/// systems with unstable inode numbers (network file systems; overlays, on which a file changes its inode
/// when it is written).
#[must_use]
pub fn pinned(view: &View, context: &RuleContext) -> Vec<Pinned> {
    let destinations: Vec<String> = mounts(view).map(|(_, mount)| clean(&mount.destination)).collect();
    let masked = view.linux.as_ref().and_then(|linux| linux.masked_paths.as_deref()).unwrap_or_default();
    let is_covered = |index: usize| {
        let later = destinations.iter().skip(index + 1);
        let mut covers = later.map(String::as_str).chain(masked.iter().map(String::as_str));
        covers.any(|cover| is_within(&destinations[index], cover))
    };
    let comparable = |source: &&MountSource| {
        !matches!(source.file_system.class, Class::Network) && source.file_system.name != "overlay"
    };
    binds(view, context)
        .filter(|(index, _, source)| comparable(source) && !is_covered(*index))
        .filter_map(|(index, mount, source)| {
            let (dev, ino) = source.identity?;
            let source = mount.source.as_deref().unwrap_or_default().to_owned();
            Some(Pinned { destination: destinations[index].clone(), source, dev, ino })
        })
        .collect()
}
