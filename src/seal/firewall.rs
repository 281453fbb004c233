//! The table in the kernel: read it, and change it in transactions. The expressions in it are encoding.rs.
//!
//! No judgement here; what it cannot read becomes [`Expr::Other`], or a flag that no set of ours has, and so equals
//! nothing.
//! Wire format: linux/netfilter/nf_tables.h; transactions: net/netfilter/nfnetlink.c.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::CStr;

use netlink_bindings::nftables::{Nfgenmsg, PushSetelemListElemAttrs, Request, SetelemAttrs};
use netlink_bindings::traits::Pusher;
use netlink_bindings::utils::parse_be_u32;
use nix::errno::Errno;

use super::encoding::{decode_element, encode, text, value};
use super::grown::{Added, Additions};
use super::observe::Loaded;
use super::steps::SET_INTERVAL;
use super::table::{Base, Chain, Expr, Set, Table};
use super::wire::{Batch, Wire};

/// Reads our table. With no table it is one question, else one for each kind of thing in it.
pub(super) fn read(wire: &mut Wire) -> Result<Loaded, Errno> {
    let mut request = Request::new().op_gettable_do(&INET);
    request.encode().push_name_bytes(NAME);
    let flags = match wire.ask(&request, |(_, table)| table.get_flags().ok()) {
        Ok(flags) => flags.first().copied().unwrap_or(0),
        Err(Errno::ENOENT) => return Ok(Loaded::Absent),
        Err(error) if is_unavailable(error) => return Ok(Loaded::Unavailable),
        Err(error) => return Err(error),
    };
    let mut chains = wire.ask(&Request::new().op_getchain_dump(&INET), |(_, chain)| {
        let ours = chain.get_table().map(CStr::to_bytes) == Ok(NAME);
        ours.then(|| decode_chain(chain))
    })?;
    let mut request = Request::new().op_getrule_dump(&INET);
    request.encode().push_table_bytes(NAME);
    let rules = wire.ask(&request, |(_, rule)| {
        // The dump is filtered by the kernel, and again here for those that ignore the filter.
        (rule.get_table().map(CStr::to_bytes) == Ok(NAME)).then_some(())?;
        let expressions = rule.get_expressions().ok();
        let decoded = expressions.map(|list| list.map(decode_element).collect()).unwrap_or_default();
        Some((text(rule.get_chain().ok()?), decoded))
    })?;
    for (of, rule) in rules {
        match chains.iter_mut().find(|chain| chain.name == of) {
            Some(chain) => chain.rules.push(rule),
            None => chains.push(Chain { name: of, base: None, rules: vec![rule] }),
        }
    }
    let mut request = Request::new().op_getset_dump(&INET);
    request.encode().push_table_bytes(NAME);
    let mut sets = wire.ask(&request, |(_, set)| {
        (set.get_table().map(CStr::to_bytes) == Ok(NAME)).then_some(())?;
        let (key_type, key_length) = (set.get_key_type().unwrap_or(0), set.get_key_len().unwrap_or(0));
        let name = text(set.get_name().ok()?);
        let flags = set.get_flags().unwrap_or(0);
        Some(Set { name, key_type, key_length, flags, keys: BTreeSet::new(), ends: BTreeSet::new() })
    })?;
    for set in &mut sets {
        let mut request = Request::new().op_getsetelem_dump(&INET);
        request.encode().push_table_bytes(NAME).push_set_bytes(set.name.as_bytes());
        let parts = wire.ask(&request, |(_, part)| {
            let key = |element| match element {
                Ok(netlink_bindings::nftables::SetelemListElemAttrs::Elem(element)) => plain_key(element),
                Err(_) => None,
            };
            Some(part.get_elements().ok()?.map(key).collect::<Vec<_>>())
        })?;
        for element in parts.into_iter().flatten() {
            match element {
                Some((key, true)) => set.ends.insert(key),
                Some((key, false)) => set.keys.insert(key),
                None => {
                    set.flags |= SET_OTHER;
                    false
                }
            };
        }
    }
    chains.sort_by(|a, b| a.name.cmp(&b.name));
    sets.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(Loaded::Present(Table { flags, sets, chains }))
}

/// Loads the table where there is none.
///
/// The error names the first part that the kernel did not take.
pub(super) fn load(wire: &mut Wire, table: &Table) -> Result<(), (String, Errno)> {
    put(wire, None, Basis::Nothing, table)
}

