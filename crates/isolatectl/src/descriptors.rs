//! Checks the descriptors of a process: sockets that its network namespace does not list, namespaces,
//! devices.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::{Context, Result};
use nix::sys::stat::stat;

use super::devices::unusual;
use super::process_report::ProcessReport;
use super::read;
use oci_isolate::proc::Dir;

/// How long a socket may be missing from all tables: one that is created and not bound yet, or whose peer is
/// gone.
const PASSING: Duration = Duration::from_millis(50);

/// The sockets of the host's network namespace, and of that of `init`.
pub(super) struct KnownSockets<'a> {
    init: Dir,
    hosts: &'a BTreeSet<u64>,
    own: BTreeSet<u64>,
}

impl<'a> KnownSockets<'a> {
    pub(super) fn new(init: &Dir, hosts: &'a BTreeSet<u64>) -> Result<Self> {
        Ok(Self { init: init.clone(), hosts, own: list_sockets(init)? })
    }

    pub(super) fn inspect(&mut self, case: &mut ProcessReport) -> Result<()> {
        let mut strange = Vec::new();
        for (number, target) in descriptors(&case.process)? {
            let mut say = |is: &str| case.thing("descriptors", format_args!("descriptor {number}"), is);
            if target.starts_with("net:[") || target.starts_with("mnt:[") {
                say("is a namespace");
            } else if let Some(socket) = inode(&target) {
                if self.hosts.contains(&socket) && !self.own.contains(&socket) {
                    say("is a socket of the host's network namespace");
                } else if !self.own.contains(&socket) {
                    strange.push((number, target));
                }
            } else if target.starts_with("/dev/")
                && let Ok(stat) = stat(&case.process.join(format!("fd/{number}")))
                // A runtime started by hand passes a terminal of the host.
                && let Some(device) = unusual(&stat)?.filter(|device| !device.contains("(driver tty"))
            {
                case.thing("descriptors", format_args!("descriptor {number}"), format_args!("is {device}"));
            }
        }
        if strange.is_empty() {
            return Ok(());
        }
        std::thread::sleep(PASSING);
        self.own = list_sockets(&self.init)?;
        let now = descriptors(&case.process)?;
        for (number, target) in strange {
            let is_listed = inode(&target).is_some_and(|socket| self.own.contains(&socket));
            if now.get(&number) == Some(&target) && !is_listed {
                let is = "is a socket that its network namespace does not list: of another one, of another family, or \
                          never bound";
                case.thing("descriptors", format_args!("descriptor {number}"), is);
            }
        }
        Ok(())
    }
}

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
pub(super) fn list_sockets(process: &Dir) -> Result<BTreeSet<u64>> {
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

/// The targets of the descriptors of a process, by number.
fn descriptors(process: &Dir) -> Result<BTreeMap<u32, String>> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(process.join("fd")).context("cannot list descriptors")? {
        let entry = entry.context("cannot list descriptors")?;
        // It was closed meanwhile.
        let Ok(target) = std::fs::read_link(entry.path()) else { continue };
        if let Some(number) = entry.file_name().to_str().and_then(|name| name.parse().ok()) {
            found.insert(number, target.to_string_lossy().into_owned());
        }
    }
    Ok(found)
}

/// The inode of a descriptor that is a socket.
fn inode(descriptor: &str) -> Option<u64> {
    descriptor.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
}
