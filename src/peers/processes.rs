//! Who is in a namespace.

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

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
        if numbers(&entry.path().join(namespace)) == Some((dev, ino)) {
            found.insert(pid);
        }
    }
    Ok(found)
}

/// The processes in the network namespace with these numbers, without those of the engine: they have another
/// thread in our own namespace. A goroutine of Podman that makes a namespace ends in it, and when it ran on
/// the main thread, Go keeps that there for as long as Podman runs (`mexit` in runtime/proc.go; about one run
/// of Podman 5.8 in five).
///
/// # Errors
/// /proc cannot be listed.
pub fn in_network(dev: u64, ino: u64) -> Result<BTreeSet<u32>> {
    let mut found = inside("ns/net", dev, ino)?;
    if !found.is_empty() {
        let own = numbers(Path::new("/proc/self/ns/net")).context("cannot look at /proc/self/ns/net")?;
        found.retain(|pid| !has_thread_in(*pid, own));
    }
    Ok(found)
}

/// Whether a thread of the process is in the network namespace with these numbers.
fn has_thread_in(pid: u32, netns: (u64, u64)) -> bool {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    threads.into_iter().any(|thread| numbers(&thread.path().join("ns/net")) == Some(netns))
}

/// The numbers of the namespace behind a path; `None` when it may not be looked at, or is gone.
pub(super) fn numbers(path: &Path) -> Option<(u64, u64)> {
    std::fs::metadata(path).ok().map(|meta| (meta.dev(), meta.ino()))
}

/// A process in a network namespace that is about to be opened, other than the container's `init`: nobody has checked
/// it, and it would have what is opened. As `process 7 (nginx)`.
///
/// # Errors
/// /proc cannot be listed.
pub fn stranger(netns: Netns, init: Option<u32>) -> Result<Option<String>> {
    let found = in_network(netns.dev, netns.ino)?;
    let stranger = found.into_iter().find(|pid| Some(*pid) != init);
    Ok(stranger.map(|pid| format!("process {pid} ({})", name(pid))))
}

/// The name of a process. One that was started as /proc/self/exe is `exe` for the kernel (rootlessport of
/// Podman 5).
fn name(pid: u32) -> String {
    let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    let program = std::fs::read_link(format!("/proc/{pid}/exe")).ok().filter(|_| name.trim() == "exe");
    let program =
        program.as_deref().and_then(Path::file_name).map(|program| program.to_string_lossy().into_owned());
    program.unwrap_or_else(|| name.trim().to_owned())
}
