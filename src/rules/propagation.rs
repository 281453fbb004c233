//! `mount-propagation`: mounts that the host makes later do not appear in the container. Each mount's own option is
//! the mount rules' business.

use super::{Rule, Subject, Violation};
use crate::config::{Change, Edit, Pointer, View};
use crate::settings::Answer;

pub(super) const RULE: Rule = Rule {
    name: "mount-propagation",
    promise: "the root file system is not shared with, nor a slave of, the host's mounts",
    reference: "mount_namespaces(7), \"Shared subtrees\"; runtime-spec, config-linux.md, \"Rootfs Mount Propagation\"",
    process: false,
    answers: &[Answer::Strip, Answer::Refuse, Answer::Allow],
    plan,
    holds,
};

fn shared<'v>(view: &'v View) -> Option<&'v str> {
    let propagation = view.linux.as_ref()?.rootfs_propagation.as_deref()?;
    (!matches!(propagation, "" | "private" | "rprivate" | "unbindable" | "runbindable"))
        .then_some(propagation)
}

fn plan(view: &View, subject: &Subject) -> Result<Vec<Edit>, Violation> {
    if RULE.answer(&subject.policy) == Answer::Refuse {
        holds(view, subject)?;
    }
    // Without the member runtimes make it rprivate, and rslave only until pivot_root(2) is done.
    let edit = |propagation: &str| Edit {
        at: Pointer::to(&["linux", "rootfsPropagation"]),
        change: Change::Remove,
        says: format!("removed the propagation {propagation} of the root file system"),
    };
    Ok(shared(view).map(edit).into_iter().collect())
}

fn holds(view: &View, _: &Subject) -> Result<(), Violation> {
    match shared(view) {
        None => Ok(()),
        Some(how) => Err(Violation::of(&RULE, format!("the root file system's propagation is {how:?}"))),
    }
}
