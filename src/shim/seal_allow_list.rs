//! Seals a container with openings: its namespace gets an allow-list, and in a job the other members are
//! updated.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::os::fd::AsFd;

use anyhow::{Context, Result, bail};

use crate::bundle::name_servers;
use crate::job::{self, is_allowed};
use crate::nft::AllowList;
use crate::proc::Dir;
use crate::record::{Excluded, GrantedOpenings, InitProcess, Record, Slot};
use crate::seal::{self, Desired};

/// Seals and records. The program does not start before the peers of all members are in force.
pub(super) fn seal(
    slot: &Slot,
    mut record: Record,
    mut opened: GrantedOpenings,
    init: &InitProcess,
) -> Result<()> {
    let _lock = slot.lock_peers()?;
    exclude(&mut opened, &init.process.dir())?;
    if let Some((address, why)) = opened.excludes(opened.peers().iter()) {
        bail!("peer {address} is {why}");
    }
    let peers = opened.peers().clone();
    let leased = opened.lease().map(|_| BTreeSet::new());
    let ingress = opened.asked.ingress.clone();
    let allow = AllowList { ingress, peers, leased, never: opened.excluded() };
    let addresses = record.network.addresses().to_vec();
    let (firewall, links, attempts) = (record.firewall, record.links, record.attempts);
    let wanted = Desired { addresses, firewall, links, allow_list: Some(allow), attempts };
    let sealed = seal::seal(init.netns.as_fd(), &wanted)?;
    job::check_user_mode_network(&sealed, &opened.asked.ingress)?;
    if sealed.links_kept.is_empty() {
        bail!("{} is asked for, and it has no network (--network none?)", requested_openings(&opened));
    }
    if opened.asked.job.is_some()
        && let Some(out) = sealed.own.iter().find(|own| !is_allowed(**own, &opened.bounds))
    {
        bail!("its address {out} cannot be a peer's within the settings (peers.within, peers.widest)");
    }
    let server = |own: &&IpAddr| opened.never.get(own).is_some_and(|why| *why != Excluded::Host);
    if opened.asked.job.is_some()
        && let Some(own) = sealed.own.iter().find(server)
    {
        bail!("its address {own} is {}, so no member of the job could have it as a peer", opened.never[own]);
    }
    record.opened = Some(opened);
    record.sealed = Some(sealed);
    record.init = Some(init.process);
    record.note_seal();
    slot.update(&record)?;
    if record.job().is_none() {
        // What was just proven.
        return Ok(());
    }
    let settled = job::settle(slot, &record).context("cannot join the job");
    if settled.is_err() {
        // It does not start, so it is not a member until it is deleted: its name must not block later
        // members.
        (record.init, record.sealed) = (None, None);
        slot.update(&record)?;
    }
    settled
}

/// Determines the addresses that are never peers. The host's are those of the runtime's namespace, or of a
/// rootless engine's, which is as near. The container's name servers are read again, because Docker writes
/// them after `create`.
fn exclude(opened: &mut GrantedOpenings, init: &Dir) -> Result<()> {
    if opened.asked.has_peers() {
        let own = name_servers::of_process(init)?;
        opened.never.extend(own.into_iter().map(|server| (server, Excluded::OwnNameServer)));
        opened
            .never
            .extend(name_servers::of_host()?.into_iter().map(|server| (server, Excluded::HostNameServer)));
    }
    opened.never.extend(seal::addresses(None)?.into_iter().map(|address| (address, Excluded::Host)));
    Ok(())
}

/// What its annotations ask for, one word each.
fn requested_openings(opened: &GrantedOpenings) -> String {
    let asked = &opened.asked;
    let words = [
        (!asked.ingress.is_empty(), "ingress"),
        (!asked.peers.is_empty(), "peers"),
        (asked.job.is_some(), "job"),
    ];
    words.iter().filter(|(is, _)| *is).map(|(_, word)| *word).collect::<Vec<_>>().join(", ")
}
