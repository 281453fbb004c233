//! The action of a profile for a call, as libseccomp decides it (src/db.c, src/gen_bpf.c): that of the first
//! unconditional rule on the call, even if there are conditional ones; else that of a conditional rule that
//! matches; else the default. Which of several conditional rules wins depends on how libseccomp orders them,
//! so a call is considered allowed if one of them allows it. Independent of the planning of the rule on
//! purpose.

use super::lists::{CLOSED, FAMILY_BITS, NETLINK, PROTOCOL_BITS, PROTOCOLS, SOCKETS};
use super::profile::{Action, Condition, Op, Profile, SyscallRule};
use super::{Allowed, limits};

/// A description of the first call that a profile allows and must not.
pub(super) fn first_hole(profile: &Profile, open: &Allowed) -> Option<String> {
    if let Some(call) = CLOSED.iter().map(|call| call.is).find(|call| lets_through(profile, call)) {
        return Some(format!("{call} is let through"));
    }
    for call in limits::CALLS.iter().filter(|_| !open.core_limit) {
        if let Some(op) = miscompared(&profile.about(call.name).collect::<Vec<_>>()) {
            return Some(compared_wrongly(call.name, op));
        }
        if changes_core_limit(profile, call) {
            return Some(format!("{} lets the limit for core dumps be changed", call.name));
        }
    }
    let [socket, pair] = SOCKETS.map(|call| profile.about(call).collect::<Vec<&SyscallRule>>());
    let same = socket.iter().map(|rule| rule.at).eq(pair.iter().map(|rule| rule.at));
    let calls = [(SOCKETS[0], socket), (SOCKETS[1], pair)];
    // Usually one rule is about both.
    calls.iter().take(if same { 1 } else { 2 }).find_map(|(call, rules)| {
        let how = |[family, kind, protocol]: [u64; 3]| {
            format!("{call}({family}, {kind}, {protocol}) is let through")
        };
        if let Some(op) = miscompared(rules) {
            return Some(compared_wrongly(call, op));
        }
        widths(rules)
            .iter()
            .find_map(|width| CompiledRules::new(profile, rules, *width).hole(&open.families))
            .map(how)
    })
}

fn compared_wrongly(call: &str, op: Op) -> String {
    let op = format!("{op:?}").to_uppercase();
    format!("{call} is compared wrongly by libseccomp: SCMP_CMP_{op} with a further condition behind it")
}

/// A comparison that libseccomp, to 2.6.1 at least, gets wrong on 32-bit architectures and in some cases on
/// others: if a rule requires an argument to be unequal to a value and another condition does not hold, the
/// next rule on the first argument is compared with the second (src/gen_bpf.c resolves a block that two
/// others jump to for one of them only).
fn miscompared(rules: &[&SyscallRule]) -> Option<Op> {
    let mut all: Vec<Vec<Condition>> = rules.iter().flat_map(|rule| rule.alternatives.clone()).collect();
    all.iter_mut().for_each(|conditions| conditions.sort_by_key(|c| c.index));
    all.iter().find_map(|conditions| {
        let negated = |c: &Condition| matches!(c.op, Op::Ne | Op::Lt | Op::Le);
        let inner = conditions.len().checked_sub(1)?;
        (0..inner).filter(|at| negated(&conditions[*at])).find_map(|at| {
            let c = conditions[at];
            let beside = |other: &Vec<Condition>| {
                let next = other.get(at).filter(|next| next.index == c.index && **next != c);
                next.is_some() && other[..at] == conditions[..at]
            };
            all.iter().any(beside).then_some(c.op)
        })
    })
}

/// Whether a call may be made with any arguments.
fn lets_through(profile: &Profile, call: &'static str) -> bool {
    if let Some(first) = profile.about(call).find(|rule| rule.is_unconditional()) {
        return first.action.passes();
    }
    // libseccomp adds `socketcall`, without the arguments that it cannot see, for every rule on a call that goes
    // through it on i386, s390 and others.
    let is_closed = |name: &str| CLOSED.iter().any(|closed| closed.is == name);
    let is_of_sockets = |name: &str| !is_closed(name) && limits::CALLS.iter().all(|limit| limit.name != name);
    let stands_for = |name: &str| name == call || (call == "socketcall" && is_of_sockets(name));
    let allows =
        |rule: &SyscallRule| rule.action.passes() && rule.named.iter().any(|(_, name)| stands_for(name));
    profile.default.passes() || profile.rules.iter().any(allows)
}

/// Whether a call may be made that changes the limit for core dumps.
pub(super) fn changes_core_limit(profile: &Profile, call: &limits::LimitCall) -> bool {
    let rules: Vec<&SyscallRule> = profile.about(call.name).collect();
    widths(&rules).iter().any(|width| CompiledRules::new(profile, &rules, *width).changes_core_limit(call))
}

/// How many bits of an argument the filter sees. For i386, arm and others libseccomp truncates the conditions
/// too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Width {
    Bits32,
    Bits64,
}

impl Width {
    fn cut(self, value: u64) -> u64 {
        match self {
            Self::Bits32 => value & LOW,
            Self::Bits64 => value,
        }
    }
}

const LOW: u64 = 0xffff_ffff;

/// With conditions of 32 bits only, the filter of a 32-bit architecture does what that of a 64-bit one does with
/// arguments of 32 bits.
fn widths(rules: &[&SyscallRule]) -> &'static [Width] {
    let mut conditions = rules.iter().flat_map(|rule| &rule.alternatives).flatten();
    let is_wide = |c: &Condition| c.value > LOW || matches!(c.op, Op::Masked(mask) if mask > LOW);
    if conditions.any(is_wide) { &[Width::Bits64, Width::Bits32] } else { &[Width::Bits64] }
}

