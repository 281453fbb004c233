//! `seccomp`: system calls that pass by the network namespace are not there.
//!
//! AF_VSOCK was not namespaced before Linux 7.0 and leads to the hypervisor, other families lead elsewhere; io_uring
//! makes sockets without socket(2), and so does `socketcall` of i386, whose arguments a filter cannot see;
//! NETLINK_KOBJECT_UEVENT tells of the host; request_key(2) has the host's /sbin/request-key resolve names; keyrings
//! are shared by user id; open_by_handle_at(2) opens namespaces by number (CVE-2026-43391).
//!
//! In an allow-list, such as Docker's, a further rule that denies has no effect, so the rules that allow are narrowed
//! (`plan`). What a profile denies stays denied. `architectures` and `flags` stay: a call of an architecture that is
//! not listed kills, as before. For `exec` there is nothing to do: runtimes apply the container's profile.

mod evaluate;
mod narrow;
mod plan;
mod profile;
#[cfg(test)]
mod tests;

use profile::{Action, Profile};
use serde::Serialize;

use super::{Rule, Subject, Violation};
use crate::config::{Change, Edit, Json, Pointer, Seccomp, View};
use crate::settings::{Answer, Family};

pub(super) const RULE: Rule = Rule {
    name: "seccomp",
    promise: "sockets only of families that stay within namespaces; no io_uring, socketcall, keyrings, file handles",
    reference: "runtime-spec, config-linux.md, \"Seccomp\"; seccomp(2); vsock(7); request_key(2); CVE-2026-43391",
    process: false,
    answers: &[Answer::Set],
    plan,
    holds,
};

/// Calls that are not there at all.
const CLOSED: [&str; 8] = [
    "socketcall",
    "io_uring_setup",
    "io_uring_enter",
    "io_uring_register",
    "request_key",
    "keyctl",
    "add_key",
    "open_by_handle_at",
];

/// Calls that make sockets; the family is their first argument, the protocol their third.
const SOCKETS: [&str; 2] = ["socket", "socketpair"];

/// AF_UNIX, AF_INET, AF_INET6, AF_NETLINK.
const FAMILIES: [u32; 4] = [1, 2, 10, NETLINK];
const NETLINK: u32 = 16;

/// NETLINK_ROUTE, NETLINK_SOCK_DIAG, NETLINK_AUDIT, NETLINK_GENERIC.
const PROTOCOLS: [u32; 4] = [0, 4, 9, 16];

/// Architectures whose programs this machine runs. With others than the native one left out, their programs would be
/// killed.
const ARCHITECTURES: &[&str] = if cfg!(target_arch = "x86_64") {
    &["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"]
} else if cfg!(target_arch = "aarch64") {
    &["SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"]
} else if cfg!(target_arch = "s390x") {
    &["SCMP_ARCH_S390X", "SCMP_ARCH_S390"]
} else {
    &[]
};

const LIST: [&str; 3] = ["linux", "seccomp", "syscalls"];

fn families(subject: &Subject) -> Vec<u32> {
    let added = subject.policy.families.iter().copied().map(Family::number);
    let mut all: Vec<u32> = FAMILIES.into_iter().chain(added).collect();
    all.sort_unstable();
    all.dedup();
    all
}

fn seccomp<'v, 'a>(view: &'v View<'a>) -> Option<&'v Seccomp<'a>> {
    view.linux.as_ref()?.seccomp.as_ref()
}

fn read(view: &View) -> Result<Option<Profile>, Violation> {
    let profile = seccomp(view).map_or(Ok(None), Profile::read);
    profile.map_err(|why| Violation::of(&RULE, format!("the profile cannot be narrowed: {why}")))
}

fn holds(view: &View, subject: &Subject) -> Result<(), Violation> {
    let Some(profile) = read(view)? else { return Err(Violation::of(&RULE, "there is no profile")) };
    match evaluate::hole(&profile, &families(subject)) {
        None => Ok(()),
        Some(hole) => Err(Violation::of(&RULE, hole)),
    }
}

fn plan(view: &View, subject: &Subject) -> Result<Vec<Edit>, Violation> {
    let families = families(subject);
    let Some(profile) = read(view)? else { return Ok(vec![profile_of_ours(&families)]) };
    let plan = plan::Plan::of(&profile, &families);
    let rule_at = |at| Pointer::to(&LIST).item(at);
    let mut edits = Vec::new();
    for rule in &profile.rules {
        let gone: Vec<_> = rule.named.iter().filter(|(_, name)| plan.removes(rule.at, name)).collect();
        let (action, _) = rule.action.words();
        if gone.len() == rule.length {
            let says = format!("removed the rule that has {} {action}", list(&gone));
            edits.push(Edit { at: rule_at(rule.at), change: Change::Remove, says });
            continue;
        }
        edits.extend(gone.iter().map(|(at, name)| Edit {
            at: rule_at(rule.at).member("names").item(*at),
            change: Change::Remove,
            says: format!("removed {name} from what is {action}"),
        }));
    }
    if !plan.rules.is_empty() {
        edits.push(Edit {
            at: Pointer::to(&LIST),
            change: Change::Extend(Json::of(&plan.rules)),
            says: format!("added {} rules that {}", plan.rules.len(), plan.says()),
        });
    }
    Ok(edits)
}

fn list(names: &[&(usize, &str)]) -> String {
    names.iter().map(|(_, name)| *name).collect::<Vec<_>>().join(", ")
}

/// A profile where there is none: everything else stays allowed.
fn profile_of_ours(families: &[u32]) -> Edit {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Ours {
        default_action: &'static str,
        #[serde(skip_serializing_if = "<[_]>::is_empty")]
        architectures: &'static [&'static str],
        syscalls: Vec<plan::New>,
    }
    let nothing = Profile { default: Action::Allow, rules: Vec::new() };
    let syscalls = plan::Plan::of(&nothing, families).rules;
    let (default_action, _) = nothing.default.words();
    Edit {
        at: Pointer::to(&LIST[..2]),
        change: Change::Set(Json::of(&Ours { default_action, architectures: ARCHITECTURES, syscalls })),
        says: "made a profile, since there was none".into(),
    }
}
