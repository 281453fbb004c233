//! Looks up on this machine what the rules have to know of it for one document. Reads only.

use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use anyhow::{Context, Result};
use oci_spec::runtime::LinuxNamespaceType;

use crate::config::View;
use crate::rules::{Drivers, Shared, World};
use crate::seal::{self, Netns};

/// Looks up what `view` refers to. `joined` is the sealed network namespace that the container joins, if it does.
pub(super) fn look(view: &View, joined: Option<Netns>) -> Result<World> {
    Ok(World {
        pid: shared(view, LinuxNamespaceType::Pid, joined),
        ipc: shared(view, LinuxNamespaceType::Ipc, joined),
        confined: confined(view)?,
        drivers: drivers(view)?,
    })
}

fn path_of<'v>(view: &'v View, kind: LinuxNamespaceType) -> Option<Option<&'v Path>> {
    let list = view.linux.as_ref()?.namespaces.as_deref()?;
    let entry = list.iter().find(|entry| entry.typ() == kind)?;
    Some(entry.path().as_deref().filter(|path| !path.as_os_str().is_empty()))
}

/// CRI and Podman name a pod's namespaces by `/proc/PID/ns/...` of its first container. That process has to be in the
/// sealed network namespace that this container joins.
fn shared(view: &View, kind: LinuxNamespaceType, joined: Option<Netns>) -> Shared {
    let process = path_of(view, kind).flatten().and_then(Path::parent).and_then(Path::parent);
    let theirs = process.filter(|process| process.parent() == Some(Path::new("/proc")));
    let theirs = theirs.and_then(|process| seal::netns_of(process).ok());
    let theirs = theirs.and_then(|netns| Netns::of(netns.as_fd()).ok());
    if joined.is_some() && theirs == joined { Shared::WithinPod } else { Shared::Foreign }
}

/// Whether the capabilities count in a user namespace only that is not the machine's: the container's own, or the one
/// that we are in already (rootless engines).
fn confined(view: &View) -> Result<bool> {
    /// linux/nsfs.h, USER_NS_INIT_INO
    const INITIAL: u64 = 0xEFFF_FFFD;
    let is_initial = |path: &Path| {
        let meta = std::fs::metadata(path).with_context(|| format!("cannot look at {}", path.display()));
        meta.map(|meta| meta.ino() == INITIAL)
    };
    match path_of(view, LinuxNamespaceType::User) {
        Some(None) => Ok(true),
        Some(Some(path)) => Ok(!is_initial(path)?),
        None => Ok(!is_initial(Path::new("/proc/self/ns/user"))?),
    }
}

/// The drivers of the device numbers that the document names; of a whole major under the minor -1.
fn drivers(view: &View) -> Result<Drivers> {
    let linux = view.linux.as_ref();
    let nodes = linux.and_then(|linux| linux.devices.as_deref()).unwrap_or_default();
    let resources = linux.and_then(|linux| linux.resources.as_ref());
    let access = resources.and_then(|resources| resources.devices.as_deref()).unwrap_or_default();
    let of_nodes = nodes.iter().map(|node| (node.major, node.minor));
    let wanted =
        of_nodes.chain(access.iter().filter(|entry| entry.allow).map(|entry| (entry.major, entry.minor)));
    let wanted: Vec<(i64, i64)> =
        wanted.filter_map(|(major, minor)| Some((major.filter(|m| *m >= 0)?, minor.unwrap_or(-1)))).collect();
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
