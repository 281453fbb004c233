//! Reads and changes the peers of an allow-list that is in force, in the network namespace of the calling
//! thread.
//!
//! A transaction contains only the elements that join or leave, so one that stays is in the set at every
//! moment, on every kernel (before Linux 6.18 a lookup can miss both generations of an element that is
//! removed and added in one transaction). It is for one state of the firewall (`NFNL_BATCH_GENID`), and is
//! repeated if that has changed.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::os::fd::OwnedFd;

use anyhow::{Context, Result, anyhow, bail};
use nix::errno::Errno;

use super::firewall;
use super::plan::forbidden_peer;
use super::routes;
use crate::netlink::Sockets;
use crate::nft::{AllowList, Loaded, Table};
use crate::policy::Prefixes;

pub(super) fn loaded_peers(sockets: &mut Sockets) -> Result<Prefixes> {
    Ok(allow_list(sockets)?.1.peers)
}

/// The socket by which a firewall was changed. What was removed is freed after a grace period of RCU, some 10 ms, for which
/// closing the socket waits (`nft_rcv_nl_event` in net/netfilter/nf_tables_api.c). Those of several namespaces pass at the same
/// time, so who changes several closes their sockets at the end.
#[derive(Debug)]
pub struct ChangedFirewall {
    _socket: Option<OwnedFd>,
}

pub(super) fn replace(
    mut sockets: Sockets,
    peers: &Prefixes,
    leased: Option<&BTreeSet<IpAddr>>,
    never: &BTreeSet<IpAddr>,
) -> Result<ChangedFirewall> {
    for _ in 0..ATTEMPTS {
        match attempt(&mut sockets, peers, leased, never)? {
            Ok(()) => return Ok(ChangedFirewall { _socket: sockets.firewall.map(OwnedFd::from) }),
            Err(Errno::ERESTART) => (),
            Err(Errno::EMSGSIZE) => bail!(
                "they do not fit into one transaction (raise net.core.wmem_max, or use CAP_NET_ADMIN of the host)"
            ),
            Err(errno) => return Err(anyhow!(errno).context("the kernel does not take them")),
        }
    }
    bail!("the firewall of the namespace does not come to rest")
}

fn attempt(
    sockets: &mut Sockets,
    peers: &Prefixes,
    leased: Option<&BTreeSet<IpAddr>>,
    never: &BTreeSet<IpAddr>,
) -> Result<Result<(), Errno>> {
    let generation = generation(sockets)?;
    let (table, allow) = allow_list(sockets)?;
    let intended = table.intended(Some(&allow));
    if let Some(difference) = table.differs(&intended).first() {
        bail!("table inet {} was changed: {difference}", Table::NAME);
    }
    let never: BTreeSet<_> =
        allow.never.iter().copied().chain(never.iter().map(IpAddr::to_canonical)).collect();
    let wanted = AllowList { peers: peers.clone(), leased: leased.cloned(), never, ..allow };
    if let Some(peer) = forbidden_peer(&wanted) {
        bail!("{peer} is a gateway or an address of the host; leave it out");
    }
    let (gateways, _) = routes::list(&mut sockets.route).context("cannot list the routes")?;
    let came_later = |a: &&IpAddr| !wanted.never.contains(a) && wanted.names(a);
    if let Some(gateway) = gateways.iter().find(came_later) {
        bail!("{gateway} became a gateway after the start; leave it out");
    }
    let socket = sockets.firewall.as_mut().context("this kernel has no nf_tables")?;
    // A set of addresses that are never peers is not changed.
    let intended = table.intended(Some(&wanted));
    let added = table.additions(&intended).context("other addresses must not be peers than at the start")?;
    Ok(firewall::extend(socket, generation, &added, &intended).map_err(|(_, errno)| errno))
}

fn generation(sockets: &mut Sockets) -> Result<u32> {
    let socket = sockets.firewall.as_mut().context("this kernel has no nf_tables")?;
    firewall::generation(socket).context("cannot ask for the state of the firewall")
}

fn allow_list(sockets: &mut Sockets) -> Result<(Table, AllowList)> {
    let socket = sockets.firewall.as_mut().context("this kernel has no nf_tables")?;
    match firewall::read_table(socket).context("cannot read table inet oci_isolate")? {
        Loaded::Present(table) => {
            let allow =
                table.allow_list().context("the container was started with no port and no peer open")?;
            Ok((table, allow))
        }
        Loaded::Absent => bail!("table inet {} is not loaded", Table::NAME),
        Loaded::Unavailable => bail!("this kernel has no nf_tables"),
    }
}

/// How often another process may be faster.
const ATTEMPTS: usize = 64;
