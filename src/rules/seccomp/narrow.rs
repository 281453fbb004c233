//! Intersections of conditions: the part of a rule within a family, and whether two rules can match the same
//! call.

use super::lists::{NETLINK, PROTOCOLS};
use super::profile::{Condition, Op};

/// A condition on the low 32 bits of an argument: the kernel uses no more of it, so `socket(1 << 32 | 40)` is
/// AF_VSOCK.
pub(super) fn low_bits(index: u32, mask: u32, value: u32) -> Condition {
    Condition { index, op: Op::Masked(mask.into()), value: value.into() }
}

/// What is open, as cells of argument values: a family, and for netlink a protocol.
pub(super) fn cells(families: &[u32]) -> Vec<Vec<(u32, u32)>> {
    let each = |family: &u32| match *family {
        NETLINK => PROTOCOLS.iter().map(|protocol| vec![(0, NETLINK), (2, protocol.is)]).collect(),
        family => vec![vec![(0, family)]],
    };
    families.iter().flat_map(each).collect()
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

/// Conditions that together hold for all values of an argument's low 32 bits except those in `open`: about
/// one for each bit, since one for each value would be many, and a comparison by size would include the high
/// bits (and was wrong before libseccomp 2.4, CVE-2019-9893).
pub(super) fn all_but(index: u32, open: &[u32]) -> Vec<Condition> {
    all_below(index, open, 32)
}

/// The same for the values of that many bits only.
pub(super) fn all_below(index: u32, open: &[u32], bits: u32) -> Vec<Condition> {
    let mut all = Vec::new();
    cover(index, open, 0, bits, &mut all);
    all
}

/// Covers the `1 << bits` values from `first` on.
fn cover(index: u32, open: &[u32], first: u32, bits: u32, all: &mut Vec<Condition>) {
    let last = first | u32::MAX.checked_shr(32 - bits).unwrap_or(0);
    if !open.iter().any(|value| (first..=last).contains(value)) {
        all.push(low_bits(index, !(last - first), first));
    } else if bits > 0 {
        cover(index, open, first, bits - 1, all);
        cover(index, open, first | 1 << (bits - 1), bits - 1, all);
    }
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
