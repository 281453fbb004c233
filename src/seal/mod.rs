//! The seal: brings a network namespace into its desired state before the container's program starts, and
//! proves it.
//!
//! [`seal`] enters the namespace, from which it comes back, and closes it: the table is loaded before anything is
//! observed. Then it observes, plans, applies, and observes again until there is nothing left to do; mostly
//! there is nothing from the beginning. Only a namespace in which everything holds is [`Sealed`]. [`verify`]
//! is the same without plan and apply.
//! [`plan()`] and [`defects`] are pure. Must not change the network namespace of the host or of the caller.
//! Knows nothing of containers, engines and settings files.

mod apply;
mod attempts;
mod firewall;
mod foreign_sockets;
mod lease;
mod model;
mod netns;
mod observe;
mod open_netns;
mod plan;
mod proc_net;
#[doc(hidden)]
pub mod replay;
mod routes;
mod update_peers;

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::os::fd::BorrowedFd;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::errno::Errno;

pub use attempts::{Attempt, Attempts, attempts};
pub use model::{Address, DefaultRoute, Desired, Link, Observation, Sealed, SocketOwner};
pub use netns::{Netns, is_host, join_user_namespace, netns_of};
pub use open_netns::OpenNetns;
pub use plan::{Defect, SealOp, defects, plan};
pub use update_peers::{NetnsState, PeersSet, UsedSockets};

use crate::netlink::Sockets;
use crate::nft::{AllowList, Loaded, Table};
use crate::policy::Prefixes;
use crate::settings::{Firewall, Links};
use foreign_sockets::SocketCache;

/// What was found in a namespace that should be sealed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// What does not hold; nothing else can be relied on unless this is empty.
    pub defects: Vec<Defect>,
    /// What its table allows; `None` if it is sealed. It is allowed to every process in the namespace.
    pub allow_list: Option<AllowList>,
}

/// Seals a network namespace in which no program of the container has run yet. A second time changes nothing.
///
/// # Errors
/// It is the host's or the caller's own; a link can be neither taken down nor removed; something does not hold in the end, which
/// is named. The namespace may then be changed in part, and nothing may be started in it.
pub fn seal(netns: BorrowedFd<'_>, desired: &Desired) -> Result<Sealed> {
    let host = || bail!("cannot seal the network namespace: it is the host's own");
    if netns::is_own(netns)? {
        return host();
    }
    let identity = Netns::of(netns)?;
    netns::inside(netns, || {
        if netns::here_is_initial()? {
            return host();
        }
        let mut sockets = Sockets::open()?;
        let mut cache = SocketCache::default();
        if desired.allow_list.is_none() {
            apply::close(&mut sockets, desired.attempts).context("cannot seal the network namespace")?;
        }
        let with_routes = desired.allow_list.is_some() || desired.attempts.is_some();
        // An allow-list is added to the table that the first look finds, if nothing changes the firewall from here on.
        let socket = sockets.firewall.as_mut().filter(|_| desired.allow_list.is_some());
        let mut generation = socket.and_then(|socket| firewall::generation(socket).ok());
        let first = observe::observe(&mut sockets, Some(&mut cache), with_routes)?;
        // Links that are removed or taken down lose their addresses.
        let had = first.addresses.iter().filter(|_| desired.allow_list.is_none()).map(|a| a.address);
        let had = had.filter(|a| model::is_global(*a));
        let desired =
            Desired { addresses: desired.addresses.iter().copied().chain(had).collect(), ..desired.clone() };
        let mut foreign = first.sockets.clone();
        let mut found: BTreeSet<_> = others(&first).collect();
        let mut seen = first;
        let mut assigned = false;
        // An engine may plumb meanwhile, so this is repeated until there is nothing left to do.
        for _ in 0..ROUNDS {
            let ops = plan(&seen, &desired);
            if ops.is_empty() {
                break;
            }
            assigned |= ops.iter().any(|op| matches!(op, SealOp::LoopbackUp | SealOp::Keep(_)));
            let table = match (&seen.table, generation.take()) {
                (Loaded::Present(table), Some(generation)) => Some((generation, table)),
                _ => None,
            };
            apply::apply(&ops, &mut sockets, table).context("cannot seal the network namespace")?;
            seen = observe::observe(&mut sockets, Some(&mut cache), with_routes)?;
            foreign.extend(seen.sockets.iter().cloned());
            found.extend(others(&seen));
        }
        if assigned {
            apply::settle(&mut sockets.route, &seen, with_routes)
                .context("cannot seal the network namespace")?;
        }
        let defects = defects(&seen, &desired, SocketOwner::Foreign);
        if !defects.is_empty() {
            let reasons: Vec<_> = defects.iter().map(ToString::to_string).collect();
            bail!("cannot seal the network namespace: {}", reasons.join("; "));
        }
        let left: BTreeSet<_> = others(&seen).collect();
        let is_down = |name: &&String| seen.links.iter().any(|l| l.name == **name && !l.up);
        let own = |a: &&Address| a.link != model::LOOPBACK && model::is_global(a.address);
        let own: BTreeSet<_> = seen.addresses.iter().filter(own).map(|a| a.address).collect();
        Ok(Sealed {
            netns: identity,
            links_removed: found.difference(&left).cloned().collect(),
            links_down: left.iter().filter(is_down).cloned().collect(),
            addresses_kept: plan::kept(&seen, &desired).into_iter().collect(),
            addresses_skipped: plan::skipped(&seen, &desired).into_iter().collect(),
            foreign_blocked: foreign.into_iter().collect(),
            taps: seen.links.iter().filter(|link| link.is_tap()).map(|link| link.name.clone()).collect(),
            links_kept: left.iter().filter(|name| !is_down(name)).cloned().collect(),
            own: own.into_iter().collect(),
            gateways: seen.gateways.into_iter().collect(),
            nsids_left: seen.nsids,
            firewall: matches!(seen.table, Loaded::Present(_)),
        })
    })
}