/// Puts the table in place of the one that is there, in one transaction: all of it, or nothing changes. Where it has all
/// that the other has, the other grows into it (grown.rs).
///
/// The error names the first part that the kernel did not take.
pub(super) fn replace(wire: &mut Wire, table: &Table) -> Result<(), (String, Errno)> {
    let asking = |errno| (format!("table inet {}", Table::NAME), errno);
    let now = generation(wire).map_err(asking)?;
    if let Loaded::Present(is) = read(wire).map_err(asking)?
        && let Some(added) = is.additions(table)
    {
        if added == Additions::default() {
            return Ok(());
        }
        let handles = handles(wire).map_err(asking)?;
        match put(wire, Some(now), Basis::Growing(&added, &handles), table) {
            // It is another by now.
            Err((_, Errno::ERESTART)) => (),
            done => return done,
        }
    }
    put(wire, None, Basis::Replaced, table)
}

/// What a table is made of.
enum Basis<'a> {
    /// There is none.
    Nothing,
    /// The one that is there goes.
    Replaced,
    /// The one that is there stays, with its rules, of which these are the handles.
    Growing(&'a Additions<'a>, &'a BTreeMap<String, Vec<u64>>),
}

fn put(wire: &mut Wire, generation: Option<u32>, basis: Basis, table: &Table) -> Result<(), (String, Errno)> {
    let (all, none) = (Additions::all(table), BTreeMap::new());
    let (added, handles) = match basis {
        Basis::Growing(added, handles) => (added, handles),
        Basis::Nothing | Basis::Replaced => (&all, &none),
    };
    let mut parts = Vec::new();
    let done = transaction(wire, generation, |batch| {
        if matches!(basis, Basis::Replaced) {
            delete_table(batch);
        }
        if !matches!(basis, Basis::Growing(..)) {
            let mut request = Request::new().set_create().set_excl().op_newtable_do(&INET);
            request.encode().push_name_bytes(NAME).push_flags(table.flags);
            batch.add(&request);
        }
        parts.resize(batch.len(), format!("table inet {}", Table::NAME));
        for (id, set) in added.sets.iter().enumerate() {
            add_set(batch, id as u32 + 1, set);
            parts.resize(batch.len(), format!("set {}", set.name));
        }
        for chain in &added.chains {
            add_chain(batch, chain);
            parts.push(format!("chain {}", chain.name));
        }
        for Added { chain, before, rule } in &added.rules {
            // A handle that is not there any more is 0, which no rule has.
            let handle =
                |place: usize| handles.get(*chain).and_then(|of| of.get(place)).copied().unwrap_or(0);
            add_rule(batch, chain, before.map(handle), rule);
            parts.push(format!("a rule of chain {chain}"));
        }
    });
    done.map_err(|(position, errno)| (parts[position.min(parts.len() - 1)].clone(), errno))
}

/// By which the kernel knows the rules of each chain, in their order.
fn handles(wire: &mut Wire) -> Result<BTreeMap<String, Vec<u64>>, Errno> {
    let mut request = Request::new().op_getrule_dump(&INET);
    request.encode().push_table_bytes(NAME);
    let listed = wire.ask(&request, |(_, rule)| {
        (rule.get_table().map(CStr::to_bytes) == Ok(NAME)).then_some(())?;
        Some((text(rule.get_chain().ok()?), rule.get_handle().ok()?))
    })?;
    let mut handles: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for (chain, handle) in listed {
        handles.entry(chain).or_default().push(handle);
    }
    Ok(handles)
}

/// All of what `fill` puts into it happens, or nothing, and with a generation only if the firewall is still in that state;
/// `ERESTART` if it is not. The error names the position of what the kernel did not take.
fn transaction(
    wire: &mut Wire,
    generation: Option<u32>,
    fill: impl FnOnce(&mut Batch),
) -> Result<(), (usize, Errno)> {
    let mut batch = Batch::default();
    let mut whole = Nfgenmsg::new();
    whole.set_res_id(NFNL_SUBSYS_NFTABLES);
    let mut begin = Request::new().op_batch_begin_do(&whole);
    if let Some(generation) = generation {
        begin.encode().push_genid(generation);
    }
    batch.add(&begin);
    fill(&mut batch);
    let last = batch.len() - 1;
    batch.add(&Request::new().op_batch_end_do(&whole));
    wire.tell(batch, last)
}

fn delete_table(batch: &mut Batch) {
    let mut request = Request::new().op_deltable_do(&INET);
    request.encode().push_name_bytes(NAME);
    batch.add(&request);
}

