//! Peers of running containers: members of a job come and go, and `isolatectl peers` changes the peers of
//! one.
//!
//! After any change, every member's set is computed anew from the records of the running members and replaces
//! the old one in one step, under one lock for the host. So concurrent changes lose no update, and a member
//! that died without being deleted is removed by the next change.

mod hosts_file;
mod names;
mod pasta;
mod peer_sets;
mod processes;
mod remote;
mod resource_config;
mod settled;
mod successors;
mod user_mode_network;

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use anyhow::{Context, Result};

pub use hosts_file::{hosts_source, names_by_kubelet, usable_names};
pub use peer_sets::{Participant, PeersOfMember, is_allowed, peers_of};
pub use processes::{
    foreign_process, process_outside_containers, processes_in, processes_in_netns, why_not_joinable,
};
pub use remote::{JobsOfCluster, Put, PutFailure, put_remote};
pub use resource_config::{LIMIT as RESOURCE_CONFIG_LIMIT, PATH as RESOURCE_CONFIG, current_host};
pub use successors::Successors;
pub use user_mode_network::check_user_mode_network;

use crate::files;
use crate::record::{GrantedOpenings, InitProcess, Record, Recorded, Slot, Store};
use crate::rules::Network;
use crate::seal::{self, NetnsState, OpenNetns, UsedSockets};
use names::{HostsLines, MemberNames};

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

/// The addresses of a namespace, and whatever else was read there.
type Seen<T> = (BTreeSet<IpAddr>, T);

impl JobMember {
    /// The member that a container is. `None`: it has no openings, joins another's namespace, is not sealed
    /// yet, or neither it nor a container that joined it is running.
    ///
    /// # Errors
    /// Its addresses cannot be read although it runs.
    pub fn of(slot: Slot, record: Record, successors: &Successors) -> Result<Option<Self>> {
        let seen = |netns: BorrowedFd| Ok((seal::addresses(Some(netns))?.into_iter().collect(), ()));
        Ok(Self::seen(slot, record, successors, seen)?.map(|(member, ())| member))
    }

    /// The same, with what an update of its peers depends on.
    fn with_state(slot: Slot, record: Record, successors: &Successors) -> Result<Option<(Self, NetnsState)>> {
        Self::seen(slot, record, successors, |netns| {
            let state = seal::state(netns)?;
            Ok((state.addresses.clone(), state))
        })
    }

    fn seen<T>(
        slot: Slot,
        record: Record,
        successors: &Successors,
        look: impl Fn(BorrowedFd) -> Result<Seen<T>>,
    ) -> Result<Option<(Self, T)>> {
        let (Some(opened), Some(sealed)) = (&record.opened, &record.sealed) else { return Ok(None) };
        let init = match record.init.map(InitProcess::open) {
            // Not even known is whether it runs, so it is not taken for one that has ended.
            Some(Err(error)) if files::is_out_of_descriptors(&error) => {
                let error = error.context(format!("cannot open the namespace of container {}", record.id));
                return Err(files::name_limit(error));
            }
            Some(Ok(init)) if init.netns.id() == sealed.netns => Some(init),
            _ => successors.live_in(sealed.netns)?,
        };
        let Some(init) = init else { return Ok(None) };
        let (own, seen) = match look(init.netns.as_fd()) {
            Ok(seen) => seen,
            Err(_) if !init.process.runs() => return Ok(None),
            Err(error) => {
                let what = format!("cannot determine the addresses of container {}", record.id);
                return Err(files::name_limit(error.context(what)));
            }
        };
        let (peers, bounds) = (opened.peers().clone(), opened.bounds.clone());
        let remote = opened.remote.iter().flat_map(|member| &member.addresses).copied().collect();
        let (never, is_leased) = (opened.excluded(), opened.lease().is_some());
        let part = Participant { peers, bounds, never, own, remote, is_leased };
        Ok(Some((Self { slot, record, init, part }, seen)))
    }

    /// The addresses that are none of its peers'.
    fn never(&self) -> BTreeSet<IpAddr> {
        let gateways = self.record.sealed.iter().flat_map(|sealed| &sealed.gateways);
        self.part.never.iter().chain(gateways).copied().collect()
    }

    /// Sets its peers; one that has ended meanwhile has none. Returns the state of its firewall if they were set already.
    fn set(
        &self,
        PeersOfMember { peers, leased }: &PeersOfMember,
        used: &mut UsedSockets,
    ) -> Result<Option<u32>> {
        let set = || seal::set_peers(self.init.netns.as_fd(), peers, leased.as_ref(), &self.never());
        match used.make_room(set) {
            Ok(set) => {
                let unchanged = set.unchanged;
                used.keep(set);
                Ok(unchanged)
            }
            Err(error) if self.init.process.runs() => {
                let what = format!("cannot set the peers of container {}", self.record.id);
                Err(files::name_limit(error.context(what)))
            }
            Err(_) => Ok(None),
        }
    }