/// Verifies a namespace that should be sealed; programs may be running in it.
///
/// A kernel without nf_tables is reported as [`Defect::NoFirewall`]; whether that is acceptable is up to the
/// caller.
///
/// # Errors
/// It cannot be entered or observed.
pub fn verify(netns: BorrowedFd<'_>) -> Result<Verified> {
    let seen = observe(netns, SocketOwner::Container)?;
    let allow_list = match &seen.table {
        Loaded::Present(table) => table.allow_list(),
        Loaded::Absent | Loaded::Unavailable => None,
    };
    let (firewall, links) = (Firewall::Required, Links::Down);
    let desired = Desired { addresses: vec![], firewall, links, allow_list, attempts: None };
    Ok(Verified { defects: defects(&seen, &desired, SocketOwner::Container), allow_list: desired.allow_list })
}

/// Puts a namespace that an engine has not plumbed yet, or has prepared, into lockdown: nothing passes but
/// loopback traffic and the announcement of an address. Changes nothing but the table, and removes the routes of one that
/// counted; [`seal`] later replaces it in one transaction.
///
/// # Errors
/// It is the host's or the caller's own; this kernel has no nf_tables.
pub fn lock_down(netns: BorrowedFd<'_>) -> Result<()> {
    inside_other(netns, || {
        let mut sockets = Sockets::open()?;
        let table = observe::table(&mut sockets.firewall)?;
        let lockdown = Table::lockdown();
        let (op, counted) = match table {
            Loaded::Unavailable => bail!("{}", Defect::NoFirewall),
            Loaded::Present(table) if table == lockdown => return Ok(()),
            Loaded::Present(table) => (SealOp::Replace(lockdown), table.counts().is_some()),
            Loaded::Absent => (SealOp::Load(lockdown), false),
        };
        apply::apply(&[op], &mut sockets, None)?;
        match counted {
            true => routes::remove(&mut sockets.route),
            false => Ok(()),
        }
    })
    .context("cannot lock down the network namespace")
}

/// Makes the table *absent* that [`lock_down`] or [`seal`] loaded for a container with an allow-list, with its routes, if
/// the namespace is `vacant`. A table that is changed meanwhile stays, and so does any other table.
///
/// # Errors
/// It cannot be determined whether it is vacant; the kernel refuses; it is the host's or the caller's own.
pub fn remove_table(netns: BorrowedFd<'_>, vacant: impl FnOnce() -> Result<bool>) -> Result<()> {
    // The sockets stay in the namespace. Who else is in it is looked for from outside: this process is not to be found there.
    let Sockets { mut route, firewall, .. } = inside_other(netns, Sockets::open)?;
    let Some(mut socket) = firewall else { return Ok(()) };
    let generation = firewall::generation(&mut socket).context("cannot ask for the state of the firewall")?;
    let table = firewall::read_table(&mut socket).context("cannot read table inet oci_isolate")?;
    let Loaded::Present(table) = table else { return Ok(()) };
    let ours = table.allow_list().is_some() || table == Table::lockdown();
    if !ours || !vacant()? {
        return Ok(());
    }
    match firewall::remove(&mut socket, generation) {
        // Also where this table does not count: it may have taken the place of one that did.
        Ok(()) => routes::remove(&mut route),
        Err(Errno::ERESTART) => Ok(()),
        Err(errno) => Err(errno).context("cannot remove table inet oci_isolate"),
    }
}

