//! The messages of nf_tables about our table: requests encoded, replies decoded.
//!
//! What cannot be decoded becomes something that equals nothing of ours: [`Expr::Other`], or a flag that no
//! set of ours has. Must not judge. Wire format: linux/netfilter/nf_tables.h; transactions:
//! net/netfilter/nfnetlink.c.

use std::ffi::CStr;

use netlink_bindings::nftables::{
    IterableChainAttrs, IterableRuleAttrs, IterableSetAttrs, IterableSetelemAttrs, IterableSetelemListAttrs,
    Nfgenmsg, OpBatchBeginDo, OpBatchEndDo, OpDelruleDo, OpDelsetDo, OpDelsetelemDo, OpDeltableDo,
    OpGetchainDump, OpGetgenDo, OpGetruleDump, OpGetsetDump, OpGetsetelemDump, OpGettableDo, OpNewchainDo,
    OpNewruleDo, OpNewsetDo, OpNewsetelemDo, OpNewtableDo, PushSetelemListElemAttrs, Request, SetelemAttrs,
    SetelemListElemAttrs,
};
use netlink_bindings::traits::Pusher;
use netlink_bindings::utils::parse_be_u32;

use super::codec::{bytes, decode_element, encode, text};
use super::expr::{Expr, SET_TIMEOUT};
use super::keys::Keys;
use super::table::{Base, Chain, Set, Table};

/// A key, and whether it is the end of an interval; `None` for an element that is not of our making.
type Element<'a> = Option<(&'a [u8], bool)>;

/// Begins a transaction; with a generation it happens only if the firewall is still in that state.
pub(crate) fn begin(generation: Option<u32>) -> OpBatchBeginDo<'static> {
    let mut request = Request::new().op_batch_begin_do(&transaction());
    if let Some(generation) = generation {
        request.encode().push_genid(generation);
    }
    request
}

pub(crate) fn end() -> OpBatchEndDo<'static> {
    Request::new().op_batch_end_do(&transaction())
}

pub(crate) fn new_table(table: &Table) -> OpNewtableDo<'static> {
    let mut request = Request::new().set_create().set_excl().op_newtable_do(&INET);
    request.encode().push_name_bytes(NAME).push_flags(table.flags);
    request
}

pub(crate) fn delete_table() -> OpDeltableDo<'static> {
    let mut request = Request::new().op_deltable_do(&INET);
    request.encode().push_name_bytes(NAME);
    request
}

/// The rule with that handle.
pub(crate) fn delete_rule(chain: &str, handle: u64) -> OpDelruleDo<'static> {
    let mut request = Request::new().op_delrule_do(&INET);
    let encoder = request.encode().push_table_bytes(NAME).push_chain_bytes(chain.as_bytes());
    drop(encoder.push_handle(handle));
    request
}

pub(crate) fn delete_set(set: &str) -> OpDelsetDo<'static> {
    let mut request = Request::new().op_delset_do(&INET);
    request.encode().push_table_bytes(NAME).push_name_bytes(set.as_bytes());
    request
}

/// A chain without its rules.
pub(crate) fn new_chain(chain: &Chain) -> OpNewchainDo<'static> {
    let mut request = Request::new().set_create().op_newchain_do(&INET);
    let encoder = request.encode().push_table_bytes(NAME).push_name_bytes(chain.name.as_bytes());
    if let Some(base) = &chain.base {
        let hook = encoder.nested_hook().push_num(base.hook).push_priority(base.priority).end_nested();
        drop(hook.push_policy(base.policy).push_type_bytes(base.kind.as_bytes()));
    } else {
        drop(encoder);
    }
    request
}

/// A rule at the end of the chain, or before the rule with that handle.
pub(crate) fn new_rule(chain: &str, before: Option<u64>, rule: &[Expr]) -> OpNewruleDo<'static> {
    let request = Request::new().set_create();
    // Without NLM_F_APPEND it goes before the rule at the position.
    let request = if before.is_none() { request.set_append() } else { request };
    let mut request = request.op_newrule_do(&INET);
    let mut list = request.encode().push_table_bytes(NAME).push_chain_bytes(chain.as_bytes());
    if let Some(handle) = before {
        list = list.push_position(handle);
    }
    drop(rule.iter().fold(list.nested_expressions(), encode).end_nested());
    request
}