/// Whether an error says that this kernel has no nf_tables, as opposed to refusing us its use.
///
/// socket(2) without nfnetlink: `EPROTONOSUPPORT`. nfnetlink without nf_tables: `EINVAL` to a single message,
/// `EOPNOTSUPP` to a transaction (net/netfilter/nfnetlink.c). nf_tables without family inet: `EAFNOSUPPORT`.
/// `EPERM` and everything else is a failure and never an excuse.
pub(super) fn is_unavailable(error: Errno) -> bool {
    matches!(
        error,
        Errno::EPROTONOSUPPORT
            | Errno::ESOCKTNOSUPPORT
            | Errno::EAFNOSUPPORT
            | Errno::EINVAL
            | Errno::EOPNOTSUPP
    )
}

fn add_chain(batch: &mut Batch, chain: &Chain) {
    let mut request = Request::new().set_create().op_newchain_do(&INET);
    let encoder = request.encode().push_table_bytes(NAME).push_name_bytes(chain.name.as_bytes());
    if let Some(base) = &chain.base {
        let hook = encoder.nested_hook().push_num(base.hook).push_priority(base.priority).end_nested();
        drop(hook.push_policy(base.policy).push_type_bytes(base.kind.as_bytes()));
    } else {
        drop(encoder);
    }
    batch.add(&request);
}

/// At the end of the chain, or before the rule with that handle.
fn add_rule(batch: &mut Batch, chain: &str, before: Option<u64>, rule: &[Expr]) {
    let request = Request::new().set_create();
    // Without NLM_F_APPEND it goes before the rule at the position.
    let request = if before.is_none() { request.set_append() } else { request };
    let mut request = request.op_newrule_do(&INET);
    let mut list = request.encode().push_table_bytes(NAME).push_chain_bytes(chain.as_bytes());
    if let Some(handle) = before {
        list = list.push_position(handle);
    }
    drop(rule.iter().fold(list.nested_expressions(), encode).end_nested());
    batch.add(&request);
}

fn add_set(batch: &mut Batch, id: u32, set: &Set) {
    let mut request = Request::new().set_create().op_newset_do(&INET);
    let encoder = request.encode().push_table_bytes(NAME).push_name_bytes(set.name.as_bytes());
    let encoder = encoder.push_flags(set.flags).push_key_type(set.key_type).push_key_len(set.key_length);
    let encoder = encoder.push_id(id);
    // The size of an interval set is left open, for it changes.
    match (set.keys.len(), set.flags & SET_INTERVAL) {
        (0, _) | (_, SET_INTERVAL) => drop(encoder),
        (size, _) => drop(encoder.nested_desc().push_size(size as u32).end_nested()),
    }
    batch.add(&request);
    add_elements(batch, Some(id), &set.name, &set.keys, &set.ends);
}

/// In order, an end before a start at the same key, as nft(8) sends them.
fn ordered<'a>(keys: &'a BTreeSet<Vec<u8>>, ends: &'a BTreeSet<Vec<u8>>) -> Vec<(&'a Vec<u8>, bool)> {
    let all = keys.iter().map(|key| (key, false)).chain(ends.iter().map(|key| (key, true)));
    let mut all: Vec<_> = all.collect();
    all.sort_by_key(|(key, is_end)| (*key, !is_end));
    all
}

fn add_elements(
    batch: &mut Batch,
    id: Option<u32>,
    set: &str,
    keys: &BTreeSet<Vec<u8>>,
    ends: &BTreeSet<Vec<u8>>,
) {
    // The length of an attribute has 16 bits.
    for elements in ordered(keys, ends).chunks(ELEMENTS) {
        let mut request = Request::new().set_create().op_newsetelem_do(&INET);
        let mut encoder = request.encode().push_table_bytes(NAME).push_set_bytes(set.as_bytes());
        if let Some(id) = id {
            encoder = encoder.push_set_id(id);
        }
        drop(elements.iter().fold(encoder.nested_elements(), push_element).end_nested());
        batch.add(&request);
    }
}

fn delete_elements(batch: &mut Batch, set: &str, keys: &BTreeSet<Vec<u8>>, ends: &BTreeSet<Vec<u8>>) {
    for elements in ordered(keys, ends).chunks(ELEMENTS) {
        let mut request = Request::new().op_delsetelem_do(&INET);
        let encoder = request.encode().push_table_bytes(NAME).push_set_bytes(set.as_bytes());
        drop(elements.iter().fold(encoder.nested_elements(), push_element).end_nested());
        batch.add(&request);
    }
}

