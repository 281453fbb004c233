//! Members of jobs on other nodes: what a watcher of the cluster's pods found is put into the records, the kernel and
//! the files of the containers that run here.
//!
//! The state is complete each time, so nothing depends on what was put before: a member that it does not name is a
//! member no more. A member on this node is never taken from it: which containers run here, the records say. It cannot
//! open what the settings do not allow, nor an address of this node, a gateway, or a member of a job that runs here. Addresses of
//! other containers of this node are not known to it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use anyhow::Result;

use super::hosts_file::is_name;
use super::{JobMember, Successors, is_allowed, names, set_peers};
use crate::policy::Job;
use crate::proc::since_boot;
use crate::record::{GrantedOpenings, Record, Recorded, RemoteMember, Slot, Store};

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
        match JobMember::of(slot.clone(), record.clone(), &successors) {
            Ok(member) => running.extend(member),
            Err(error) => put.fail(&record.id, &format!("{error:#}")),
        }
    }
    let here: BTreeSet<IpAddr> = running.iter().flat_map(|member| member.own().iter().copied()).collect();
    // By runtime's root, too, as in `Store::members_of`.
    let mut by_job: BTreeMap<_, Vec<JobMember>> = BTreeMap::new();
    for member in running {
        if let Some(Job { namespace: Some(namespace), name }) = member.record.job() {
            let key = (member.slot.root().to_owned(), (namespace.clone(), name.clone()));
            by_job.entry(key).or_default().push(member);
        }
    }
    for ((root, job), mut members) in by_job {
        put.members += members.len();
        let of_job = cluster.jobs.get(&job).map_or(&[][..], Vec::as_slice);
        let updated: Vec<bool> =
            members.iter_mut().map(|member| put.update(member, of_job, &cluster.node, &here)).collect();
        let all: Vec<_> = records
            .iter()
            .filter(|(slot, record)| {
                slot.root() == root
                    && record
                        .job()
                        .is_some_and(|of| (of.namespace.as_ref(), &of.name) == (Some(&job.0), &job.1))
            })
            .cloned()
            .collect();
        let set = put.settle(&members, &all);
        // One that may still have a member that has left keeps it for the rest of its lease at most.
        let is_applied = updated.into_iter().zip(set).map(|(updated, set)| updated && set);
        for (member, _) in members.iter().zip(is_applied).filter(|(_, is_applied)| *is_applied) {
            put.renew(member, cluster.contact);
        }
    }
    Ok(put)
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
        let gateways = member.record.sealed.iter().flat_map(|sealed| sealed.gateways.iter().copied());
        let never: BTreeSet<IpAddr> =
            opened.excluded().into_iter().chain(gateways).chain(here.iter().copied()).collect();
        let mut new = opened.clone();
        new.remote.clear();
        let mut why_not = Vec::new();
        for found in of_job {
            let (admitted, refused) = admit(found, opened, &never);
            if found.node != node {
                why_not.extend(refused);
                new.remote.push(admitted);
            } else if is_of(opened, found) {
                new.names = admitted.names;
            }
        }
        let id = member.record.id.clone();
        why_not.iter().for_each(|why| self.fail(&id, why));
        // Without any, if they cannot be written down, as when there are too many: none that has left may stay.
        let none = GrantedOpenings { remote: Vec::new(), ..new.clone() };
        for new in [new, none] {
            if member.record.opened.as_ref() == Some(&new) {
                return true;
            }
            let remote = new.remote.iter().flat_map(|member| &member.addresses).copied().collect();
            let record = Record { opened: Some(new), ..member.record.clone() };
            match member.slot.update(&record) {
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

    /// Applies what the records of a job have; returns for each member whether its peers are set.
    fn settle(&mut self, members: &[JobMember], all: &[Recorded]) -> Vec<bool> {
        let names = names::of_all(members, all);
        for names in &names {
            self.note(&names.record().id, names.retire());
        }
        let set = set_peers(members).map(|(member, set)| self.note(&member.record.id, set)).collect();
        for names in &names {
            self.note(&names.record().id, names.write());
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
                self.note(&member.record.id, member.renew(left));
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
    never: &BTreeSet<IpAddr>,
) -> (RemoteMember, Vec<String>) {
    let mut admitted = RemoteMember { addresses: BTreeSet::new(), names: Vec::new(), ..found.clone() };
    let mut refused = Vec::new();
    let who = format!("member {} on {}", found.pod.name, found.node);
    for address in &found.addresses {
        if !is_allowed(*address, &opened.bounds) {
            refused.push(format!(
                "{who}: its address {address} cannot be a peer's within the settings (peers.within, peers.widest)"
            ));
        } else if never.contains(address) {
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