/// A set without its elements. The id names it within the transaction.
pub(crate) fn new_set(id: u32, set: &Set) -> OpNewsetDo<'static> {
    let mut request = Request::new().set_create().op_newset_do(&INET);
    let encoder = request.encode().push_table_bytes(NAME).push_name_bytes(set.name.as_bytes());
    let encoder = encoder.push_flags(set.flags).push_key_type(set.key_type).push_key_len(set.key_length);
    let mut encoder = encoder.push_id(id);
    if set.flags & SET_TIMEOUT != 0 {
        // netlink-bindings 0.3.5 takes both in the order of the host.
        encoder = encoder.push_timeout(Set::LIFETIME.to_be()).push_gc_interval(GC_INTERVAL.to_be());
    }
    match set.size {
        0 => drop(encoder),
        size => drop(encoder.nested_desc().push_size(size).end_nested()),
    }
    request
}

/// Elements, as many messages as they take. The id is that of a set which is made in the same transaction.
pub(crate) fn new_elements(
    id: Option<u32>,
    set: &str,
    keys: &Keys,
    ends: &Keys,
) -> Vec<OpNewsetelemDo<'static>> {
    let message = |elements: &[(&[u8], bool)]| {
        let mut request = Request::new().set_create().op_newsetelem_do(&INET);
        let mut encoder = request.encode().push_table_bytes(NAME).push_set_bytes(set.as_bytes());
        if let Some(id) = id {
            encoder = encoder.push_set_id(id);
        }
        drop(elements.iter().fold(encoder.nested_elements(), push_element).end_nested());
        request
    };
    ordered(keys, ends).chunks(ELEMENTS).map(message).collect()
}

/// Elements for that many milliseconds, which netlink-bindings 0.3.5 takes in the order of the host.
pub(crate) fn new_timed_elements(set: &str, keys: &Keys, timeout: u64) -> OpNewsetelemDo<'static> {
    let mut request = Request::new().set_create().op_newsetelem_do(&INET);
    let encoder = request.encode().push_table_bytes(NAME).push_set_bytes(set.as_bytes());
    drop(keys.iter().fold(encoder.nested_elements(), |list, key| {
        let element = list.nested_elem().push_timeout(timeout.to_be());
        element.nested_key().push_value(key).end_nested().end_nested()
    }));
    request
}

pub(crate) fn delete_elements(set: &str, keys: &Keys, ends: &Keys) -> Vec<OpDelsetelemDo<'static>> {
    let message = |elements: &[(&[u8], bool)]| {
        let mut request = Request::new().op_delsetelem_do(&INET);
        let encoder = request.encode().push_table_bytes(NAME).push_set_bytes(set.as_bytes());
        drop(elements.iter().fold(encoder.nested_elements(), push_element).end_nested());
        request
    };
    ordered(keys, ends).chunks(ELEMENTS).map(message).collect()
}

/// In order, an end before a start with the same key, as nft(8) sends them.
fn ordered<'a>(keys: &'a Keys, ends: &'a Keys) -> Vec<(&'a [u8], bool)> {
    let all = keys.iter().map(|key| (key, false)).chain(ends.iter().map(|key| (key, true)));
    let mut all: Vec<_> = all.collect();
    if !ends.is_empty() {
        all.sort_by_key(|(key, is_end)| (*key, !is_end));
    }
    all
}

fn push_element<P: Pusher>(
    list: PushSetelemListElemAttrs<P>,
    (key, is_end): &(&[u8], bool),
) -> PushSetelemListElemAttrs<P> {
    let element = list.nested_elem().nested_key().push_value(key).end_nested();
    if *is_end { element.push_flags(&INTERVAL_END.to_be_bytes()) } else { element }.end_nested()
}

/// The number of this state of the namespace's firewall, which every change increments.
pub(crate) fn get_generation() -> OpGetgenDo<'static> {
    Request::new().op_getgen_do(&INET)
}

pub(crate) fn get_table() -> OpGettableDo<'static> {
    let mut request = Request::new().op_gettable_do(&INET);
    request.encode().push_name_bytes(NAME);
    request
}

/// The chains of all tables: the kernel has no filter for them.
pub(crate) fn dump_chains() -> OpGetchainDump<'static> {
    Request::new().op_getchain_dump(&INET)
}

pub(crate) fn dump_rules() -> OpGetruleDump<'static> {
    let mut request = Request::new().op_getrule_dump(&INET);
    request.encode().push_table_bytes(NAME);
    request
}

pub(crate) fn dump_sets() -> OpGetsetDump<'static> {
    let mut request = Request::new().op_getset_dump(&INET);
    request.encode().push_table_bytes(NAME);
    request
}

pub(crate) fn dump_elements(set: &str) -> OpGetsetelemDump<'static> {
    let mut request = Request::new().op_getsetelem_dump(&INET);
    request.encode().push_table_bytes(NAME).push_set_bytes(set.as_bytes());
    request
}

