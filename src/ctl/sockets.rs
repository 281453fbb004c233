//! Which sockets a network namespace lists, and which of a process' descriptors are none of them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context, Result};

use super::read;

/// Tables below /proc/PID/net, and their column with the inode.
const TABLES: [(&str, usize); 14] = [
    ("tcp", 9),
    ("tcp6", 9),
    ("udp", 9),
    ("udp6", 9),
    ("udplite", 9),
    ("udplite6", 9),
    ("raw", 9),
    ("raw6", 9),
    ("icmp", 9),
    ("icmp6", 9),
    ("unix", 6),
    ("netlink", 9),
    ("packet", 8),
    ("mptcp", 9),
];

/// The inodes of all sockets that the network namespace of a process lists.
pub(super) fn listed(process: &Path) -> Result<BTreeSet<u64>> {
    let mut listed = BTreeSet::new();
    for (table, column) in TABLES {
        let path = process.join("net").join(table);
        if !path.exists() {
            continue;
        }
        let text = read(&path)?;
        let inodes = text.lines().skip(1).filter_map(|line| line.split_ascii_whitespace().nth(column));
        listed.extend(inodes.filter_map(|inode| inode.parse::<u64>().ok()));
    }
    Ok(listed)
}

/// What the descriptors of a process are, by number.
pub(super) fn descriptors(process: &Path) -> Result<BTreeMap<u32, String>> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(process.join("fd")).context("cannot list descriptors")? {
        let entry = entry.context("cannot list descriptors")?;
        // One that was closed meanwhile.
        let Ok(target) = std::fs::read_link(entry.path()) else { continue };
        if let Some(number) = entry.file_name().to_str().and_then(|name| name.parse().ok()) {
            found.insert(number, target.to_string_lossy().into_owned());
        }
    }
    Ok(found)
}

/// The inode of a descriptor that is a socket.
pub(super) fn inode(descriptor: &str) -> Option<u64> {
    descriptor.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
}
