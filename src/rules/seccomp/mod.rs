//! `seccomp`: system calls that bypass the network namespace do not exist.
//!
//! AF_VSOCK was not namespaced before Linux 7.0 and leads to the hypervisor, other families lead elsewhere;
//! io_uring makes sockets without socket(2), and so does `socketcall` of i386, whose arguments a filter
//! cannot see; NETLINK_KOBJECT_UEVENT reports about the host; request_key(2) makes the host's
//! /sbin/request-key resolve names; keyrings are shared by user id; open_by_handle_at(2) opens namespaces by
//! number (CVE-2026-43391).
//!
//! In an allow-list, such as Docker's, a further rule that denies has no effect, so the rules that allow
//! calls are narrowed (`plan`). What a profile denies stays denied. `architectures` and `flags` stay, except
//! x32 if core dumps go to a program, and all but the machine's own if the settings say so: a call of an
//! architecture that is not listed kills, as before. For `exec` there is nothing to do: runtimes apply the
//! container's profile.

mod evaluate;
mod limits;
pub mod lists;
mod narrow;
mod plan;
mod profile;
#[cfg(test)]
mod tests;

use lists::FAMILIES;
use profile::{Action, Profile};
use serde::Serialize;

use super::{RefusedBy, Rule, RuleContext, Violation, limits_core_dumps};
use crate::config::{Edit, EditOp, JsonText, Pointer, Seccomp, View};
use crate::settings::{Answer, Family};

pub(super) const RULE: Rule = Rule {
    name: "seccomp",
    promise: "sockets only of families that stay within namespaces; no io_uring, socketcall, keyrings, file handles",
    reference: "runtime-spec, config-linux.md, \"Seccomp\"; seccomp(2); vsock(7); request_key(2); CVE-2026-43391",
    process: false,
    answers: &[Answer::Set],
    refused_by: RefusedBy::Plan,
    plan,
    holds,
};

/// Architectures whose programs a machine runs, its own first. Programs of one that is left out are killed.
fn architectures_of(machine: &str) -> &'static [&'static str] {
    match machine {
        "x86_64" => &["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"],
        "aarch64" => &["SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"],
        "s390x" => &["SCMP_ARCH_S390X", "SCMP_ARCH_S390"],
        _ => &[],
    }
}

const LIST: [&str; 3] = ["linux", "seccomp", "syscalls"];

/// What the profile may allow.
#[derive(Debug, Default)]
struct Allowed {
    /// All open socket families.
    families: Vec<u32>,
    /// Whether the limit for core dumps can be changed.
    core_limit: bool,
    /// Whether programs of other architectures than the machine's own can run.
    foreign: bool,
    /// The machine's, its own first.
    architectures: &'static [&'static str],
}

impl Allowed {
    fn from_context(context: &RuleContext) -> Self {
        let added = context.policy.seccomp.families.iter().copied().map(Family::number);
        let mut families: Vec<u32> = FAMILIES.iter().map(|family| family.is).chain(added).collect();
        families.sort_unstable();
        families.dedup();
        let foreign = !context.policy.seccomp.native;
        let architectures = architectures_of(std::env::consts::ARCH);
        Self { families, core_limit: !limits_core_dumps(context), foreign, architectures }
    }

    /// Why an architecture must not be listed, if it must not.
    fn objection(&self, architecture: &str) -> Option<&'static str> {
        let name = short(architecture);
        let is = |other: &str| name.eq_ignore_ascii_case(short(other));
        if !self.foreign && !self.architectures.first().is_some_and(|native| is(native)) {
            return Some("which is not the machine's own");
        }
        // `limits`: the filter must see whether a pointer is NULL, and the kernel uses all 64 bits.
        (!self.core_limit && is("x32")).then_some("of whose arguments a filter sees half")
    }
}

/// Whether a document's profile allows calls that it does not name, so that one whose name the runtime's
/// libseccomp does not know would be open.
#[must_use]
pub fn names_what_it_denies(view: &View) -> bool {
    let default = seccomp(view).and_then(|profile| profile.default_action.as_deref()).unwrap_or_default();
    // An unknown one is refused by the rule.
    Action::parse(default, None).map_or(true, Action::passes)
}