/// A chain of our table, without its rules.
pub(crate) fn chain(chain: &IterableChainAttrs<'_>) -> Option<Chain> {
    (chain.get_table().map(CStr::to_bytes) == Ok(NAME)).then_some(())?;
    let base = chain.get_hook().ok().map(|hook| Base {
        kind: chain.get_type().map(text).unwrap_or_default(),
        hook: hook.get_num().unwrap_or(u32::MAX),
        priority: hook.get_priority().unwrap_or(i32::MAX),
        policy: chain.get_policy().unwrap_or(u32::MAX),
        flags: chain.get_flags().unwrap_or(0) & !CHAIN_BASE,
    });
    Some(Chain { name: chain.get_name().map(text).unwrap_or_default(), base, rules: vec![] })
}

/// A rule of our table, and its chain. The kernel filters the dump; this is for those that ignore the filter.
pub(crate) fn rule(rule: &IterableRuleAttrs<'_>) -> Option<(String, Vec<Expr>)> {
    let chain = chain_of(rule)?;
    let expressions = rule.get_expressions().ok();
    let decoded = expressions.map(|list| list.map(decode_element).collect()).unwrap_or_default();
    Some((chain, decoded))
}

/// The chain of a rule of our table, and the rule's handle.
pub(crate) fn handle(rule: &IterableRuleAttrs<'_>) -> Option<(String, u64)> {
    Some((chain_of(rule)?, rule.get_handle().ok()?))
}

/// The chain of a rule, if that is one of our table.
pub(super) fn chain_of(rule: &IterableRuleAttrs<'_>) -> Option<String> {
    (rule.get_table().map(CStr::to_bytes) == Ok(NAME)).then_some(())?;
    Some(text(rule.get_chain().ok()?))
}

/// A set of our table, without its elements.
pub(crate) fn set(set: &IterableSetAttrs<'_>) -> Option<Set> {
    (set.get_table().map(CStr::to_bytes) == Ok(NAME)).then_some(())?;
    let (key_type, key_length) = (set.get_key_type().unwrap_or(0), set.get_key_len().unwrap_or(0));
    let name = text(set.get_name().ok()?);
    let mut flags = set.get_flags().unwrap_or(0);
    if set.get_timeout().is_ok_and(|limit| u64::from_be(limit) != Set::LIFETIME) {
        flags |= SET_OTHER;
    }
    let size = set.get_desc().and_then(|desc| desc.get_size()).unwrap_or(0);
    let none = Keys::none(key_length as usize);
    Some(Set { name, key_type, key_length, flags, size, keys: none.clone(), ends: none })
}

/// Adds the elements of one reply to their set, in the order of the kernel; [`sort_elements`] sorts them.
pub(crate) fn add_elements(set: &mut Set, part: &IterableSetelemListAttrs<'_>) {
    for element in part.get_elements().into_iter().flatten() {
        let key = match element {
            Ok(SetelemListElemAttrs::Elem(element)) => plain_key(element),
            Err(_) => None,
        };
        match key.filter(|(key, _)| set.keys.fits(key)) {
            Some((key, true)) => set.ends.push(key),
            Some((key, false)) => set.keys.push(key),
            None => set.flags |= SET_OTHER,
        }
    }
}

/// After all replies.
pub(crate) fn sort_elements(set: &mut Set) {
    set.keys.sort();
    set.ends.sort();
}

/// An element with more than a key (a time limit, a comment) is not one of ours.
fn plain_key(element: IterableSetelemAttrs<'_>) -> Element<'_> {
    let mut key = None;
    let mut is_end = false;
    for attribute in element {
        match attribute.ok()? {
            SetelemAttrs::Key(data) => key = bytes(data),
            SetelemAttrs::Flags(flags) if parse_be_u32(flags) == Some(INTERVAL_END) => is_end = true,
            _ => return None,
        }
    }
    Some((key?, is_end))
}

fn transaction() -> Nfgenmsg {
    let mut header = Nfgenmsg::new();
    header.set_res_id(NFNL_SUBSYS_NFTABLES);
    header
}

const NAME: &[u8] = Table::NAME.as_bytes();
/// `NFPROTO_INET` of linux/netfilter.h.
const INET: Nfgenmsg = Nfgenmsg { nfgen_family: 1, version: 0, _res_id_be: 0 };
const NFNL_SUBSYS_NFTABLES: u16 = 10;
/// Elements in one message: the length of an attribute has 16 bits.
const ELEMENTS: usize = 500;
const CHAIN_BASE: u32 = 1;
/// Of a set with a time limit, in milliseconds: nothing in it ends sooner than the container.
const GC_INTERVAL: u32 = 24 * 3600 * 1000;
/// Not a flag of the kernel's: the set has an element that is not of our making, so the set is not either.
const SET_OTHER: u32 = 1 << 31;
const INTERVAL_END: u32 = 1;
