//! Gathers the facts about the host that the rules need for one document. Reads only.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use anyhow::{Context, Result};
use oci_spec::runtime::LinuxNamespaceType;

use super::root_fs::RootFs;
use super::user_namespace::{self, UserNamespace};
use super::{credential_files, mount_sources};
use crate::config::{Mount, View};
use crate::job;
use crate::proc::{Dir, Inode};
use crate::record;
use crate::rules::mounts::{FileKind, is_bind};
use crate::rules::{self, CoreDumps, Drivers, HostFacts, MountSources, Shared, is_default};
use crate::seal::{Netns, OpenNetns};

/// The pod whose namespaces the container may share.
#[derive(Clone, Copy)]
pub(super) enum Pods {
    /// There is none.
    None,
    /// The one in this network namespace, which the container gets by path: it is sealed or about to be.
    In(Netns),
    /// The container is its first one, and gets a network namespace of its own beside the platform's.
    Begins,
}

/// Gathers the facts that `view` refers to. The `bundle` is absolute.
pub(super) fn gather(view: &View, bundle: &Path, root: &RootFs, pods: Pods) -> Result<HostFacts> {
    let users = users(view)?;
    let in_user_namespace = match users {
        UserNamespace::Ours => !is_initial(Path::new(OURS))?,
        UserNamespace::New => true,
        UserNamespace::At(path) => !is_initial(path)?,
    };
    let confined = in_user_namespace && user_namespace::confines(&users, view)?;
    let (sources, of_root) = mount_sources::probe(view, bundle, root)?;
    let is_readonly =
        |mount: &Mount| mount.options.iter().flatten().any(|option| matches!(&**option, "ro" | "rro"));
    let wants_empty = view.mounts.iter().flatten().any(|mount| is_bind(mount) && is_readonly(mount));
    let wants_cover = sources.values().any(|source| source.sockets.len() + source.fifos.len() > 0);
    Ok(HostFacts {
        pid: shared(view, LinuxNamespaceType::Pid, pods)?,
        ipc: shared(view, LinuxNamespaceType::Ipc, pods)?,
        user: shared(view, LinuxNamespaceType::User, pods)?,
        drivers: drivers(view, &sources)?,
        empty: if wants_empty && !in_user_namespace { record::empty_directory() } else { None },
        empty_file: if wants_cover { record::empty_file() } else { None },
        credential_files: credential_files::find(view, root, &sources),
        root: Some(of_root),
        core_dumps: core_dumps(),
        in_user_namespace,
        confined,
        sources,
    })
}

/// How the kernel handles core dumps (core(5)).
#[must_use]
pub fn core_dumps() -> CoreDumps {
    // An unreadable one may name a program.
    let mut first = [b'|'];
    let _ = File::open("/proc/sys/kernel/core_pattern").and_then(|mut pattern| pattern.read(&mut first));
    match first {
        [b'|'] => CoreDumps::Program,
        // Since Linux 6.16.
        [b'@'] => CoreDumps::Socket,
        _ => CoreDumps::Files,
    }
}

fn path_of<'v>(view: &'v View, kind: LinuxNamespaceType) -> Option<Option<&'v Path>> {
    let list = view.linux.as_ref()?.namespaces.as_deref()?;
    let entry = list.iter().find(|entry| entry.typ() == kind)?;
    Some(entry.path().as_deref().filter(|path| !path.as_os_str().is_empty()))
}

/// containerd and Podman name a pod's namespaces as `/proc/PID/ns/...` of its first container: that process
/// must be in the pod's network namespace. CRI-O keeps them by bind mounts: there all processes must be.
fn shared(view: &View, kind: LinuxNamespaceType, pods: Pods) -> Result<Shared> {
    let Some(path) = path_of(view, kind).flatten() else { return Ok(Shared::Foreign) };
    let process = path.parent().and_then(Path::parent);
    let within = match (pods, process.filter(|process| process.parent() == Some(Path::new("/proc")))) {
        (Pods::None, _) | (Pods::Begins, Some(_)) => false,
        (Pods::In(pods), Some(process)) => OpenNetns::at(process).is_ok_and(|theirs| theirs.id() == pods),
        (Pods::In(pods), None) => rules::of_a_pinned_pod(view) && is_alone(path, kind, Some(pods))?,
        (Pods::Begins, None) => rules::of_a_pinned_pod(view) && is_alone(path, kind, None)?,
    };
    let own = || Inode::of(path).is_ok_and(|it| Dir::ours().ns(kind).is_ok_and(|ours| ours == it));
    Ok(match within {
        true => Shared::WithinPod,
        false if own() => Shared::Hosts,
        false => Shared::Foreign,
    })
}

