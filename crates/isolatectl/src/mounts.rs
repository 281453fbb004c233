//! Checks the mounts of a process, as the kernel lists them: the kind of each file system and whose it is,
//! its layers, whether it is also the host's mount, and which sockets it leads to.

use std::path::{Path, PathBuf};

use anyhow::Result;
use nix::fcntl::OFlag;
use nix::sys::stat::{FileStat, SFlag, makedev};

use super::container_root::{is, shows};
use super::devices::unusual;
use super::process_report::ProcessReport;
use super::read_bytes;
use super::survey::{HostMounts, Survey};
use oci_isolate::bundle::PathFd;
use oci_isolate::proc::{Inode, MountInfo, parse_mountinfo};
use oci_isolate::record::Record;
use oci_isolate::rules::credentials;
use oci_isolate::rules::mounts::{Class, FileSystem};

const PATH: OFlag = OFlag::O_PATH.union(OFlag::O_NOFOLLOW);

/// Checks the mounts below a process' root directory.
pub(super) fn inspect(
    case: &mut ProcessReport,
    record: &Record,
    survey: &Survey,
    root: &PathFd,
) -> Result<()> {
    let own_groups = record.confined || !case.is_in_ours("cgroup")?;
    let text = read_bytes(&case.process.join("mountinfo"))?;
    let mounts: Vec<MountInfo> = parse_mountinfo(&text).collect();
    let terminals = mounts.iter().rfind(|mount| mount.kind == "devpts" && mount.point() == *"/dev/pts");
    let terminals = terminals.map(|mount| mount.device);
    for mount in &mounts {
        let point = mount.point();
        let shown = point.display();
        let reaches_the_machine = match mount.kind {
            "sysfs" => !record.confined,
            "cgroup" | "cgroup2" => !own_groups,
            _ => false,
        };
        if reaches_the_machine && !mount.is_readonly() {
            case.thing("masked-paths", &shown, format_args!("is {} and writable", mount.kind));
        }
        let kind = of_kind(mount, &point, record.confined, &survey.mounts, terminals);
        let is_known = kind.is_some();
        if let Some((rule, is)) = kind {
            case.thing(rule, &shown, is);
        }
        for (layer, system) in systems(mount, &survey.mounts) {
            let layer = layer.display();
            case.thing("mount-system", &shown, format_args!("has the layer {layer}, the system's {system}"));
        }
        // Covered by another mount, it cannot be reached.
        let Ok(opened) = root.within(&point, PATH) else { continue };
        let stat = opened.stat()?;
        if let Some(system) = survey.mounts.is_system(&stat).filter(|_| !is_known) {
            case.thing("mount-system", &shown, format_args!("is the system's {system}"));
        }
        for (rule, is) in of_node(mount, &point, &stat, &survey.mounts)? {
            case.thing(rule, &shown, is);
        }
        if let (Some(point), Some(source)) = (point.to_str(), mount.root().to_str())
            && credentials::mounts::carries(point, source)
            && shows(root, point)?
        {
            case.thing("credential-mounts", point, "carries credentials");
        }
    }
    sockets(case, survey, root, &mounts)
}

/// The promise that a mount breaks by the kind of its file system, or by whose instance it is.
fn of_kind(
    mount: &MountInfo,
    point: &Path,
    confined: bool,
    hosts: &HostMounts,
    terminals: Option<&str>,
) -> Option<(&'static str, String)> {
    let kind = mount.kind;
    let system = |is: String| Some(("mount-system", is));
    // The driver's hook mounts information about the container's own GPUs (libnvidia-container, nvc_mount.c).
    let of_gpus = kind == "proc" && mount.root().starts_with("/driver/nvidia");
    if hosts.has(kind, mount.device) && !of_gpus {
        let rule = match kind {
            "proc" => "host-pid",
            "mqueue" => "host-ipc",
            _ => "mount-system",
        };
        return Some((rule, format!("is the host's {kind}")));
    }
    match kind {
        "devpts" if terminals != Some(mount.device) => system("is a devpts of others".into()),
        // In a user namespace, files of the kernel have no mapped owner.
        "proc" if !confined && !of_gpus && !point.starts_with("/proc") => {
            system("is a proc outside of /proc".into())
        }
        "sysfs" if !confined && !point.starts_with("/sys") => system("is a sysfs outside of /sys".into()),
        "cgroup" | "cgroup2" | "devpts" | "mqueue" | "proc" | "sysfs" => None,
        "nsfs" => system("is a namespace".into()),
        // Its files are device nodes; without permission to create them, a runtime mounts the host's.
        "devtmpfs" if mount.root() != *"/" => None,
        _ => match FileSystem::of_name(kind).class {
            Class::System => system(format!("is {kind}, an interface of the kernel")),
            // The root file system is the engine's choice.
            _ if point == Path::new("/") => None,
            Class::Network => {
                Some(("mount-network-fs", format!("is {kind}, a file system that is not this machine's")))
            }
            Class::Unknown => {
                Some(("mount-unknown-fs", format!("is {kind}, a file system that is not known")))
            }
            _ => None,
        },
    }
}

