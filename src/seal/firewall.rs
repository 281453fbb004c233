//! Our table in the kernel: reads it, and changes it in transactions.
//!
//! A transaction happens as a whole or not at all. Must not judge what it reads or loads.

use std::collections::BTreeMap;

use netlink_bindings::traits::NetlinkRequest;
use nix::errno::Errno;

use crate::netlink::{Batch, Socket, is_unavailable};
use crate::nft::{AddedRule, Additions, Chain, ElementChange, Loaded, Table, messages};

/// Reads our table. Without a table that takes one request, else one for each kind of object in it.
pub(super) fn read_table(socket: &mut Socket) -> Result<Loaded, Errno> {
    let flags = match socket.query(&messages::get_table(), |(_, table)| table.get_flags().ok()) {
        Ok(flags) => flags.first().copied().unwrap_or(0),
        Err(Errno::ENOENT) => return Ok(Loaded::Absent),
        Err(error) if is_unavailable(error) => return Ok(Loaded::Unavailable),
        Err(error) => return Err(error),
    };
    let mut chains = socket.query(&messages::dump_chains(), |(_, chain)| messages::chain(&chain))?;
    for (of, rule) in socket.query(&messages::dump_rules(), |(_, rule)| messages::rule(&rule))? {
        match chains.iter_mut().find(|chain| chain.name == of) {
            Some(chain) => chain.rules.push(rule),
            None => chains.push(Chain { name: of, base: None, rules: vec![rule] }),
        }
    }
    let mut sets = socket.query(&messages::dump_sets(), |(_, set)| messages::set(&set))?;
    // What packets have added decides on none, and a lease may run out at any moment.
    for set in sets.iter_mut().filter(|set| !set.is_timed()) {
        let dump = messages::dump_elements(&set.name);
        *set = socket.fold(&dump, || set.clone(), |set, (_, part)| messages::add_elements(set, &part))?;
        messages::sort_elements(set);
    }
    chains.sort_by(|a, b| a.name.cmp(&b.name));
    sets.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(Loaded::Present(Table { flags, sets, chains }))
}

/// Loads the table where there is none.
///
/// The error names the first part that the kernel refused.
pub(super) fn load(socket: &mut Socket, table: &Table) -> Result<(), (String, Errno)> {
    put(socket, None, Basis::Absent, table)
}

/// Replaces the table that is there, in one transaction. If this one has everything that the other has, the
/// other is extended instead ([`crate::nft::Additions`]); `seen` is the other, read in that state of the firewall.
///
/// The error names the first part that the kernel refused.
pub(super) fn replace(
    socket: &mut Socket,
    seen: Option<(u32, &Table)>,
    table: &Table,
) -> Result<(), (String, Errno)> {
    if let Some((generation, is)) = seen
        && let Some(added) = is.additions(table)
    {
        match extend(socket, generation, &added, table) {
            // It was changed since.
            Err((_, Errno::ERESTART)) => (),
            done => return done,
        }
    }
    let reading = |errno| (format!("table inet {}", Table::NAME), errno);
    let now = generation(socket).map_err(reading)?;
    if let Loaded::Present(is) = read_table(socket).map_err(reading)?
        && let Some(added) = is.additions(table)
    {
        match extend(socket, now, &added, table) {
            // It was changed meanwhile.
            Err((_, Errno::ERESTART)) => (),
            done => return done,
        }
    }
    put(socket, None, Basis::Replaced, table)
}

/// Makes the table that is there this one, if the firewall is still in that state; `ERESTART` if it is not.
///
/// The error names the first part that the kernel refused.
pub(super) fn extend(
    socket: &mut Socket,
    generation: u32,
    added: &Additions,
    table: &Table,
) -> Result<(), (String, Errno)> {
    if *added == Additions::default() {
        return Ok(());
    }
    let handles = match added.rules.is_empty() && added.outgrown_rules.is_empty() {
        true => BTreeMap::new(),
        false => handles(socket).map_err(|errno| (format!("table inet {}", Table::NAME), errno))?,
    };
    put(socket, Some(generation), Basis::Extended(added, &handles), table)
}

/// From what the table is made.
enum Basis<'a> {
    /// There is no table.
    Absent,
    /// The table that is there is deleted.
    Replaced,
    /// The table that is there stays, with its rules; these are their handles.
    Extended(&'a Additions<'a>, &'a BTreeMap<String, Vec<u64>>),
}