    /// Lets its lease run for that long from now, if that is more than it has.
    fn renew(&self, wanted: Duration, used: &mut UsedSockets) -> Result<()> {
        match used.make_room(|| seal::renew_lease(self.init.netns.as_fd(), wanted)) {
            Err(error) if self.init.process.runs() => {
                let what = format!("cannot keep the members of container {} on other nodes", self.record.id);
                Err(files::name_limit(error.context(what)))
            }
            _ => Ok(()),
        }
    }

    /// Its addresses.
    #[must_use]
    pub fn own(&self) -> &BTreeSet<IpAddr> {
        &self.part.own
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
    let successors = Successors::new(Store::of(slot));
    let members = records.into_iter().map(|(slot, record)| JobMember::of(slot, record, &successors));
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

/// For how long the members of a container's job on other nodes are its peers from now; zero: the lease has run out. `None`:
/// without a limit, or it has none.
///
/// # Errors
/// It does not run, or the lease cannot be read.
pub fn lease(record: &Record) -> Result<Option<Duration>> {
    let is_owner = record.sealed.is_some() && !record.network.is_joined();
    if !is_owner || record.opened.as_ref().and_then(GrantedOpenings::lease).is_none() {
        return Ok(None);
    }
    let init = record.init.context("it is not started yet")?;
    seal::lease(InitProcess::open(init)?.netns.as_fd()).map(Some)
}

/// The peers that a container should have now.
///
/// # Errors
/// It does not run, or another running member of its job cannot be inspected.
pub fn desired_peers(slot: &Slot, record: &Record) -> Result<PeersOfMember> {
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
/// unreadable record is in no job. Returns for how long the container's address has to stay its own: other nodes, which
/// may have it as a member, learn that it has left by another way.
///
/// # Errors
/// The set of a running member cannot be changed; the record is then kept. The state directory cannot be
/// written.
pub fn leave(slot: &Slot, record: Option<&Record>) -> Result<Option<Duration>> {
    let creator = record.map(|record| record.creator);
    let Some(record) = record.filter(|record| record.opened.is_some()) else {
        return slot.remove(creator).map(|()| None);
    };
    let _lock = slot.lock_peers()?;
    let is_handed_over = hand_over(slot, record)?;
    if record.job().is_some() {
        let mut members = members(slot, record)?;
        members.retain(|member| member.slot.record() != slot.record());
        put(&members, slot, record)?;
    }
    slot.remove(creator)?;
    let leaves = record.sealed.is_some() && !record.network.is_joined() && !is_handed_over;
    Ok(record.opened.as_ref().filter(|_| leaves).and_then(GrantedOpenings::hold))
}

/// Hands the namespace over to a running container that joined it; returns whether there is one.
fn hand_over(slot: &Slot, record: &Record) -> Result<bool> {
    let (Some(opened), Some(sealed)) = (&record.opened, &record.sealed) else { return Ok(false) };
    let Some(((slot, mut successor), _)) = Store::of(slot).successor_of(sealed.netns)? else {
        return Ok(false);
    };
    if let Some(its) = &mut successor.opened {
        (its.changed_peers, its.never) = (opened.changed_peers.clone(), opened.never.clone());
        its.added_peers.clone_from(&opened.added_peers);
        its.remote.clone_from(&opened.remote);
        its.job.clone_from(&opened.job);
    }
    successor.sealed = Some(sealed.clone());
    if let Network::Joined { at } = successor.network {
        successor.network = Network::SealedInPlace { at };
    }
    slot.update(&successor)?;
    Ok(true)
}

fn put(members: &[JobMember], slot: &Slot, record: &Record) -> Result<()> {
    names::check(members)?;
    let all = record.job().map_or(Ok(Vec::new()), |job| Store::of(slot).members_of(job, slot))?;
    let names = MemberNames::of(members, &all);
    let names = names.lines();
    // Another container's failure is reported when that one starts.
    let own =
        |names: &HostsLines, done: Result<()>| if names.record().id == record.id { done } else { Ok(()) };
    // A name has an address that is a peer's at every moment.
    names.iter().try_for_each(|names| own(names, names.retire().map(drop)))?;
    let parts: Vec<Participant> = members.iter().map(|member| member.part.clone()).collect();
    let mut used = UsedSockets::default();
    for (index, member) in members.iter().enumerate() {
        member.set(&peers_of(&parts, index), &mut used)?;
    }
    drop(used);
    names.iter().try_for_each(|names| own(names, names.write()))
}
