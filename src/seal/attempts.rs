//! Reads what the table of a network namespace has counted ([`crate::nft`]).

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::BorrowedFd;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};
use nix::errno::Errno;

use super::{netns, observe, plan};
use crate::netlink::{Socket, Sockets};
use crate::nft::{ARRIVALS, ATTEMPTS, Destination, Direction, Loaded, Set, Table, Tally, counted, messages};

/// What was counted in a namespace since it was sealed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Attempts {
    /// In the order of their first times.
    pub destinations: Vec<Attempt>,
    /// Packets that a program sent, to destinations for which there was no room.
    pub not_kept: u64,
    /// Packets from outside for which there was no room.
    pub arrivals_not_kept: u64,
    /// Why attempts are missing, one line for each reason.
    pub missing: Vec<String>,
}

/// Packets that were refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// Where from the container's point of view.
    pub direction: Direction,
    /// To, or from.
    pub destination: Destination,
    /// One for a connect(2) of TCP, one for each datagram.
    pub packets: u64,
    /// Of the first packet; without the time that the machine was suspended since.
    pub first: SystemTime,
    /// Of the last packet.
    pub last: SystemTime,
}

/// What a namespace has counted; `None` if it does not count. Programs may be running in it, so the figures are of a
/// moment, and not of the same one.
///
/// # Errors
/// It cannot be entered or read.
pub fn attempts(netns: BorrowedFd<'_>) -> Result<Option<Attempts>> {
    netns::inside(netns, || {
        let mut sockets = Sockets::open()?;
        let seen = observe::observe(&mut sockets, None, true)?;
        let (Loaded::Present(table), Some(socket)) = (&seen.table, &mut sockets.firewall) else {
            return Ok(None);
        };
        if table.counts().is_none() {
            return Ok(None);
        }
        let mut found = read(socket).context("cannot read what table inet oci_isolate has counted")?;
        let is_open = table.allow_list();
        if !table.differs(&table.intended(is_open.as_ref())).is_empty() {
            found.missing.push(format!("table inet {} was changed", Table::NAME));
        }
        let unrouted = plan::unrouted(&seen, is_open.is_some());
        found.missing.extend(unrouted.into_iter().map(|address| plan::Defect::NoRoute(address).to_string()));
        Ok(Some(found))
    })
}

fn read(socket: &mut Socket) -> Result<Attempts, Errno> {
    // First, so that what is counted meanwhile is not taken for what was not kept.
    let before = totals(socket)?;
    let now = SystemTime::now();
    let mut found = Attempts::default();
    for tally in [ATTEMPTS, ARRIVALS] {
        let Some(total) = before.get(tally.chain) else { continue };
        let kept = read_tally(socket, &tally, now)?;
        let packets: u64 = kept.iter().map(|attempt| attempt.packets).sum();
        let not_kept = total.saturating_sub(packets);
        // A packet is counted before its destination is.
        if totals(socket)?.get(tally.chain).is_none_or(|total| *total < packets) {
            let direction = tally.direction.word();
            found.missing.push(format!(
                "counters were changed: more packets {direction} are counted by destination than in all"
            ));
        }
        match tally.direction {
            Direction::Out => found.not_kept = not_kept,
            Direction::In => found.arrivals_not_kept = not_kept,
        }
        found.destinations.extend(kept);
    }
    found.destinations.sort_by(|a, b| (a.first, &a.destination).cmp(&(b.first, &b.destination)));
    Ok(found)
}

/// The packets that met each chain which counts.
fn totals(socket: &mut Socket) -> Result<BTreeMap<String, u64>, Errno> {
    let mut totals = BTreeMap::new();
    for (chain, packets) in socket.query(&messages::dump_rules(), |(_, rule)| counted::total(&rule))? {
        totals.entry(chain).or_insert(packets);
    }
    Ok(totals)
}

fn read_tally(socket: &mut Socket, tally: &Tally, now: SystemTime) -> Result<Vec<Attempt>, Errno> {
    let mut found = Vec::new();
    for (last, first) in tally.sets {
        let firsts: BTreeMap<_, _> = elements(socket, first)?.into_iter().map(|e| (e.key, e.left)).collect();
        let mut seen = BTreeSet::new();
        for element in elements(socket, last)? {
            let Some(destination) = Destination::of(&element.key) else { continue };
            let first = firsts.get(&element.key).copied().unwrap_or(element.left).min(element.left);
            // A table that grows while it is listed may show an element twice.
            if seen.insert(element.key) {
                let (first, last) = (added(now, first), added(now, element.left));
                let (direction, packets) = (tally.direction, element.packets);
                found.push(Attempt { direction, destination, packets, first, last });
            }
        }
    }
    Ok(found)
}

fn elements(socket: &mut Socket, set: &str) -> Result<Vec<counted::CountedElement>, Errno> {
    let replies = socket.query(&messages::dump_elements(set), |(_, part)| Some(counted::elements(&part)))?;
    Ok(replies.into_iter().flatten().collect())
}

/// When the time of an element began of which this many milliseconds are left.
fn added(now: SystemTime, left: u64) -> SystemTime {
    now.checked_sub(Duration::from_millis(Set::LIFETIME.saturating_sub(left))).unwrap_or(now)
}
