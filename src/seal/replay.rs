//! Observes recorded replies instead of a kernel's: for fuzzing (`fuzz/properties.rs`). Nothing in the
//! programs uses it.

use std::collections::BTreeSet;
use std::os::fd::OwnedFd;

use anyhow::Result;

use super::foreign_sockets::{self, SocketCache};
use super::model::Observation;
use super::observe::observe;
use crate::netlink::{Socket, Sockets};
use crate::nft::ForeignSocket;

/// Links, addresses, routes and namespace ids as `route` replies, the table as `firewall` replies. Both are
/// datagram sockets that have the replies in their queues already; requests are sent into them too.
///
/// # Errors
/// Those of [`super::observe()`].
pub fn namespace(route: OwnedFd, firewall: OwnedFd) -> Result<Observation> {
    let (route, firewall) = (Socket::from_fd(route), Some(Socket::from_fd(firewall)));
    observe(&mut Sockets { route, firewall, diag: None }, None, true)
}

/// The inet sockets as the files below `/proc/net` list them, and TCP's as `diag` replies.
///
/// # Errors
/// A reply cannot be understood, or is missing.
pub fn sockets(files: impl Fn(&str) -> String, diag: OwnedFd) -> Result<BTreeSet<ForeignSocket>> {
    let mut diag = Some(Socket::from_fd(diag));
    foreign_sockets::list(|name| Ok(files(name)), &mut diag, &mut SocketCache::default())
}
