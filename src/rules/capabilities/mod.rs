//! `network-capabilities` and `host-capabilities`.
//!
//! With CAP_NET_ADMIN a container configures its network namespace and flushes the firewall table; AF_PACKET
//! sockets, which CAP_NET_RAW allows, bypass the hooks of `inet` tables. Both are always removed: they are
//! among engines' defaults, and they also affect the namespace from within a user namespace that owns it.
//!
//! Of the others, those on the list ([`TABLE`]) stay; one that is not, known or unknown, was asked for by
//! name, so the default is to refuse. CAP_SYS_PTRACE is removed and not refused, since programs that ask for
//! it usually trace their own children: with it a container can trace the runtime's init during `exec`, which
//! has all capabilities and no filter (shown in tests/closed_world; a runtime is not dumpable, CVE-2016-9962,
//! which this capability overrides).

mod table;

use std::borrow::Cow;

use super::{RefusedBy, Rule, RuleContext, Violation};
use crate::config::{Edit, EditOp, Pointer, View};
use crate::settings::Answer;
pub use table::{Capability, TABLE};

pub(super) const NETWORK: Rule = Rule {
    name: "network-capabilities",
    promise: "CAP_NET_ADMIN and CAP_NET_RAW are in none of the five capability sets",
    reference: "capabilities(7); packet(7); runtime-spec, config.md, \"Linux Process\"",
    process: true,
    answers: &[Answer::Strip],
    refused_by: RefusedBy::Plan,
    plan: |view, context| plan(&NETWORK, view, context),
    holds: |view, context| holds(&NETWORK, view, context),
};

pub(super) const HOST: Rule = Rule {
    name: "host-capabilities",
    promise: "the container has no capabilities but those that stay within its namespaces",
    reference: "capabilities(7); user_namespaces(7); open_by_handle_at(2); CVE-2016-9962; CVE-2026-43391",
    process: true,
    answers: &[Answer::Refuse, Answer::Strip, Answer::Allow],
    refused_by: RefusedBy::Plan,
    plan: |view, context| plan(&HOST, view, context),
    holds: |view, context| holds(&HOST, view, context),
};

/// What becomes of a capability.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// The container gets it.
    Stays,
    /// It is removed from the sets, and the container starts.
    Removed,
    /// The container is refused, unless the settings say `strip` or `allow`.
    Refused,
}

/// Why a capability is forbidden: the rule, what becomes of it, and the reason.
struct Forbidden {
    rule: &'static Rule,
    fate: Fate,
    why: &'static str,
}

impl Capability {
    fn judge(&self, confined: bool) -> Option<Forbidden> {
        let rule =
            if self.name.starts_with("NET_") && self.plain == Fate::Removed { &NETWORK } else { &HOST };
        let fate = if confined { self.confined } else { self.plain };
        (fate != Fate::Stays).then_some(Forbidden { rule, fate, why: self.why })
    }
}

/// Why a name is forbidden, if it is. crun accepts names in any case, and youki without `CAP_`. libcap, which
/// parses them for crun, also accepts numbers (`12`, `0xc`) and ignores what follows a name
/// (`cap_net_admin,x`): such a name could be CAP_NET_ADMIN, which no answer allows.
fn judge_name(name: &str, confined: bool) -> Option<Forbidden> {
    let prefixed = name.get(..4).is_some_and(|prefix| prefix.eq_ignore_ascii_case("CAP_"));
    let bare = if prefixed { &name[4..] } else { name };
    if bare.is_empty() || !bare.bytes().all(|byte| byte.is_ascii_alphabetic() || byte == b'_') {
        let why = "is not the name of a capability, and runtimes may take it for one";
        return Some(Forbidden { rule: &NETWORK, fate: Fate::Refused, why });
    }
    match TABLE.iter().find(|known| known.name.eq_ignore_ascii_case(bare)) {
        Some(known) => known.judge(confined),
        None => Some(Forbidden { rule: &HOST, fate: Fate::Refused, why: "is not known" }),
    }
}

/// The capabilities of a process's set that are forbidden: for each the rule's name and its own, or its
/// number if it has no name. `confined`: the capabilities count only in a confining user namespace.
pub fn forbidden(set: u64, confined: bool) -> impl Iterator<Item = (&'static str, Cow<'static, str>)> {
    (0..u64::BITS).filter(move |bit| set & (1 << bit) != 0).filter_map(move |bit| {
        match TABLE.get(bit as usize) {
            Some(known) => Some((known.judge(confined)?.rule.name, known.name.into())),
            None => Some((HOST.name, bit.to_string().into())),
        }
    })
}

impl Forbidden {
    /// `is` describes the finding (`CAP_BPF is in the ambient set`), `debug` adds a remedy.
    fn violation(&self, is: &str, debug: &str) -> Violation {
        const DROP: &str = "drop --cap-add and --privileged, privileged: true in Kubernetes";
        let or = match self.rule.name == HOST.name {
            true => format!(", or set [rules] {} = \"strip\" or \"allow\"", HOST.name),
            false => String::new(),
        };
        Violation::of(self.rule, format!("{is}, and it {}; {DROP}{debug}{or}", self.why))
    }
}

/// A capability in a set that violates a rule.
struct ListedCapability<'v> {
    set: &'static str,
    index: usize,
    name: &'v str,
    forbidden: Forbidden,
}

impl ListedCapability<'_> {
    fn violation(&self, view: &View) -> Violation {
        let Self { set, name, forbidden, .. } = self;
        let is_pods = view.annotations.iter().flatten().any(|(key, _)| key.starts_with("io.kubernetes.cri"));
        let debug = if is_pods { " (kubectl debug: --profile=baseline)" } else { "" };
        forbidden.violation(&format!("{name} is in the {set} set"), debug)
    }
}

fn violations<'v>(rule: &Rule, view: &'v View, context: &RuleContext) -> Vec<ListedCapability<'v>> {
    let sets = view.process.iter().flat_map(|process| &process.capabilities).flat_map(|c| c.sets());
    let all = sets.flat_map(|(set, names)| names.iter().enumerate().map(move |(i, name)| (set, i, &**name)));
    let forbidden = |(set, index, name)| {
        let forbidden = judge_name(name, context.host.confined)?;
        (forbidden.rule.name == rule.name).then_some(ListedCapability { set, index, name, forbidden })
    };
    all.filter_map(forbidden).collect()
}

fn plan(rule: &Rule, view: &View, context: &RuleContext) -> Result<Vec<Edit>, Violation> {
    let found = violations(rule, view, context);
    // CAP_NET_ADMIN in another spelling is refused with any answer.
    let refuses = rule.name == NETWORK.name || rule.answer(&context.policy) == Answer::Refuse;
    if let Some(refused) = found.iter().find(|found| refuses && found.forbidden.fate == Fate::Refused) {
        return Err(refused.violation(view));
    }
    let edit = |ListedCapability { set, index, name, .. }| Edit {
        at: Pointer::to(&["process", "capabilities", set]).item(index),
        op: EditOp::Remove,
        description: format!("removed {name} from the {set} set"),
    };
    Ok(found.into_iter().map(edit).collect())
}

fn holds(rule: &Rule, view: &View, context: &RuleContext) -> Result<(), Violation> {
    let found = violations(rule, view, context);
    let refused = found.iter().find(|found| found.forbidden.fate == Fate::Refused);
    refused.or(found.first()).map_or(Ok(()), |found| Err(found.violation(view)))
}

#[cfg(test)]
mod tests;
