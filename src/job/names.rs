//! Names of a job's members, and the lines of `/etc/hosts` that give them to the others.
//!
//! A container has its host name and the one of SageMaker's contract. A pod has the names that DNS would have for it
//! (Kubernetes, "DNS for Services and Pods"), in one line, the longest first.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::Path;

use anyhow::{Result, bail};

use super::{JobMember, hosts_file, is_allowed};
use crate::proc::ProcessId;
use crate::record::{GrantedOpenings, Record, Recorded, RemoteMember};
use crate::seal::{Netns, OpenNetns};

/// The names of a job's members, and the containers that they are for.
pub(super) struct MemberNames<'r> {
    running: Vec<Running<'r>>,
    here: Vec<Here>,
}

/// What one container's file is to have, and in which it goes.
pub(super) struct HostsLines<'n> {
    record: &'n Record,
    lines: BTreeSet<&'n str>,
}

/// The names that no other member may have: its host name, and that of SageMaker's contract if it is another one.
fn own_names(opened: &GrantedOpenings) -> impl Iterator<Item = &str> {
    opened.host_name.as_deref().into_iter().chain(contract_name(opened))
}

/// The name that only SageMaker's contract gives it: no engine writes it into its own `/etc/hosts`.
fn contract_name(opened: &GrantedOpenings) -> Option<&str> {
    let name = opened.current_host.as_deref()?;
    let is_other = |host_name: &String| !host_name.eq_ignore_ascii_case(name);
    opened.host_name.as_ref().is_none_or(is_other).then_some(name)
}

/// Checks that no two members have the same name.
///
/// # Errors
/// Two have.
pub(super) fn check(members: &[JobMember]) -> Result<()> {
    let mut known: BTreeMap<String, &JobMember> = BTreeMap::new();
    for member in members {
        for name in member.record.opened.iter().flat_map(own_names) {
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

impl<'r> MemberNames<'r> {
    /// `all` are the records of the job, also those of containers that joined a member's namespace.
    pub(super) fn of(members: &[JobMember], all: impl IntoIterator<Item = &'r Recorded>) -> Self {
        let known: BTreeMap<&Path, &JobMember> =
            members.iter().map(|member| (member.slot.record(), member)).collect();
        let running = all.into_iter().filter_map(|(slot, record)| match known.get(slot.record()) {
            Some(member) if record.init == Some(member.init.process) => {
                Some(Running { record, netns: Some(member.init.netns.id()) })
            }
            _ => Running::of(record),
        });
        let running: Vec<Running> = running.collect();
        let taken = members.iter().flat_map(|member| member.record.opened.iter().flat_map(own_names));
        let taken: BTreeSet<String> = taken.map(str::to_ascii_lowercase).collect();
        let here = members.iter().map(|member| Here::of(member, &running, &taken)).collect();
        Self { running, here }
    }

    /// What each running container finds in its file: all others, including those that share a namespace and
    /// those on other nodes, and itself by the name that its engine does not know.
    pub(super) fn lines(&self) -> Vec<HostsLines<'_>> {
        let mut done: BTreeSet<&Path> = BTreeSet::new();
        let mut found = Vec::new();
        for Running { record, netns } in &self.running {
            if hosts_file::file_of(record).is_some_and(|file| done.insert(file)) {
                let lines = self.here.iter().flat_map(|here| here.lines_for(*netns));
                found.push(HostsLines { record, lines: lines.map(String::as_str).collect() });
            }
        }
        found
    }
}

/// A running container of the job.
struct Running<'r> {
    record: &'r Record,
    netns: Option<Netns>,
}

impl<'r> Running<'r> {
    fn of(record: &'r Record) -> Option<Self> {
        let netns = |init: ProcessId| Some(OpenNetns::of(&init.dir()).ok()?.id());
        record.lives().then(|| Self { record, netns: record.init.and_then(netns) })
    }
}

/// The lines of one member.
struct Here {
    netns: Option<Netns>,
    /// For the others.
    of_it: Vec<String>,
    /// For itself.
    own: Vec<String>,
}

impl Here {
    fn of(member: &JobMember, running: &[Running], taken: &BTreeSet<String>) -> Self {
        let Some(opened) = &member.record.opened else {
            return Self { netns: None, of_it: Vec::new(), own: Vec::new() };
        };
        let netns = member.record.sealed.as_ref().map(|sealed| sealed.netns);
        let addresses: Vec<IpAddr> =
            member.own().iter().filter(|own| is_allowed(**own, &opened.bounds)).copied().collect();
        let lines = |names: &[&str]| {
            let line = |address: &IpAddr| hosts_file::line(*address, &names.join(" "));
            addresses.iter().filter(|_| !names.is_empty()).map(line).collect::<Vec<_>>()
        };
        // The sandbox has those that the cluster knows; kubelet writes others for the pod's containers only.
        let of_pod = running.iter().filter(|other| other.netns == netns);
        let of_pod = of_pod.filter_map(|other| Some(&other.record.opened.as_ref()?.names));
        let of_pod = std::iter::once(&opened.names).chain(of_pod).find(|names| !names.is_empty());
        let of_pod: Vec<&str> = of_pod.into_iter().flatten().map(|name| &**name).collect();
        let is_named = |name: &&str| !of_pod.iter().any(|other| other.eq_ignore_ascii_case(name));
        let mut of_it = lines(&of_pod);
        of_it.extend(own_names(opened).filter(is_named).flat_map(|name| lines(&[name])));
        let mut own: Vec<String> =
            contract_name(opened).into_iter().flat_map(|name| lines(&[name])).collect();
        own.extend(opened.remote.iter().flat_map(|remote| remote_lines(remote, taken)));
        Self { netns, of_it, own }
    }

    fn lines_for(&self, netns: Option<Netns>) -> &[String] {
        if self.netns == netns { &self.own } else { &self.of_it }
    }
}

/// A member on another node takes no name of one that is here.
fn remote_lines(member: &RemoteMember, taken: &BTreeSet<String>) -> Vec<String> {
    let free = member.names.iter().filter(|name| !taken.contains(&name.to_ascii_lowercase()));
    let names = free.map(String::as_str).collect::<Vec<_>>().join(" ");
    let addresses = member.addresses.iter().filter(|_| !names.is_empty());
    addresses.map(|address| hosts_file::line(*address, &names)).collect()
}

impl HostsLines<'_> {
    /// Makes comments of the lines that are no longer valid; returns whether nothing is left to write.
    ///
    /// # Errors
    /// The file cannot be changed.
    pub(super) fn retire(&self) -> Result<bool> {
        hosts_file::retire(self.record, &self.lines)
    }

    /// Makes these the lines of the file.
    ///
    /// # Errors
    /// The file cannot be changed.
    pub(super) fn write(&self) -> Result<()> {
        hosts_file::write(self.record, &self.lines)
    }

    /// Whose file it is.
    pub(super) fn record(&self) -> &Record {
        self.record
    }
}
