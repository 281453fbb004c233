//! Intersections of conditions: the part of a rule within a family, and whether two rules can match the same
//! call.

use super::lists::{NETLINK, PROTOCOL_BITS, PROTOCOLS};
use super::profile::{Condition, Op};

/// The open families have fewer bits.
const BITS: u32 = 6;

/// A condition on the low 32 bits of an argument: the kernel uses no more of it, so `socket(1 << 32 | 40)` is
/// AF_VSOCK.
pub(super) fn low_bits(index: u32, mask: u32, value: u32) -> Condition {
    Condition { index, op: Op::Masked(mask.into()), value: value.into() }
}

/// A part of what is open: values that one condition tells from all others, of the family or, for netlink, of
/// the protocol. Each rule costs the runtime time at every `create`, three times if there are three
/// architectures.
#[derive(Debug)]
pub(super) struct Cell {
    /// All of it.
    whole: Vec<Condition>,
    /// Its values one by one, each as indexes and values of arguments.
    single: Vec<Vec<(u32, u32)>>,
}

/// What is open, as cells that have no call in common.
pub(super) fn cells(families: &[u32]) -> Vec<Cell> {
    let (netlink, others): (Vec<u32>, Vec<u32>) = families.iter().partition(|family| **family == NETLINK);
    let of_family = cubes(BITS, |family| others.contains(&family)).into_iter().map(|cube| Cell {
        whole: vec![cube.condition(0)],
        single: cube.values(BITS).map(|family| vec![(0, family)]).collect(),
    });
    let is_open = |protocol| PROTOCOLS.iter().any(|open| open.is == protocol);
    let of_netlink = cubes(PROTOCOL_BITS, is_open).into_iter().filter(|_| !netlink.is_empty());
    let of_netlink = of_netlink.map(|cube| Cell {
        whole: vec![low_bits(0, u32::MAX, NETLINK), cube.condition(2)],
        single: cube.values(PROTOCOL_BITS).map(|protocol| vec![(0, NETLINK), (2, protocol)]).collect(),
    });
    of_family.chain(of_netlink).collect()
}

impl Cell {
    /// The parts of a rule within the cell, without those that `is_denied`: one, if possible.
    pub(super) fn parts(
        &self,
        rule: &[Condition],
        is_denied: impl Fn(&[Condition]) -> bool,
    ) -> Vec<Vec<Condition>> {
        if let Some(whole) = self.within(rule).filter(|whole| !is_denied(whole)) {
            return vec![whole];
        }
        self.single.iter().filter_map(|one| within(rule, one)).filter(|part| !is_denied(part)).collect()
    }

    /// The rule's conditions on other arguments and the whole cell, if the rule matches all values of the cell.
    fn within(&self, rule: &[Condition]) -> Option<Vec<Condition>> {
        let of_cell = |c: &Condition| self.whole.iter().find(|whole| whole.index == c.index);
        let (on_cell, others): (Vec<&Condition>, Vec<&Condition>) =
            rule.iter().partition(|c| of_cell(c).is_some());
        let matches_all = |c: &&Condition| {
            of_cell(c).is_some_and(|whole| match (c.op, whole.op) {
                // What differs from a value in the low bits differs from it.
                (Op::Ne, Op::Masked(mask)) => c.value & mask != whole.value,
                (Op::Masked(of_rule), Op::Masked(mask)) => {
                    of_rule & !mask == 0 && whole.value & of_rule == c.value
                }
                _ => false,
            })
        };
        on_cell.iter().all(matches_all).then(|| {
            let mut all: Vec<Condition> = others.into_iter().chain(&self.whole).copied().collect();
            all.sort_by_key(|c| c.index);
            all
        })
    }
}

