//! `seal-hook`: `run` and `restore` are not followed by a call of `start`, so the namespace is sealed by the
//! last `createRuntime` hook, and the record is removed by the last `poststop` hook (`run` deletes the
//! container itself). With `create` there is no such hook: one left in the bundle by an earlier `run` is
//! removed.
//!
//! A new namespace that will get an allow-list is put into lockdown by the very first hook, before any hook
//! that plumbs it (Docker's before 28 is a `prestart` hook, nerdctl's a `createRuntime` hook), and before an
//! engine does so after `create`.

use oci_spec::runtime::Hook;
use serde_json::{Value, json};

use super::{RefusedBy, RequestedNetwork, Rule, RuleContext, Violation, requested_network};
use crate::config::{Edit, EditOp, Hooks, Pointer, View};
use crate::settings::Answer;

pub(super) const RULE: Rule = Rule {
    name: "seal-hook",
    promise: "with run and restore, the last createRuntime hook seals the network namespace; one with openings \
              is put into lockdown by the first hook",
    reference: "runtime-spec, config.md, \"POSIX-platform Hooks\"; runtime.md, \"Lifecycle\"",
    process: false,
    answers: &[Answer::Set],
    refused_by: RefusedBy::Plan,
    plan,
    holds,
};

/// The leading flag that makes the shim a `createRuntime` hook; its value is the record's path.
pub const SEAL_FLAG: &str = "--isolate-seal=";
/// The leading flag that makes the shim a `poststop` hook; its value is the record's path.
pub const FORGET_FLAG: &str = "--isolate-forget=";

/// The leading flag that makes the shim the first hook; its value is the record's path.
pub const CLOSE_FLAG: &str = "--isolate-close=";

/// The flags of all our hooks.
pub const HOOK_FLAGS: [&str; 3] = [CLOSE_FLAG, SEAL_FLAG, FORGET_FLAG];

/// What the hooks run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealHook {
    /// The shim itself, absolute.
    pub program: String,
    /// The container's record.
    pub record: String,
    /// Whether there is no `start`, so that hooks seal and forget.
    pub seals: bool,
}

/// Whether this is one of our hooks, of any container.
fn is_ours(hook: &Hook) -> bool {
    let flag = hook.args().as_deref().and_then(|args| args.get(1));
    flag.is_some_and(|flag| HOOK_FLAGS.iter().any(|ours| flag.starts_with(ours)))
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

/// A list of hooks: its member, its hooks, and the flags of our hooks that belong at its beginning and at its
/// end.
struct List<'v> {
    member: &'static str,
    hooks: &'v [Hook],
    first: Option<&'static str>,
    last: Option<&'static str>,
}

fn lists<'v>(view: &'v View, context: &RuleContext) -> Result<[List<'v>; 3], Violation> {
    let hooks = view.hooks.as_ref();
    let of = |list: fn(&Hooks) -> Option<&[Hook]>| hooks.and_then(list).unwrap_or_default();
    let prestart = of(|hooks| hooks.prestart.as_deref());
    // Runtimes run prestart first. A missing list is not added: it is deprecated.
    let others_prestart = prestart.iter().any(|hook| !is_ours(hook));
    let close = closes(view, context)?.then_some(CLOSE_FLAG);
    let seals = context.hook.as_ref().is_some_and(|hook| hook.seals);
    Ok([
        List { member: "prestart", hooks: prestart, first: close.filter(|_| others_prestart), last: None },
        List {
            member: "createRuntime",
            hooks: of(|hooks| hooks.create_runtime.as_deref()),
            first: close.filter(|_| !others_prestart),
            last: seals.then_some(SEAL_FLAG),
        },
        List {
            member: "poststop",
            hooks: of(|hooks| hooks.poststop.as_deref()),
            first: None,
            last: seals.then_some(FORGET_FLAG),
        },
    ])
}

/// Whether a new namespace will get an allow-list, so that it must be locked down before it is plumbed. One
/// made by the engine is locked down before the runtime is called.
fn closes(view: &View, context: &RuleContext) -> Result<bool, Violation> {
    Ok(!context.policy.openings.is_empty() && matches!(requested_network(view)?, RequestedNetwork::New(_)))
}

fn plan(view: &View, context: &RuleContext) -> Result<Vec<Edit>, Violation> {
    if holds(view, context).is_ok() {
        return Ok(Vec::new());
    }
    let mut edits = Vec::new();
    for List { member, hooks, first, last } in lists(view, context)? {
        for (index, _) in hooks.iter().enumerate().filter(|(_, hook)| is_ours(hook)) {
            edits.push(Edit {
                at: Pointer::to(&["hooks", member]).item(index),
                op: EditOp::Remove,
                description: format!("removed an earlier {member} hook of oci-isolate"),
            });
        }
        let Some(ours) = &context.hook else { continue };
        let item = |flag| json!({"path": ours.program, "args": ours.args(flag)});
        let at = || Pointer::to(&["hooks", member]);
        let add = |flag, op: fn(Value) -> EditOp, word| Edit {
            at: at(),
            op: op(item(flag)),
            description: format!("added the {word} {member} hook"),
        };
        edits.extend(first.map(|flag| add(flag, EditOp::Prepend, "first")));
        edits.extend(last.map(|flag| add(flag, EditOp::Append, "last")));
    }
    Ok(edits)
}

fn holds(view: &View, context: &RuleContext) -> Result<(), Violation> {
    for List { member, hooks, first, last } in lists(view, context)? {
        let is = |hook: Option<&Hook>, flag| {
            hook.zip(context.hook.as_ref()).is_some_and(|(hook, ours)| ours.is(hook, flag))
        };
        if first.is_some_and(|flag| !is(hooks.first(), flag)) {
            return Err(Violation::of(&RULE, format!("the first {member} hook is not ours")));
        }
        if last.is_some_and(|flag| !is(hooks.last(), flag)) {
            return Err(Violation::of(&RULE, format!("the last {member} hook is not ours")));
        }
        let wanted = usize::from(first.is_some()) + usize::from(last.is_some());
        if hooks.iter().filter(|hook| is_ours(hook)).count() != wanted {
            return Err(Violation::of(&RULE, format!("a {member} hook of an earlier run is left")));
        }
    }
    Ok(())
}