fn put(
    socket: &mut Socket,
    generation: Option<u32>,
    basis: Basis,
    table: &Table,
) -> Result<(), (String, Errno)> {
    let (all, none) = (Additions::all(table), BTreeMap::new());
    let (added, handles) = match basis {
        Basis::Extended(added, handles) => (added, handles),
        Basis::Absent | Basis::Replaced => (&all, &none),
    };
    // What each message of the transaction is about.
    let mut parts = Vec::new();
    let done = transaction(socket, generation, |batch| {
        if matches!(basis, Basis::Replaced) {
            batch.add(&messages::delete_table());
        }
        if !matches!(basis, Basis::Extended(..)) {
            batch.add(&messages::new_table(table));
        }
        // A handle that is missing by now is 0, which no rule has.
        let handle =
            |chain: &str, place: usize| handles.get(chain).and_then(|of| of.get(place)).copied().unwrap_or(0);
        for (chain, place) in &added.outgrown_rules {
            batch.add(&messages::delete_rule(chain, handle(chain, *place)));
        }
        for set in &added.outgrown_sets {
            batch.add(&messages::delete_set(set));
        }
        parts.resize(batch.len(), format!("table inet {}", Table::NAME));
        for ElementChange { set, remove: (keys, ends), .. } in &added.elements {
            add_all(batch, &messages::delete_elements(set, keys, ends));
        }
        for ElementChange { set, add: (keys, ends), .. } in &added.elements {
            add_all(batch, &messages::new_elements(None, set, keys, ends));
            parts.resize(batch.len(), format!("set {set}"));
        }
        for (id, set) in added.sets.iter().enumerate() {
            let id = id as u32 + 1;
            batch.add(&messages::new_set(id, set));
            add_all(batch, &messages::new_elements(Some(id), &set.name, &set.keys, &set.ends));
            parts.resize(batch.len(), format!("set {}", set.name));
        }
        for chain in &added.chains {
            batch.add(&messages::new_chain(chain));
            parts.push(format!("chain {}", chain.name));
        }
        for AddedRule { chain, before, rule } in &added.rules {
            let before = before.map(|place| handle(chain, place));
            batch.add(&messages::new_rule(chain, before, rule));
            parts.push(format!("a rule of chain {chain}"));
        }
    });
    done.map_err(|(position, errno)| (parts[position.min(parts.len() - 1)].clone(), errno))
}

/// The kernel's handles of the rules of each chain, in their order.
fn handles(socket: &mut Socket) -> Result<BTreeMap<String, Vec<u64>>, Errno> {
    let listed = socket.query(&messages::dump_rules(), |(_, rule)| messages::handle(&rule))?;
    let mut handles: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for (chain, handle) in listed {
        handles.entry(chain).or_default().push(handle);
    }
    Ok(handles)
}

/// The number of this state of the namespace's firewall, which every change increments.
pub(super) fn generation(socket: &mut Socket) -> Result<u32, Errno> {
    let found = socket.query(&messages::get_generation(), |(_, generation)| generation.get_id().ok())?;
    found.first().copied().ok_or(Errno::EBADMSG)
}

/// Removes the table, if the firewall is still in that state; `ERESTART` if it is not.
pub(super) fn remove(socket: &mut Socket, generation: u32) -> Result<(), Errno> {
    transaction(socket, Some(generation), |batch| batch.add(&messages::delete_table()))
        .map_err(|(_, errno)| errno)
}

/// Sends what `fill` puts into the batch as one transaction; with a generation it happens only if the
/// firewall is still in that state, and `ERESTART` if it is not. The error has the position of the message
/// that the kernel refused.
pub(super) fn transaction(
    socket: &mut Socket,
    generation: Option<u32>,
    fill: impl FnOnce(&mut Batch),
) -> Result<(), (usize, Errno)> {
    let mut batch = Batch::default();
    batch.add(&messages::begin(generation));
    fill(&mut batch);
    let last = batch.len() - 1;
    batch.add(&messages::end());
    socket.send(batch, last)
}

pub(super) fn add_all<R: NetlinkRequest>(batch: &mut Batch, requests: &[R]) {
    requests.iter().for_each(|request| batch.add(request));
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use nix::sys::socket::SockProtocol;

    use super::*;
    use crate::nft::AllowList;

    fn allowing(peer: &str) -> Table {
        let peers = [peer.parse().unwrap()].into_iter().collect();
        let allow = AllowList { ingress: vec![], peers, leased: None, never: BTreeSet::new() };
        Table::default().intended(Some(&allow))
    }

    fn in_a_new_namespace(run: impl FnOnce(&mut Socket) + Send) {
        let run = || {
            let unshared = nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET);
            unshared.expect("a network namespace needs root");
            run(&mut Socket::open(SockProtocol::NetlinkNetFilter).unwrap());
        };
        std::thread::scope(|scope| scope.spawn(run).join().unwrap());
    }

    #[test]
    fn a_table_is_extended_as_it_was_seen_only_in_the_state_in_which_it_was_seen() {
        in_a_new_namespace(|socket| {
            let lockdown = Table::lockdown();
            load(socket, &lockdown).unwrap();
            let seen = generation(socket).unwrap();
            let kept = handles(socket).unwrap();
            for peer in ["10.0.0.1/32", "10.0.0.2/32"] {
                let wanted = allowing(peer);
                // The second time it is not in that state any more.
                replace(socket, Some((seen, &lockdown)), &wanted).unwrap();
                let Loaded::Present(is) = read_table(socket).unwrap() else { panic!("there is no table") };
                assert_eq!(is.differs(&wanted), [], "{peer}");
            }
            let now = handles(socket).unwrap();
            let stays =
                |(chain, handles): (&String, &Vec<u64>)| handles.iter().any(|it| now[chain].contains(it));
            assert!(kept.iter().any(stays), "{kept:?} {now:?}");
        });
    }
}
