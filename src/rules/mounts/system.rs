//! `mount-system`: no mount exposes the machine itself: its root, its runtime directories, its kernel's file
//! systems, its devices, the state of its engines. Each of those leads to sockets, namespaces (nsfs
//! files), processes or devices.
//!
//! File systems of which a container gets its own (proc, sysfs, tmpfs, devpts, mqueue, cgroup) stay, but proc
//! and sysfs only at `/proc` and `/sys`, where masked and read-only paths cover them. A directory is
//! identified by device and inode, so another path to it makes no difference. Files that engines keep for a
//! container in their state directory (`resolv.conf`, `hosts`, volumes, a sandbox's shm) are below it and
//! stay.

use serde_json::json;

use super::{
    Class, FileKind, MountSource, clean, describe_source, is_bind, is_kept, layer_sources, mount_at, mounts,
    plan_removal, refuse_first, root,
};
use crate::config::{Edit, EditOp, JsonText, Mount, View};
use crate::rules::devices::is_usual_source;
use crate::rules::{RefusedBy, Rule, RuleContext, Violation};
use crate::settings::Answer;

pub(in crate::rules) const RULE: Rule = Rule {
    name: "mount-system",
    promise: "no mount shows the machine's own directories, kernel interfaces, devices or engines",
    reference: "runtime-spec, config.md, \"Mounts\"; namespaces(7), \"The /proc/pid/ns/ directory\"; proc(5)",
    process: false,
    answers: &[Answer::Refuse, Answer::Strip, Answer::Allow],
    refused_by: RefusedBy::Plan,
    plan: |view, context| {
        root(context)?;
        let replaced = mounts(view).filter(|(_, mount)| is_sys_of_rootless(mount, context));
        let mut edits: Vec<Edit> = replaced.flat_map(|(index, mount)| own_sysfs(index, mount)).collect();
        let violations = violations(view, context).into_iter();
        let violations = violations
            .filter(|(index, _)| !edits.iter().any(|edit| edit.at == mount_at(*index).member("type")));
        let removed = plan_removal(&RULE, violations.collect(), context)?;
        edits.extend(removed);
        Ok(edits)
    },
    holds: |view, context| {
        root(context)?;
        refuse_first(&RULE, &violations(view, context))
    },
};

/// Directories that are mounted only for access to the machine.
pub const DIRECTORIES: [&str; 35] = [
    "/",
    "/dev",
    "/dev/mqueue",
    "/dev/pts",
    "/dev/shm",
    "/proc",
    "/run",
    "/run/containerd",
    "/run/containers",
    "/run/containers/storage",
    "/run/crio",
    "/run/crun",
    "/run/dbus",
    "/run/docker",
    "/run/docker/runtime-runc",
    "/run/lock",
    "/run/netns",
    "/run/oci-isolate",
    "/run/podman",
    "/run/runc",
    "/run/systemd",
    "/run/user",
    "/sys",
    "/var",
    "/var/lib",
    "/var/lib/cni",
    "/var/lib/containerd",
    "/var/lib/containers",
    "/var/lib/containers/storage",
    "/var/lib/crio",
    "/var/lib/docker",
    "/var/lib/kubelet",
    "/var/lib/kubelet/pods",
    "/var/lib/rancher",
    "/var/run",
];

/// State of engines: its entries belong to all containers (`overlay2`, `containers`, `device-plugins`), what
/// is further below to one.
const ENGINES: [&str; 10] = [
    // Of runtimes: runc reads the hooks that it runs on the host from there.
    "/run/crio",
    "/run/crun",
    "/run/docker/runtime-runc",
    "/run/runc",
    "/var/lib/containerd",
    "/var/lib/containers/storage",
    "/var/lib/crio",
    "/var/lib/docker",
    "/var/lib/kubelet",
    "/var/lib/rancher",
];

/// File systems of which a container gets its own.
const OWN: [&str; 8] = ["cgroup", "cgroup2", "devpts", "hugetlbfs", "mqueue", "overlay", "ramfs", "tmpfs"];

/// A rootless Podman binds the machine's `/sys` for `--network=host`, since a user has no right to a sysfs of
/// the host's network. The container gets a network namespace of its own instead, and so has that right.
fn is_sys_of_rootless(mount: &Mount, context: &RuleContext) -> bool {
    let source = || context.host.sources.get(mount.source.as_deref()?)?.system;
    context.host.in_user_namespace
        && is_bind(mount)
        && clean(&mount.destination) == "/sys"
        && source() == Some("/sys")
}

