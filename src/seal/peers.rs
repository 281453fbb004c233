//! The peers of a running container's allow-list: read them, change them.
//!
//! Only elements that come or go are named in the transaction, so one that stays is in the set at every moment, on
//! every kernel (before Linux 6.18 a lookup can miss both generations of an element that is removed and added in one).
//! The transaction names the state of the firewall that it was made for (`NFNL_BATCH_GENID`); if somebody else was
//! faster, it is made again.

use std::net::IpAddr;

use anyhow::{Context, Result, anyhow, bail};
use nix::errno::Errno;

use super::Allow;
use super::allow::change_of;
use super::firewall;
use super::observe::{Loaded, Wires, gateways};
use super::plan::forbidden_peer;
use super::table::Table;
use crate::policy::Prefixes;

/// In the namespace of the calling thread.
pub(super) fn read(wires: &mut Wires) -> Result<Prefixes> {
    Ok(allow_list(wires)?.1.peers)
}

/// In the namespace of the calling thread.
pub(super) fn replace(wires: &mut Wires, peers: &Prefixes) -> Result<()> {
    for _ in 0..ATTEMPTS {
        match attempt(wires, peers)? {
            Ok(()) => return Ok(()),
            Err(Errno::ERESTART) => (),
            Err(Errno::EMSGSIZE) => bail!(
                "they do not fit into one transaction (raise net.core.wmem_max, or use CAP_NET_ADMIN of the host)"
            ),
            Err(errno) => return Err(anyhow!(errno).context("the kernel does not take them")),
        }
    }
    bail!("the firewall of the namespace does not come to rest")
}

fn attempt(wires: &mut Wires, peers: &Prefixes) -> Result<Result<(), Errno>> {
    let generation = generation(wires)?;
    let (table, allow) = allow_list(wires)?;
    let intended = table.intended(Some(&allow));
    if let Some(difference) = table.differs(&intended).first() {
        bail!("table inet {} was changed: {difference}", Table::NAME);
    }
    if let Some(peer) = forbidden_peer(peers, &allow.never) {
        bail!("{peer} is a gateway or an address of the host; leave it out");
    }
    let gateways = gateways(&mut wires.route).context("cannot list the routes")?;
    let came_later = |a: &&IpAddr| !allow.never.contains(a) && peers.iter().any(|peer| peer.contains(*a));
    if let Some(gateway) = gateways.iter().find(came_later) {
        bail!("{gateway} became a gateway after the start; leave it out");
    }
    let wire = wires.firewall.as_mut().context("this kernel has no nf_tables")?;
    let changes = change_of(&allow.peers, peers);
    if changes.is_empty() {
        return Ok(Ok(()));
    }
    Ok(firewall::change(wire, generation, &changes))
}

fn generation(wires: &mut Wires) -> Result<u32> {
    let wire = wires.firewall.as_mut().context("this kernel has no nf_tables")?;
    firewall::generation(wire).context("cannot ask for the state of the firewall")
}

fn allow_list(wires: &mut Wires) -> Result<(Table, Allow)> {
    let wire = wires.firewall.as_mut().context("this kernel has no nf_tables")?;
    match firewall::read(wire).context("cannot read table inet oci_isolate")? {
        Loaded::Present(table) => {
            let allow = table.allows().context("the container was started with no port and no peer open")?;
            Ok((table, allow))
        }
        Loaded::Absent => bail!("table inet {} is not loaded", Table::NAME),
        Loaded::Unavailable => bail!("this kernel has no nf_tables"),
    }
}

/// How often somebody else may be faster.
const ATTEMPTS: usize = 64;
