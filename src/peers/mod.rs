//! Peers of containers that run: the members of a job come and go, and `isolatectl peers` names others.
//!
//! Whatever changes, every member's set is computed anew from the records of those that live and put in the place of
//! the old one in one step, under one lock for the host. So no update is lost, whoever starts, dies or is asked at the
//! same time, and whoever died without being deleted is out with the next change.

mod carrier;
mod names;
mod pasta;
mod processes;
mod wanted;

use std::collections::BTreeSet;
use std::fs::File;
use std::net::IpAddr;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use ipnet::IpNet;

pub use carrier::check_carrier;
pub use names::{given, hosts_of};
pub use processes::{against, in_network, init_of, inside, intruder, stranger, tenant};
pub use wanted::{Part, is_allowed, wanted};

use crate::policy::Job;
use crate::record::{Place, Process, Record};
use crate::rules::Network;
use crate::seal::{self, Netns};

/// A live container with a namespace of its own that is opened in part.
#[derive(Debug)]
pub struct Member {
    /// Its record's place.
    pub place: Place,
    /// Its record.
    pub record: Record,
    /// Itself, or where it has ended, whoever else keeps its namespace.
    init: Process,
    netns: File,
    part: Part,
}

impl Member {
    /// Looks at a container. `None`: it is closed, joins another's namespace or is not sealed yet, or neither it lives nor
    /// anybody who joined it.
    ///
    /// # Errors
    /// Its addresses cannot be read although it lives.
    pub fn of(place: Place, record: Record) -> Result<Option<Self>> {
        let (Some(opened), Some(sealed)) = (&record.opened, &record.sealed) else { return Ok(None) };
        let itself = record.init.and_then(|init| Some((init, in_namespace(init, sealed.netns)?)));
        let found = match itself {
            Some(found) => Some(found),
            None => heir(sealed.netns)?.map(|(_, _, init, netns)| (init, netns)),
        };
        let Some((init, netns)) = found else { return Ok(None) };
        let own = match seal::addresses(Some(netns.as_fd())) {
            Ok(own) => own.into_iter().collect(),
            Err(_) if !init.lives() => return Ok(None),
            Err(error) => {
                return Err(error.context(format!("cannot tell the addresses of container {}", record.id)));
            }
        };
        let (peers, bounds) = (opened.peers.clone(), opened.bounds.clone());
        let part = Part { peers, bounds, never: opened.excluded(), own };
        Ok(Some(Self { place, record, init, netns, part }))
    }

    /// Its addresses.
    #[must_use]
    pub fn own(&self) -> &BTreeSet<IpAddr> {
        &self.part.own
    }

    fn host_name(&self) -> Option<&str> {
        self.record.opened.as_ref()?.host_name.as_deref()
    }

    /// The lines by which others find it, and whose files need none of them.
    fn lines(&self) -> (Option<Netns>, Vec<String>) {
        let own = self.own().iter().filter(|own| is_allowed(**own, &self.part.bounds));
        let lines = self.host_name().map(|name| own.map(|address| names::line(*address, name)).collect());
        (self.record.sealed.as_ref().map(|sealed| sealed.netns), lines.unwrap_or_default())
    }
}

/// The namespace of a process that lives, if it is this one.
fn in_namespace(init: Process, netns: Netns) -> Option<File> {
    let file = seal::netns_of(Path::new(&format!("/proc/{}", init.pid))).ok()?;
    (Netns::of(file.as_fd()).ok()? == netns && init.lives()).then_some(file)
}

/// A container that lives and has joined this open namespace.
fn heir(netns: Netns) -> Result<Option<(Place, Record, Process, File)>> {
    let joined = |place: Place| {
        let record = place
            .load()
            .ok()
            .flatten()
            .filter(|record| record.network.is_joined() && record.opened.is_some())?;
        let init = record.init?;
        let file = in_namespace(init, netns)?;
        Some((place, record, init, file))
    };
    Ok(Place::all()?.into_iter().find_map(joined))
}

/// The records of the job of this container, of those that live or not, and with namespaces of their own or not.
///
/// A pod's job is one of its own engine too: a namespace that somebody gives a container of another engine by an annotation
/// is not one of this cluster. Engines are told apart by their roots of the runtime (`/run/containerd/runc/k8s.io`,
/// `/var/run/docker/runtime-runc/moby`).
fn records(of: &Place, job: &Job) -> Result<Vec<(Place, Record)>> {
    let mut found = Vec::new();
    for place in Place::all()? {
        if job.namespace.is_some() && place.root() != of.root() {
            continue;
        }
        // One that cannot be read is of nobody: its container is neither started nor entered.
        let Some(record) = place.load().ok().flatten() else { continue };
        if record.job() == Some(job) {
            found.push((place, record));
        }
    }
    Ok(found)
}

/// The members of the job of this container, and itself; of a container without a job, itself alone.
///
/// # Errors
/// Somebody lives and cannot be looked at.
pub fn members(place: &Place, record: &Record) -> Result<Vec<Member>> {
    let records = match record.job() {
        Some(job) => records(place, job)?,
        None => vec![(place.clone(), record.clone())],
    };
    let members = records.into_iter().map(|(place, record)| Member::of(place, record));
    members.filter_map(Result::transpose).collect()
}

