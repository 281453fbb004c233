//! What a platform container of a `[[platform]]` runs: the operator's program out of the image, and nothing that the
//! pod's author has put elsewhere. The author chooses command, variables and volumes of every container.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

use crate::config::{Edit, EditOp, JsonText, Mount, Pointer, View};
use crate::policy::PlatformContainer;
use crate::rules::mounts::{clean, is_bind, is_within};

/// File systems that are mounted anew, in which nothing of another container is.
const OWN: [&str; 7] = ["proc", "sysfs", "tmpfs", "devpts", "mqueue", "cgroup", "cgroup2"];

/// containerd's default capabilities (`defaultUnixCaps` in pkg/oci/spec.go).
const CAPABILITIES: [&str; 14] = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FSETID",
    "CAP_FOWNER",
    "CAP_MKNOD",
    "CAP_NET_RAW",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETFCAP",
    "CAP_SETPCAP",
    "CAP_NET_BIND_SERVICE",
    "CAP_SYS_CHROOT",
    "CAP_KILL",
    "CAP_AUDIT_WRITE",
];

/// The edits after which no file of a volume can be executed, or mapped as code. `mounted` are the mount points of the
/// host.
///
/// # Errors
/// It runs another program, or may load another one's code.
pub(super) fn edits(view: &View, container: &PlatformContainer, mounted: &[PathBuf]) -> Result<Vec<Edit>> {
    let process = view.process.as_ref();
    let args: Vec<&str> = process
        .and_then(|process| process.args.as_deref())
        .unwrap_or_default()
        .iter()
        .map(|arg| &**arg)
        .collect();
    let Some(program) = args.first().filter(|_| container.runs(&args)) else {
        bail!("its command is that of no [[platform]] in the settings with its image; see args there");
    };
    let loader = |name: &str| name.starts_with("LD_") || name == "GLIBC_TUNABLES";
    let entries = process.into_iter().flat_map(|process| process.env.iter());
    let mut names = entries.map(|entry| entry.split_once('=').map_or(entry, |(name, _)| name));
    if let Some(name) = names.find(|name| loader(name)) {
        bail!("the variable {name} is the dynamic linker's; drop it");
    }
    let capabilities = process.and_then(|process| process.capabilities.as_ref());
    let mut capabilities = capabilities.into_iter().flat_map(|sets| sets.sets()).flat_map(|(_, set)| set);
    if let Some(more) = capabilities.find(|capability| !CAPABILITIES.contains(&&***capability)) {
        bail!("it has {}, which is none of containerd's default capabilities; drop it", &**more);
    }
    let mut edits = Vec::new();
    for (index, mount) in view.mounts.iter().flatten().enumerate() {
        edits.extend(noexec(index, mount, program, mounted)?);
    }
    Ok(edits)
}

fn noexec(index: usize, mount: &Mount, program: &str, mounted: &[PathBuf]) -> Result<Option<Edit>> {
    let destination = clean(&mount.destination);
    if is_within(&clean(program), &destination) {
        bail!("the mount at {destination} covers its program {program}");
    }
    if !is_bind(mount) {
        let kind = mount.kind.as_deref().unwrap_or_default();
        if !OWN.contains(&kind) {
            bail!("the mount at {destination} is of type {kind:?}; only bind mounts can be made noexec");
        }
        return Ok(None);
    }
    let given: Vec<&str> = mount.options.iter().flatten().map(|option| &**option).collect();
    let receives = |option: &&&str| ["shared", "rshared", "slave", "rslave", "rexec"].contains(*option);
    if let Some(option) = given.iter().find(receives) {
        bail!(
            "the mount at {destination} has the option {option}, so that not all of it is noexec; drop mountPropagation"
        );
    }
    let source = mount.source.as_deref().map(Path::new).unwrap_or(Path::new(""));
    // As the runtime will resolve it. What is missing, the runtime reports.
    let source = source.canonicalize().unwrap_or_else(|_| source.to_owned());
    let inside = |at: &&PathBuf| **at != source && at.starts_with(&source);
    if let Some(inside) = mounted.iter().find(inside) {
        bail!(
            "the source of the mount at {destination} contains the mount {}, which is not made noexec",
            inside.display()
        );
    }
    if given.last() == Some(&"noexec") {
        return Ok(None);
    }
    // The last one counts.
    let options: Vec<&str> =
        given.into_iter().filter(|option| !["exec", "noexec"].contains(option)).chain(["noexec"]).collect();
    Ok(Some(Edit {
        at: Pointer::to(&["mounts"]).item(index).member("options"),
        op: EditOp::Set(JsonText::of(&options)),
        description: format!("made the mount at {destination} noexec"),
    }))
}