/// Whether all processes in a namespace are in that network namespace, or there are none. A process that has ended meanwhile, or
/// is a zombie, is in none.
fn is_alone(path: &Path, kind: LinuxNamespaceType, pods: Option<Netns>) -> Result<bool> {
    let inside = job::processes_in(&kind.to_string(), number(path)?)?;
    let is_pods = |pid: &u32| match Dir::of(*pid).ns("net") {
        Ok(netns) => pods.is_some_and(|pods| netns == pods.into()),
        Err(error) => {
            error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::NotFound)
        }
    };
    Ok(inside.iter().all(is_pods))
}

/// The container's user namespace.
fn users<'v>(view: &'v View) -> Result<UserNamespace<'v>> {
    Ok(match path_of(view, LinuxNamespaceType::User) {
        None => UserNamespace::Ours,
        Some(None) => UserNamespace::New,
        Some(Some(path)) if number(path)? == number(Path::new(OURS))? => UserNamespace::Ours,
        Some(Some(path)) => UserNamespace::At(path),
    })
}

/// The user namespace that we are in.
const OURS: &str = "/proc/self/ns/user";

/// A namespace by device and inode.
fn number(path: &Path) -> Result<Inode> {
    Inode::of(path).with_context(|| format!("cannot inspect {}", path.display()))
}

/// Whether a user namespace is the initial one.
///
/// # Errors
/// There is none at the path.
pub fn is_initial(path: &Path) -> Result<bool> {
    /// linux/nsfs.h, USER_NS_INIT_INO
    const INITIAL: u64 = 0xEFFF_FFFD;
    Ok(number(path)?.ino == INITIAL)
}

/// The drivers of the device numbers in the document.
fn drivers(view: &View, sources: &MountSources) -> Result<Drivers> {
    let linux = view.linux.as_ref();
    let nodes = linux.and_then(|linux| linux.devices.as_deref()).unwrap_or_default();
    let resources = linux.and_then(|linux| linux.resources.as_ref());
    let access = resources.and_then(|resources| resources.devices.as_deref()).unwrap_or_default();
    let of_nodes = nodes.iter().map(|node| (node.major, node.minor));
    let wanted =
        of_nodes.chain(access.iter().filter(|entry| entry.allow).map(|entry| (entry.major, entry.minor)));
    let of_sources = sources.values().filter_map(|source| match source.kind {
        FileKind::Character(major, minor) => Some((Some(major), Some(minor))),
        _ => None,
    });
    let wanted = wanted.chain(of_sources);
    let wanted: Vec<(i64, i64)> =
        wanted.filter_map(|(major, minor)| Some((major.filter(|m| *m >= 0)?, minor.unwrap_or(-1)))).collect();
    drivers_of(wanted)
}

/// The drivers of character devices; minor -1 means the whole major. Default devices need none.
///
/// # Errors
/// /proc/devices cannot be read.
pub fn drivers_of(wanted: Vec<(i64, i64)>) -> Result<Drivers> {
    let wanted: Vec<_> = wanted.into_iter().filter(|(major, minor)| !is_default(*major, *minor)).collect();
    if wanted.is_empty() {
        return Ok(Drivers::new());
    }
    let devices = std::fs::read_to_string("/proc/devices").context("cannot read /proc/devices")?;
    let misc = std::fs::read_to_string("/proc/misc").unwrap_or_default();
    let name = |text: &str, number: i64| {
        let line = text.lines().find(|line| line.split_whitespace().next() == Some(&number.to_string()));
        line.and_then(|line| line.split_whitespace().nth(1)).map(str::to_owned)
    };
    let characters = devices.split("Block devices:").next().unwrap_or_default();
    let driver = |(major, minor): (i64, i64)| {
        let name = match major {
            10 => name(&misc, minor).map(|name| format!("misc/{name}")),
            _ => name(characters, major),
        };
        Some((('c', major, minor), name?))
    };
    Ok(wanted.into_iter().filter_map(driver).collect())
}
