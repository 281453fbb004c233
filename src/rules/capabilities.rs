//! `network-capabilities` and `host-capabilities`.
//!
//! With CAP_NET_ADMIN a container configures its network namespace and flushes the firewall table; AF_PACKET sockets,
//! which CAP_NET_RAW allows, pass below the hooks of `inet` tables. Both go always: they are in engines' defaults, and
//! they reach the namespace also from within a user namespace that owns it.
//!
//! The others reach out of all namespaces: mount(2) and nsfs handles (CAP_SYS_ADMIN, CVE-2026-43391), processes of
//! others (CAP_SYS_PTRACE, CAP_CHECKPOINT_RESTORE), the kernel (CAP_SYS_MODULE, CAP_SYS_RAWIO, CAP_SYS_BOOT, CAP_BPF,
//! CAP_PERFMON), any file by handle (CAP_DAC_READ_SEARCH, open_by_handle_at(2)). Somebody asked for those by name, so
//! the default is to refuse. Inside of a user namespace they are confined, and stay.

use super::{Rule, Subject, Violation};
use crate::config::{Change, Edit, Pointer, View};
use crate::settings::Answer;

pub(super) const NETWORK: Rule = Rule {
    name: "network-capabilities",
    promise: "CAP_NET_ADMIN and CAP_NET_RAW are in none of the five capability sets",
    reference: "capabilities(7); packet(7); runtime-spec, config.md, \"Linux Process\"",
    process: true,
    answers: &[Answer::Strip],
    plan: |view, subject| plan(&NETWORK, view, subject),
    holds: |view, subject| holds(&NETWORK, view, subject),
};

pub(super) const HOST: Rule = Rule {
    name: "host-capabilities",
    promise: "no capability reaches out of the container's namespaces, unless a user namespace confines it",
    reference: "capabilities(7); user_namespaces(7); open_by_handle_at(2); CVE-2026-43391",
    process: true,
    answers: &[Answer::Refuse, Answer::Strip, Answer::Allow],
    plan: |view, subject| plan(&HOST, view, subject),
    holds: |view, subject| holds(&HOST, view, subject),
};

/// A capability's name without `CAP_`, and its bit in the sets of /proc/PID/status (linux/capability.h).
type Capability = (&'static str, u32);

const OF_NETWORK: [Capability; 2] = [("NET_ADMIN", 12), ("NET_RAW", 13)];
const OF_HOST: [Capability; 11] = [
    ("SYS_ADMIN", 21),
    ("SYS_PTRACE", 19),
    ("SYS_MODULE", 16),
    ("SYS_RAWIO", 17),
    ("SYS_BOOT", 22),
    ("DAC_READ_SEARCH", 2),
    ("BPF", 39),
    ("PERFMON", 38),
    ("CHECKPOINT_RESTORE", 40),
    ("MAC_ADMIN", 33),
    ("SYSLOG", 34),
];

/// Which rule takes which of these capabilities, for those who look at a set of a process: the rule's name, and the names
/// of what is in the set against it. `confined` are capabilities that count in a user namespace only.
pub fn against(set: u64, confined: bool) -> impl Iterator<Item = (&'static str, &'static str)> {
    let of = |rule: &'static Rule, list: &'static [Capability]| {
        list.iter().filter(move |(_, bit)| set & (1 << bit) != 0).map(|(name, _)| (rule.name, *name))
    };
    let host: &[Capability] = if confined { &[] } else { &OF_HOST };
    of(&NETWORK, &OF_NETWORK).chain(of(&HOST, host))
}

/// What `exec --cap NAME` gets: which rule takes the name away, if one does, or else why it is refused. crun takes names in any
/// case and without `CAP_`.
///
/// # Errors
/// The rule `host-capabilities` refuses it.
pub fn taken_by(name: &str, subject: &Subject) -> Result<Option<&'static str>, Violation> {
    if is_against(&NETWORK, name, subject) {
        return Ok(Some(NETWORK.name));
    }
    match HOST.answer(&subject.policy) {
        Answer::Allow => Ok(None),
        _ if !is_against(&HOST, name, subject) => Ok(None),
        Answer::Refuse => Err(Violation::of(&HOST, format!("{name} is asked for; {DROP}"))),
        _ => Ok(Some(HOST.name)),
    }
}

const DROP: &str = "drop --cap-add and --privileged, privileged: true in Kubernetes";

fn is_against(rule: &Rule, name: &str, subject: &Subject) -> bool {
    let upper = name.to_ascii_uppercase();
    let name = upper.strip_prefix("CAP_").unwrap_or(&upper);
    let is_it = |(of_list, _): &Capability| *of_list == name;
    match rule.name == NETWORK.name {
        true => OF_NETWORK.iter().any(is_it),
        false => OF_HOST.iter().any(is_it) && !subject.world.confined,
    }
}

/// The set and the index of each capability that stands against the rule.
fn found<'v>(rule: &Rule, view: &'v View, subject: &Subject) -> Vec<(&'static str, usize, &'v str)> {
    let sets = view.process.iter().flat_map(|process| &process.capabilities).flat_map(|c| c.sets());
    let all = sets.flat_map(|(set, names)| names.iter().enumerate().map(move |(i, name)| (set, i, &**name)));
    all.filter(|(_, _, name)| is_against(rule, name, subject)).collect()
}

fn plan(rule: &Rule, view: &View, subject: &Subject) -> Result<Vec<Edit>, Violation> {
    if rule.answer(&subject.policy) == Answer::Refuse {
        holds(rule, view, subject)?;
    }
    let edit = |(set, index, name)| Edit {
        at: Pointer::to(&["process", "capabilities", set]).item(index),
        change: Change::Remove,
        says: format!("removed {name} from the {set} set"),
    };
    Ok(found(rule, view, subject).into_iter().map(edit).collect())
}

fn holds(rule: &Rule, view: &View, subject: &Subject) -> Result<(), Violation> {
    match found(rule, view, subject).first() {
        None => Ok(()),
        Some((set, _, name)) => Err(Violation::of(rule, format!("{name} is in the {set} set; {DROP}"))),
    }
}
