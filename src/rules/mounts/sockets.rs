//! `mount-sockets`: no bind mount is a socket or a FIFO, or shows a socket to which a process is bound. A
//! connection to one needs no network (docs/threats.md, `socket`: docker.sock, D-Bus, `/dev/log` and four others, read-only
//! mounts too), and descriptors of a network can be received over it.
//!
//! A socket in a mounted directory is there because of what runs on the host (an agent, an editor), not
//! because it was asked for: an empty file is mounted over each, right after the directory, so that
//! destinations mean the same for both. A directory that becomes a read-only overlay
//! (`mount-readonly-overlay`) needs none. FIFOs are covered where the directory is read-only, since a
//! read-only mount does not keep a process from writing to one; a writable directory is a channel for data
//! anyway (`data-channels`).

use serde_json::json;

use super::{
    FileKind, MountSource, binds, clean, describe_source, gpu_daemons, has, is_kept, is_readonly, mount_at,
    mounts, overlay, plan_removal, pod, refuse_first, root, system,
};
use crate::config::{Edit, EditOp, JsonText, Mount, View};
use crate::rules::{RefusedBy, Rule, RuleContext, Violation};
use crate::settings::Answer;

pub(in crate::rules) const RULE: Rule = Rule {
    name: "mount-sockets",
    promise: "no mount is a socket or a FIFO, or shows a socket to which a process is bound",
    reference: "unix(7), \"Pathname sockets\"; fifo(7); path_resolution(7)",
    process: false,
    answers: &[Answer::Refuse, Answer::Strip, Answer::Allow],
    refused_by: RefusedBy::Plan,
    plan: |view, context| {
        root(context)?;
        let socket_mounts = socket_mounts(view, context);
        let mut edits = plan_removal(&RULE, socket_mounts.refused, context)?;
        edits.extend(socket_mounts.injected.into_iter().map(|(index, description)| Edit {
            at: mount_at(index),
            op: EditOp::Remove,
            description,
        }));
        edits.extend(socket_mounts.open.into_iter().map(|(index, open)| cover(index, &open, context)));
        Ok(edits)
    },
    holds: |view, context| {
        root(context)?;
        let SocketMounts { refused, injected, open } = socket_mounts(view, context);
        let open = open.into_iter().map(|(index, open)| (index, format!("{} is not covered", open[0])));
        refuse_first(&RULE, &refused.into_iter().chain(injected).chain(open).collect::<Vec<_>>())
    },
};

/// How many are covered in one container.
const COVERED: usize = 64;

const REMEDY_OF_ROOT: &str =
    "end it, or use a copy or an overlay of the directory (podman run --rootfs DIR:O)";

#[derive(Default)]
struct SocketMounts {
    /// Mounts that are refused, and why.
    refused: Vec<(usize, String)>,
    /// Mounts that the platform injects and that are removed, with the description.
    injected: Vec<(usize, String)>,
    /// Mounts with the destinations in them that must be covered and are not yet; at least one.
    open: Vec<(usize, Vec<String>)>,
}

/// Sockets in the root file system are not covered: if another container runs on it, or a daemon, there will
/// be more.
fn root(context: &RuleContext) -> Result<(), Violation> {
    // Mounts below it are refused by their own name.
    if system::RULE.answer(&context.policy) != Answer::Allow && system::root(context).is_err() {
        return Ok(());
    }
    root::judge(&RULE, context, |root| {
        let socket = root.sockets.first()?.display();
        Some(format!("holds the socket {socket}, to which a process is bound; {REMEDY_OF_ROOT}"))
    })
}

fn socket_mounts(view: &View, context: &RuleContext) -> SocketMounts {
    let mut socket_mounts = SocketMounts::default();
    let mut total = 0;
    for (index, mount, source) in binds(view, context) {
        if let Some(daemon) = gpu_daemons::daemon_behind(source) {
            let description =
                format!("removed a mount: {} leads to {daemon}", describe_source(mount, source));
            socket_mounts.injected.push((index, description));
            continue;
        }
        let why = match &source.kind {
            FileKind::Socket => "is a socket".to_owned(),
            FileKind::Fifo => "is a FIFO".to_owned(),
            FileKind::Inaccessible(why) => format!("cannot be looked at: {why}"),
            FileKind::Directory => match seen(view, mount, source, context) {
                Err(why) => why,
                Ok(seen) => {
                    total += seen.len();
                    let open: Vec<String> = missing(view, index, seen, context);
                    if total <= COVERED && context.host.empty_file.is_some() {
                        if !open.is_empty() && is_kept(view, mount, context) {
                            socket_mounts.open.push((index, open));
                        }
                        continue;
                    }
                    if open.is_empty() {
                        continue;
                    }
                    format!("holds sockets, {total} of them up to here, of which {COVERED} can be covered")
                }
            },
            _ => continue,
        };
        if is_kept(view, mount, context) {
            let drop = mount.source.as_deref().unwrap_or_default();
            socket_mounts
                .refused
                .push((index, format!("{} {why}; drop -v {drop}", describe_source(mount, source))));
        }
    }
    socket_mounts
}

/// Where the container would see the sockets of a directory, and the FIFOs to which it could write in spite
/// of a read-only mount.
fn seen(
    view: &View,
    mount: &Mount,
    source: &MountSource,
    context: &RuleContext,
) -> Result<Vec<String>, String> {
    let readonly = is_readonly(mount);
    let fifos = source.fifos.iter().filter(|_| readonly);
    let mut all = source.sockets.iter().chain(fifos).peekable();
    if all.peek().is_none()
        || pod::has_sockets_of_pod(view, source, context)
        || overlay::becomes_overlay(view, mount, source, context)
    {
        return Ok(Vec::new());
    }
    // If mounts below it are not part of it, neither is their content.
    let recursive = !has(mount, &["bind"]) || has(mount, &["rbind"]);
    let is_below = |path: &std::path::Path| source.below.iter().any(|(point, _)| path.starts_with(point));
    let base = clean(&mount.destination);
    let place = |path: &std::path::PathBuf| match path.to_str() {
        Some(text) => Ok(format!("{}/{text}", base.trim_end_matches('/'))),
        None => Err(format!("holds the socket {}, whose name is not UTF-8", path.display())),
    };
    all.filter(|path| recursive || !is_below(&source.real.join(path))).map(place).collect()
}

/// Those that no mount right after the directory covers.
fn missing(view: &View, index: usize, places: Vec<String>, context: &RuleContext) -> Vec<String> {
    if places.is_empty() {
        return places;
    }
    let is_cover = |mount: &&Mount| {
        mount.source.as_deref() == context.host.empty_file.as_deref() && has(mount, &["bind"])
    };
    let behind = mounts(view).skip(index + 1).map(|(_, mount)| mount).take_while(is_cover);
    let covered: Vec<&str> = behind.map(|mount| &*mount.destination).collect();
    places.into_iter().filter(|place| !covered.contains(&place.as_str())).collect()
}

fn cover(index: usize, places: &[String], context: &RuleContext) -> Edit {
    let options = json!(["bind", "ro", "nosuid", "nodev", "noexec", "rprivate"]);
    let source = &context.host.empty_file;
    let over = |place| json!({"destination": place, "type": "bind", "source": source, "options": options});
    Edit {
        at: mount_at(index),
        op: EditOp::Follow(JsonText::of(&places.iter().map(over).collect::<Vec<_>>())),
        description: format!("covered {}", places.join(", ")),
    }
}
