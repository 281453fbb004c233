//! Members of jobs on other nodes: what a watcher of the cluster's pods found is put into the records, the kernel and
//! the files of the containers that run here.
//!
//! The state is complete each time, so nothing depends on what was put before: a member that it does not name is a
//! member no more. A member on this node is never taken from it: which containers run here, the records say. It cannot
//! open what the settings do not allow, nor an address of this node, a gateway, or a member of a job that runs here. Addresses of
//! other containers of this node are not known to it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;

use super::hosts_file::is_name;
use super::names::MemberNames;
use super::settled::{Settled, SettledTable};
use super::{JobMember, Participant, Successors, is_allowed, peers_of};
use crate::policy::Job;
use crate::proc::since_boot;
use crate::record::{GrantedOpenings, Record, Recorded, RemoteMember, Slot, Store};
use crate::seal::{NetnsState, UsedSockets};

/// All members of the jobs that this node has a part in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct JobsOfCluster {
    /// This node.
    pub node: String,
    /// The members of each job, also those on this node; by Kubernetes namespace and name.
    pub jobs: BTreeMap<(String, String), Vec<RemoteMember>>,
    /// When the API server was last heard, by which leases are renewed; since the machine has started.
    pub contact: Option<Duration>,
}

/// What could not be put, and for which container.
#[derive(Debug)]
pub struct PutFailure {
    /// The container.
    pub id: String,
    /// Why.
    pub why: String,
}

/// What was put.
#[derive(Debug, Default)]
pub struct Put {
    /// How many members of jobs run here.
    pub members: usize,
    /// The containers whose members have changed.
    pub changed: Vec<Slot>,
    /// What could not be put. Everything else was.
    pub failures: Vec<PutFailure>,
    used: UsedSockets,
}

/// Makes these the members on other nodes of all pods of jobs that run here. The caller holds [`Slot::lock_peers`].
///
/// # Errors
/// The records cannot be listed.
pub fn put_remote(store: &Store, cluster: &JobsOfCluster) -> Result<Put> {
    let mut put = Put::default();
    let mut records: Vec<Recorded> = Vec::new();
    for (slot, record) in store.iter()? {
        match record {
            Ok(record) if record.opened.is_some() => records.push((slot, record)),
            Ok(_) => {}
            Err(error) => put.fail(&slot.id().to_string_lossy(), &format!("{error:#}")),
        }
    }
    let successors = Successors::new(store.clone());
    let mut running = Vec::new();
    for (slot, record) in &records {
        match JobMember::with_state(slot.clone(), record.clone(), &successors) {
            Ok(member) => running.extend(member),
            Err(error) => put.fail(&record.id, &format!("{error:#}")),
        }
    }
    let here: BTreeSet<IpAddr> =
        running.iter().flat_map(|(member, _)| member.own().iter().copied()).collect();
    let mut by_job: BTreeMap<_, JobHere> = BTreeMap::new();
    for (member, state) in running {
        if let Some(job) = job_of(&member.slot, &member.record) {
            let job = by_job.entry(job).or_default();
            job.members.push(member);
            job.states.push(state);
        }
    }
    for recorded in &records {
        let job = job_of(&recorded.0, &recorded.1).and_then(|job| by_job.get_mut(&job));
        job.into_iter().for_each(|job| job.all.push(recorded));
    }
    let before = Settled::load(store);
    let mut now = Settled::default();
    for ((_, job), mut of) in by_job {
        put.members += of.members.len();
        let of_job = cluster.jobs.get(&job).map_or(&[][..], Vec::as_slice);
        let updated: Vec<bool> =
            of.members.iter_mut().map(|member| put.update(member, of_job, &cluster.node, &here)).collect();
        let set = put.settle(&of, &before, &mut now);
        // One that may still have a member that has left keeps it for the rest of its lease at most.
        let is_applied = updated.into_iter().zip(set).map(|(updated, set)| updated && set);
        for (member, _) in of.members.iter().zip(is_applied).filter(|(_, is_applied)| *is_applied) {
            put.renew(member, cluster.contact);
        }
    }
    if now != before {
        now.save(store);
    }
    Ok(put)
}

