//! Facts about the whole host that `verify` needs for any container: the processes in each namespace, the
//! host's sockets and mounts, the records of running containers. They are gathered once. Reads only.

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use anyhow::Result;
use nix::sys::stat::FileStat;

use super::descriptors::list_sockets;
use super::members::ProcessTable;
use super::{read, read_bytes};
use oci_isolate::job::{JobMember, Successors};
use oci_isolate::proc::{Dir, Inode, ProcessId, parse_mountinfo};
use oci_isolate::record::{Record, Recorded, Slot, Store};
use oci_isolate::rules::mounts::SYSTEM_DIRECTORIES;
use oci_isolate::seal::{Netns, OpenNetns};

/// The host when `verify` started.
pub(super) struct Survey {
    pub(super) processes: ProcessTable,
    /// The sockets of the host's network namespace, by inode.
    pub(super) sockets: BTreeSet<u64>,
    pub(super) mounts: HostMounts,
    bound: OnceCell<Vec<BoundSocket>>,
    records: OnceCell<Vec<RunningContainer>>,
    opened: OnceCell<Vec<OpenContainer>>,
}

/// The mounts of the host, reduced to what identifies them.
pub(super) struct HostMounts {
    text: Vec<u8>,
    /// File systems by kind and device.
    kernels: BTreeSet<(String, String)>,
    /// Peer groups.
    groups: BTreeSet<String>,
    /// The directories of the system, by device and inode.
    systems: BTreeMap<Inode, &'static str>,
}

/// A socket to which a process of the host's network namespace is bound.
pub(super) struct BoundSocket {
    /// The number of its file system in mountinfo, and its path in that file system.
    pub(super) device: String,
    pub(super) path: PathBuf,
    /// By stat(2).
    pub(super) inode: Inode,
}

/// A running container with openings in a namespace of its own.
pub(super) struct OpenContainer {
    pub(super) slot: Slot,
    pub(super) record: Record,
    pub(super) addresses: BTreeSet<IpAddr>,
}

/// A running container, and its network namespace.
struct RunningContainer {
    record: PathBuf,
    init: ProcessId,
    netns: Netns,
}

impl Survey {
    /// Reads all processes once.
    ///
    /// # Errors
    /// /proc cannot be read.
    pub(super) fn new() -> Result<Self> {
        Ok(Self {
            processes: ProcessTable::all()?,
            sockets: list_sockets(&Dir::ours())?,
            mounts: HostMounts::of_host()?,
            bound: OnceCell::new(),
            records: OnceCell::new(),
            opened: OnceCell::new(),
        })
    }

    /// The init processes of the other isolated containers in the same network namespace: those of a pod.
    pub(super) fn beside(&self, slot: &Slot, netns: Netns) -> Result<Vec<u32>> {
        let all = known(&self.records, running)?;
        let others = all.iter().filter(|other| other.record != slot.record() && other.netns == netns);
        Ok(others.filter(|other| other.init.runs()).map(|other| other.init.pid).collect())
    }

    /// The containers with openings in their namespaces.
    pub(super) fn opened(&self) -> Result<&[OpenContainer]> {
        known(&self.opened, || {
            let store = Store::ours();
            let successors = Successors::new(store.clone());
            let of = |(slot, record): Recorded| {
                let member = JobMember::of(slot.clone(), record.clone(), &successors).ok().flatten()?;
                Some(OpenContainer { slot, record, addresses: member.own().clone() })
            };
            Ok(store.readable()?.filter_map(of).collect())
        })
    }

    /// The sockets of the host that have a path. A socket whose path now leads elsewhere, or that was bound
    /// outside the host's mount namespace, is not included.
    pub(super) fn bound(&self) -> Result<&[BoundSocket]> {
        known(&self.bound, || {
            let text = read(Path::new("/proc/self/net/unix"))?;
            let paths = text.lines().filter_map(|line| Some(Path::new(&line[line.find(" /")? + 1..])));
            let paths: BTreeSet<&Path> = paths.collect();
            Ok(paths.into_iter().filter_map(|path| self.mounts.bound(path)).collect())
        })
    }
}

/// The content of the cell, computed if empty.
fn known<T>(cell: &OnceCell<Vec<T>>, find: impl FnOnce() -> Result<Vec<T>>) -> Result<&[T]> {
    match cell.get() {
        Some(known) => Ok(known),
        None => find().map(|found| &**cell.get_or_init(|| found)),
    }
}

fn running() -> Result<Vec<RunningContainer>> {
    let of = |(slot, record): Recorded| {
        let init = record.init.filter(|init| init.runs())?;
        let netns = OpenNetns::of(&init.dir()).ok()?.id();
        Some(RunningContainer { record: slot.record().to_owned(), init, netns })
    };
    Ok(Store::ours().readable()?.filter_map(of).collect())
}

impl HostMounts {
    fn of_host() -> Result<Self> {
        read_bytes(Path::new("/proc/self/mountinfo")).map(Self::of)
    }

    /// Parses the host's mountinfo.
    pub(super) fn of(text: Vec<u8>) -> Self {
        /// Each instance has a device number of its own, for the namespace that it shows.
        const KERNELS: [&str; 4] = ["devpts", "mqueue", "proc", "sysfs"];
        let all = || parse_mountinfo(&text);
        let kernels = all().filter(|mount| KERNELS.contains(&mount.kind));
        let kernels = kernels.map(|mount| (mount.kind.to_owned(), mount.device.to_owned())).collect();
        let groups = all().filter_map(|mount| mount.group("shared").map(str::to_owned)).collect();
        let systems = SYSTEM_DIRECTORIES.into_iter().rev();
        let systems = systems.filter_map(|path| Some((Inode::of(Path::new(path)).ok()?, path))).collect();
        Self { kernels, groups, systems, text }
    }

    /// The system directory that a path of the host is, possibly by another path.
    pub(super) fn system(&self, path: &Path) -> Option<&'static str> {
        self.systems.get(&Inode::of(path).ok()?).copied()
    }

    /// Whether a file system of the kernel is the instance that the host has mounted.
    pub(super) fn has(&self, kind: &str, device: &str) -> bool {
        self.kernels.contains(&(kind.to_owned(), device.to_owned()))
    }

    /// Whether a peer group is one of the host's mounts.
    pub(super) fn has_group(&self, number: &str) -> bool {
        self.groups.contains(number)
    }

    /// The system directory that something is.
    pub(super) fn is_system(&self, stat: &FileStat) -> Option<&'static str> {
        self.systems.get(&Inode::from(stat)).copied()
    }

    fn bound(&self, path: &Path) -> Option<BoundSocket> {
        let meta = std::fs::symlink_metadata(path).ok().filter(|meta| meta.file_type().is_socket())?;
        let path = std::fs::canonicalize(path).ok()?;
        // Of two mounts at one point the later one is visible.
        let around = parse_mountinfo(&self.text).filter(|mount| path.starts_with(mount.point()));
        let mount = around.max_by_key(|mount| mount.point().as_os_str().len())?;
        let below = path.strip_prefix(mount.point()).ok()?;
        let inside = mount.root().join(below);
        Some(BoundSocket { device: mount.device.to_owned(), path: inside, inode: Inode::from(&meta) })
    }
}
