//! A profile as runc and crun pass it to libseccomp (runc, libcontainer/seccomp/seccomp_linux.go; crun,
//! src/libcrun/seccomp.c): rules with the default's action are skipped, and if two conditions are on the same
//! argument, each counts alone. Only the calls in [`WATCHED`] are considered.

use crate::config::{Seccomp, SeccompArg, Syscall};

/// The calls that the rule is about, and those for which libseccomp also adds a rule for `socketcall`; in
/// byte order.
pub(super) const WATCHED: [&str; 29] = [
    "accept",
    "accept4",
    "add_key",
    "bind",
    "connect",
    "getpeername",
    "getsockname",
    "getsockopt",
    "io_uring_enter",
    "io_uring_register",
    "io_uring_setup",
    "keyctl",
    "listen",
    "open_by_handle_at",
    "prlimit64",
    "recv",
    "recvfrom",
    "recvmmsg",
    "recvmsg",
    "request_key",
    "send",
    "sendmmsg",
    "sendmsg",
    "sendto",
    "setrlimit",
    "setsockopt",
    "socket",
    "socketcall",
    "socketpair",
];

/// The first letters of watched names, a bit each, by the names' length: of most calls this is enough to know that they
/// are not watched.
const FIRST: [u32; 32] = {
    let mut letters = [0; 32];
    let mut at = 0;
    while at < WATCHED.len() {
        let name = WATCHED[at].as_bytes();
        letters[name.len()] |= letter(name[0]);
        at += 1;
    }
    letters
};

const fn letter(byte: u8) -> u32 {
    1 << (byte & 31)
}

fn watched(name: &str) -> Option<&'static str> {
    let first = name.as_bytes().first()?;
    if FIRST.get(name.len())? & letter(*first) == 0 {
        return None;
    }
    WATCHED.binary_search(&name).ok().map(|at| WATCHED[at])
}

/// What a filter does with a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    Allow,
    Log,
    /// A process in the container can be the tracer and allow the call.
    Trace(u16),
    Errno(u16),
    Trap,
    Kill,
    KillProcess,
}

impl Action {
    pub(super) fn parse(name: &str, errno: Option<u32>) -> Result<Self, String> {
        // Both runtimes' default is EPERM, and libseccomp has 16 bits for it.
        let errno = (errno.unwrap_or(1) & 0xffff) as u16;
        Ok(match name {
            "SCMP_ACT_ALLOW" => Self::Allow,
            "SCMP_ACT_LOG" => Self::Log,
            "SCMP_ACT_TRACE" => Self::Trace(errno),
            "SCMP_ACT_ERRNO" => Self::Errno(errno),
            "SCMP_ACT_TRAP" => Self::Trap,
            "SCMP_ACT_KILL" | "SCMP_ACT_KILL_THREAD" => Self::Kill,
            "SCMP_ACT_KILL_PROCESS" => Self::KillProcess,
            "SCMP_ACT_NOTIFY" => {
                return Err(
                    "an agent decides on calls (SCMP_ACT_NOTIFY); it can add sockets of the host".into()
                );
            }
            _ => return Err(format!("the action {name:?} is not known")),
        })
    }

    /// Whether the call may be made.
    pub(super) fn passes(self) -> bool {
        matches!(self, Self::Allow | Self::Log | Self::Trace(_))
    }

    /// Its name and error number in a profile.
    pub(super) fn words(self) -> (&'static str, Option<u16>) {
        match self {
            Self::Allow => ("SCMP_ACT_ALLOW", None),
            Self::Log => ("SCMP_ACT_LOG", None),
            Self::Trace(errno) => ("SCMP_ACT_TRACE", Some(errno)),
            Self::Errno(errno) => ("SCMP_ACT_ERRNO", Some(errno)),
            Self::Trap => ("SCMP_ACT_TRAP", None),
            Self::Kill => ("SCMP_ACT_KILL", None),
            Self::KillProcess => ("SCMP_ACT_KILL_PROCESS", None),
        }
    }
}

/// How an argument is compared, unsigned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Op {
    Ne,
    Lt,
    Le,
    Eq,
    Ge,
    Gt,
    /// Only the bits of the mask are compared.
    Masked(u64),
}

/// One condition of a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Condition {
    pub(super) index: u32,
    pub(super) op: Op,
    pub(super) value: u64,
}