/// What runs here of a job.
#[derive(Default)]
struct JobHere<'r> {
    members: Vec<JobMember>,
    /// Of each member.
    states: Vec<NetnsState>,
    /// The records, also those of containers that joined a member's namespace, or do not run.
    all: Vec<&'r Recorded>,
}

/// The runtime's root and the job, if it is a pod's; by root, too, as in `Store::members_of`.
fn job_of(slot: &Slot, record: &Record) -> Option<(PathBuf, (String, String))> {
    let Job { namespace, name } = record.job()?;
    Some((slot.root().to_owned(), (namespace.clone()?, name.clone())))
}

impl Put {
    /// Brings the record of a member up to date; returns whether it is.
    fn update(
        &mut self,
        member: &mut JobMember,
        of_job: &[RemoteMember],
        node: &str,
        here: &BTreeSet<IpAddr>,
    ) -> bool {
        let Some(opened) = &member.record.opened else { return false };
        let never = member.never();
        let is_never = |address: &IpAddr| never.contains(address) || here.contains(address);
        let (mut names, mut remote, mut why_not) = (None, Vec::new(), Vec::new());
        for found in of_job {
            let is_remote = found.node != node;
            if !is_remote && !is_of(opened, found) {
                continue;
            }
            let (admitted, refused) = admit(found, opened, is_never);
            if is_remote {
                why_not.extend(refused);
                remote.push(admitted);
            } else {
                names = Some(admitted.names);
            }
        }
        let id = member.record.id.clone();
        let is_known = names.as_ref().is_none_or(|names| *names == opened.names) && remote == opened.remote;
        let new = (!is_known).then(|| {
            let names = names.unwrap_or_else(|| opened.names.clone());
            GrantedOpenings { names, remote, ..opened.clone() }
        });
        why_not.iter().for_each(|why| self.fail(&id, why));
        let Some(new) = new else { return true };
        // Without any, if they cannot be written down, as when there are too many: none that has left may stay.
        let none = GrantedOpenings { remote: Vec::new(), ..new.clone() };
        for new in [new, none] {
            if member.record.opened.as_ref() == Some(&new) {
                return true;
            }
            let remote = new.remote.iter().flat_map(|member| &member.addresses).copied().collect();
            let record = Record { opened: Some(new), ..member.record.clone() };
            match self.used.make_room(|| member.slot.update(&record)) {
                Ok(()) => {
                    (member.record, member.part.remote) = (record, remote);
                    self.changed.push(member.slot.clone());
                    return true;
                }
                Err(error) => self.fail(&id, &format!("{error:#}")),
            }
        }
        false
    }

    /// Applies what the records of a job have; returns for each member whether its peers are set. A table that was found as it
    /// should be twice `before` is not read again while the firewall is in the same state.
    fn settle(&mut self, job: &JobHere, before: &Settled, now: &mut Settled) -> Vec<bool> {
        let names = MemberNames::of(&job.members, job.all.iter().copied());
        let mut unwritten = Vec::new();
        for names in names.lines() {
            match self.used.make_room(|| names.retire()) {
                Ok(true) => {}
                Ok(false) => unwritten.push(names),
                Err(error) => self.fail(&names.record().id, &format!("{error:#}")),
            }
        }
        let parts: Vec<Participant> = job.members.iter().map(|member| member.part.clone()).collect();
        let mut set = Vec::new();
        for (index, (member, state)) in job.members.iter().zip(&job.states).enumerate() {
            let peers = peers_of(&parts, index);
            let (path, expected) = (member.slot.record(), SettledTable::expected(member, state, &peers));
            let done = match &expected {
                Some(expected) if before.has(path, expected) => Ok(state.generation),
                _ => member.set(&peers, &mut self.used),
            };
            if let (Ok(Some(generation)), Some(expected)) = (&done, expected) {
                now.note(path, expected.at(*generation), before);
            }
            set.push(self.note(&member.record.id, done.map(drop)));
        }
        for names in unwritten {
            let written = self.used.make_room(|| names.write());
            self.note(&names.record().id, written);
        }
        set
    }

