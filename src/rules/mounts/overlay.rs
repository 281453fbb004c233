//! `mount-readonly-overlay`: a directory that is mounted read-only is mounted as a read-only overlay instead.
//! Its files stay readable; sockets and FIFOs in it, also those that are bound later, are inodes of the
//! overlay to which no process is bound. A read-only bind mount does not prevent connections.
//!
//! Not every directory can be a layer; `data-channels` reports those that cannot. Files that are replaced on
//! the host while the container runs may stay the old ones in it, and a name that was looked up before it
//! existed may stay missing (the overlay's own cache of names; measured), so volumes that kubelet updates
//! (ConfigMaps, Secrets, tokens) stay bind mounts, since only kubelet writes there, and so do an isolated
//! pod's own volumes, for which its containers wait.

use serde_json::json;

use super::{Class, FileKind, MountSource, binds, clean, has, is_kept, is_readonly, mount_at, options, pod};
use crate::config::{Edit, EditOp, JsonText, Mount, View};
use crate::rules::{RefusedBy, Rule, RuleContext, Violation};
use crate::settings::Answer;

pub(in crate::rules) const RULE: Rule = Rule {
    name: "mount-readonly-overlay",
    promise: "sockets in directories that are mounted read-only have no listener, whenever they are bound",
    reference: "Linux, Documentation/filesystems/overlayfs.rst; unix(7), \"Pathname sockets\"",
    process: false,
    answers: &[Answer::Set, Answer::Allow],
    refused_by: RefusedBy::Plan,
    plan,
    holds: |view, context| match wanted(view, context).first() {
        None => Ok(()),
        Some((_, mount, _)) => {
            Err(Violation::of(&RULE, format!("{} is a read-only bind mount", &*mount.destination)))
        }
    },
};

/// Flags of a mount with the same meaning for an overlay.
const FLAGS: [&str; 9] =
    ["noatime", "nodev", "nodiratime", "noexec", "norelatime", "nosuid", "relatime", "ro", "strictatime"];

/// Options of a bind mount that an overlay does not need. Docker since 25 sets `rro` for every `:ro` if the
/// kernel has recursive flags (moby, docs/api/version-history.md, v1.44); below an overlay there are no
/// mounts.
const OF_BINDS: [&str; 10] =
    ["bind", "private", "rbind", "rprivate", "rro", "rshared", "rslave", "runbindable", "shared", "slave"];

const RENEWED: [&str; 4] = [
    "kubernetes.io~configmap",
    "kubernetes.io~downward-api",
    "kubernetes.io~projected",
    "kubernetes.io~secret",
];

fn wanted<'v>(view: &'v View<'v>, context: &'v RuleContext) -> Vec<(usize, &'v Mount<'v>, &'v MountSource)> {
    let possible = |(_, mount, source): &(usize, &Mount, &MountSource)| {
        obstacle(view, mount, source, context).is_none() && is_kept(view, mount, context)
    };
    readonly(view, context).filter(possible).collect()
}

/// The directories that are mounted read-only.
pub(super) fn readonly<'v>(
    view: &'v View<'v>,
    context: &'v RuleContext,
) -> impl Iterator<Item = (usize, &'v Mount<'v>, &'v MountSource)> {
    let binds = binds(view, context);
    binds.filter(|(_, mount, source)| source.kind == FileKind::Directory && is_readonly(mount))
}

/// Whether the rule turns it into an overlay.
pub(super) fn becomes_overlay(
    view: &View,
    mount: &Mount,
    source: &MountSource,
    context: &RuleContext,
) -> bool {
    RULE.answer(&context.policy) == Answer::Set
        && source.kind == FileKind::Directory
        && is_readonly(mount)
        && obstacle(view, mount, source, context).is_none()
}

/// Why a read-only directory stays a bind mount.
pub(super) fn obstacle(
    view: &View,
    mount: &Mount,
    source: &MountSource,
    context: &RuleContext,
) -> Option<&'static str> {
    let real = source.real.to_str();
    let known = |option: &str| FLAGS.contains(&option) || OF_BINDS.contains(&option);
    let renewed = |real: &str| real.split('/').any(|component| RENEWED.contains(&component));
    match real {
        _ if context.host.empty.is_none() => Some("there is no directory for the lower layer"),
        _ if context.host.in_user_namespace => Some("the container has a user namespace"),
        _ if source.file_system.class != Class::Local => Some("its file system cannot be a layer"),
        _ if has(mount, &["rbind"]) && !source.below.is_empty() => Some("there are mounts below it"),
        _ if mount.uid_mappings.is_some() || mount.gid_mappings.is_some() => Some("its ids are mapped"),
        _ if !options(mount).all(known) => Some("an overlay does not have its options"),
        _ if clean(&mount.destination) == "/" => Some("it is the root"),
        None => Some("its path is not UTF-8"),
        Some(real) if real.contains([':', ',', '\\']) => {
            Some("its path has a character that options separate by")
        }
        Some(_) if pod::is_of_pod(view, source, context) => Some("it is the pod's own"),
        Some(real) if renewed(real) => Some("kubelet renews it"),
        Some(_) => None,
    }
}

fn plan(view: &View, context: &RuleContext) -> Result<Vec<Edit>, Violation> {
    let Some(empty) = &context.host.empty else { return Ok(Vec::new()) };
    let mut edits = Vec::new();
    for (index, mount, source) in wanted(view, context) {
        let mut words: Vec<String> =
            options(mount).filter(|option| FLAGS.contains(option)).map(str::to_owned).collect();
        if !words.iter().any(|word| word == "ro") {
            words.push("ro".into());
        }
        words.push(format!("lowerdir={}:{empty}", source.real.display()));
        let edit = |member, value, description: String| Edit {
            at: mount_at(index).member(member),
            op: EditOp::Set(JsonText::of(&value)),
            description,
        };
        let description = format!("{} is a read-only overlay in place of a bind mount", &*mount.destination);
        edits.push(edit("type", json!("overlay"), description));
        let description = format!("its layer is {}", source.real.display());
        edits.push(edit("source", json!("overlay"), description));
        edits.push(edit("options", json!(words), "with the same flags".into()));
    }
    Ok(edits)
}
