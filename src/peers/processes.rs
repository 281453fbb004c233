//! Who is in a namespace.

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt;

use anyhow::{Context, Result};

use crate::seal::Netns;

/// The processes in the namespace of this kind (`ns/net`) with these numbers. Those that may not be looked at are not
/// ours.
///
/// # Errors
/// /proc cannot be listed.
pub fn inside(namespace: &str, dev: u64, ino: u64) -> Result<BTreeSet<u32>> {
    let mut found = BTreeSet::new();
    for entry in std::fs::read_dir("/proc").context("cannot list /proc")? {
        let entry = entry.context("cannot list /proc")?;
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        let is_it = std::fs::metadata(entry.path().join(namespace))
            .is_ok_and(|meta| (meta.dev(), meta.ino()) == (dev, ino));
        if is_it {
            found.insert(pid);
        }
    }
    Ok(found)
}

/// A process in a network namespace that is about to be opened, other than the container's `init`: nobody has checked
/// it, and it would have what is opened. As `process 7 (nginx)`.
///
/// # Errors
/// /proc cannot be listed.
pub fn stranger(netns: Netns, init: Option<u32>) -> Result<Option<String>> {
    let found = inside("ns/net", netns.dev, netns.ino)?;
    let stranger = found.into_iter().find(|pid| Some(*pid) != init);
    Ok(stranger.map(|pid| {
        let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        format!("process {pid} ({})", name.trim())
    }))
}
