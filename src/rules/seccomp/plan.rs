//! Plans which names are removed from which rules, and which rules are appended.
//!
//! Rules that allow sockets are replaced by their parts within the open families. If the default allows
//! calls, rules that deny the other families are added. A rule of the profile that denies stays, and if it
//! and one that allows could both match, it wins: libseccomp promises no order, and refuses to load two
//! actions for one condition.

use serde::{Serialize, Serializer};

use super::lists::{CLOSED, FAMILY_BITS, INET, INET6, NETLINK, PAIR, PROTOCOL_BITS, PROTOCOLS, SOCKETS};
use super::narrow::{Cell, all_below, all_but, cells, low_bits, overlap};
use super::profile::{Action, Condition, Op, Profile, SyscallRule};
use super::{Allowed, evaluate, limits};

/// The errors of the kernel for a call, a family and a protocol that it does not have; programs expect them.
const ENOSYS: u16 = 38;
const EAFNOSUPPORT: u16 = 97;
const EPROTONOSUPPORT: u16 = 93;
const EPERM: u16 = 1;

/// A call that is not made and returns 0, as if it had succeeded.
const DONE: u16 = 0;

/// The plan for one profile.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// Indexes of rules and the names that are removed from them.
    removed: Vec<(usize, &'static str)>,
    /// The rules to append.
    pub(super) rules: Vec<NewSyscall>,
}

/// A rule to append.
#[derive(Debug, Serialize)]
pub(super) struct NewSyscall {
    names: Vec<&'static str>,
    action: &'static str,
    #[serde(rename = "errnoRet", skip_serializing_if = "Option::is_none")]
    errno: Option<u16>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    args: Vec<Condition>,
}

impl Plan {
    pub(super) fn of(profile: &Profile, open: &Allowed) -> Self {
        let mut plan = Self::default();
        let closed = CLOSED.iter().map(|call| call.is);
        let closed: Vec<&str> = closed.filter(|call| !plan.close(profile, call)).collect();
        // Runtimes skip a rule with the default's action. `socketcall` needs one: without it libseccomp's
        // own, which it adds for the rules for `socket` and others, would allow the call.
        let (errno, closed) = match profile.default == Action::Errno(ENOSYS) {
            true => (EPERM, closed.into_iter().filter(|call| *call == "socketcall").collect()),
            false => (ENOSYS, closed),
        };
        for call in closed {
            plan.add(call, Action::Errno(errno), Vec::new());
        }
        for call in SOCKETS {
            let families = families_of(call, open);
            plan.narrow(profile, call, &cells(&families));
            plan.deny(profile, call, &families);
            plan.say_that_there_is_no_protocol(profile, call);
        }
        let limits = limits::CALLS.iter().filter(|_| !open.core_limit);
        for call in limits.filter(|call| evaluate::changes_core_limit(profile, call)) {
            plan.limit(profile, call);
        }
        plan
    }

    pub(super) fn removes(&self, at: usize, name: &str) -> bool {
        self.removed.contains(&(at, name))
    }

    /// For the report.
    pub(super) fn describe(&self) -> String {
        let closed = self.rules.iter().filter(|rule| rule.args.is_empty()).flat_map(|rule| &rule.names);
        let closed: Vec<&str> = closed.copied().collect();
        match closed.is_empty() {
            true => "leave the open socket families".into(),
            false => format!("leave the open socket families and close {}", closed.join(", ")),
        }
    }

    fn add(&mut self, name: &'static str, action: Action, args: Vec<Condition>) {
        let (action, errno) = action.words();
        let same = |rule: &&mut NewSyscall| rule.action == action && rule.errno == errno && rule.args == args;
        match self.rules.iter_mut().find(same) {
            Some(rule) => rule.names.push(name),
            None => self.rules.push(NewSyscall { names: vec![name], action, errno, args }),
        }
    }

