//! A namespace that was given by path outlives the container. What was loaded into it for the container goes with the
//! last one that used it, so that the next finds it as the engine prepared it.

use std::os::fd::AsFd;

use anyhow::{Context, Error, Result};

use crate::job;
use crate::record::{Record, Slot, Store};
use crate::seal::{self, OpenNetns};

/// Takes the table out of the namespace of a container that is gone, if nobody is in it and it is no other's. Its own
/// record is gone, or does not count.
///
/// The lock is the one under which others start in a namespace that is sealed already. Whoever closes it for a new
/// container does so without the lock, and changes the table.
///
/// # Errors
/// It cannot be looked at. The table then stays, and everything is closed for whoever joins.
pub(super) fn release(slot: &Slot, record: &Record) -> Result<()> {
    let Some(path) = record.given_namespace() else { return Ok(()) };
    // The namespace went before the container.
    let Ok(netns) = OpenNetns::at(path) else { return Ok(()) };
    let _lock = slot.lock_peers()?;
    let is_empty = || Ok::<_, Error>(job::foreign_process(netns.id(), None)?.is_none());
    let vacant = || Ok(is_empty()? && !Store::of(slot).may_be_of_another(netns.id(), slot)?);
    seal::remove_table(netns.as_fd(), vacant).with_context(|| format!("cannot give {} back", path.display()))
}