fn seccomp<'v, 'a>(view: &'v View<'a>) -> Option<&'v Seccomp<'a>> {
    view.linux.as_ref()?.seccomp.as_ref()
}

fn parse(view: &View) -> Result<Option<Profile>, Violation> {
    let profile = seccomp(view).map_or(Ok(None), Profile::parse);
    profile.map_err(|why| Violation::of(&RULE, format!("the profile cannot be narrowed: {why}")))
}

fn holds(view: &View, context: &RuleContext) -> Result<(), Violation> {
    let Some(profile) = parse(view)? else { return Err(Violation::of(&RULE, "there is no profile")) };
    let open = Allowed::from_context(context);
    let among = |(_, name, _): (usize, &str, _)| format!("{name} is among the architectures");
    let hole = evaluate::first_hole(&profile, &open).or_else(|| surplus(view, &open).next().map(among));
    hole.map_or(Ok(()), |hole| Err(Violation::of(&RULE, hole)))
}

fn plan(view: &View, context: &RuleContext) -> Result<Vec<Edit>, Violation> {
    let open = Allowed::from_context(context);
    let Some(profile) = parse(view)? else { return Ok(vec![new_profile(&open)]) };
    let plan = plan::Plan::of(&profile, &open);
    let rule_at = |at| Pointer::to(&LIST).item(at);
    let surplus = surplus(view, &open).map(|(at, name, why)| Edit {
        at: Pointer::to(&["linux", "seccomp", "architectures"]).item(at),
        op: EditOp::Remove,
        description: format!("removed {name}, {why}"),
    });
    let mut edits: Vec<Edit> = surplus.collect();
    for rule in &profile.rules {
        let gone: Vec<_> = rule.named.iter().filter(|(_, name)| plan.removes(rule.at, name)).collect();
        let (action, _) = rule.action.words();
        if gone.len() == rule.length {
            let description = format!("removed the rule that has {} {action}", joined(&gone));
            edits.push(Edit { at: rule_at(rule.at), op: EditOp::Remove, description });
            continue;
        }
        edits.extend(gone.iter().map(|(at, name)| Edit {
            at: rule_at(rule.at).member("names").item(*at),
            op: EditOp::Remove,
            description: format!("removed {name} from what is {action}"),
        }));
    }
    if !plan.rules.is_empty() {
        edits.push(Edit {
            at: Pointer::to(&LIST),
            op: EditOp::Extend(JsonText::of(&plan.rules)),
            description: format!("added {} rules that {}", plan.rules.len(), plan.describe()),
        });
    }
    Ok(edits)
}

/// The architectures that must not be listed, with their indexes and why.
fn surplus<'v>(view: &'v View, open: &Allowed) -> impl Iterator<Item = (usize, &'v str, &'static str)> {
    let listed = seccomp(view).and_then(|seccomp| seccomp.architectures.as_deref()).unwrap_or_default();
    listed.iter().enumerate().filter_map(|(at, name)| Some((at, &**name, open.objection(name)?)))
}

/// crun accepts names in any case and without the prefix that runc requires.
fn short(architecture: &str) -> &str {
    architecture.strip_prefix("SCMP_ARCH_").unwrap_or(architecture)
}

fn joined(names: &[&(usize, &str)]) -> String {
    names.iter().map(|(_, name)| *name).collect::<Vec<_>>().join(", ")
}

/// The profile for a document without one: everything else stays allowed.
fn new_profile(open: &Allowed) -> Edit {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct NewProfile {
        default_action: &'static str,
        #[serde(skip_serializing_if = "Vec::is_empty")]
        architectures: Vec<&'static str>,
        syscalls: Vec<plan::NewSyscall>,
    }
    let nothing = Profile { default: Action::Allow, rules: Vec::new() };
    let syscalls = plan::Plan::of(&nothing, open).rules;
    let (default_action, _) = nothing.default.words();
    let architectures = open.architectures.iter().copied();
    let architectures = architectures.filter(|name| open.objection(name).is_none()).collect();
    Edit {
        at: Pointer::to(&LIST[..2]),
        op: EditOp::Set(JsonText::of(&NewProfile { default_action, architectures, syscalls })),
        description: "made a profile, since there was none".into(),
    }
}