    /// Removes a call from the rules that allow it. Returns whether that is enough.
    fn close(&mut self, profile: &Profile, call: &'static str) -> bool {
        let about: Vec<&SyscallRule> = profile.about(call).collect();
        if let Some(first) = about.iter().find(|rule| rule.is_unconditional() && !rule.action.passes()) {
            let earlier = about.iter().filter(|rule| rule.at < first.at);
            self.removed.extend(earlier.filter(|rule| rule.action.passes()).map(|rule| (rule.at, call)));
            return true;
        }
        self.removed.extend(about.iter().filter(|rule| rule.action.passes()).map(|rule| (rule.at, call)));
        let anything = profile.rules.iter().any(|rule| rule.action.passes());
        // libseccomp adds `socketcall` for any other socket call.
        let named = !about.is_empty() || (call == "socketcall" && anything);
        !profile.default.passes() && !named
    }

    /// Replaces the rules that allow a call by their parts within the cells.
    fn narrow(&mut self, profile: &Profile, call: &'static str, cells: &[Cell]) {
        let about: Vec<&SyscallRule> = profile.about(call).collect();
        let whole = about.iter().find(|rule| rule.is_unconditional());
        if whole.is_some_and(|rule| !rule.action.passes()) {
            return;
        }
        // If there is an unconditional rule, none of the others has an effect.
        let sources = whole.map_or_else(|| about.clone(), |rule| vec![*rule]);
        let (pass, deny): (Vec<&SyscallRule>, Vec<&SyscallRule>) =
            sources.iter().partition(|rule| rule.action.passes());
        let denied = &|args: &[Condition]| {
            deny.iter().flat_map(|rule| &rule.alternatives).any(|all| overlap(all, args))
        };
        let mut parts: Vec<(Action, Vec<Condition>)> = Vec::new();
        let mut kept: Vec<(Action, Vec<Condition>)> = Vec::new();
        let mut gone: Vec<usize> = about.iter().map(|rule| rule.at).collect();
        if whole.is_none() {
            gone.retain(|at| pass.iter().any(|rule| rule.at == *at));
        }
        for rule in pass {
            let of_cells = |all| cells.iter().flat_map(move |cell| cell.parts(all, denied));
            let left = rule.alternatives.iter().map(|all| if whole.is_some() { &[] } else { &**all });
            let left: Vec<Vec<Condition>> = left.flat_map(of_cells).collect();
            let is_narrow = matches!((&*rule.alternatives, &*left), ([before], [after]) if before == after);
            if is_narrow {
                gone.retain(|at| *at != rule.at);
                kept.push((rule.action, left.into_iter().flatten().collect()));
                continue;
            }
            parts.extend(left.into_iter().map(|args| (rule.action, args)));
        }
        self.removed.extend(gone.into_iter().map(|at| (at, call)));
        // The widest first: a rule within another has no effect, or has another action and libseccomp refuses
        // it.
        parts.sort_by_key(|(_, args)| args.len());
        for (action, args) in parts {
            let is_within = |(_, wider): &(Action, Vec<Condition>)| wider.iter().all(|c| args.contains(c));
            if !kept.iter().any(is_within) {
                kept.push((action, args.clone()));
                self.add(call, action, args);
            }
        }
    }

    /// If the default denies and netlink is open, its other protocols get the error of protocols that the
    /// kernel does not have, not that of forbidden ones: sudo, login, sshd and useradd fail if they may not
    /// write to the audit log, and continue if there is none (libaudit, audit_open(3)).
    fn say_that_there_is_no_protocol(&mut self, profile: &Profile, call: &'static str) {
        let netlink = low_bits(0, u32::MAX, NETLINK);
        let of_netlink = |rule: &NewSyscall| rule.names.contains(&call) && rule.args.contains(&netlink);
        let opens = |rule: &NewSyscall| Action::Allow.words().0 == rule.action && of_netlink(rule);
        if profile.default.passes() || !self.rules.iter().any(opens) {
            return;
        }
        let denying: Vec<&SyscallRule> = profile.about(call).filter(|rule| !rule.action.passes()).collect();
        // What a rule of the profile denies keeps its error.
        let is_denied = |protocol: &u32| {
            let args = [netlink, low_bits(2, u32::MAX, *protocol)];
            denying.iter().flat_map(|rule| &rule.alternatives).any(|all| overlap(all, &args))
        };
        let denied = (0..1 << PROTOCOL_BITS).filter(is_denied);
        let others: Vec<u32> = protocols().into_iter().chain(denied).collect();
        let action = Action::Errno(EPROTONOSUPPORT);
        for protocol in all_below(2, &others, PROTOCOL_BITS) {
            if action != profile.default {
                self.add(call, action, vec![netlink, protocol]);
            }
        }
    }

