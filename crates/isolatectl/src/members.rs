//! The processes of a container, and those in its namespaces.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::{read, read_bytes};
use oci_isolate::proc::{Dir, Inode, MountInfo, parse_mountinfo};

/// The version 1 controllers that runc and crun put a container under. Those that they leave out (`misc`, or the
/// unified hierarchy beside version 1) have it in the engine's group.
const CONTROLLERS: [&str; 4] = ["devices", "freezer", "memory", "pids"];

/// The processes of the container: those of its control groups, and init itself. Without a group of its own
/// (rootless), those of its pid namespace.
pub(super) fn members(init: u32, processes: &ProcessTable) -> Result<BTreeSet<u32>> {
    let groups = own_groups(init)?;
    let mut members = BTreeSet::from([init]);
    for (_, group) in &groups {
        let pids = libcgroups::common::get_all_pids(group);
        let pids = pids.with_context(|| format!("cannot list the processes of {}", group.display()))?;
        members.extend(pids.into_iter().filter_map(|pid| u32::try_from(pid.as_raw()).ok()));
    }
    if groups.is_empty() {
        members.extend(processes.beside(init, "pid")?);
    }
    Ok(members)
}

/// The processes in each namespace, of the kinds that lead into a container.
pub(super) struct ProcessTable(BTreeMap<(&'static str, Inode), BTreeSet<u32>>);

/// The kinds of namespaces that are searched for foreign processes.
pub(super) const KINDS: [&str; 5] = ["net", "pid", "ipc", "mnt", "user"];

impl ProcessTable {
    /// Reads all processes, in one pass over /proc. Inaccessible ones are not ours.
    pub(super) fn all() -> Result<Self> {
        let mut found: BTreeMap<_, BTreeSet<u32>> = BTreeMap::new();
        for (pid, process) in Dir::all()? {
            for kind in KINDS {
                if let Ok(namespace) = process.ns(kind) {
                    found.entry((kind, namespace)).or_default().insert(pid);
                }
            }
        }
        Ok(Self(found))
    }

    /// All that were in the same namespace of this kind as `init`; empty if that is the host's.
    pub(super) fn beside(&self, init: u32, kind: &'static str) -> Result<BTreeSet<u32>> {
        let namespace = Dir::of(init).ns(kind)?;
        let is_hosts = Dir::ours().ns(kind)? == namespace;
        let found = self.0.get(&(kind, namespace)).filter(|_| !is_hosts);
        let mut found = found.cloned().unwrap_or_default();
        // A zombie is in no control group any more.
        found.retain(|pid| !Dir::of(*pid).has_ended());
        Ok(found)
    }
}

/// The container's own control groups: controllers and directory. A group that contains its parent process
/// too is inherited: without permission to create groups (rootless), a runtime leaves the container in its
/// caller's.
pub(super) fn own_groups(init: u32) -> Result<Vec<(String, PathBuf)>> {
    let of = |pid| read(&Dir::of(pid).join("cgroup")).map(|text| groups(&text));
    // The child of a process that has ended has a new parent.
    let inherited = Dir::of(init).parent()?.and_then(|parent| of(parent).ok()).unwrap_or_default();
    let mounts = read_bytes(Path::new("/proc/self/mountinfo"))?;
    let mut own = Vec::new();
    for (controllers, path) in of(init)?.into_iter().filter(|group| !inherited.contains(group)) {
        let found = hierarchies(&mounts, &controllers, Path::new(&path));
        own.extend(found.into_iter().map(|directory| (controllers.clone(), directory)));
    }
    Ok(own)
}

/// The control groups that may be a container's own, from cgroups(7), "/proc/pid/cgroup": controllers (none
/// means version 2) and path. A root group contains the whole host, and version 2 counts only without version
/// 1.
fn groups(text: &str) -> Vec<(String, String)> {
    let lines = text.lines().filter_map(|line| line.split_once(':')?.1.split_once(':'));
    let (unified, old): (Vec<_>, Vec<_>) =
        lines.filter(|(_, path)| *path != "/").partition(|(controllers, _)| controllers.is_empty());
    let known = |controllers: &str| controllers.split(',').any(|one| CONTROLLERS.contains(&one));
    let mut groups: Vec<_> = old.into_iter().filter(|(controllers, _)| known(controllers)).collect();
    if groups.is_empty() {
        groups = unified;
    }
    groups.into_iter().map(|(controllers, path)| (controllers.to_owned(), path.to_owned())).collect()
}

/// The directory of a group in the hierarchy of these controllers, by the list of mounts. A mount may show only a part of the
/// hierarchy (mountinfo's root).
fn hierarchies(mounts: &[u8], controllers: &str, group: &Path) -> Vec<PathBuf> {
    let is_it = |mount: &MountInfo| match mount.kind {
        "cgroup2" => controllers.is_empty(),
        "cgroup" => !controllers.is_empty() && controllers.split(',').all(|controller| mount.has(controller)),
        _ => false,
    };
    let directory = |mount: MountInfo| Some(mount.point().join(group.strip_prefix(mount.root()).ok()?));
    parse_mountinfo(mounts).filter(is_it).filter_map(directory).filter(|path| path.is_dir()).collect()
}

#[cfg(test)]
mod tests {
    use super::groups;

    #[test]
    fn the_groups_of_a_container_are_its_own() {
        let own = |text| groups(text).into_iter().map(|(c, path)| format!("{c}:{path}")).collect::<Vec<_>>();
        assert_eq!(own("0::/system.slice/web.scope\n"), [":/system.slice/web.scope"]);
        assert_eq!(
            own("5:pids:/web\n4:misc:/docker.service\n3:cpu,memory:/web\n0::/docker.service\n"),
            ["pids:/web", "cpu,memory:/web"]
        );
        assert_eq!(own("5:pids:/\n0::/\n"), [""; 0]);
        assert_eq!(own("5:pids:/\n0::/a:b\n"), [":/a:b"]);
    }
}