fn own_sysfs(index: usize, mount: &Mount) -> [Edit; 3] {
    let set = |member, value, description: &str| Edit {
        at: mount_at(index).member(member),
        op: EditOp::Set(JsonText::of(&value)),
        description: format!("{} {description}", &*mount.destination),
    };
    [
        set("type", json!("sysfs"), "is a sysfs of the container's own in place of the machine's"),
        set("source", json!("sysfs"), "has no source"),
        set("options", json!(["nosuid", "noexec", "nodev", "ro"]), "is read-only"),
    ]
}

/// The root file system, with all mounts below it.
pub(super) fn root(context: &RuleContext) -> Result<(), Violation> {
    root::judge(&RULE, context, |root| {
        if let (None, Some(held)) = (root.system, root.holds) {
            return Some(format!("holds {held}; use another directory"));
        }
        let Some((path, file_system)) = root.below.first().filter(|_| root.system.is_none()) else {
            return violation_of(root);
        };
        let path = path.display();
        Some(format!("brings {path} along, a mount of {}; unmount it, or mount it with -v", file_system.name))
    })
}

fn violations(view: &View, context: &RuleContext) -> Vec<(usize, String)> {
    let why = |mount: &Mount| if is_bind(mount) { of_bind(mount, context) } else { of_other(mount, context) };
    let against = |(index, mount)| Some((index, why(mount).filter(|_| is_kept(view, mount, context))?));
    mounts(view).filter_map(against).collect()
}

fn of_bind(mount: &Mount, context: &RuleContext) -> Option<String> {
    let source = context.host.sources.get(mount.source.as_deref()?)?;
    let drivers = &context.host.drivers;
    let what = match source.kind {
        FileKind::Character(major, minor) if is_usual_source(major, minor, drivers) => return None,
        FileKind::Character(major, minor) => format!("is the device c {major}:{minor}"),
        FileKind::Block(major, minor) => format!("is the device b {major}:{minor}"),
        _ => violation_of(source)?,
    };
    let instead = if source.real.starts_with("/dev/shm") { SHARED_MEMORY } else { "" };
    Some(format!("{} {what}; drop -v {}{instead}", describe_source(mount, source), mount.source.as_deref()?))
}

/// The remedy for sharing the machine's `/dev/shm`.
const SHARED_MEMORY: &str =
    " and use --shm-size=8g, in Kubernetes an emptyDir with medium: Memory at /dev/shm";

/// Why a file or directory is refused as a source.
fn violation_of(source: &MountSource) -> Option<String> {
    if let Some(directory) = source.system {
        return Some(format!("is the system's {directory}"));
    }
    if source.in_rootfs {
        return Some(
            "lies in the container's own root file system, where earlier mounts change what it is".into(),
        );
    }
    if source.file_system.class == Class::System {
        return Some(format!("lies on the kernel's {}", source.file_system.name));
    }
    let of_engine =
        |engine: &&&str| source.real.parent().is_some_and(|parent| parent.as_os_str() == **engine);
    if let Some(engine) = ENGINES.iter().find(of_engine).filter(|_| source.kind == FileKind::Directory) {
        return Some(format!("is state of the engine in {engine}"));
    }
    // Huge pages are memory, wherever they are mounted.
    let in_dev = source.real.starts_with("/dev") && source.file_system.name != "hugetlbfs";
    if in_dev && source.kind != FileKind::Missing {
        return Some("lies in the system's /dev".into());
    }
    if let Some((path, file_system)) = source.file_systems().find(|(_, fs)| fs.class == Class::System) {
        let (path, name) = (path.display(), &file_system.name);
        return Some(format!("brings {path} along, which is the kernel's {name}"));
    }
    source.layers.iter().find_map(|layer| match &layer.kind {
        FileKind::Inaccessible(why) => {
            Some(format!("is an overlay with the layer {}: {why}", layer.real.display()))
        }
        _ => Some(format!(
            "is an overlay with the layer {}, which {}",
            layer.real.display(),
            violation_of(layer)?
        )),
    })
}

fn of_other(mount: &Mount, context: &RuleContext) -> Option<String> {
    let destination = clean(&mount.destination);
    let shown = &*mount.destination;
    match mount.kind.as_deref().unwrap_or_default() {
        kind @ ("proc" | "sysfs") => {
            let place = if kind == "proc" { "/proc" } else { "/sys" };
            // In a user namespace files of the kernel have no owner.
            let stays = destination == place || context.host.confined;
            (!stays)
                .then(|| format!("{shown} is a {kind} outside of {place}, where nothing covers it; drop it"))
        }
        "overlay" => {
            let mut layers = layer_sources(mount, context);
            let violations = layers.find_map(|layer| Some((layer.real.display(), violation_of(layer)?)));
            violations.map(|(layer, what)| format!("the layer {layer} of {shown} {what}; drop it"))
        }
        kind if OWN.contains(&kind) => None,
        kind => Some(format!(
            "{shown} is a file system of type {kind:?}, which is not the container's own; drop it"
        )),
    }
}
