//! Peers of running containers: members of a job come and go, and `isolatectl peers` changes the peers of
//! one.
//!
//! After any change, every member's set is computed anew from the records of the running members and replaces
//! the old one in one step, under one lock for the host. So concurrent changes lose no update, and a member
//! that died without being deleted is removed by the next change.

mod hosts_file;
mod pasta;
mod peer_sets;
mod processes;
mod resource_config;
mod user_mode_network;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::os::fd::AsFd;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};

pub use hosts_file::{hosts_source, usable_names};
pub use peer_sets::{Participant, is_allowed, peers_of};
pub use processes::{
    foreign_process, process_outside_containers, processes_in, processes_in_netns, why_not_joinable,
};
pub use resource_config::{LIMIT as RESOURCE_CONFIG_LIMIT, PATH as RESOURCE_CONFIG, current_host};
pub use user_mode_network::check_user_mode_network;

use crate::policy::{Job, Prefixes};
use crate::record::{InitProcess, Record, Recorded, Slot, Store};
use crate::rules::Network;
use crate::seal::{self, Netns, OpenNetns};

/// A running container with openings in a namespace of its own.
#[derive(Debug)]
pub struct JobMember {
    /// Where its record is kept.
    pub slot: Slot,
    /// Its record.
    pub record: Record,
    /// Its own init process, or after that has ended, that of a container that joined its namespace.
    init: InitProcess,
    part: Participant,
}

impl JobMember {
    /// The member that a container is. `None`: it has no openings, joins another's namespace, is not sealed
    /// yet, or neither it nor a container that joined it is running.
    ///
    /// # Errors
    /// Its addresses cannot be read although it runs.
    pub fn of(slot: Slot, record: Record) -> Result<Option<Self>> {
        let (Some(opened), Some(sealed)) = (&record.opened, &record.sealed) else { return Ok(None) };
        let init = match record.live_in(sealed.netns) {
            Some(init) => Some(init),
            None => Store::of(&slot).successor_of(sealed.netns)?.map(|(_, init)| init),
        };
        let Some(init) = init else { return Ok(None) };
        let own = match seal::addresses(Some(init.netns.as_fd())) {
            Ok(own) => own.into_iter().collect(),
            Err(_) if !init.process.runs() => return Ok(None),
            Err(error) => {
                return Err(
                    error.context(format!("cannot determine the addresses of container {}", record.id))
                );
            }
        };
        let (peers, bounds) = (opened.peers().clone(), opened.bounds.clone());
        let part = Participant { peers, bounds, never: opened.excluded(), own };
        Ok(Some(Self { slot, record, init, part }))
    }

    /// Its addresses.
    #[must_use]
    pub fn own(&self) -> &BTreeSet<IpAddr> {
        &self.part.own
    }

    /// The names by which others find it: its host name, and that of SageMaker's contract if it is another one.
    fn names(&self) -> impl Iterator<Item = &str> {
        let opened = self.record.opened.as_ref();
        let host_name = opened.and_then(|opened| opened.host_name.as_deref());
        host_name.into_iter().chain(self.contract_name())
    }

    /// The name that only SageMaker's contract gives it: no engine writes it into its own `/etc/hosts`.
    fn contract_name(&self) -> Option<&str> {
        let opened = self.record.opened.as_ref()?;
        let name = opened.current_host.as_deref()?;
        let is_other = |host_name: &String| !host_name.eq_ignore_ascii_case(name);
        opened.host_name.as_ref().is_none_or(is_other).then_some(name)
    }

    /// The `/etc/hosts` lines for these names of it.
    fn lines<'m>(&'m self, names: impl Iterator<Item = &'m str>) -> Vec<String> {
        let own: Vec<_> = self.own().iter().filter(|own| is_allowed(**own, &self.part.bounds)).collect();
        names
            .flat_map(|name| own.iter().map(move |own| hosts_file::line(**own, name)).collect::<Vec<_>>())
            .collect()
    }
}

/// The members of this container's job, including itself; without a job, only itself.
///
/// # Errors
/// A running member cannot be inspected.
pub fn members(slot: &Slot, record: &Record) -> Result<Vec<JobMember>> {
    let records = match record.job() {
        Some(job) => Store::of(slot).members_of(job, slot)?,
        None => vec![(slot.clone(), record.clone())],
    };
    let members = records.into_iter().map(|(slot, record)| JobMember::of(slot, record));
    members.filter_map(Result::transpose).collect()
}

/// The owner of the namespace with openings that a container joins.
///
/// # Errors
/// Records cannot be listed, or the owner is gone.
pub fn owner(slot: &Slot, record: &Record) -> Result<Option<Recorded>> {
    if !record.network.is_joined() {
        return Ok(None);
    }
    let init = record.init.context("it is not sealed yet")?;
    let netns = OpenNetns::of(&init.dir())?;
    let owner = Store::of(slot).owner_of(netns.id())?;
    owner.map(Some).context("the container whose namespace it joins is gone")
}

