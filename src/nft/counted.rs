//! What a table has counted, decoded from the kernel's replies.

use netlink_bindings::nftables::{
    ExprListAttrs, ExprOps, IterableExprAttrs, IterableRuleAttrs, IterableSetelemListAttrs, SetelemAttrs,
    SetelemListElemAttrs,
};

use super::codec::bytes;
use super::messages::chain_of;

/// An element of a set with a time limit.
pub(crate) struct CountedElement {
    pub(crate) key: Vec<u8>,
    /// Zero in a set that does not count.
    pub(crate) packets: u64,
    /// What is left of its time, in milliseconds.
    pub(crate) left: u64,
}

/// The chain of a rule of our table that begins with a counter, and the packets it has counted.
pub(crate) fn total(rule: &IterableRuleAttrs<'_>) -> Option<(String, u64)> {
    let chain = chain_of(rule)?;
    match rule.get_expressions().ok()?.next()?.ok()? {
        ExprListAttrs::Elem(element) => Some((chain, packets(&element)?)),
    }
}

/// The elements of one reply; one that cannot be decoded is left out.
pub(crate) fn elements(part: &IterableSetelemListAttrs<'_>) -> Vec<CountedElement> {
    let elements = part.get_elements().into_iter().flatten();
    let decoded = elements.filter_map(|element| {
        let Ok(SetelemListElemAttrs::Elem(element)) = element else { return None };
        let (mut key, mut counted, mut left) = (None, 0, None);
        for attribute in element {
            match attribute.ok()? {
                SetelemAttrs::Key(data) => key = bytes(data),
                // netlink-bindings 0.3.5 takes it in the order of the host.
                SetelemAttrs::Expiration(time) => left = Some(u64::from_be(time)),
                SetelemAttrs::Expr(expr) => counted = packets(&expr)?,
                _ => (),
            }
        }
        Some(CountedElement { key: key?.to_vec(), packets: counted, left: left? })
    });
    decoded.collect()
}

fn packets(expr: &IterableExprAttrs<'_>) -> Option<u64> {
    match expr.get_data().ok()? {
        ExprOps::Counter(counter) => counter.get_packets().ok(),
        _ => None,
    }
}
