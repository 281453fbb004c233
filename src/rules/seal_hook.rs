//! `seal-hook`: with `run` and `restore` nobody calls the runtime between create and start, so the namespace is
//! sealed by the last `createRuntime` hook, and the record is dropped by the last `poststop` hook (`run` deletes the
//! container itself). With `create` there is no such hook: one left in the bundle by an earlier `run` goes.

use oci_spec::runtime::Hook;
use serde_json::json;

use super::{Rule, Subject, Violation};
use crate::config::{Change, Edit, Pointer, View};
use crate::settings::Answer;

pub(super) const RULE: Rule = Rule {
    name: "seal-hook",
    promise: "with run and restore, the last createRuntime hook seals the network namespace",
    reference: "runtime-spec, config.md, \"POSIX-platform Hooks\"; runtime.md, \"Lifecycle\"",
    process: false,
    answers: &[Answer::Set],
    plan,
    holds,
};

/// The leading flag that makes the shim a `createRuntime` hook; its value is the record's path.
pub const SEAL_FLAG: &str = "--isolate-seal=";
/// The leading flag that makes the shim a `poststop` hook; its value is the record's path.
pub const FORGET_FLAG: &str = "--isolate-forget=";

/// What the hooks run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealHook {
    /// The shim itself, absolute.
    pub program: String,
    /// The container's record.
    pub record: String,
}

/// Whether these are the arguments of one of our hooks, of whatever container.
fn is_seal_hook(args: &[String]) -> bool {
    args.get(1).is_some_and(|arg| arg.starts_with(SEAL_FLAG) || arg.starts_with(FORGET_FLAG))
}

impl SealHook {
    fn args(&self, flag: &str) -> [String; 2] {
        ["oci-isolate".to_owned(), format!("{flag}{}", self.record)]
    }

    fn is(&self, hook: &Hook, flag: &str) -> bool {
        hook.path().as_os_str() == self.program.as_str()
            && hook.args().as_deref() == Some(&self.args(flag)[..])
    }
}

/// The member of `hooks`, its list, and the flag of ours that belongs there.
fn lists<'v>(view: &'v View) -> [(&'static str, &'v [Hook], &'static str); 2] {
    let hooks = view.hooks.as_ref();
    [
        ("createRuntime", hooks.and_then(|h| h.create_runtime.as_deref()).unwrap_or_default(), SEAL_FLAG),
        ("poststop", hooks.and_then(|h| h.poststop.as_deref()).unwrap_or_default(), FORGET_FLAG),
    ]
}

fn plan(view: &View, subject: &Subject) -> Result<Vec<Edit>, Violation> {
    if holds(view, subject).is_ok() {
        return Ok(Vec::new());
    }
    let mut edits = Vec::new();
    for (member, list, flag) in lists(view) {
        for (index, hook) in list.iter().enumerate() {
            if hook.args().as_deref().is_some_and(is_seal_hook) {
                edits.push(Edit {
                    at: Pointer::to(&["hooks", member]).item(index),
                    change: Change::Remove,
                    says: format!("removed an earlier {member} hook of oci-isolate"),
                });
            }
        }
        if let Some(ours) = &subject.hook {
            edits.push(Edit {
                at: Pointer::to(&["hooks", member]),
                change: Change::Append(json!({"path": ours.program, "args": ours.args(flag)})),
                says: format!("added the last {member} hook"),
            });
        }
    }
    Ok(edits)
}

fn holds(view: &View, subject: &Subject) -> Result<(), Violation> {
    for (member, list, flag) in lists(view) {
        let ours = list.iter().filter(|hook| hook.args().as_deref().is_some_and(is_seal_hook)).count();
        let last_is_ours =
            subject.hook.as_ref().is_some_and(|ours| list.last().is_some_and(|h| ours.is(h, flag)));
        match (&subject.hook, ours, last_is_ours) {
            (None, 0, _) | (Some(_), 1, true) => {}
            (None, ..) => {
                return Err(Violation::of(&RULE, format!("a {member} hook of an earlier run is left")));
            }
            (Some(_), ..) => return Err(Violation::of(&RULE, format!("the last {member} hook is not ours"))),
        }
    }
    Ok(())
}
