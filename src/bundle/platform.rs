//! The configuration of a platform container: what separates it from the isolated containers of its pod. The
//! engine gives all containers of a pod the network, IPC and UTS namespaces of its sandbox, and the sandbox's
//! `/dev/shm`; the sandbox is isolated.

use std::path::Path;

use anyhow::{Context, Result, bail};
use oci_spec::runtime::LinuxNamespaceType::{Ipc, Mount, Network, Pid, User};
use oci_spec::runtime::{LinuxNamespace, LinuxNamespaceType};
use serde_json::json;

use crate::config::{Document, Edit, EditOp, JsonText, Kind, Pointer, View};
use crate::files::Snapshot;
use crate::policy::PlatformContainer;
use crate::proc::{Inode, parse_mountinfo};
use crate::rules::mounts::is_bind;

use super::platform_program;
use super::socket_search::read_list;

/// The text in which it joins `network`, has an IPC namespace and a `/dev/shm` of its own, and no pid, mount or
/// user namespace of another container. `shm` is the pod's `/dev/shm`.
///
/// # Errors
/// It asks to share more, or the text cannot be read with certainty.
pub(super) fn separated(config: &Snapshot, network: &Path, shm: Inode) -> Result<Vec<u8>> {
    let uncertain = || format!("cannot read {} with certainty", config.path().display());
    let document = Document::parse(Kind::Config, &config.bytes).with_context(uncertain)?;
    let planned = edits(&document.view().with_context(uncertain)?, network, shm)?;
    let text = document.with(&planned)?;
    // As the runtime will read it.
    let left = edits(&Document::parse(Kind::Config, &text)?.view()?, network, shm)?;
    match left.first() {
        None => Ok(text),
        Some(edit) => bail!("{} could not be changed", edit.at),
    }
}

/// Checks that it asks for no namespace of the isolated containers besides what [`separated`] replaces; needs no
/// record.
///
/// # Errors
/// It asks to share more, or the text cannot be read with certainty.
pub(super) fn check_namespaces(config: &Snapshot) -> Result<()> {
    let uncertain = || format!("cannot read {} with certainty", config.path().display());
    let document = Document::parse(Kind::Config, &config.bytes).with_context(uncertain)?;
    // Which network it joins is in the record.
    namespace_edits(&document.view().with_context(uncertain)?, Path::new("")).map(drop)
}

/// The text in which it can run only the program of its `[[platform]]`, or why it is the pod author's own.
///
/// # Errors
/// A setting demands its isolation, and it is the author's own.
pub(super) fn bound(text: Vec<u8>, container: &PlatformContainer) -> Result<(Vec<u8>, Option<String>)> {
    let own = container.own();
    if own.is_some() {
        return Ok((text, own));
    }
    let list = read_list("/proc/self/mountinfo".as_ref()).context("cannot list the mounts of the host")?;
    let mounted: Vec<_> = parse_mountinfo(&list).map(|mount| mount.point()).collect();
    let document = Document::parse(Kind::Config, &text)?;
    let edits = match (platform_program::edits(&document.view()?, container, &mounted), &container.demanded) {
        (Ok(edits), _) => edits,
        (Err(why), None) => return Ok((text, Some(format!("container {}: {why}", container.name)))),
        (Err(why), Some(demanded)) => {
            bail!("container {} must be isolated ({demanded}): {why}", container.name)
        }
    };
    let bound = document.with(&edits)?;
    let left = platform_program::edits(&Document::parse(Kind::Config, &bound)?.view()?, container, &mounted)?;
    match left.first() {
        None => Ok((bound, None)),
        Some(edit) => bail!("{} could not be changed", edit.at),
    }
}

fn edits(view: &View, network: &Path, shm: Inode) -> Result<Vec<Edit>> {
    let mut edits = namespace_edits(view, network)?;
    for (index, mount) in view.mounts.iter().flatten().enumerate() {
        let source = mount.source.as_deref().filter(|_| is_bind(mount));
        if source.is_some_and(|source| Inode::of(Path::new(source)).is_ok_and(|source| source == shm)) {
            let options = ["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"];
            let destination = &*mount.destination;
            let own =
                json!({"destination": destination, "type": "tmpfs", "source": "shm", "options": options});
            edits.push(Edit {
                at: Pointer::to(&["mounts"]).item(index),
                op: EditOp::Set(JsonText::of(&own)),
                description: format!("replaced the pod's {destination} by an empty one"),
            });
        }
    }
    Ok(edits)
}