/// What of an overlay's layers is mounted, if that is a system directory. Relative paths are an engine's own.
fn systems<'h>(
    mount: &MountInfo,
    hosts: &'h HostMounts,
) -> impl Iterator<Item = (PathBuf, &'static str)> + use<'h> {
    let layers = if mount.kind == "overlay" { mount.layers() } else { Vec::new() };
    let layers = layers.into_iter().filter(|layer| layer.starts_with('/'));
    let root = mount.root();
    // The mount shows no more of a layer than of the overlay.
    let shown =
        layers.map(move |layer| Path::new(&layer).components().chain(root.components().skip(1)).collect());
    shown.filter_map(|layer: PathBuf| hosts.system(&layer).map(|system| (layer, system)))
}

/// The promise that a mount breaks by the file at its mount point.
fn of_node(
    mount: &MountInfo,
    point: &Path,
    stat: &FileStat,
    hosts: &HostMounts,
) -> Result<Vec<(&'static str, String)>> {
    let mut found = Vec::new();
    if mount.kind == "nsfs" {
        return Ok(found);
    }
    if is(stat, SFlag::S_IFSOCK) {
        found.push(("mount-sockets", "is a socket of the host".into()));
    } else if let Some(device) = unusual(stat)? {
        // In /dev a runtime mounts it if it cannot create a node (rootless).
        let rule = if point.starts_with("/dev") { "devices" } else { "mount-system" };
        found.push((rule, format!("is {device}")));
    } else if is(stat, SFlag::S_IFCHR) && stat.st_rdev == makedev(5, 1) {
        found.push(("mount-system", "is the machine's console".into()));
    }
    if is(stat, SFlag::S_IFDIR) {
        let of_host = |how| mount.group(how).is_some_and(|group| hosts.has_group(group));
        let says = [("shared", "shares its mounts with the host"), ("master", "gets the host's mounts")];
        let shares = says.into_iter().filter(|(how, _)| of_host(how));
        found.extend(shares.map(|(_, is)| ("mount-propagation", is.to_owned())));
    }
    Ok(found)
}

/// The sockets of the host below a mount: bound after the container was created, or uncovered since.
fn sockets(case: &mut ProcessReport, survey: &Survey, root: &PathFd, mounts: &[MountInfo]) -> Result<()> {
    for bound in survey.bound()? {
        for mount in mounts.iter().filter(|mount| mount.device == bound.device) {
            let below = bound.path.strip_prefix(mount.root()).ok();
            // The mount itself was checked.
            let Some(below) = below.filter(|below| !below.as_os_str().is_empty()) else { continue };
            let path = mount.point().join(below);
            let Ok(stat) = root.within(&path, PATH).and_then(|opened| opened.stat()) else { continue };
            if Inode::from(&stat) == bound.inode {
                case.thing("mount-sockets", path.display(), "is a socket of the host");
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mount_is_judged_by_its_kind_and_by_whose_it_is() {
        let hosts = HostMounts::of(
            b"1 0 0:5 / /proc rw - proc proc rw\n2 0 0:6 / /m rw - mqueue mqueue rw\n".to_vec(),
        );
        let judged = |confined, line: &str| {
            let text = format!("9 8 {line} rw\n");
            let mount = parse_mountinfo(text.as_bytes()).next().unwrap();
            let found = of_kind(&mount, &mount.point(), confined, &hosts, Some("0:70"));
            found.map_or(String::new(), |(rule, is)| format!("{rule} {is}"))
        };
        for (line, confined, says) in [
            ("0:71 / /proc rw - proc proc", false, ""),
            ("0:71 /bus /proc/bus ro - proc proc", false, ""),
            ("0:71 / /p rw - proc proc", false, "mount-system is a proc outside of /proc"),
            ("0:71 / /p rw - proc proc", true, ""),
            ("0:5 / /proc rw - proc proc", true, "host-pid is the host's proc"),
            ("0:5 /driver/nvidia/gpus/0 /proc/driver/nvidia/gpus/0 ro - proc proc", false, ""),
            ("0:6 / /dev/mqueue rw - mqueue mqueue", false, "host-ipc is the host's mqueue"),
            ("0:7 / /dev/mqueue rw - mqueue mqueue", false, ""),
            ("0:70 / /dev/pts rw - devpts devpts", false, ""),
            ("0:70 /0 /dev/console rw - devpts devpts", false, ""),
            ("0:72 /0 /t rw - devpts devpts", false, "mount-system is a devpts of others"),
            ("0:73 /null /dev/null rw - devtmpfs udev", false, ""),
            ("0:73 / /d rw - devtmpfs udev", false, "mount-system is devtmpfs, an interface of the kernel"),
            ("0:74 / /t rw - tracefs tracefs", true, "mount-system is tracefs, an interface of the kernel"),
            ("0:75 / / rw - fuse.fuse-overlayfs x", true, ""),
            (
                "0:75 / /n rw - nfs4 x",
                false,
                "mount-network-fs is nfs4, a file system that is not this machine's",
            ),
            ("0:76 / /n rw - newfs x", false, "mount-unknown-fs is newfs, a file system that is not known"),
            ("0:76 / / rw - newfs x", false, ""),
            ("0:77 / /o ro - overlay overlay", false, ""),
            ("0:78 / /h rw - hugetlbfs x", false, ""),
            ("8:1 /data /data rw - ext4 /dev/sda1", false, ""),
        ] {
            assert_eq!(judged(confined, line), says, "{line}");
        }
    }
}