/// The rules on one call, as compiled into the filter of one architecture.
struct CompiledRules {
    default: Action,
    rules: Vec<(Action, Vec<Condition>)>,
    width: Width,
}

impl CompiledRules {
    fn new(profile: &Profile, rules: &[&SyscallRule], width: Width) -> Self {
        let counts = |c: &&Condition| !matches!(c.op, Op::Masked(mask) if width.cut(mask) == 0);
        let each = rules.iter().flat_map(|rule| rule.alternatives.iter().map(|all| (rule.action, all)));
        let rules =
            each.map(|(action, all)| (action, all.iter().filter(counts).copied().collect())).collect();
        Self { default: profile.default, rules, width }
    }

    /// Arguments that are allowed and must not be.
    fn hole(&self, families: &[u32]) -> Option<[u64; 3]> {
        if let Some((first, _)) = self.rules.iter().find(|(_, all)| all.is_empty()) {
            return first.passes().then_some([40, 1, 0]);
        }
        let on_family = || self.rules.iter().flat_map(|(_, all)| all).filter(|c| c.index == 0);
        let mut high: Vec<u64> = vec![0];
        // Conditions on low bits only do not see the others.
        if on_family().any(|c| !matches!(c.op, Op::Masked(mask) if mask <= LOW)) {
            high.extend(on_family().map(|c| c.value & !LOW).chain([1 << 32]));
        }
        high.sort_unstable();
        high.dedup();
        high.retain(|high| self.width.cut(*high) == *high);
        for low in 0..1 << FAMILY_BITS {
            let netlink = low == u64::from(NETLINK);
            if !netlink && families.iter().any(|family| u64::from(*family) == low) {
                continue;
            }
            if let Some(found) = high.iter().find_map(|high| self.hole_in(high | low, netlink)) {
                return Some(found);
            }
        }
        None
    }

    /// The same for one family: any type and protocol, or for netlink a closed protocol.
    fn hole_in(&self, family: u64, netlink: bool) -> Option<[u64; 3]> {
        let of_family = |(_, all): &&(Action, Vec<Condition>)| {
            all.iter().all(|c| c.index != 0 || matches(c, family, self.width))
        };
        // Of most families there is no rule.
        if !netlink && !self.rules.iter().any(|rule| of_family(&rule)) {
            return self.default.passes().then_some([family, 0, 0]);
        }
        let rules: Vec<_> = self.rules.iter().filter(of_family).collect();
        // The values at which a condition changes its result represent all.
        let values = |index: u32| {
            let conditions = rules.iter().flat_map(|(_, all)| all).filter(move |c| c.index == index);
            conditions.flat_map(|c| [c.value.wrapping_sub(1), c.value, c.value.wrapping_add(1)]).chain([0])
        };
        let is_open = |protocol: &u64| PROTOCOLS.iter().any(|open| u64::from(open.is) == protocol & LOW);
        let mut protocols: Vec<u64> = values(2).collect();
        if netlink {
            protocols.extend((0..1 << PROTOCOL_BITS).chain([1 << 32 | 15]));
            protocols.retain(|protocol| protocol & LOW < 1 << PROTOCOL_BITS && !is_open(protocol));
        }
        let calls = values(1).flat_map(|kind| protocols.iter().map(move |protocol| (kind, *protocol)));
        calls.map(|(kind, protocol)| [family, kind, protocol]).find(|args| self.may_pass(&rules, *args))
    }

    /// The values at which a condition on an argument changes its result, which represent all.
    fn turns(&self, index: u32) -> Vec<u64> {
        let conditions = self.rules.iter().flat_map(|(_, all)| all).filter(|c| c.index == index);
        let around = |c: &Condition| [c.value.wrapping_sub(1), c.value, c.value.wrapping_add(1)];
        conditions.flat_map(around).chain([0, 1, 1 << 32, u64::MAX]).collect()
    }

    fn changes_core_limit(&self, call: &limits::LimitCall) -> bool {
        if let Some((first, _)) = self.rules.iter().find(|(_, all)| all.is_empty()) {
            return first.passes();
        }
        let rules: Vec<_> = self.rules.iter().collect();
        let [a, b, c] = [0, 1, 2].map(|index| {
            let mut values = self.turns(index);
            if index == call.which {
                values
                    .iter_mut()
                    .for_each(|value| *value = self.width.cut(*value & !LOW) | u64::from(limits::CORE));
            } else if call.new == Some(index) {
                values.retain(|value| self.width.cut(*value) != 0);
            }
            values.sort_unstable();
            values.dedup();
            values
        });
        let calls = a.iter().flat_map(|a| b.iter().flat_map(|b| c.iter().map(|c| [*a, *b, *c])));
        calls.into_iter().any(|args| self.may_pass(&rules, args))
    }

    fn may_pass(&self, rules: &[&(Action, Vec<Condition>)], args: [u64; 3]) -> bool {
        let matched = |(action, all): &&&(Action, Vec<Condition>)| {
            all.iter().all(|c| match args.get(c.index as usize) {
                Some(arg) => matches(c, *arg, self.width),
                // The caller can choose the other arguments freely.
                None => action.passes(),
            })
        };
        let mut matched = rules.iter().filter(matched).map(|(action, _)| action.passes());
        match matched.next() {
            None => self.default.passes(),
            Some(first) => first || matched.any(|passes| passes),
        }
    }
}

fn matches(condition: &Condition, arg: u64, width: Width) -> bool {
    let (arg, value) = (width.cut(arg), width.cut(condition.value));
    match condition.op {
        Op::Ne => arg != value,
        Op::Lt => arg < value,
        Op::Le => arg <= value,
        Op::Eq => arg == value,
        Op::Ge => arg >= value,
        Op::Gt => arg > value,
        Op::Masked(mask) => arg & mask == value,
    }
}
