//! `mount-sockets`: no bind mount is a socket or a FIFO, or shows a socket to which a process is bound. A
//! connection to one needs no network (`e02`: docker.sock, D-Bus, `/dev/log` and four others, read-only mounts too), and
//! descriptors of a network come back over it (`e05`).
//!
//! A socket in a mounted directory is there because of what runs on the host (an agent, an editor), not because it was
//! asked for: an empty file is mounted over each, right behind the directory, so that destinations mean the same for
//! both. A directory that becomes a read-only overlay (`mount-readonly-overlay`) needs none. FIFOs are covered where the
//! directory is read-only, since a read-only mount does not keep a process from writing to one; a writable
//! directory is a channel for data anyway (`data-channels`).

use serde_json::json;

use super::{
    Node, Source, at, binds, clean, gpu_daemons, has, is_readonly, mounts, none, overlay, plan_removal, pod,
    root, shown, stays, system,
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
        let found = found(view, context);
        let mut edits = plan_removal(&RULE, found.against, context)?;
        edits.extend(found.injected.into_iter().map(|(index, description)| Edit {
            at: at(index),
            op: EditOp::Remove,
            description,
        }));
        edits.extend(found.open.into_iter().map(|(index, open)| cover(index, &open, context)));
        Ok(edits)
    },
    holds: |view, context| {
        root(context)?;
        let Found { against, injected, open } = found(view, context);
        let open = open.into_iter().map(|(index, open)| (index, format!("{} is not covered", open[0])));
        none(&RULE, &against.into_iter().chain(injected).chain(open).collect::<Vec<_>>())
    },
};

/// As many are covered in one container.
const COVERED: usize = 64;

const REMEDY_OF_ROOT: &str =
    "end it, or use a copy or an overlay of the directory (podman run --rootfs DIR:O)";

#[derive(Default)]
struct Found {
    /// Mounts that cannot stay, and why.
    against: Vec<(usize, String)>,
    /// Mounts that the platform injects and that are taken out, and what is said of it.
    injected: Vec<(usize, String)>,
    /// Mounts with the destinations of what is to be covered in them and is not yet; never none.
    open: Vec<(usize, Vec<String>)>,
}

/// Sockets in the root file system are not covered: where another container runs on it, or a daemon, there are more to come.
fn root(context: &RuleContext) -> Result<(), Violation> {
    // What is mounted below it is refused by its name.
    if system::RULE.answer(&context.policy) != Answer::Allow && system::root(context).is_err() {
        return Ok(());
    }
    root::judge(&RULE, context, |root| {
        let socket = root.sockets.first()?.display();
        Some(format!("holds the socket {socket}, to which a process is bound; {REMEDY_OF_ROOT}"))
    })
}

fn found(view: &View, context: &RuleContext) -> Found {
    let mut found = Found::default();
    let mut total = 0;
    for (index, mount, source) in binds(view, context) {
        if let Some(daemon) = gpu_daemons::of(source) {
            let description = format!("removed a mount: {} leads to {daemon}", shown(mount, source));
            found.injected.push((index, description));
            continue;
        }
        let why = match &source.node {
            Node::Socket => "is a socket".to_owned(),
            Node::Fifo => "is a FIFO".to_owned(),
            Node::Unclear(why) => format!("cannot be looked at: {why}"),
            Node::Directory => match seen(view, mount, source, context) {
                Err(why) => why,
                Ok(seen) => {
                    total += seen.len();
                    let open: Vec<String> = missing(view, index, seen, context);
                    if total <= COVERED && context.host.empty_file.is_some() {
                        if !open.is_empty() && stays(view, mount, context) {
                            found.open.push((index, open));
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
        if stays(view, mount, context) {
            let drop = mount.source.as_deref().unwrap_or_default();
            found.against.push((index, format!("{} {why}; drop -v {drop}", shown(mount, source))));
        }
    }
    found
}

/// Where the container would see the sockets of a directory, and what else it could write to in spite of a read-only mount.
fn seen(view: &View, mount: &Mount, source: &Source, context: &RuleContext) -> Result<Vec<String>, String> {
    let readonly = is_readonly(mount);
    let fifos = source.fifos.iter().filter(|_| readonly);
    let mut all = source.sockets.iter().chain(fifos).peekable();
    if all.peek().is_none()
        || pod::is_of_pod(view, source, context)
        || overlay::becomes_overlay(view, mount, source, context)
    {
        return Ok(Vec::new());
    }
    // Without the mounts below it, what is in them is not there.
    let recursive = !has(mount, &["bind"]) || has(mount, &["rbind"]);
    let is_below = |path: &std::path::Path| source.below.iter().any(|(point, _)| path.starts_with(point));
    let base = clean(&mount.destination);
    let place = |path: &std::path::PathBuf| match path.to_str() {
        Some(text) => Ok(format!("{}/{text}", base.trim_end_matches('/'))),
        None => Err(format!("holds the socket {}, whose name is not UTF-8", path.display())),
    };
    all.filter(|path| recursive || !is_below(&source.real.join(path))).map(place).collect()
}

/// Those that no mount right behind the directory covers.
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
        at: at(index),
        op: EditOp::Follow(JsonText::of(&places.iter().map(over).collect::<Vec<_>>())),
        description: format!("covered {}", places.join(", ")),
    }
}