/// Of a container that joins a namespace in which something is open, the one that has it.
///
/// # Errors
/// Records cannot be listed, or it is gone.
pub fn owner(record: &Record) -> Result<Option<(Place, Record)>> {
    if !record.network.is_joined() {
        return Ok(None);
    }
    let init = record.init.context("it is not sealed yet")?;
    let netns = Netns::of(seal::netns_of(Path::new(&format!("/proc/{}", init.pid)))?.as_fd())?;
    let owns = |record: &Record| record.sealed.as_ref().map(|sealed| sealed.netns) == Some(netns);
    let places = Place::all()?.into_iter();
    let all = places.filter_map(|place| Some((place.clone(), place.load().ok().flatten()?)));
    let owner = all.filter(|(_, record)| owns(record)).max_by_key(|(_, record)| record.lives());
    owner.map(Some).context("the container whose namespace it joins is gone")
}

/// The peers that a container should have now.
///
/// # Errors
/// It does not live, or another of its job lives and cannot be looked at.
pub fn wanted_of(place: &Place, record: &Record) -> Result<BTreeSet<IpNet>> {
    let members = members(place, record)?;
    let index = members.iter().position(|member| member.place.record() == place.record());
    let index = index.with_context(|| format!("container {} does not run", record.id))?;
    let parts: Vec<Part> = members.into_iter().map(|member| member.part).collect();
    Ok(wanted(&parts, index))
}

/// Puts the peers and the names in force that the records say, for this container and all of its job. The caller holds
/// [`Place::lock_peers`].
///
/// # Errors
/// The set of one that lives cannot be changed, or two have the same host name.
pub fn settle(place: &Place, record: &Record) -> Result<()> {
    put(&members(place, record)?, place, record)
}

/// Drops the record of a container that is gone; before, whoever joined its open namespace has that for its own, else its
/// addresses and its name leave the others of its job. One that could not be read is of no job.
///
/// # Errors
/// The set of one that lives cannot be changed; the record then stays. The state directory cannot be written.
pub fn leave(place: &Place, record: Option<&Record>) -> Result<()> {
    let creator = record.map(|record| record.creator);
    let Some(record) = record.filter(|record| record.opened.is_some()) else { return place.forget(creator) };
    let _lock = place.lock_peers()?;
    hand_over(record)?;
    if record.job().is_some() {
        let mut members = members(place, record)?;
        members.retain(|member| member.place.record() != place.record());
        put(&members, place, record)?;
    }
    place.forget(creator)
}

/// The namespace is another's from now on, of those who joined it and live, if there is one.
fn hand_over(record: &Record) -> Result<()> {
    let (Some(opened), Some(sealed)) = (&record.opened, &record.sealed) else { return Ok(()) };
    let Some((place, mut heir, ..)) = heir(sealed.netns)? else { return Ok(()) };
    if let Some(its) = &mut heir.opened {
        (its.peers, its.never) = (opened.peers.clone(), opened.never.clone());
    }
    heir.sealed = Some(sealed.clone());
    if let Network::Joined { at } = heir.network {
        heir.network = Network::SealedInPlace { at };
    }
    place.update(&heir)
}

fn put(members: &[Member], place: &Place, record: &Record) -> Result<()> {
    check_names(members)?;
    let parts: Vec<Part> = members.iter().map(|member| member.part.clone()).collect();
    for (index, member) in members.iter().enumerate() {
        let done = seal::set_peers(member.netns.as_fd(), &wanted(&parts, index));
        // It may have ended meanwhile.
        if let Err(error) = done
            && member.init.lives()
        {
            return Err(error.context(format!("cannot set the peers of container {}", member.record.id)));
        }
    }
    match record.job() {
        Some(job) => write_names(job, members, place),
        None => Ok(()),
    }
}

fn check_names(members: &[Member]) -> Result<()> {
    for (index, member) in members.iter().enumerate() {
        let Some(name) = member.host_name() else { continue };
        let same = |other: &&Member| other.host_name().is_some_and(|other| other.eq_ignore_ascii_case(name));
        if let Some(other) = members[..index].iter().find(same) {
            bail!(
                "containers {} and {} of the job have the same host name, {name}; give each its own (--hostname)",
                other.record.id,
                member.record.id
            );
        }
    }
    Ok(())
}

/// Every container of the job that lives finds all others in its file, also those that share a namespace.
fn write_names(job: &Job, members: &[Member], of: &Place) -> Result<()> {
    let named: Vec<(Option<Netns>, Vec<String>)> = members.iter().map(Member::lines).collect();
    let mut done: BTreeSet<PathBuf> = BTreeSet::new();
    for (place, record) in records(of, job)? {
        let Some(file) = names::file_of(&record).filter(|_| record.lives()) else {
            continue;
        };
        if !done.insert(file.to_owned()) {
            continue;
        }
        let own = record.init.and_then(|init| {
            let netns = seal::netns_of(Path::new(&format!("/proc/{}", init.pid))).ok()?;
            Netns::of(netns.as_fd()).ok()
        });
        let others = named.iter().filter(|(netns, _)| *netns != own);
        let lines: BTreeSet<&str> = others.flat_map(|(_, lines)| lines).map(String::as_str).collect();
        // Of another container it is that one's affair, and it is told when it starts.
        if let Err(error) = names::write(&record, &lines)
            && place.record() == of.record()
        {
            return Err(error);
        }
    }
    Ok(())
}
