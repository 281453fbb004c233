//! The limit for core dumps is one byte if the machine passes them to a program (`core-dumps`): the only
//! limit with which fs/coredump.c does not start the program. A process may lower its limit to 0, and raise
//! it with CAP_SYS_RESOURCE, and both would start it, so calls that change this limit do nothing and report
//! success, as `ulimit -c 0` expects.

use super::narrow::{all_below, low_bits};
use super::profile::{Condition, Op};

/// RLIMIT_CORE (asm-generic/resource.h).
pub(super) const CORE: u32 = 4;

/// There are 16 limits; for higher numbers the kernel returns EINVAL.
const BITS: u32 = 4;

/// A call that changes limits.
pub(super) struct LimitCall {
    pub(super) name: &'static str,
    /// The argument that selects the limit.
    pub(super) which: u32,
    /// The argument with the new limit, if it is optional because the call also reads.
    pub(super) new: Option<u32>,
}

pub(super) const CALLS: [LimitCall; 2] = [
    LimitCall { name: "setrlimit", which: 0, new: None },
    LimitCall { name: "prlimit64", which: 1, new: Some(2) },
];

impl LimitCall {
    fn is_core(&self) -> Condition {
        low_bits(self.which, u32::MAX, CORE)
    }

    fn new_is(&self, op: Op) -> Option<Condition> {
        self.new.map(|index| Condition { index, op, value: 0 })
    }

    /// Conditions of calls that change the limit.
    pub(super) fn changes(&self) -> Vec<Condition> {
        [Some(self.is_core()), self.new_is(Op::Ne)].into_iter().flatten().collect()
    }

    /// Conditions of calls that do not.
    pub(super) fn others(&self) -> Vec<Vec<Condition>> {
        let others = all_below(self.which, &[CORE], BITS).into_iter().map(|c| vec![c]);
        others.chain(self.new_is(Op::Eq).map(|none| vec![self.is_core(), none])).collect()
    }
}
