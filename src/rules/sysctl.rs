//! `sysctl`: kernel settings are only those of namespaces that the container has, by list. runc and crun
//! check the same; youki writes any, and `kernel.core_pattern` names a program of the host.

use oci_spec::runtime::LinuxNamespaceType;

use super::{RefusedBy, Rule, RuleContext, Violation};
use crate::config::{Edit, EditOp, Pointer, View};
use crate::settings::Answer;

pub(super) const RULE: Rule = Rule {
    name: "sysctl",
    promise: "kernel settings are of namespaces of the container only",
    reference: "runtime-spec, config-linux.md, \"Sysctl\"; ipc_namespaces(7); uts_namespaces(7)",
    process: false,
    answers: &[Answer::Refuse, Answer::Strip, Answer::Allow],
    refused_by: RefusedBy::Holds,
    plan: |view, _| {
        let edit = |(name, _): (&str, _)| Edit {
            at: Pointer::to(&["linux", "sysctl"]).named(name),
            op: EditOp::Remove,
            description: format!("removed sysctl {name:?}"),
        };
        Ok(violations(view).map(edit).collect())
    },
    holds,
};

/// Paths below /proc/sys, or prefixes of them, and the namespace of each.
pub const NAMESPACED: [(&str, LinuxNamespaceType); 12] = [
    ("net/", LinuxNamespaceType::Network),
    ("fs/mqueue/", LinuxNamespaceType::Ipc),
    ("kernel/msgmax", LinuxNamespaceType::Ipc),
    ("kernel/msgmnb", LinuxNamespaceType::Ipc),
    ("kernel/msgmni", LinuxNamespaceType::Ipc),
    ("kernel/sem", LinuxNamespaceType::Ipc),
    ("kernel/shmall", LinuxNamespaceType::Ipc),
    ("kernel/shmmax", LinuxNamespaceType::Ipc),
    ("kernel/shmmni", LinuxNamespaceType::Ipc),
    ("kernel/shm_rmid_forced", LinuxNamespaceType::Ipc),
    ("kernel/domainname", LinuxNamespaceType::Uts),
    ("user/", LinuxNamespaceType::User),
];

/// The names that violate the rule, with the reason.
fn violations<'v>(view: &'v View) -> impl Iterator<Item = (&'v str, String)> {
    let linux = view.linux.as_ref();
    let namespaces = linux.and_then(|linux| linux.namespaces.as_deref()).unwrap_or_default();
    let why = |name: &str| {
        // As runc, crun and youki turn it into a path, so that no component can be `..`.
        let path = name.replace('.', "/");
        let is = |known: &str| path == known || (known.ends_with('/') && path.starts_with(known));
        match NAMESPACED.iter().find(|(known, _)| is(known)) {
            None => Some("is of no namespace, and so the machine's".to_owned()),
            // The container gets one of its own, or joins one that is sealed.
            Some((_, LinuxNamespaceType::Network)) => None,
            Some((_, kind)) if namespaces.iter().any(|entry| entry.typ() == *kind) => None,
            Some((_, kind)) => Some(format!("is of the {kind} namespace, which the container does not have")),
        }
    };
    let names = linux.and_then(|linux| linux.sysctl.as_ref()).into_iter().flatten().map(|(name, _)| &**name);
    names.filter_map(move |name| Some((name, why(name)?)))
}

fn holds(view: &View, _: &RuleContext) -> Result<(), Violation> {
    match violations(view).next() {
        None => Ok(()),
        Some((name, why)) => Err(Violation::of(&RULE, format!("sysctl {name:?} {why}; drop --sysctl"))),
    }
}
