//! The network that the container would have had.

use std::net::IpAddr;
use std::os::fd::AsFd;

use anyhow::Result;

use crate::config::View;
use crate::rules::{self, Network};
use crate::seal::{self, Netns};

/// The network that the container would have had.
#[derive(Debug)]
pub struct Before {
    /// The namespace that it joins, when that is sealed.
    pub netns: Option<Netns>,
    /// The addresses that mean something beyond the namespace.
    pub addresses: Vec<IpAddr>,
}

/// A program that resolves its own host name gets an address of the network that the engine prepared, so the container
/// keeps those. A namespace that is sealed already is joined: members of a pod reach each other through it.
pub(super) fn before(view: &View) -> Result<Before> {
    let path = match rules::network(view)? {
        Network::New(_) => return Ok(Before { netns: None, addresses: Vec::new() }),
        Network::Host => return Ok(Before { netns: None, addresses: seal::addresses(None)? }),
        Network::At(_, path) => path,
    };
    let netns = seal::netns_of(&path)?;
    let closed = || -> Result<bool> {
        let verified = seal::verify(netns.as_fd())?;
        Ok(verified.broken.is_empty() && verified.allow.is_none())
    };
    if !seal::is_host(netns.as_fd())? && closed()? {
        return Ok(Before { netns: Some(Netns::of(netns.as_fd())?), addresses: Vec::new() });
    }
    Ok(Before { netns: None, addresses: seal::addresses(Some(netns.as_fd()))? })
}