    /// Keeps a call from changing the limit for core dumps.
    fn limit(&mut self, profile: &Profile, call: &limits::LimitCall) {
        let about: Vec<&SyscallRule> = profile.about(call.name).collect();
        let whole = about.iter().find(|rule| rule.is_unconditional());
        // If there is an unconditional rule, none of the others has an effect.
        let gone = about.iter().filter(|rule| whole.is_some() || rule.action.passes());
        self.removed.extend(gone.map(|rule| (rule.at, call.name)));
        if let Some(whole) = whole.filter(|_| !profile.default.passes()) {
            for args in call.others() {
                self.add(call.name, whole.action, args);
            }
        }
        self.add(call.name, Action::Errno(DONE), call.changes());
    }

    /// If the default allows calls, denies what is not open.
    fn deny(&mut self, profile: &Profile, call: &'static str, families: &[u32]) {
        let about = || profile.about(call);
        let whole = about().find(|rule| rule.is_unconditional());
        if !profile.default.passes() || whole.is_some_and(|rule| !rule.action.passes()) {
            return;
        }
        let denying = || about().filter(|rule| whole.is_none() && !rule.action.passes());
        let there = |args: &Vec<Condition>| denying().any(|rule| rule.alternatives.contains(args));
        let others = all_but(0, families, FAMILY_BITS).into_iter().map(|c| (EAFNOSUPPORT, vec![c]));
        let within = |c| (EPROTONOSUPPORT, vec![low_bits(0, u32::MAX, NETLINK), c]);
        let protocols =
            all_below(2, &protocols(), PROTOCOL_BITS).into_iter().filter(|_| families.contains(&NETLINK));
        let protocols = protocols.map(within);
        // libseccomp refuses two actions for one condition.
        let own = denying().map(|rule| rule.action).find(|action| matches!(action, Action::Errno(_)));
        for (errno, args) in others.chain(protocols).filter(|(_, args)| !there(args)) {
            self.add(call, own.unwrap_or(Action::Errno(errno)), args);
        }
    }
}

/// The open families that a call can make sockets of: the kernel has no pairs of these (EOPNOTSUPP), so they
/// need no rules.
fn families_of(call: &str, open: &Allowed) -> Vec<u32> {
    let without_pairs = |family: &u32| matches!(*family, INET | INET6 | NETLINK);
    open.families.iter().copied().filter(|family| call != PAIR || !without_pairs(family)).collect()
}

fn protocols() -> [u32; PROTOCOLS.len()] {
    PROTOCOLS.map(|protocol| protocol.is)
}

impl Serialize for Condition {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Arg {
            index: u32,
            value: u64,
            #[serde(skip_serializing_if = "Option::is_none")]
            value_two: Option<u64>,
            op: &'static str,
        }
        let (op, value, value_two) = match self.op {
            Op::Ne => ("SCMP_CMP_NE", self.value, None),
            Op::Lt => ("SCMP_CMP_LT", self.value, None),
            Op::Le => ("SCMP_CMP_LE", self.value, None),
            Op::Eq => ("SCMP_CMP_EQ", self.value, None),
            Op::Ge => ("SCMP_CMP_GE", self.value, None),
            Op::Gt => ("SCMP_CMP_GT", self.value, None),
            Op::Masked(mask) => ("SCMP_CMP_MASKED_EQ", mask, Some(self.value)),
        };
        Arg { index: self.index, value, value_two, op }.serialize(serializer)
    }
}