fn namespace_edits(view: &View, network: &Path) -> Result<Vec<Edit>> {
    let list = view.linux.as_ref().and_then(|linux| linux.namespaces.as_deref()).unwrap_or_default();
    let Some((_, None)) = of_kind(list, Pid)? else { bail!(PROCESSES) };
    let Some((_, None)) = of_kind(list, Mount)? else { bail!("it has no mount namespace of its own") };
    if of_kind(list, User)?.is_some() {
        bail!("it would share the user namespace of the isolated containers; drop hostUsers: false");
    }
    let at = |index| Pointer::to(&["linux", "namespaces"]).item(index).member("path");
    let mut edits = Vec::new();
    let ipc = of_kind(list, Ipc)?.context("it has no IPC namespace; drop hostIPC: true")?;
    if let (index, Some(_)) = ipc {
        let description = "gave the container an ipc namespace of its own".into();
        edits.push(Edit { at: at(index), op: EditOp::Remove, description });
    }
    let Some((index, Some(path))) = of_kind(list, Network)? else {
        bail!("it has no pod's network namespace")
    };
    if path != network {
        let description = "gave the container the network that the engine made for its pod".into();
        edits.push(Edit { at: at(index), op: EditOp::Set(JsonText::of(&network)), description });
    }
    Ok(edits)
}

const PROCESSES: &str = "it would share processes with other containers of its pod; drop shareProcessNamespace: true and \
    hostPID: true";

/// The one namespace of a type: its index, and its path if it is given by one.
fn of_kind(list: &[LinuxNamespace], kind: LinuxNamespaceType) -> Result<Option<(usize, Option<&Path>)>> {
    let mut entries = list.iter().enumerate().filter(|(_, entry)| entry.typ() == kind);
    let found = entries.next();
    if entries.next().is_some() {
        bail!("several {kind} namespaces are given; runtimes differ on which one they take");
    }
    Ok(found
        .map(|(index, entry)| (index, entry.path().as_deref().filter(|path| !path.as_os_str().is_empty()))))
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::files;

    /// What containerd hands over for a container of a pod whose /dev/shm is `shm`.
    fn given(shm: &Path) -> Value {
        json!({
            "process": {"env": ["AWS_SECRET_ACCESS_KEY=s"], "args": ["a"]}, "root": {"path": "rootfs"},
            "mounts": [
                {"destination": "/proc", "type": "proc", "source": "proc"},
                {"destination": "/dev/shm", "type": "bind", "source": shm, "options": ["rbind", "rprivate", "rw"]},
                {"destination": "/data", "type": "bind", "source": "/", "options": ["rbind"]},
            ],
            "linux": {"namespaces": [
                {"type": "pid"}, {"type": "ipc", "path": "/proc/7/ns/ipc"}, {"type": "uts", "path": "/proc/7/ns/uts"},
                {"type": "mount"}, {"type": "network", "path": "/proc/7/ns/net"},
            ]},
        })
    }

    fn made(config: &Value, shm: &Path) -> Result<Value> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config.json");
        std::fs::write(&path, config.to_string()).unwrap();
        let snapshot = files::read(&path, files::DOCUMENT_LIMIT)?;
        let text = separated(&snapshot, Path::new("/run/netns/cni-1"), Inode::of(shm).unwrap())?;
        Ok(serde_json::from_slice(&text).unwrap())
    }

    #[test]
    fn it_gets_the_pods_network_and_an_ipc_namespace_and_shm_of_its_own_and_keeps_all_else() {
        let shm = tempfile::tempdir().unwrap();
        let mut expected = given(shm.path());
        let found = made(&expected, shm.path()).unwrap();
        expected["linux"]["namespaces"][1] = json!({"type": "ipc"});
        expected["linux"]["namespaces"][4]["path"] = json!("/run/netns/cni-1");
        expected["mounts"][1] = json!({
            "destination": "/dev/shm", "type": "tmpfs", "source": "shm",
            "options": ["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"],
        });
        assert_eq!(found, expected);
    }

    #[test]
    fn what_would_share_more_is_refused() {
        let shm = tempfile::tempdir().unwrap();
        for (index, entry, why) in [
            (0, json!({"type": "pid", "path": "/proc/7/ns/pid"}), "drop shareProcessNamespace: true"),
            (0, json!({"type": "cgroup"}), "hostPID: true"),
            (1, json!({"type": "cgroup"}), "drop hostIPC: true"),
            (1, json!({"type": "pid"}), "several pid namespaces"),
            (2, json!({"type": "user", "path": "/proc/7/ns/user"}), "drop hostUsers: false"),
            (3, json!({"type": "mount", "path": "/proc/7/ns/mnt"}), "no mount namespace of its own"),
            (4, json!({"type": "network"}), "no pod's network namespace"),
            (4, json!({"type": "cgroup"}), "no pod's network namespace"),
        ] {
            let mut config = given(shm.path());
            config["linux"]["namespaces"][index] = entry;
            let said = made(&config, shm.path()).unwrap_err().to_string();
            assert!(said.contains(why), "{why}: {said}");
        }
    }
}
