//! `isolatectl peers`: shows and changes the peers of a running container by address, in one step. Members of
//! its job are determined by the job.

use std::collections::BTreeSet;
use std::fmt::Write;

use anyhow::{Context, Result, bail};
use ipnet::IpNet;
use serde::Serialize;

use super::exit::Exit;
use super::{ContainerSelector, find, lease, load, print, print_json};
use oci_isolate::audit::{self, Line, Outcome};
use oci_isolate::job::PeersOfMember;
use oci_isolate::policy::{Job, Prefixes};
use oci_isolate::record::{GrantedOpenings, Record, RemoteMember, Slot};
use oci_isolate::settings::Audit;
use oci_isolate::{bundle, job, policy};

#[derive(Debug, clap::Subcommand)]
pub(super) enum PeersCommand {
    /// Prints the peers of a container
    Show(ContainerSelector),
    /// Sets its peers by address to these
    Set(PeersArguments),
    /// Adds these to its peers
    Add(PeersArguments),
    /// Removes these from its peers, as they were given
    Remove(PeersArguments),
    /// Applies the current addresses of its job's members, for all of the job
    ///
    /// The engine calls no runtime when it connects or disconnects a network (docker network connect).
    Settle(ContainerSelector),
}

#[derive(Debug, clap::Args)]
pub(super) struct PeersArguments {
    #[command(flatten)]
    which: ContainerSelector,
    /// Addresses and prefixes
    prefixes: Vec<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct PeersReport<'a> {
    id: &'a str,
    /// By address.
    peers: &'a Prefixes,
    job: Option<&'a Job>,
    /// The addresses of the other running members of its job.
    members: Vec<MemberReport>,
    /// The members of its job on other nodes.
    remote: &'a [RemoteMember],
    /// For how many seconds those are peers from now, if that has a limit; 0: it is over.
    #[serde(skip_serializing_if = "Option::is_none")]
    lease_left: Option<u64>,
    /// What the kernel allows: all of them, without overlap.
    allowed: Prefixes,
}

#[derive(Serialize)]
struct MemberReport {
    id: String,
    addresses: BTreeSet<std::net::IpAddr>,
}

pub(super) fn peers(verb: &PeersCommand, json: bool) -> Result<Exit> {
    match verb {
        PeersCommand::Show(which) => {
            let slot = find(which)?;
            show(&slot, &load(&slot)?, json)
        }
        PeersCommand::Set(change) => put(change, |_, given| Ok(given)),
        PeersCommand::Add(change) => {
            put(change, |peers, given| Ok(peers.iter().chain(&given).copied().collect()))
        }
        PeersCommand::Remove(change) => put(change, |peers, given| {
            if let Some(missing) = given.iter().find(|given| !peers.contains(given)) {
                bail!("{missing} is not among its peers by address; see isolatectl peers show");
            }
            Ok(peers.iter().filter(|peer| !given.contains(peer)).copied().collect())
        }),
        PeersCommand::Settle(which) => settle(which),
    }
}

fn settle(which: &ContainerSelector) -> Result<Exit> {
    let settings = bundle::load_settings(None)?;
    let slot = find(which)?;
    let _lock = slot.lock_peers()?;
    let record = load(&slot)?;
    opened(&record)?;
    job::settle(&slot, &record)?;
    write_down(&settings.audit, &slot, &record)?;
    Ok(Exit::Ok)
}

