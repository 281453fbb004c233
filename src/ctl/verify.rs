//! `isolatectl verify`: looks at a running container from outside, at every process of it and not only at init, and
//! names each promise that does not hold. What cannot be looked at does not hold.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use serde::Serialize;

use super::members::{beside, members};
use super::process::{Looker, directory, runs};
use super::{devices, id_of, print, print_json};
use crate::peers;
use crate::record::{Place, Record};
use crate::report::plain;
use crate::seal::{self, Allow, Loaded, Netns, Sockets, Wanted};
use crate::settings::Credentials;

#[derive(Serialize)]
struct Verdict {
    id: String,
    root: PathBuf,
    holds: bool,
    broken: BTreeSet<Broken>,
}

/// A promise that does not hold.
#[derive(Debug, Serialize, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Broken {
    rule: &'static str,
    why: String,
}

impl Broken {
    pub(super) fn new(rule: &'static str, why: impl Into<String>) -> Self {
        Self { rule, why: plain(&why.into(), &[]).into_owned() }
    }
}

pub(super) fn verify(places: &[Place], credentials: &Credentials, json: bool) -> Result<ExitCode> {
    let verdicts: Vec<_> = places.iter().filter_map(|place| verdict(place, credentials)).collect();
    let all_hold = verdicts.iter().all(|verdict| verdict.holds);
    if json {
        print_json(&verdicts)?;
    } else {
        let mut text = String::new();
        for verdict in &verdicts {
            writeln!(text, "{}: {}", verdict.id, if verdict.holds { "holds" } else { "does not hold" })?;
            for Broken { rule, why } in &verdict.broken {
                writeln!(text, "  {rule}: {why}")?;
            }
        }
        print(&text)?;
    }
    Ok(if all_hold { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// None for a record that went away meanwhile: its container was deleted.
fn verdict(place: &Place, credentials: &Credentials) -> Option<Verdict> {
    let broken = match place.load() {
        Ok(record) => {
            let record = record?;
            look(place, &record, credentials)
                .unwrap_or_else(|error| [Broken::new("verify", format!("{error:#}"))].into())
        }
        Err(error) => [Broken::new("record", format!("{error:#}"))].into(),
    };
    let (id, root) = (id_of(place), place.root().to_owned());
    Some(Verdict { id, root, holds: broken.is_empty(), broken })
}

fn look(place: &Place, record: &Record, credentials: &Credentials) -> Result<BTreeSet<Broken>> {
    let stands = |why: String| Ok(BTreeSet::from([Broken::new("record", why)]));
    if !place.has_container() {
        return stands("the runtime has no container of that id".into());
    }
    let Some(init) = record.init else { return stands("it is not sealed yet: it was not started".into()) };
    let process = directory(init.pid);
    if !runs(init) {
        return stands(format!("it is stopped: its init process {} has ended", init.pid));
    }
    let netns = seal::netns_of(&process)?;
    let identity = Netns::of(netns.as_fd())?;
    let mut broken = BTreeSet::new();
    if record.sealed.as_ref().is_some_and(|sealed| sealed.netns != identity) {
        let why = format!("process {} left the namespace that was sealed", init.pid);
        broken.insert(Broken::new("network-namespace", why));
    }
    broken.extend(seal_of(place, record, netns.as_fd())?.into_iter().map(|why| Broken::new("seal", why)));
    let members = members(init.pid)?;
    let mut strangers = Vec::new();
    for (rule, kind) in [("network-namespace", "net"), ("host-pid", "pid"), ("host-ipc", "ipc")] {
        strangers.extend(beside(init.pid, kind)?.difference(&members).map(|pid| (rule, kind, *pid)));
    }
    // To look at all other containers takes longer than all the rest, and most have their namespaces for themselves.
    let known = if strangers.is_empty() { BTreeSet::new() } else { members_beside(place, identity)? };
    for (rule, kind, pid) in strangers.into_iter().filter(|(.., pid)| !known.contains(pid)) {
        let why = format!("process {pid} is in its {kind} namespace and not in the container");
        broken.insert(Broken::new(rule, why));
    }
    broken.extend(devices::allowed(init.pid)?);
    let mut looker = Looker::new(&process, identity, credentials, record)?;
    for pid in members {
        broken.extend(looker.look(pid)?);
    }
    // Not promised.
    broken.retain(|broken| !record.waived.iter().any(|waived| waived == broken.rule));
    Ok(broken)
}

/// What does not hold of the namespace as a whole.
fn seal_of(place: &Place, record: &Record, netns: std::os::fd::BorrowedFd<'_>) -> Result<Vec<String>> {
    let seen = seal::look(netns, Sockets::Own)?;
    let sealed = record.sealed.as_ref();
    let addresses = sealed.map(|sealed| sealed.addresses_kept.clone()).unwrap_or_default();
    let wanted = Wanted { addresses, firewall: record.firewall, allow: allow(place, record)? };
    let mut found: Vec<_> =
        seal::broken(&seen, &wanted, Sockets::Own).iter().map(ToString::to_string).collect();
    if let Loaded::Present(table) = &seen.table {
        let open = sealed.into_iter().flat_map(|sealed| &sealed.foreign_blocked);
        let open = open.filter(|socket| !table.blocks(socket));
        found.extend(open.map(|socket| format!("foreign socket {socket} is not blocked any more")));
    }
    Ok(found)
}

/// What should be open: of a container that joins another's namespace, what is for that one.
fn allow(place: &Place, record: &Record) -> Result<Option<Allow>> {
    let Some(opened) = &record.opened else { return Ok(None) };
    let (place, record, opened) = match peers::owner(record)? {
        None => (place.clone(), record.clone(), opened.clone()),
        Some((place, owner)) => {
            let opened = owner.opened.clone().context("it joins a namespace that is closed")?;
            (place, owner, opened)
        }
    };
    let peers = peers::wanted_of(&place, &record)?;
    let never = opened.excluded();
    Ok(Some(Allow { ingress: opened.asked.ingress, peers, never }))
}

/// The processes of other isolated containers in the same namespace: those of a pod.
fn members_beside(place: &Place, netns: Netns) -> Result<BTreeSet<u32>> {
    let mut found = BTreeSet::new();
    for other in Place::all()?.iter().filter(|other| other.record() != place.record()) {
        // One that cannot be read is named on its own, and vouches for nobody.
        let init = other.load().ok().flatten().and_then(|record| record.init);
        let Some(init) = init.filter(|init| runs(*init)) else { continue };
        let Ok(its) = seal::netns_of(&directory(init.pid)) else { continue };
        if Netns::of(its.as_fd())? == netns {
            found.extend(members(init.pid).context("cannot look at the other containers of its pod")?);
        }
    }
    Ok(found)
}
