//! `namespaces`: each type is given once, the mount namespace is the container's own, and one that is given
//! by path is of a type for which that is harmless, or which another rule checks. Runtimes differ on which of
//! two entries they use: crun 1.8 joins the second.

use oci_spec::runtime::LinuxNamespaceType::{self, Cgroup, Ipc, Mount, Network, Pid, Time, User, Uts};

use super::{RefusedBy, Rule, RuleContext, Shared, Violation, no_edits};
use crate::config::View;
use crate::settings::Answer;

pub(super) const RULE: Rule = Rule {
    name: "namespaces",
    promise: "every namespace is given once, the mount namespace is the container's own, and none by path is another's",
    reference: "runtime-spec, config-linux.md, \"Namespaces\"; namespaces(7), setns(2)",
    process: false,
    answers: &[Answer::Refuse],
    refused_by: RefusedBy::Holds,
    plan: no_edits,
    holds,
};

/// Which namespaces may be given by path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ByPath {
    /// Any, also another container's or the host's.
    Any,
    /// That of a member of the same isolated pod.
    Pods,
    /// Another rule decides.
    Rule(&'static str),
    /// None.
    None,
}

/// All types, with the reason; docs/rules.md has the same rows.
const TYPES: [(LinuxNamespaceType, &str, ByPath, &str); 8] = [
    (Network, "network", ByPath::Rule("network-namespace"), "connections"),
    (Pid, "pid", ByPath::Rule("host-pid"), "processes that have a network"),
    (Ipc, "ipc", ByPath::Rule("host-ipc"), "a channel to others"),
    (Mount, "mount", ByPath::None, "its files differ from those that were checked"),
    (User, "user", ByPath::Pods, "its capabilities count in the namespaces that belong to it"),
    (Uts, "uts", ByPath::Any, "a host name, which takes CAP_SYS_ADMIN to change"),
    (Cgroup, "cgroup", ByPath::Any, "names of control groups"),
    (Time, "time", ByPath::Any, "offsets of clocks, fixed once a process is in it"),
];

fn holds(view: &View, context: &RuleContext) -> Result<(), Violation> {
    let against = |why: String| Err(Violation::of(&RULE, why));
    let list = view.linux.as_ref().and_then(|linux| linux.namespaces.as_deref()).unwrap_or_default();
    for (kind, word, by_path, why) in TYPES {
        let mut entries = list.iter().filter(|entry| entry.typ() == kind);
        let (first, second) = (entries.next(), entries.next());
        if second.is_some() {
            return against(format!(
                "several {word} namespaces are given; runtimes differ on which one they take"
            ));
        }
        let path =
            first.and_then(|entry| entry.path().as_deref().filter(|path| !path.as_os_str().is_empty()));
        let Some(path) = path else {
            if kind == Mount && first.is_none() {
                return against(
                    "there is no mount namespace, so it is the host's; give it one of its own".into(),
                );
            }
            continue;
        };
        let shown = path.display();
        if !path.is_absolute() {
            return against(format!("the path {shown} of the {word} namespace is not absolute"));
        }
        match by_path {
            ByPath::Any | ByPath::Rule(_) => {}
            ByPath::Pods if context.host.user == Shared::WithinPod => {}
            ByPath::Pods => {
                return against(format!(
                    "the {word} namespace {shown} is not that of a member of an isolated pod ({why}); give the container \
                     one of its own"
                ));
            }
            ByPath::None => {
                return against(format!(
                    "the {word} namespace {shown} is given by path ({why}); give the container one of its own"
                ));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_stands_in_the_pages_with_its_reason() {
        let rules = include_str!("../../docs/rules.md");
        for (_, word, by_path, why) in TYPES {
            let answer = match by_path {
                ByPath::Any => "stays".into(),
                ByPath::Pods => "stays within an isolated pod, else refused".into(),
                ByPath::Rule(rule) => format!("`{rule}`"),
                ByPath::None => "refused".to_owned(),
            };
            let row = format!("| {word} | {answer} | {why} |");
            assert!(rules.lines().any(|line| line == row), "docs/rules.md lacks {row}");
        }
    }
}
