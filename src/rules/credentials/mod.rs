//! `credentials-env`: no AWS credential, and no pointer to one, is in the environment: of the process, and of the hooks that
//! run in the container's namespaces. Other hooks (`prestart`, `createRuntime`, `poststart`, `poststop`) are the platform's own
//! programs in the runtime's namespaces, and may need theirs.
//!
//! Variables are removed, never blanked: an empty `AWS_CONTAINER_CREDENTIALS_RELATIVE_URI` costs boto3 three
//! seconds and then raises, and an empty `AWS_PROFILE` raises too. Pointers are removed with the secrets,
//! since a dangling one breaks programs when they construct a client. All duplicates are removed, because
//! runc lets the last one win.

pub mod args;
pub mod files;
pub mod mounts;
mod names;
pub mod paths;
mod values;

use oci_spec::runtime::Hook;
use serde_json::json;

use super::{RefusedBy, Rule, RuleContext, Violation};
use crate::config::{Edit, EditOp, Hooks, Pointer, View};
use crate::settings::{Answer, Credentials};

/// The name of the rule about variables.
pub const NAME: &str = "credentials-env";

pub(super) const RULE: Rule = Rule {
    name: NAME,
    promise: "no AWS credential and no pointer to one is in the environment of the process and of hooks in the container",
    reference: "AWS SDKs and Tools Reference Guide, \"Settings reference\"; runtime-spec, config.md, \"POSIX-platform Hooks\"; docs/rules.md lists names and patterns",
    process: true,
    answers: &[Answer::Strip],
    refused_by: RefusedBy::Plan,
    plan,
    holds,
};

/// Keeps SDKs from asking for instance metadata, which cannot answer (AWS SDKs and Tools Reference Guide, "IMDS client
/// settings").
const NO_METADATA: (&str, &str) = ("AWS_EC2_METADATA_DISABLED", "true");

const ENV: [&str; 2] = ["process", "env"];

/// A variable that must be removed: its index among the entries, its name, and the reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeakedVariable<'e> {
    /// Index among the entries.
    pub index: usize,
    /// The variable's name. Its value is never passed on.
    pub name: &'e str,
    /// Why it is considered a credential.
    pub reason: &'static str,
}

/// Whether a variable of this name is removed whatever its value.
#[must_use]
pub fn is_removed(name: &str, additions: &Credentials) -> bool {
    !leaked_variables(std::iter::once(name), additions).is_empty()
}

/// Finds the credentials among `NAME=VALUE` entries. An entry without `=` is a name without a value.
#[must_use]
pub fn leaked_variables<'e>(
    entries: impl Iterator<Item = &'e str> + Clone,
    additions: &Credentials,
) -> Vec<LeakedVariable<'e>> {
    let split = |entry: &'e str| entry.split_once('=').unwrap_or((entry, ""));
    let listed = |list: &[String], name: &str| list.iter().any(|n| n.eq_ignore_ascii_case(name));
    let beside_key_id = entries.clone().any(|entry| values::is_access_key_id(split(entry).1));
    let leaked = |(index, entry): (usize, &'e str)| {
        let (name, value) = split(entry);
        let reason = if listed(&additions.keep, name) {
            return None;
        } else if listed(&additions.remove, name) {
            "the settings name it"
        } else if names::is_credential(name) {
            "its name"
        } else {
            values::credential(name, value, beside_key_id)?
        };
        Some(LeakedVariable { index, name, reason })
    };
    entries.enumerate().filter_map(leaked).collect()
}

fn entries<'v>(view: &'v View) -> Result<impl Iterator<Item = &'v str> + Clone, Violation> {
    let entries = view.process.iter().flat_map(|process| process.env.iter());
    for (index, entry) in entries.clone().enumerate() {
        if !entry.contains('=') {
            return Err(Violation::of(&RULE, format!("/process/env/{index} has no \"=\"")));
        }
    }
    Ok(entries)
}

fn sets_metadata_switch<'e>(mut entries: impl Iterator<Item = &'e str>) -> bool {
    entries.any(|entry| entry.split_once('=').is_some_and(|(name, _)| name == NO_METADATA.0))
}

/// A credential in the environment of a hook that runs in the container's namespaces.
struct HookVariable<'v> {
    list: &'static str,
    hook: usize,
    leaked: LeakedVariable<'v>,
}

fn leaked_hook_variables<'v>(view: &'v View, context: &RuleContext) -> Vec<HookVariable<'v>> {
    let hooks = view.hooks.iter().flat_map(Hooks::inside);
    let leaked_of_hook = |(list, hook, it): (&'static str, usize, &'v Hook)| {
        let env = it.env().as_deref().unwrap_or_default().iter().map(String::as_str);
        let leaked_variables = leaked_variables(env, &context.policy.credentials).into_iter();
        leaked_variables.map(move |leaked| HookVariable { list, hook, leaked })
    };
    hooks.flat_map(leaked_of_hook).collect()
}

fn plan(view: &View, context: &RuleContext) -> Result<Vec<Edit>, Violation> {
    let remove_from_hook = |HookVariable { list, hook, leaked }: HookVariable| Edit {
        at: Pointer::to(&["hooks", list]).item(hook).member("env").item(leaked.index),
        op: EditOp::Remove,
        description: format!("removed variable {} of {list} hook {hook} ({})", leaked.name, leaked.reason),
    };
    let mut edits: Vec<Edit> =
        leaked_hook_variables(view, context).into_iter().map(remove_from_hook).collect();
    if view.process.is_none() {
        return Ok(edits);
    }
    let entries = entries(view)?;
    let remove = |leaked: LeakedVariable| Edit {
        at: Pointer::to(&ENV).item(leaked.index),
        op: EditOp::Remove,
        description: format!("removed variable {} ({})", leaked.name, leaked.reason),
    };
    edits.extend(leaked_variables(entries.clone(), &context.policy.credentials).into_iter().map(remove));
    if !sets_metadata_switch(entries) {
        let (name, value) = NO_METADATA;
        edits.push(Edit {
            at: Pointer::to(&ENV),
            op: EditOp::Append(json!(format!("{name}={value}"))),
            description: format!("set variable {name}"),
        });
    }
    Ok(edits)
}

fn holds(view: &View, context: &RuleContext) -> Result<(), Violation> {
    if let Some(HookVariable { list, hook, leaked }) = leaked_hook_variables(view, context).first() {
        let why = format!("variable {} of {list} hook {hook} is there ({})", leaked.name, leaked.reason);
        return Err(Violation::of(&RULE, why));
    }
    if view.process.is_none() {
        return Ok(());
    }
    let entries = entries(view)?;
    if let Some(leaked) = leaked_variables(entries.clone(), &context.policy.credentials).first() {
        return Err(Violation::of(&RULE, format!("variable {} is there ({})", leaked.name, leaked.reason)));
    }
    if !sets_metadata_switch(entries) {
        return Err(Violation::of(&RULE, format!("variable {} is not set", NO_METADATA.0)));
    }
    Ok(())
}