/// The peers that a container should have now.
///
/// # Errors
/// It does not run, or another running member of its job cannot be inspected.
pub fn desired_peers(slot: &Slot, record: &Record) -> Result<Prefixes> {
    let members = members(slot, record)?;
    let index = members.iter().position(|member| member.slot.record() == slot.record());
    let index = index.with_context(|| format!("container {} does not run", record.id))?;
    let parts: Vec<Participant> = members.into_iter().map(|member| member.part).collect();
    Ok(peers_of(&parts, index))
}

/// Applies the peers and names of the records to this container and all of its job. The caller holds
/// [`Slot::lock_peers`].
///
/// # Errors
/// The set of a running member cannot be changed, or two have the same host name.
pub fn settle(slot: &Slot, record: &Record) -> Result<()> {
    put(&members(slot, record)?, slot, record)
}

/// Removes the record of a deleted container. Before that, a container that joined its namespace takes the
/// openings over; otherwise its addresses and its name are removed from the other members of its job. An
/// unreadable record is in no job.
///
/// # Errors
/// The set of a running member cannot be changed; the record is then kept. The state directory cannot be
/// written.
pub fn leave(slot: &Slot, record: Option<&Record>) -> Result<()> {
    let creator = record.map(|record| record.creator);
    let Some(record) = record.filter(|record| record.opened.is_some()) else { return slot.remove(creator) };
    let _lock = slot.lock_peers()?;
    hand_over(slot, record)?;
    if record.job().is_some() {
        let mut members = members(slot, record)?;
        members.retain(|member| member.slot.record() != slot.record());
        put(&members, slot, record)?;
    }
    slot.remove(creator)
}

/// Hands the namespace over to a running container that joined it, if there is one.
fn hand_over(slot: &Slot, record: &Record) -> Result<()> {
    let (Some(opened), Some(sealed)) = (&record.opened, &record.sealed) else { return Ok(()) };
    let Some(((slot, mut successor), _)) = Store::of(slot).successor_of(sealed.netns)? else { return Ok(()) };
    if let Some(its) = &mut successor.opened {
        (its.changed_peers, its.never) = (opened.changed_peers.clone(), opened.never.clone());
    }
    successor.sealed = Some(sealed.clone());
    if let Network::Joined { at } = successor.network {
        successor.network = Network::SealedInPlace { at };
    }
    slot.update(&successor)
}

fn put(members: &[JobMember], slot: &Slot, record: &Record) -> Result<()> {
    check_names(members)?;
    let parts: Vec<Participant> = members.iter().map(|member| member.part.clone()).collect();
    for (index, member) in members.iter().enumerate() {
        let done = seal::set_peers(member.init.netns.as_fd(), &peers_of(&parts, index));
        // It may have ended meanwhile.
        if let Err(error) = done
            && member.init.process.runs()
        {
            return Err(error.context(format!("cannot set the peers of container {}", member.record.id)));
        }
    }
    match record.job() {
        Some(job) => write_names(job, members, slot),
        None => Ok(()),
    }
}

fn check_names(members: &[JobMember]) -> Result<()> {
    let mut known: BTreeMap<String, &JobMember> = BTreeMap::new();
    for member in members {
        for name in member.names() {
            if let Some(other) = known.insert(name.to_ascii_lowercase(), member) {
                bail!(
                    "containers {} and {} of the job have the same host name, {name}; give each its own (--hostname)",
                    other.record.id,
                    member.record.id
                );
            }
        }
    }
    Ok(())
}

/// Every running container of the job finds all others in its hosts file, including those that share a
/// namespace, and itself by the name that its engine does not know.
fn write_names(job: &Job, members: &[JobMember], of: &Slot) -> Result<()> {
    let named = members.iter().map(|member| {
        let netns = member.record.sealed.as_ref().map(|sealed| sealed.netns);
        (netns, member.lines(member.names()), member.lines(member.contract_name().into_iter()))
    });
    let named: Vec<(Option<Netns>, Vec<String>, Vec<String>)> = named.collect();
    let mut done: BTreeSet<PathBuf> = BTreeSet::new();
    for (slot, record) in Store::of(of).members_of(job, of)? {
        let Some(file) = hosts_file::file_of(&record).filter(|_| record.lives()) else {
            continue;
        };
        if !done.insert(file.to_owned()) {
            continue;
        }
        let own = record.init.and_then(|init| Some(OpenNetns::of(&init.dir()).ok()?.id()));
        let lines = named.iter().flat_map(|(netns, all, of_own)| if *netns == own { of_own } else { all });
        let lines: BTreeSet<&str> = lines.map(String::as_str).collect();
        // Another container's failure is reported when that one starts.
        if let Err(error) = hosts_file::write(&record, &lines)
            && slot.record() == of.record()
        {
            return Err(error);
        }
    }
    Ok(())
}
