//! The network namespace of a container whose init process has ended, if a mount keeps it: beside the record, if it
//! counts attempts, or an engine's, which has one for each container that it plumbs. Reads only.

use anyhow::{Context, Result};

use super::socket_search;
use crate::proc::parse_mountinfo;
use crate::record::{Record, Slot, Store};
use crate::seal::OpenNetns;

/// The namespace for which a container was sealed: its init process's, or one that is mounted here. `None` if it is gone.
///
/// # Errors
/// The mounts or the records cannot be read, so that it is not known whether one that is there is the container's.
pub fn sealed_netns(slot: &Slot, record: &Record) -> Result<Option<OpenNetns>> {
    let Some(sealed) = record.sealed.as_ref().map(|sealed| sealed.netns) else { return Ok(None) };
    if let Some(init) = record.init.and_then(|_| record.live_in(sealed)) {
        return Ok(Some(init.netns));
    }
    if let Some(kept) = slot.kept().filter(|kept| kept.id() == sealed) {
        return Ok(Some(kept));
    }
    let name = format!("net:[{}]", sealed.ino);
    let text = socket_search::read_list("/proc/self/mountinfo".as_ref())?;
    let mut kept = parse_mountinfo(&text).filter(|mount| mount.root().as_os_str() == &*name);
    let found =
        kept.find_map(|mount| OpenNetns::at(&mount.point()).ok().filter(|netns| netns.id() == sealed));
    let Some(netns) = found else { return Ok(None) };
    // Numbers of namespaces are used again: it may be a later container's by now.
    let store = Store::of(slot);
    if !store.may_be_of_another(netns.id(), slot)? {
        return Ok(Some(netns));
    }
    let mut others = store.iter()?.filter(|(other, _)| other.record() != slot.record());
    let unread = others.find_map(|(_, record)| record.err());
    unread.map_or(Ok(None), Err).context("cannot determine whose the network namespace is")
}