    /// Renews the lease of a member, if it has one, by when the API server was last heard.
    fn renew(&mut self, member: &JobMember, contact: Option<Duration>) {
        let Some(opened) = &member.record.opened else { return };
        let Some(lease) = opened.lease() else { return };
        // The time of now: the lock and the other members may have taken long.
        let left = match since_boot() {
            Ok(now) => contact.and_then(|contact| left(lease, contact, now)),
            Err(error) => return self.fail(&member.record.id, &format!("{error:#}")),
        };
        match left {
            Some(left) => {
                let renewed = member.renew(left, &mut self.used);
                self.note(&member.record.id, renewed);
            }
            None if opened.remote.is_empty() => {}
            None => self.fail(
                &member.record.id,
                "its members on other nodes are not confirmed: isolate-node was last in contact with the API server longer \
                 ago than job.lease, or did not write when",
            ),
        }
    }

    /// Returns whether it is done.
    fn note(&mut self, id: &str, done: Result<()>) -> bool {
        if let Err(error) = &done {
            self.fail(id, &format!("{error:#}"));
        }
        done.is_ok()
    }

    fn fail(&mut self, id: &str, why: &str) {
        self.failures.push(PutFailure { id: id.to_owned(), why: why.to_owned() });
    }
}

/// What is left of a lease since that contact, if anything. A contact that is still to come is of an earlier start of the machine.
fn left(lease: Duration, contact: Duration, now: Duration) -> Option<Duration> {
    let silence = now.checked_sub(contact)?;
    lease.checked_sub(silence).filter(|left| !left.is_zero())
}

/// Whether a container is the sandbox of this pod. Without a uid (containerd 1.6) the name decides: its namespace is
/// that of the job.
fn is_of(opened: &GrantedOpenings, found: &RemoteMember) -> bool {
    opened.pod.as_ref().is_some_and(|pod| {
        let same = |uid: &String| found.pod.uid.as_ref().is_none_or(|other| other == uid);
        pod.name == found.pod.name && pod.uid.as_ref().is_none_or(same)
    })
}

/// What a container takes of a member, and what it does not take, with the reason.
fn admit(
    found: &RemoteMember,
    opened: &GrantedOpenings,
    is_never: impl Fn(&IpAddr) -> bool,
) -> (RemoteMember, Vec<String>) {
    let (pod, node) = (found.pod.clone(), found.node.clone());
    let mut admitted = RemoteMember { addresses: BTreeSet::new(), names: Vec::new(), pod, node };
    let mut refused = Vec::new();
    let who = format!("member {} on {}", found.pod.name, found.node);
    for address in &found.addresses {
        if !is_allowed(*address, &opened.bounds) {
            refused.push(format!(
                "{who}: its address {address} cannot be a peer's within the settings (peers.within, peers.widest)"
            ));
        } else if is_never(address) {
            refused.push(format!("{who}: its address {address} is of this node, a gateway or a name server"));
        } else {
            admitted.addresses.insert(*address);
        }
    }
    for name in &found.names {
        if is_name(name) {
            admitted.names.push(name.clone());
        } else {
            refused.push(format!("{who}: {name:?} is not a host name"));
        }
    }
    (admitted, refused)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_runs_from_a_contact_and_not_from_one_that_is_still_to_come() {
        for (contact, expected) in
            [(5010, Some(120)), (5000, Some(110)), (4891, Some(1)), (4890, None), (4000, None), (5011, None)]
        {
            let seconds = Duration::from_secs;
            assert_eq!(
                left(seconds(120), seconds(contact), seconds(5010)),
                expected.map(seconds),
                "{contact}"
            );
        }
    }
}
