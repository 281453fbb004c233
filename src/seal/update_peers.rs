//! Reads and changes the peers of an allow-list that is in force, in the network namespace of the calling
//! thread, and reads what they depend on.
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

use super::plan::forbidden_peer;
use super::{firewall, observe, routes};
use crate::files;
use crate::netlink::{Socket, Sockets};
use crate::nft::{Additions, AllowList, Loaded, Table};
use crate::policy::Prefixes;

pub(super) fn loaded_peers(sockets: &mut Sockets) -> Result<Prefixes> {
    Ok(allow_list(sockets)?.1.peers)
}

/// What an update of peers depends on besides the peers, as one entry of the namespace shows it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NetnsState {
    /// Its addresses that are valid beyond their link.
    pub addresses: BTreeSet<IpAddr>,
    /// Every next hop of its routes; `None`: they cannot be listed, which is an error only where peers are set.
    pub gateways: Option<BTreeSet<IpAddr>>,
    /// The number of the state of its firewall, which each change increments; `None`: it is not known.
    pub generation: Option<u32>,
}

/// Peers that are in force.
#[derive(Debug)]
pub struct PeersSet {
    /// The number of the state of the firewall ([`NetnsState`]) in which the table was read, and nothing was to be changed; `None`:
    /// something was.
    pub unchanged: Option<u32>,
    socket: Option<OwnedFd>,
}

/// Sockets over which peers were changed. Closing one waits until the kernel has freed what was removed, for a grace period of
/// RCU (`nft_rcv_nl_event` in net/netfilter/nf_tables_api.c); those that are closed after all changes wait for the same one.
#[derive(Debug, Default)]
pub struct UsedSockets(Vec<OwnedFd>);

impl UsedSockets {
    /// Leaves the socket open until this ends, or many are, or descriptors are needed.
    pub fn keep(&mut self, set: PeersSet) {
        if self.0.len() >= MOST_USED {
            self.0.clear();
        }
        self.0.extend(set.socket);
    }

    /// Runs this, and once more after it has closed them if there was no descriptor left.
    ///
    /// # Errors
    /// Those of `run`.
    pub fn make_room<T>(&mut self, run: impl Fn() -> Result<T>) -> Result<T> {
        match run() {
            Err(error) if files::is_out_of_descriptors(&error) => {
                self.0.clear();
                run()
            }
            done => done,
        }
    }
}

pub(super) fn state(sockets: &mut Sockets) -> Result<NetnsState> {
    let generation = sockets.firewall.as_mut().and_then(|socket| firewall::generation(socket).ok());
    let gateways = routes::list(&mut sockets.route).ok().map(|(gateways, _)| gateways);
    let addresses = observe::global_addresses(&mut sockets.route)?;
    Ok(NetnsState { addresses, gateways, generation })
}

pub(super) fn replace(
    mut sockets: Sockets,
    peers: &Prefixes,
    leased: Option<&BTreeSet<IpAddr>>,
    never: &BTreeSet<IpAddr>,
) -> Result<PeersSet> {
    for _ in 0..ATTEMPTS {
        match attempt(&mut sockets, peers, leased, never)? {
            Ok(unchanged) => {
                let changed = sockets.firewall.filter(|_| unchanged.is_none());
                return Ok(PeersSet { unchanged, socket: changed.map(Socket::into_fd) });
            }
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
) -> Result<Result<Option<u32>, Errno>> {
    let generation = generation(sockets)?;
    let (table, allow) = allow_list(sockets)?;
    let intended = table.intended(Some(&allow));
    if let Some(difference) = table.differs(&intended).first() {
        bail!("table inet {} was changed: {difference}", Table::NAME);
    }
    let never: BTreeSet<_> =
        allow.never.iter().copied().chain(never.iter().map(IpAddr::to_canonical)).collect();
    let wanted =
        AllowList { peers: peers.clone(), leased: leased.cloned(), never, ingress: allow.ingress.clone() };
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
    let intended = if wanted == allow { intended } else { table.intended(Some(&wanted)) };
    let added = table.additions(&intended).context("other addresses must not be peers than at the start")?;
    if added == Additions::default() {
        return Ok(Ok(Some(generation)));
    }
    Ok(firewall::extend(socket, generation, &added, &intended).map(|()| None).map_err(|(_, errno)| errno))
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

/// How many sockets wait to be closed, of the descriptors that a process may have (1024 by default).
const MOST_USED: usize = 32;

/// How often another process may be faster.
const ATTEMPTS: usize = 64;

#[cfg(test)]
mod tests {
    use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockType, send, socketpair};
    use std::os::fd::AsRawFd;

    use super::*;

    /// Such a member stays in its job, with the addresses that it has.
    #[test]
    fn routes_that_cannot_be_listed_are_no_error_before_peers_are_set() {
        let (ours, kernel) =
            socketpair(AddressFamily::Unix, SockType::Datagram, None, SockFlag::SOCK_CLOEXEC).unwrap();
        let reply = |kind: u16, sequence: u32, code: i32| {
            let header =
                [20_u32.to_ne_bytes(), u32::from(kind).to_ne_bytes(), sequence.to_ne_bytes()].concat();
            let reply = [&header[..], &[0; 4], &code.to_ne_bytes()].concat();
            send(kernel.as_raw_fd(), &reply, MsgFlags::empty()).unwrap();
        };
        // An error, and the end of a list.
        reply(2, 1, -(Errno::EPERM as i32));
        reply(3, 2, 0);
        let mut sockets = Sockets { route: Socket::from_fd(ours), firewall: None, diag: None };
        let found = state(&mut sockets).unwrap();
        assert_eq!(found, NetnsState { gateways: None, ..NetnsState::default() });
    }
}
