//! `mount-propagation`: mounts that the host makes later do not appear in the container. Runtimes make the root file
//! system a slave until pivot_root(2) is done, so a bind mount that does not say `private` stays a slave of the host's.

use serde_json::json;

use super::{at, is_bind, mounts, options, stays};
use crate::config::{Change, Edit, Mount, Pointer, View};
use crate::rules::{Rule, Subject, Violation};
use crate::settings::Answer;

pub(in crate::rules) const RULE: Rule = Rule {
    name: "mount-propagation",
    promise: "neither the root file system nor a mount is shared with, or a slave of, the host's mounts",
    reference: "mount_namespaces(7), \"Shared subtrees\"; runtime-spec, config-linux.md, \"Rootfs Mount Propagation\"",
    process: false,
    answers: &[Answer::Strip, Answer::Refuse, Answer::Allow],
    plan,
    holds,
};

const SHARED: [&str; 4] = ["rshared", "rslave", "shared", "slave"];
const PRIVATE: [&str; 4] = ["private", "rprivate", "runbindable", "unbindable"];

fn shared<'v>(view: &'v View) -> Option<&'v str> {
    let propagation = view.linux.as_ref()?.rootfs_propagation.as_deref()?;
    (!matches!(propagation, "" | "private" | "rprivate" | "unbindable" | "runbindable"))
        .then_some(propagation)
}

/// Options of a mount that share it, with their index.
fn sharing<'m>(mount: &'m Mount) -> impl Iterator<Item = (usize, &'m str)> {
    options(mount).enumerate().filter(|(_, option)| SHARED.contains(option))
}

fn is_open(mount: &Mount) -> bool {
    is_bind(mount) && !options(mount).any(|option| PRIVATE.contains(&option))
}

fn concerned<'v>(view: &'v View<'v>, subject: &'v Subject) -> impl Iterator<Item = (usize, &'v Mount<'v>)> {
    mounts(view).filter(move |(_, mount)| {
        (is_open(mount) || sharing(mount).next().is_some()) && stays(view, mount, subject)
    })
}

fn plan(view: &View, subject: &Subject) -> Result<Vec<Edit>, Violation> {
    if RULE.answer(&subject.policy) == Answer::Refuse {
        // What nobody asked for is no reason to refuse.
        asked(view, subject)?;
    }
    // Without the member runtimes make it rprivate, and rslave only until pivot_root(2) is done.
    let edit = |propagation: &str| Edit {
        at: Pointer::to(&["linux", "rootfsPropagation"]),
        change: Change::Remove,
        says: format!("removed the propagation {propagation} of the root file system"),
    };
    let mut edits: Vec<Edit> = shared(view).map(edit).into_iter().collect();
    for (index, mount) in concerned(view, subject) {
        let options = || at(index).member("options");
        edits.extend(sharing(mount).map(|(option, word)| Edit {
            at: options().item(option),
            change: Change::Remove,
            says: format!("removed the propagation {word} of {}", &*mount.destination),
        }));
        if is_open(mount) {
            edits.push(Edit {
                at: options(),
                change: Change::Append(json!("rprivate")),
                says: format!("made {} private", &*mount.destination),
            });
        }
    }
    Ok(edits)
}

fn asked(view: &View, subject: &Subject) -> Result<(), Violation> {
    if let Some(how) = shared(view) {
        return Err(Violation::of(&RULE, format!("the root file system's propagation is {how:?}")));
    }
    for (_, mount) in concerned(view, subject) {
        if let Some((_, word)) = sharing(mount).next() {
            return Err(Violation::of(
                &RULE,
                format!("the propagation of {} is {word:?}", &*mount.destination),
            ));
        }
    }
    Ok(())
}

fn holds(view: &View, subject: &Subject) -> Result<(), Violation> {
    asked(view, subject)?;
    match concerned(view, subject).find(|(_, mount)| is_open(mount)) {
        None => Ok(()),
        Some((_, mount)) => Err(Violation::of(&RULE, format!("{} is not private", &*mount.destination))),
    }
}