impl Condition {
    fn parse(arg: &SeccompArg) -> Result<Self, String> {
        if arg.index > 5 {
            return Err(format!("there is no argument {}", arg.index));
        }
        let op = match &*arg.op {
            "SCMP_CMP_NE" => Op::Ne,
            "SCMP_CMP_LT" => Op::Lt,
            "SCMP_CMP_LE" => Op::Le,
            "SCMP_CMP_EQ" => Op::Eq,
            "SCMP_CMP_GE" => Op::Ge,
            "SCMP_CMP_GT" => Op::Gt,
            "SCMP_CMP_MASKED_EQ" => Op::Masked(arg.value),
            op => return Err(format!("the comparison {op:?} is not known")),
        };
        let value = match op {
            Op::Masked(mask) => arg.value_two.unwrap_or(0) & mask,
            _ => arg.value,
        };
        Ok(Self { index: arg.index, op, value })
    }
}

/// A rule that has an effect.
#[derive(Debug)]
pub(super) struct SyscallRule {
    /// Its index in the list.
    pub(super) at: usize,
    /// How many names it has.
    pub(super) length: usize,
    /// The watched names, with their indexes.
    pub(super) named: Vec<(usize, &'static str)>,
    pub(super) action: Action,
    /// It matches when all conditions of one of these hold.
    pub(super) alternatives: Vec<Vec<Condition>>,
}

impl SyscallRule {
    pub(super) fn names(&self, call: &str) -> bool {
        self.named.iter().any(|(_, name)| *name == call)
    }

    /// Whether it matches any arguments.
    pub(super) fn is_unconditional(&self) -> bool {
        self.alternatives.iter().any(Vec::is_empty)
    }
}

/// A profile.
#[derive(Debug)]
pub(super) struct Profile {
    pub(super) default: Action,
    pub(super) rules: Vec<SyscallRule>,
}

impl Profile {
    /// Parses a profile; `None` if to a runtime it is none.
    pub(super) fn parse(seccomp: &Seccomp) -> Result<Option<Self>, String> {
        if seccomp.listener_path.as_ref().is_some_and(|path| !path.is_empty()) {
            return Err("it has a listenerPath; its agent can add sockets of the host".into());
        }
        let list = seccomp.syscalls.as_deref().unwrap_or_default();
        let default = seccomp.default_action.as_deref().unwrap_or_default();
        if default.is_empty() && list.is_empty() {
            return Ok(None);
        }
        let default = Action::parse(default, seccomp.default_errno_ret)?;
        let mut rules = Vec::new();
        for (at, rule) in list.iter().enumerate() {
            let action = Action::parse(rule.action.as_deref().unwrap_or_default(), rule.errno_ret)?;
            let read = Self::rule(at, action, rule).map_err(|why| format!("rule {at}: {why}"))?;
            rules.extend(read.filter(|rule| rule.action != default));
        }
        Ok(Some(Self { default, rules }))
    }

    fn rule(at: usize, action: Action, rule: &Syscall) -> Result<Option<SyscallRule>, String> {
        let names = rule.names.as_deref().unwrap_or_default();
        let named: Vec<_> =
            names.iter().enumerate().filter_map(|(at, name)| Some((at, watched(name)?))).collect();
        if named.is_empty() {
            return Ok(None);
        }
        let args = rule.args.as_deref().unwrap_or_default();
        let conditions = args.iter().map(Condition::parse).collect::<Result<Vec<_>, _>>()?;
        let repeats = |c: &Condition| conditions.iter().filter(|other| other.index == c.index).count() > 1;
        // libseccomp leaves out a comparison of no bits at all.
        let counts = |c: &Condition| c.op != Op::Masked(0);
        let together = |list: &[Condition]| list.iter().copied().filter(counts).collect::<Vec<_>>();
        let alternatives = match conditions.iter().any(repeats) {
            true => conditions.chunks(1).map(together).collect(),
            false => vec![together(&conditions)],
        };
        Ok(Some(SyscallRule { at, length: names.len(), named, action, alternatives }))
    }

    /// The rules about a call, in order.
    pub(super) fn about(&self, call: &'static str) -> impl Iterator<Item = &SyscallRule> {
        self.rules.iter().filter(move |rule| rule.names(call))
    }
}
