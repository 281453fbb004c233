//! A namespace that was given by path outlives the container. What was loaded into it for the container goes with the
//! last one that used it, so that the next finds it as the engine prepared it.

use std::os::fd::AsFd;

use anyhow::{Context, Result};

use crate::peers;
use crate::record::{Place, Record};
use crate::seal::{self, Netns};

/// Takes the table out of the namespace of a container that is gone, if nobody is in it and it is no other's. Its own
/// record is gone, or does not count.
///
/// The lock is the one under which others start in a namespace that is sealed already. Whoever closes it for a new
/// container does so without the lock, and changes the table.
///
/// # Errors
/// It cannot be looked at. The table then stays, and everything is closed for whoever joins.
pub(super) fn give_back(place: &Place, record: &Record) -> Result<()> {
    let Some(path) = record.given_namespace() else { return Ok(()) };
    // The namespace went before the container.
    let Ok(netns) = seal::netns_of(path) else { return Ok(()) };
    let identity = Netns::of(netns.as_fd())?;
    let _lock = place.lock_peers()?;
    let vacant = || Ok(peers::stranger(identity, None)?.is_none() && !is_of_another(place, identity)?);
    seal::remove_table(netns.as_fd(), vacant).with_context(|| format!("cannot give {} back", path.display()))
}

/// Whether another isolated container has it; one whose record cannot be read may.
fn is_of_another(place: &Place, netns: Netns) -> Result<bool> {
    let has = |other: &Place| {
        let Ok(record) = other.load() else { return true };
        let Some(record) = record else { return false };
        let given = record.given_namespace();
        let given = given.and_then(|path| Netns::of(seal::netns_of(path).ok()?.as_fd()).ok());
        given == Some(netns) || record.sealed.is_some_and(|sealed| sealed.netns == netns)
    };
    Ok(Place::all()?.iter().any(|other| other.record() != place.record() && has(other)))
}
