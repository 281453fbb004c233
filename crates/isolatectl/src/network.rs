//! Checks a container's network namespace: links, addresses, the firewall table, and for which container it
//! has openings.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::os::fd::AsFd;

use anyhow::{Context, Result};

use super::broken_promise::BrokenPromise;
use super::survey::Survey;
use oci_isolate::bundle::name_servers;
use oci_isolate::job::{self, PeersOfMember};
use oci_isolate::nft::{AllowList, Loaded};
use oci_isolate::proc::Dir;
use oci_isolate::record::{Excluded, GrantedOpenings, Record, Slot};
use oci_isolate::seal::{self, Desired, OpenNetns, SocketOwner};
use oci_isolate::settings::Links;

pub(super) fn inspect(
    slot: &Slot,
    record: &Record,
    process: &Dir,
    netns: &OpenNetns,
    survey: &Survey,
) -> Result<Vec<BrokenPromise>> {
    let seen = seal::observe(netns.as_fd(), SocketOwner::Container)?;
    let sealed = record.sealed.as_ref();
    let addresses = sealed.map(|sealed| sealed.addresses_kept.clone()).unwrap_or_default();
    let owner = owner(slot, record)?;
    let allow_list = owner.as_ref().map(Owner::allow).transpose()?;
    // A namespace that it joined was sealed as the settings were then.
    let links = if record.network.is_joined() { Links::Down } else { record.links };
    let desired = Desired { addresses, firewall: record.firewall, links, allow_list, attempts: None };
    let mut found: Vec<_> =
        seal::defects(&seen, &desired, SocketOwner::Container).iter().map(ToString::to_string).collect();
    if let Loaded::Present(table) = &seen.table {
        let open = sealed.into_iter().flat_map(|sealed| &sealed.foreign_blocked);
        let open = open.filter(|socket| !table.blocks(socket));
        found.extend(open.map(|socket| format!("foreign socket {socket} is not blocked any more")));
        if let (Some(owner), Some(wanted), Some(seen)) = (owner, desired.allow_list, table.allow_list()) {
            found.extend(owner.endless_lease(netns)?);
            found.extend(owner.strangers(&seen, &wanted, survey)?);
            found.extend(owner.excluded(&seen, process)?);
        }
    }
    Ok(found.into_iter().map(|why| BrokenPromise::new("seal", why)).collect())
}

/// A container with openings in a namespace.
struct Owner {
    slot: Slot,
    record: Record,
    opened: GrantedOpenings,
}

/// `None` if there should be no openings. For a container that joins another's namespace, the openings are
/// that one's.
fn owner(slot: &Slot, record: &Record) -> Result<Option<Owner>> {
    let Some(opened) = &record.opened else { return Ok(None) };
    let (slot, record, opened) = match job::owner(slot, record)? {
        None => (slot.clone(), record.clone(), opened.clone()),
        Some((slot, owner)) => {
            let opened = owner.opened.clone().context("it joins a namespace that is closed")?;
            (slot, owner, opened)
        }
    };
    Ok(Some(Owner { slot, record, opened }))
}

impl Owner {
    fn allow(&self) -> Result<AllowList> {
        let PeersOfMember { peers, leased } = job::desired_peers(&self.slot, &self.record)?;
        let ingress = self.opened.asked.ingress.clone();
        Ok(AllowList { ingress, peers, leased, never: self.opened.excluded() })
    }

    /// A lease that runs for longer than it can have been given.
    fn endless_lease(&self, netns: &OpenNetns) -> Result<Option<String>> {
        let Some(lease) = self.opened.lease() else { return Ok(None) };
        let is_longer = seal::lease(netns.as_fd())? > lease;
        Ok(is_longer.then(|| "the lease of members on other nodes runs for longer than job.lease".into()))
    }

    /// Containers that are peers in the kernel and should not be: those of another job.
    fn strangers(&self, seen: &AllowList, wanted: &AllowList, survey: &Survey) -> Result<Vec<String>> {
        if seen.leased == wanted.leased && seen.peers.difference(&wanted.peers).next().is_none() {
            return Ok(Vec::new());
        }
        let mut found = Vec::new();
        for other in survey.opened()?.iter().filter(|other| other.slot.record() != self.slot.record()) {
            let addresses = other.addresses.iter();
            let addresses = addresses.filter(|address| seen.names(address) && !wanted.names(address));
            let job = other.record.job().map_or("no job".into(), |job| format!("job {job}"));
            let id = &other.record.id;
            found.extend(addresses.map(|address| format!("peer {address} is container {id}, of {job}")));
        }
        Ok(found)
    }

    /// Addresses that are peers and must not be any more: the host's own, and name servers added since.
    fn excluded(&self, seen: &AllowList, process: &Dir) -> Result<Vec<String>> {
        let mut never: BTreeMap<IpAddr, Excluded> = BTreeMap::new();
        let mut add = |addresses: BTreeSet<IpAddr>, why| {
            never.extend(addresses.into_iter().map(|address| (address, why)));
        };
        if self.opened.asked.has_peers() {
            add(name_servers::of_process(process)?, Excluded::OwnNameServer);
            add(name_servers::of_host()?, Excluded::HostNameServer);
        }
        add(seal::addresses(None)?.into_iter().collect(), Excluded::Host);
        let is_open = |address: &IpAddr| !seen.never.contains(address) && seen.names(address);
        let open = never.into_iter().filter(|(address, _)| is_open(address));
        Ok(open.map(|(address, why)| format!("peer {address} is {why} by now")).collect())
    }
}