fn show(slot: &Slot, record: &Record, json: bool) -> Result<Exit> {
    let opened = opened(record)?;
    let others = job::members(slot, record)?.into_iter().filter(|m| m.slot.record() != slot.record());
    let others = others.map(|m| MemberReport { addresses: m.own().clone(), id: m.record.id });
    let lease_left = lease::seconds_left(record);
    let PeersOfMember { peers, leased } = job::desired_peers(slot, record)?;
    let leased = leased.into_iter().flatten().filter(|_| lease_left != Some(0)).map(IpNet::from);
    let shown = PeersReport {
        id: &record.id,
        peers: opened.peers(),
        job: record.job(),
        members: others.collect(),
        remote: &opened.remote,
        lease_left,
        allowed: peers.iter().copied().chain(leased).collect(),
    };
    if json {
        print_json(&shown)?;
        return Ok(Exit::Ok);
    }
    let mut text = String::new();
    for peer in shown.peers {
        writeln!(text, "{peer}")?;
    }
    let job = shown.job.map(Job::to_string).unwrap_or_default();
    for MemberReport { id, addresses } in &shown.members {
        for address in addresses {
            writeln!(text, "{address}  {id}, of job {job}")?;
        }
    }
    let remark = match shown.lease_left {
        None => String::new(),
        Some(0) => ", no peer any more: the lease has run out".into(),
        Some(left) => format!(", for {left} s if not confirmed again"),
    };
    for RemoteMember { pod, node, addresses, .. } in shown.remote {
        for address in addresses {
            writeln!(text, "{address}  pod {} on {node}, of job {job}{remark}", pod.name)?;
        }
    }
    print(&text)?;
    Ok(Exit::Ok)
}

/// Sets the peers by address to the result of `make` for the current and the given ones.
fn put(change: &PeersArguments, make: fn(&Prefixes, Prefixes) -> Result<Prefixes>) -> Result<Exit> {
    let settings = bundle::load_settings(None)?;
    let bounds = &settings.peers;
    let given = match change.prefixes.is_empty() {
        true => Prefixes::default(),
        false => policy::peers(&change.prefixes.join(","), bounds).map_err(anyhow::Error::msg)?,
    };
    let slot = find(&change.which)?;
    let _lock = slot.lock_peers()?;
    let mut record = load(&slot)?;
    let opened = opened(&record)?;
    let made = make(opened.peers(), given)?;
    if made.len() > policy::PEERS_LIMIT {
        bail!("{} peers are too many; at most {} are taken", made.len(), policy::PEERS_LIMIT);
    }
    if let Some((address, why)) = opened.excludes(made.iter()) {
        bail!("peer {address} is {why}");
    }
    let opened = opened.with_peers(made);
    // Taken back, they have been peers nevertheless.
    let mut before = record.clone();
    before.opened.iter_mut().for_each(|before| before.added_peers.clone_from(&opened.added_peers));
    record.opened = Some(opened);
    // The record first, so that a set computed meanwhile or later uses the new peers.
    slot.update(&record)?;
    let settled = job::settle(&slot, &record);
    if let Err(error) = settled.and_then(|()| write_down(&settings.audit, &slot, &record)) {
        slot.update(&before).context("cannot take back what failed")?;
        job::settle(&slot, &before).context("cannot take back what failed")?;
        return Err(error);
    }
    Ok(Exit::Ok)
}

/// One line with the container's new peers by address.
fn write_down(audit: &Audit, slot: &Slot, record: &Record) -> Result<()> {
    let peers: Vec<String> = opened(record)?.peers().iter().map(ToString::to_string).collect();
    let why =
        format!("isolatectl peers: {}", if peers.is_empty() { "none".into() } else { peers.join(", ") });
    let line = record.audit_line(slot, Outcome::Changed);
    audit::write(audit, &Line { verb: Some("peers"), why: Some(&why), ..line })
}

/// The openings of a container whose peers can be changed: it runs, and in a namespace of its own.
fn opened(record: &Record) -> Result<&GrantedOpenings> {
    let Some(opened) = &record.opened else {
        bail!(
            "container {} was created without ports, peers and job, so its network namespace is closed; create it again",
            record.id
        );
    };
    if record.network.is_joined() {
        bail!("container {} shares the network of another; name that one", record.id);
    }
    match record.init {
        None => bail!("container {} is not started yet", record.id),
        Some(init) if !init.runs() => bail!("container {} does not run any more", record.id),
        Some(_) => Ok(opened),
    }
}