/// The intersection of a rule's conditions and a cell. To runtimes two conditions on one argument are
/// alternatives, so there is one for each argument: on the low bits if that allows no more than the rule did,
/// else on the whole value.
pub(super) fn within(rule: &[Condition], cell: &[(u32, u32)]) -> Option<Vec<Condition>> {
    let is_pinned = |c: &&Condition| cell.iter().any(|(index, _)| *index == c.index);
    let mut all: Vec<Condition> = rule.iter().filter(|c| !is_pinned(c)).copied().collect();
    for (index, value) in cell {
        let masked = low_bits(*index, u32::MAX, *value);
        let exact = Condition { index: *index, op: Op::Eq, value: u64::from(*value) };
        all.push(match rule.iter().find(|c| c.index == *index) {
            None => masked,
            Some(c) if !takes(c, u64::from(*value)) => return None,
            Some(Condition { op: Op::Masked(mask), .. }) if *mask <= u64::from(u32::MAX) => masked,
            Some(Condition { op: Op::Ne, value: not, .. })
                if *not & u64::from(u32::MAX) != u64::from(*value) =>
            {
                masked
            }
            Some(_) => exact,
        });
    }
    all.sort_by_key(|c| c.index);
    Some(all)
}

/// Conditions that together hold for all values of that many bits of an argument except those in `open`. A
/// comparison by size would be one for many, but it would include the high bits, which the kernel ignores and
/// callers may leave undefined (and it was wrong before libseccomp 2.4, CVE-2019-9893).
pub(super) fn all_but(index: u32, open: &[u32], bits: u32) -> Vec<Condition> {
    let of_open = open.iter().map(|open| u32::BITS - open.leading_zeros()).max().unwrap_or(0);
    let above = (of_open..bits).map(|bit| low_bits(index, 1 << bit, 1 << bit));
    all_below(index, open, of_open).into_iter().chain(above).collect()
}

/// Conditions for all values of that many bits except those in `open`, no two of which hold for one value.
pub(super) fn all_below(index: u32, open: &[u32], bits: u32) -> Vec<Condition> {
    cubes(bits, |value| !open.contains(&value)).iter().map(|cube| cube.condition(index)).collect()
}

/// The values that are equal in some bits.
#[derive(Debug, Clone, Copy)]
struct Cube {
    mask: u32,
    value: u32,
}

impl Cube {
    fn condition(self, index: u32) -> Condition {
        low_bits(index, self.mask, self.value)
    }

    fn values(self, bits: u32) -> impl Iterator<Item = u32> {
        (0..1 << bits).filter(move |value| value & self.mask == self.value)
    }
}

/// Covers the values of that many bits which are in a set by few cubes that have none in common: each begins
/// with the first value that is left and is doubled while that adds values that are left.
fn cubes(bits: u32, is_in: impl Fn(u32) -> bool) -> Vec<Cube> {
    let mut left: u64 = (0..1 << bits).filter(|value| is_in(*value)).fold(0, |set, value| set | 1 << value);
    let set_of = |cube: Cube| cube.values(bits).fold(0_u64, |set, value| set | 1 << value);
    let mut found = Vec::new();
    while left != 0 {
        let mut cube = Cube { mask: u32::MAX, value: left.trailing_zeros() };
        for bit in 0..bits {
            let mask = cube.mask & !(1 << bit);
            let doubled = Cube { mask, value: cube.value & mask };
            if set_of(doubled) & !left == 0 {
                cube = doubled;
            }
        }
        left &= !set_of(cube);
        found.push(cube);
    }
    found
}

/// Whether a call could match both; true if that is uncertain.
pub(super) fn overlap(a: &[Condition], b: &[Condition]) -> bool {
    let apart = |a: &Condition, b: &Condition| a.index == b.index && are_apart(a, b);
    !a.iter().any(|a| b.iter().any(|b| apart(a, b)))
}

fn are_apart(a: &Condition, b: &Condition) -> bool {
    match (a.op, b.op) {
        (Op::Eq, _) => !takes(b, a.value),
        (_, Op::Eq) => !takes(a, b.value),
        (Op::Masked(x), Op::Masked(y)) => (a.value ^ b.value) & x & y != 0,
        _ => false,
    }
}

fn takes(condition: &Condition, arg: u64) -> bool {
    let value = condition.value;
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
