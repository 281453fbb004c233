//! `mount-propagation`: mounts that the host makes later do not appear in the container. By default runc
//! makes the root file system a slave, and with it every bind mount that is not `private`: a mount that the
//! host makes below the container's root, or below a source, propagates (shown with runc 1.1; runc 1.3 and
//! crun make the root private by themselves).

use serde_json::json;

use super::{is_bind, is_kept, mount_at, mounts, options};
use crate::config::{Edit, EditOp, JsonText, Mount, Pointer, View};
use crate::rules::{RefusedBy, Rule, RuleContext, Violation};
use crate::settings::Answer;

pub(in crate::rules) const RULE: Rule = Rule {
    name: "mount-propagation",
    promise: "neither the root file system nor a mount is shared with, or a slave of, the host's mounts",
    reference: "mount_namespaces(7), \"Shared subtrees\"; runtime-spec, config-linux.md, \"Rootfs Mount Propagation\"",
    process: false,
    answers: &[Answer::Strip, Answer::Refuse, Answer::Allow],
    refused_by: RefusedBy::Plan,
    plan,
    holds,
};

const SHARED: [&str; 4] = ["rshared", "rslave", "shared", "slave"];
const PRIVATE: [&str; 4] = ["private", "rprivate", "runbindable", "unbindable"];

/// The propagation of the root file system as written; `None` if left to the runtime.
fn of_root<'v>(view: &'v View) -> Option<&'v str> {
    view.linux.as_ref()?.rootfs_propagation.as_deref().filter(|propagation| !propagation.is_empty())
}

/// Whether it also applies to all mounts below the root file system.
fn is_private(propagation: Option<&str>) -> bool {
    matches!(propagation, Some("rprivate" | "runbindable"))
}

/// The propagation of the root file system, if a shared one was asked for.
fn shared<'v>(view: &'v View) -> Option<&'v str> {
    of_root(view)
        .filter(|propagation| !matches!(*propagation, "private" | "rprivate" | "unbindable" | "runbindable"))
}

/// Options that make a mount shared, with their index.
fn sharing<'m>(mount: &'m Mount) -> impl Iterator<Item = (usize, &'m str)> {
    options(mount).enumerate().filter(|(_, option)| SHARED.contains(option))
}

fn is_open(mount: &Mount) -> bool {
    is_bind(mount) && !options(mount).any(|option| PRIVATE.contains(&option))
}

fn concerned<'v>(
    view: &'v View<'v>,
    context: &'v RuleContext,
) -> impl Iterator<Item = (usize, &'v Mount<'v>)> {
    mounts(view).filter(move |(_, mount)| {
        (is_open(mount) || sharing(mount).next().is_some()) && is_kept(view, mount, context)
    })
}

fn plan(view: &View, context: &RuleContext) -> Result<Vec<Edit>, Violation> {
    if RULE.answer(&context.policy) == Answer::Refuse {
        // A default that was not asked for is no reason to refuse.
        asked(view, context)?;
    }
    let mut edits = Vec::new();
    if !is_private(of_root(view)) {
        edits.push(Edit {
            at: Pointer::to(&["linux", "rootfsPropagation"]),
            op: EditOp::Set(JsonText::of(&"rprivate")),
            description: match shared(view) {
                Some(propagation) => format!("removed the propagation {propagation} of the root file system"),
                None => "made the root file system private".to_owned(),
            },
        });
    }
    for (index, mount) in concerned(view, context) {
        let options = || mount_at(index).member("options");
        edits.extend(sharing(mount).map(|(option, word)| Edit {
            at: options().item(option),
            op: EditOp::Remove,
            description: format!("removed the propagation {word} of {}", &*mount.destination),
        }));
        if is_open(mount) {
            edits.push(Edit {
                at: options(),
                op: EditOp::Append(json!("rprivate")),
                description: format!("made {} private", &*mount.destination),
            });
        }
    }
    Ok(edits)
}

fn asked(view: &View, context: &RuleContext) -> Result<(), Violation> {
    if let Some(how) = shared(view) {
        return Err(Violation::of(&RULE, format!("the root file system's propagation is {how:?}")));
    }
    for (_, mount) in concerned(view, context) {
        if let Some((_, word)) = sharing(mount).next() {
            return Err(Violation::of(
                &RULE,
                format!("the propagation of {} is {word:?}", &*mount.destination),
            ));
        }
    }
    Ok(())
}

fn holds(view: &View, context: &RuleContext) -> Result<(), Violation> {
    asked(view, context)?;
    if !is_private(of_root(view)) {
        return Err(Violation::of(&RULE, "the root file system is not private"));
    }
    match concerned(view, context).find(|(_, mount)| is_open(mount)) {
        None => Ok(()),
        Some((_, mount)) => Err(Violation::of(&RULE, format!("{} is not private", &*mount.destination))),
    }
}