fn push_element<P: Pusher>(
    list: PushSetelemListElemAttrs<P>,
    (key, is_end): &(&Vec<u8>, bool),
) -> PushSetelemListElemAttrs<P> {
    let element = list.nested_elem().nested_key().push_value(key).end_nested();
    if *is_end { element.push_flags(&INTERVAL_END.to_be_bytes()) } else { element }.end_nested()
}

/// Elements to be taken out of a set and put into it.
#[derive(Debug, Default)]
pub(super) struct Change {
    pub(super) set: &'static str,
    pub(super) remove: (BTreeSet<Vec<u8>>, BTreeSet<Vec<u8>>),
    pub(super) add: (BTreeSet<Vec<u8>>, BTreeSet<Vec<u8>>),
}

/// The number of this state of the namespace's firewall, which every change counts up.
pub(super) fn generation(wire: &mut Wire) -> Result<u32, Errno> {
    let found = wire.ask(&Request::new().op_getgen_do(&INET), |(_, gen_)| gen_.get_id().ok())?;
    found.first().copied().ok_or(Errno::EBADMSG)
}

/// Removes the table, if the firewall is still in that state; `ERESTART` if it is not.
pub(super) fn remove(wire: &mut Wire, generation: u32) -> Result<(), Errno> {
    transaction(wire, Some(generation), delete_table).map_err(|(_, errno)| errno)
}

/// Changes sets in one transaction, if the firewall is still in that state; `ERESTART` if it is not.
pub(super) fn change(wire: &mut Wire, generation: u32, changes: &[Change]) -> Result<(), Errno> {
    let done = transaction(wire, Some(generation), |batch| {
        for Change { set, remove: (keys, ends), .. } in changes {
            delete_elements(batch, set, keys, ends);
        }
        for Change { set, add: (keys, ends), .. } in changes {
            add_elements(batch, None, set, keys, ends);
        }
    });
    done.map_err(|(_, errno)| errno)
}

fn decode_chain(chain: netlink_bindings::nftables::IterableChainAttrs<'_>) -> Chain {
    let base = chain.get_hook().ok().map(|hook| Base {
        kind: chain.get_type().map(text).unwrap_or_default(),
        hook: hook.get_num().unwrap_or(u32::MAX),
        priority: hook.get_priority().unwrap_or(i32::MAX),
        policy: chain.get_policy().unwrap_or(u32::MAX),
        flags: chain.get_flags().unwrap_or(0) & !CHAIN_BASE,
    });
    Chain { name: chain.get_name().map(text).unwrap_or_default(), base, rules: vec![] }
}

/// A key, and whether it is the end of an interval. An element that is more (a time limit, a comment) is not one of ours.
fn plain_key(element: netlink_bindings::nftables::IterableSetelemAttrs<'_>) -> Option<(Vec<u8>, bool)> {
    let mut key = None;
    let mut is_end = false;
    for attribute in element {
        match attribute.ok()? {
            SetelemAttrs::Key(data) => key = value(data),
            SetelemAttrs::Flags(flags) if parse_be_u32(flags) == Some(INTERVAL_END) => is_end = true,
            _ => return None,
        }
    }
    Some((key?, is_end))
}

const NAME: &[u8] = Table::NAME.as_bytes();
/// `NFPROTO_INET` of linux/netfilter.h.
const INET: Nfgenmsg = Nfgenmsg { nfgen_family: 1, version: 0, _res_id_be: 0 };
const NFNL_SUBSYS_NFTABLES: u16 = 10;
const ELEMENTS: usize = 500;
const CHAIN_BASE: u32 = 1;
/// No flag of the kernel's: there is an element in the set that is none of ours, so the set is none.
const SET_OTHER: u32 = 1 << 31;
const INTERVAL_END: u32 = 1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_is_told_apart_from_forbidden() {
        for missing in [Errno::EPROTONOSUPPORT, Errno::EINVAL, Errno::EOPNOTSUPP, Errno::EAFNOSUPPORT] {
            assert!(is_unavailable(missing), "{missing}");
        }
        for failure in
            [Errno::EPERM, Errno::EACCES, Errno::ENOMEM, Errno::ENOBUFS, Errno::EBUSY, Errno::ENOENT]
        {
            assert!(!is_unavailable(failure), "{failure}");
        }
    }
}
