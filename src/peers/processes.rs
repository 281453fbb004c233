//! Who is in a namespace, and whose it is. It is an isolated container's because a record says so and its init process lives,
//! never because it looks like one.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::files;
use crate::record::{Inode, Place, Record};
use crate::seal::Netns;

/// A runtime that is about to enter a container is in its network namespace for a moment before it is in its pid namespace.
const TRIES: u32 = 5;
const BETWEEN: Duration = Duration::from_millis(20);

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
    Ok(found.into_iter().find(|pid| Some(*pid) != init).map(shown))
}

/// A process by its pid and name. One that was started as /proc/self/exe is `exe` for the kernel (rootlessport of
/// Podman 5).
fn shown(pid: u32) -> String {
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    let program = fs::read_link(format!("/proc/{pid}/exe")).ok().filter(|_| name.trim() == "exe");
    let program =
        program.as_deref().and_then(Path::file_name).map(|program| program.to_string_lossy().into_owned());
    format!("process {pid} ({})", program.unwrap_or_else(|| name.trim().to_owned()))
}

/// The isolated container that lives in a network namespace: the one that it was sealed for, or else one that joined it.
///
/// # Errors
/// Records cannot be listed.
pub fn tenant(netns: Netns) -> Result<Option<Record>> {
    let lives_in_it = |place: &Place| {
        let record = place.load().ok().flatten().filter(Record::lives)?;
        let is_it = super::in_namespace(record.init?, netns).is_some();
        is_it.then_some(record)
    };
    Ok(Place::all()?.iter().filter_map(lives_in_it).max_by_key(|record| record.sealed.is_some()))
}

/// A process in the network namespace of isolated containers that is of none of them, other than `init`, which is about to
/// be one. As `process 7 (nginx)`.
///
/// A container's processes are in the pid namespace of its init process, or descend from one that is. So does what a runtime
/// starts in it descend from the runtime.
///
/// # Errors
/// Records or /proc cannot be listed.
pub fn intruder(netns: Netns, init: Option<u32>) -> Result<Option<String>> {
    let mut found = None;
    for nth in 0..TRIES {
        if nth > 0 {
            std::thread::sleep(BETWEEN);
        }
        let members = Members::of_all()?;
        let mut inside = in_network(netns.dev, netns.ino)?.into_iter();
        found = inside.find(|pid| Some(*pid) != init && !members.have(*pid) && is_there(*pid));
        if found.is_none() {
            break;
        }
    }
    Ok(found.map(shown))
}

/// Whether it has not ended: what waits to be reaped does nothing any more.
fn is_there(pid: u32) -> bool {
    fs::metadata(format!("/proc/{pid}/ns/net")).is_ok()
}

/// By what processes of isolated containers are told.
struct Members {
    pid_namespaces: Vec<Inode>,
    creators: Vec<u32>,
}

impl Members {
    fn of_all() -> Result<Self> {
        let own = pid_namespace("self");
        let mut members = Self { pid_namespaces: Vec::new(), creators: Vec::new() };
        for place in Place::all()? {
            let init = init_of(&place).and_then(|pid| pid_namespace(&pid.to_string()));
            members.pid_namespaces.extend(init.filter(|init| Some(*init) != own));
            let record = place.load().ok().flatten();
            members
                .creators
                .extend(record.map(|record| record.creator).filter(|it| it.lives()).map(|it| it.pid));
        }
        Ok(members)
    }

    fn have(&self, pid: u32) -> bool {
        let mut next = Some(pid);
        // Generations; a loop there is none, but pids are used again.
        for _ in 0..1024 {
            let Some(pid) = next.filter(|pid| *pid > 1) else { return false };
            let is_in = pid_namespace(&pid.to_string()).is_some_and(|it| self.pid_namespaces.contains(&it));
            if is_in || self.creators.contains(&pid) {
                return true;
            }
            next = parent(pid);
        }
        false
    }
}

fn pid_namespace(pid: &str) -> Option<Inode> {
    fs::metadata(format!("/proc/{pid}/ns/pid")).ok().map(|meta| Inode::from(&meta))
}

fn parent(pid: u32) -> Option<u32> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix("PPid:"))?.trim().parse().ok()
}

/// The init process of an isolated container, as far as there is one: that of the record, or before it was sealed the one
/// in the file that the runtime wrote, when it stands in the container's root.
#[must_use]
pub fn init_of(place: &Place) -> Option<u32> {
    let record = place.load().ok().flatten()?;
    if let Some(init) = record.init {
        return init.lives().then_some(init.pid);
    }
    let text = files::read(record.pid_file.as_deref()?, 64).ok()?.bytes;
    let pid: u32 = std::str::from_utf8(&text).ok()?.trim().parse().ok()?;
    let root = fs::metadata(format!("/proc/{pid}/root/")).ok()?;
    (Inode::from(&root) == record.rootfs).then_some(pid)
}

/// What is wrong with a network namespace that a container joins because it is another isolated one's: it has none that
/// lives, or others are in it. `None`: nothing.
///
/// # Errors
/// Records or /proc cannot be listed.
pub fn against(netns: Netns, init: u32) -> Result<Option<String>> {
    if tenant(netns)?.is_none() {
        return Ok(Some("is no isolated container's any more".into()));
    }
    let intruder = intruder(netns, Some(init))?;
    Ok(intruder.map(|who| format!("has {who} in it, which is not of an isolated container")))
}
