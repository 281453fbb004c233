//! A namespace that was given by path outlives the container. The table that was loaded for the container is
//! removed with its last user, so that the next container finds the namespace as the engine prepared it.

use std::os::fd::AsFd;
use std::path::Path;

use anyhow::{Context, Error, Result};

use crate::job;
use crate::record::{Slot, Store};
use crate::seal::{self, OpenNetns};

/// Removes the table from the namespace that a deleted container was given, if no process is in it and it belongs to
/// no other container. Its own record is gone, or is ignored.
///
/// The lock is the one under which others start in a namespace that is already sealed. Lockdown for a new
/// container does not take the lock, but changes the table.
///
/// # Errors
/// It is not accessible. The table is then kept, and everything is closed for a container that joins.
pub(super) fn release(slot: &Slot, given: Option<&Path>) -> Result<()> {
    let Some(path) = given else { return Ok(()) };
    // The namespace was removed before the container.
    let Ok(netns) = OpenNetns::at(path) else { return Ok(()) };
    let _lock = slot.lock_peers()?;
    let is_empty = || Ok::<_, Error>(job::foreign_process(netns.id(), None)?.is_none());
    let vacant = || Ok(is_empty()? && !Store::of(slot).may_be_of_another(netns.id(), slot)?);
    seal::remove_table(netns.as_fd(), vacant).with_context(|| format!("cannot release {}", path.display()))
}
