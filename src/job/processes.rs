//! The processes in a namespace, and whether they belong to isolated containers. A process belongs to one
//! because a record says so and its init process runs, never because it looks like one.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use anyhow::Result;

use crate::proc::{Dir, Inode, linking_to};
use crate::record::Store;
use crate::seal::Netns;

/// A runtime entering a container is briefly in its network namespace before it is in its pid namespace.
const TRIES: u32 = 5;
const BETWEEN: Duration = Duration::from_millis(20);

/// The processes in this namespace of this kind (`net`). Inaccessible processes are ignored: they are not
/// ours.
///
/// # Errors
/// /proc cannot be listed.
pub fn processes_in(kind: &str, namespace: Inode) -> Result<BTreeSet<u32>> {
    // namespaces(7): what the link reads is the namespace's own name. To follow it takes twice as long.
    linking_to(&format!("ns/{kind}"), &format!("{kind}:[{}]", namespace.ino))
}

/// The processes in this network namespace, without the engine's own, which have another thread in our
/// namespace. A goroutine of Podman that creates a namespace ends in it, and if it ran on the main thread, Go
/// keeps that thread there for as long as Podman runs (`mexit` in runtime/proc.go; about one run of Podman
/// 5.8 in five).
///
/// # Errors
/// /proc cannot be listed.
pub fn processes_in_netns(netns: Netns) -> Result<BTreeSet<u32>> {
    let mut found = processes_in("net", netns.into())?;
    if !found.is_empty() {
        let own = Dir::ours().ns("net")?;
        let is_in_ours = |thread: Dir| thread.ns("net").is_ok_and(|netns| netns == own);
        found.retain(|pid| !Dir::of(*pid).threads().any(is_in_ours));
    }
    Ok(found)
}

/// A process other than the container's `init` in a network namespace that is about to be opened: it was not
/// checked, and would share the openings. As `process 7 (nginx)`.
///
/// # Errors
/// /proc cannot be listed.
pub fn foreign_process(netns: Netns, init: Option<u32>) -> Result<Option<String>> {
    let found = processes_in_netns(netns)?;
    Ok(found.into_iter().find(|pid| Some(*pid) != init).map(describe))
}

/// A process by its pid and name. One that was started as /proc/self/exe is named `exe` by the kernel
/// (rootlessport of Podman 5).
fn describe(pid: u32) -> String {
    let process = Dir::of(pid);
    let name = process.comm();
    let program = std::fs::read_link(process.join("exe")).ok().filter(|_| name == "exe");
    let program =
        program.as_deref().and_then(Path::file_name).map(|program| program.to_string_lossy().into_owned());
    format!("process {pid} ({})", program.unwrap_or(name))
}

/// A process in the network namespace of isolated containers that belongs to none of them, other than `init`,
/// which is about to. As `process 7 (nginx)`.
///
/// A container's processes are in the pid namespace of its init process, or descend from one that is.
/// Processes that a runtime starts in it descend from the runtime.
///
/// # Errors
/// Records or /proc cannot be listed.
pub fn process_outside_containers(store: &Store, netns: Netns, init: Option<u32>) -> Result<Option<String>> {
    let mut found = None;
    for nth in 0..TRIES {
        if nth > 0 {
            std::thread::sleep(BETWEEN);
        }
        let members = IsolatedProcesses::of_all(store)?;
        let mut inside = processes_in_netns(netns)?.into_iter();
        found = inside.find(|pid| Some(*pid) != init && !members.have(*pid) && is_there(*pid));
        if found.is_none() {
            break;
        }
    }
    Ok(found.map(describe))
}

/// Whether it has not ended: a zombie does nothing any more.
fn is_there(pid: u32) -> bool {
    Dir::of(pid).ns("net").is_ok()
}

/// Identifies the processes of isolated containers.
struct IsolatedProcesses {
    pid_namespaces: Vec<Inode>,
    creators: Vec<u32>,
}

impl IsolatedProcesses {
    fn of_all(store: &Store) -> Result<Self> {
        let own = Dir::ours().ns("pid").ok();
        let mut members = Self { pid_namespaces: Vec::new(), creators: Vec::new() };
        for (_, record) in store.readable()? {
            let init = record.init_dir().and_then(|init| init.ns("pid").ok());
            members.pid_namespaces.extend(init.filter(|init| Some(*init) != own));
            members.creators.extend(record.creator.runs().then_some(record.creator.pid));
        }
        Ok(members)
    }

    fn have(&self, pid: u32) -> bool {
        let mut next = Some(pid);
        // A limit on generations: there is no loop, but pids are reused.
        for _ in 0..1024 {
            let Some(pid) = next.filter(|pid| *pid > 1) else { return false };
            let process = Dir::of(pid);
            let is_in = process.ns("pid").is_ok_and(|it| self.pid_namespaces.contains(&it));
            if is_in || self.creators.contains(&pid) {
                return true;
            }
            next = process.parent().ok().flatten();
        }
        false
    }
}

/// Why a network namespace cannot be joined as that of another isolated container: none is running in it, or
/// it contains other processes. `None`: it can.
///
/// # Errors
/// Records or /proc cannot be listed.
pub fn why_not_joinable(store: &Store, netns: Netns, init: u32) -> Result<Option<String>> {
    if store.tenant_of(netns)?.is_none() {
        return Ok(Some("is no longer an isolated container's".into()));
    }
    let intruder = process_outside_containers(store, netns, Some(init))?;
    Ok(intruder.map(|who| format!("has {who} in it, which is not of an isolated container")))
}