/// The peers in a namespace's allow-list; an address is a prefix of full length.
///
/// # Errors
/// The table is missing or not an allow-list; it cannot be read.
pub fn peers(netns: BorrowedFd<'_>) -> Result<Prefixes> {
    netns::inside(netns, || update_peers::loaded_peers(&mut Sockets::open()?))
        .context("cannot read the peers")
}

/// Replaces the peers, and those that are peers while the lease runs, in one transaction. Those that stay are peers at every
/// moment, so their connections continue. The lease itself goes on. `never` is [`AllowList::never`] with the gateways, as of sealing.
///
/// # Errors
/// It is the host's or the caller's own namespace; the table is not intact or not an allow-list; a peer is
/// one that never is; they do not fit into one transaction. Nothing is changed then.
pub fn set_peers(
    netns: BorrowedFd<'_>,
    peers: &Prefixes,
    leased: Option<&BTreeSet<IpAddr>>,
    never: &BTreeSet<IpAddr>,
) -> Result<PeersSet> {
    inside_other(netns, || update_peers::replace(Sockets::open()?, peers, leased, never))
        .context("cannot change the peers")
}

/// What an update of a namespace's peers depends on besides them. Reads only.
///
/// # Errors
/// It cannot be entered, or the kernel does not answer.
pub fn state(netns: BorrowedFd<'_>) -> Result<NetnsState> {
    netns::inside(netns, || update_peers::state(&mut Sockets::open()?))
}

/// For how long members of its job on other nodes are peers from now, if there is a lease; zero: it has run out.
///
/// # Errors
/// There is no lease; it cannot be read.
pub fn lease(netns: BorrowedFd<'_>) -> Result<Duration> {
    netns::inside(netns, || lease::left(&mut Sockets::open()?)).context("cannot read the lease")
}

/// Lets the lease run for that long from now, if that is more than it has. As long as it runs, no packet meets a moment
/// without it.
///
/// # Errors
/// It is the host's or the caller's own namespace; there is no lease; the kernel refuses.
pub fn renew_lease(netns: BorrowedFd<'_>, wanted: Duration) -> Result<()> {
    inside_other(netns, || lease::renew(&mut Sockets::open()?, wanted)).context("cannot renew the lease")
}

fn inside_other<T: Send>(netns: BorrowedFd<'_>, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    if netns::is_own(netns)? {
        bail!("the network namespace is the host's own");
    }
    netns::inside(netns, || match netns::here_is_initial()? {
        true => bail!("the network namespace is the host's own"),
        false => work(),
    })
}

/// Observes a namespace and changes nothing.
///
/// # Errors
/// It cannot be entered or observed.
pub fn observe(netns: BorrowedFd<'_>, owner: SocketOwner) -> Result<Observation> {
    let mut cache = SocketCache::default();
    let cache = (owner == SocketOwner::Foreign).then_some(&mut cache);
    netns::inside(netns, || observe::observe(&mut Sockets::open()?, cache, true))
}

/// The addresses of a namespace, or of the caller's own, that are valid beyond their link. Reads only.
///
/// # Errors
/// It cannot be entered, or the kernel does not answer.
pub fn addresses(netns: Option<BorrowedFd<'_>>) -> Result<Vec<IpAddr>> {
    match netns {
        Some(netns) => netns::inside(netns, observe::own_addresses),
        None => observe::own_addresses(),
    }
}

fn others(seen: &Observation) -> impl Iterator<Item = String> {
    seen.links.iter().filter(|link| !link.is_loopback()).map(|link| link.name.clone())
}

/// How often an engine may plumb while the namespace is being sealed.
const ROUNDS: usize = 4;
