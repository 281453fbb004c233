//! The seal: a network namespace that is about to be a program's is made empty, closed, and proven so.
//!
//! The story: [`seal`] enters the namespace on a thread of its own, observes it, plans, applies, and observes again;
//! only a namespace in which everything holds is [`Sealed`]. [`verify`] is the same without plan and apply. [`plan()`]
//! and [`broken()`] are pure. The namespace of the machine, or of the caller, is never changed. This room knows nothing
//! of containers, engines and settings files.

mod allow;
mod apply;
mod closed;
mod encoding;
mod enter;
mod firewall;
mod grown;
mod ingress;
mod observe;
mod open_netns;
mod peers;
mod plan;
mod prefixes;
mod proc_net;
#[doc(hidden)]
pub mod said;
mod sockets;
mod steps;
mod table;
mod wire;

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::os::fd::BorrowedFd;

use anyhow::{Context, Result, bail};
use ipnet::IpNet;
use nix::errno::Errno;
use serde::{Deserialize, Serialize};

pub use crate::settings::Firewall;
pub use enter::{Netns, is_host, join_user_namespace, netns_of};
pub use observe::{Address, Link, Loaded, Observation};
pub use open_netns::OpenNetns;
pub use plan::{Broken, SealOp, broken, plan};
pub use sockets::Foreign;
pub use table::{Base, Chain, Compare, Difference, Expr, Set, Table};

use crate::policy::Ingress;
use observe::Wires;

/// How a namespace is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Addresses to be put on lo beside those of the links found: of a namespace that was replaced.
    pub addresses: Vec<IpAddr>,
    /// What to do where the kernel has no nf_tables. Without it a foreign socket is refused all the same.
    pub firewall: Firewall,
    /// What is let through. `None`: nothing, and the links are removed. `Some`: the links stay with their addresses, and
    /// a kernel without nf_tables is an error whatever [`Self::firewall`] says.
    pub allow: Option<Allow>,
}

/// What an allow-list lets through, everything else being refused in both directions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Allow {
    /// Ports of connections that come in over a link; only their replies leave.
    pub ingress: Vec<Ingress>,
    /// Any protocol, both directions.
    pub peers: BTreeSet<IpNet>,
    /// No peers even where a prefix contains them: the addresses of the host, for example. [`seal`] adds the gateways
    /// of the namespace's routes. One that is itself given as a peer (/32, /128) is an error.
    pub never: BTreeSet<IpAddr>,
}

/// What a look at a sealed namespace says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// What does not hold; nothing else can be relied on unless this is empty.
    pub broken: Vec<Broken>,
    /// What the table in it lets through; `None` when that is nothing. Whoever joins the namespace gets it all.
    pub allow: Option<Allow>,
}

/// Whose the sockets in the namespace are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sockets {
    /// No program of the container has run yet, so each is somebody else's and must be blocked.
    Foreign,
    /// Programs have run; nothing can be said of sockets, and they are not looked at.
    Own,
}

/// A sealed namespace, and what it took. Names and numbers only; goes into the record and the report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Sealed {
    /// Which one.
    pub netns: Netns,
    /// Names of the links that were removed.
    pub links_removed: Vec<String>,
    /// Names of the links that stay, behind an allow-list.
    pub links_kept: Vec<String>,
    /// The addresses of those, as far as they mean something beyond their link.
    pub own: Vec<IpAddr>,
    /// The gateways of the namespace's routes, which are no peers.
    pub gateways: Vec<IpAddr>,
    /// Fallback devices of tunnel modules, which the kernel does not remove: down, and behind the table.
    pub links_left: Vec<String>,
    /// The container's addresses, now on lo.
    pub addresses_kept: Vec<IpAddr>,
    /// IPv6 addresses that the namespace cannot have, because IPv6 is disabled in it.
    pub addresses_skipped: Vec<IpAddr>,
    /// Sockets of others that existed and are blocked now.
    pub foreign_blocked: Vec<Foreign>,
    /// Ids of other namespaces that are still known here: of use to nobody without CAP_NET_ADMIN.
    pub nsids_left: Vec<i32>,
    /// False when this kernel has none and [`Firewall::IfAvailable`] was wanted.
    pub firewall: bool,
}

/// Seals a network namespace in which no program of the container has run yet. Doing it again changes nothing.
///
/// # Errors
/// It is the machine's or the caller's own; a link cannot be removed; anything does not hold in the end, each of it
/// named. The namespace may then be changed in part, and nothing may be started in it.
pub fn seal(netns: BorrowedFd<'_>, wanted: &Wanted) -> Result<Sealed> {
    let host = || bail!("cannot seal the network namespace: it is the host's own");
    if enter::is_own(netns)? {
        return host();
    }
    let identity = Netns::of(netns)?;
    enter::inside(netns, || {
        if enter::here_is_initial()? {
            return host();
        }
        let mut wires = Wires::open()?;
        let first = observe::observe(&mut wires, Sockets::Foreign)?;
        // The addresses of links that are removed go with them.
        let had = first.addresses.iter().filter(|_| wanted.allow.is_none()).map(|a| a.address);
        let had = had.filter(|a| plan::is_global(*a));
        let wanted =
            Wanted { addresses: wanted.addresses.iter().copied().chain(had).collect(), ..wanted.clone() };
        let mut foreign = first.sockets.clone();
        let mut removed: BTreeSet<_> = others(&first).collect();
        let mut seen = first;
        // An engine may plumb meanwhile, so it goes on until there is nothing left to do.
        for _ in 0..ROUNDS {
            let ops = plan(&seen, &wanted);
            if ops.is_empty() {
                break;
            }
            apply::apply(&ops, &mut wires).context("cannot seal the network namespace")?;
            seen = observe::observe(&mut wires, Sockets::Foreign)?;
            foreign.extend(seen.sockets.iter().cloned());
            removed.extend(others(&seen));
        }
        apply::settle(&seen).context("cannot seal the network namespace")?;
        let broken = broken(&seen, &wanted, Sockets::Foreign);
        if !broken.is_empty() {
            let reasons: Vec<_> = broken.iter().map(ToString::to_string).collect();
            bail!("cannot seal the network namespace: {}", reasons.join("; "));
        }
        let left: BTreeSet<_> = others(&seen).collect();
        let stays = |name: &&String| seen.links.iter().any(|l| l.name == **name && plan::stays(l));
        let own = |a: &&Address| a.link != observe::LOOPBACK && plan::is_global(a.address);
        let own: BTreeSet<_> = seen.addresses.iter().filter(own).map(|a| a.address).collect();
        Ok(Sealed {
            netns: identity,
            links_removed: removed.difference(&left).cloned().collect(),
            addresses_kept: plan::kept(&seen, &wanted).into_iter().collect(),
            addresses_skipped: plan::skipped(&seen, &wanted).into_iter().collect(),
            foreign_blocked: foreign.into_iter().collect(),
            links_kept: left.iter().filter(|name| !stays(name)).cloned().collect(),
            links_left: left.iter().filter(stays).cloned().collect(),
            own: own.into_iter().collect(),
            gateways: seen.gateways.into_iter().collect(),
            nsids_left: seen.nsids,
            firewall: matches!(seen.table, Loaded::Present(_)),
        })
    })
}

/// What does not hold in a namespace that should have been sealed before; programs may be running in it.
///
/// A kernel without nf_tables is reported as [`Broken::NoFirewall`]; whether that is acceptable is for the caller.
///
/// # Errors
/// It cannot be entered or observed, so that nobody knows.
pub fn verify(netns: BorrowedFd<'_>) -> Result<Verified> {
    let seen = look(netns, Sockets::Own)?;
    let allow = match &seen.table {
        Loaded::Present(table) => table.allows(),
        Loaded::Absent | Loaded::Unavailable => None,
    };
    let wanted = Wanted { addresses: vec![], firewall: Firewall::Required, allow };
    Ok(Verified { broken: broken(&seen, &wanted, Sockets::Own), allow: wanted.allow })
}

/// Loads a table that lets nothing through but loopback and what announces an address, and touches
/// nothing else: for a namespace that an engine has not plumbed yet, or has prepared. [`seal`] later makes it the final
/// table in one transaction.
///
/// # Errors
/// It is the machine's or the caller's own; this kernel has no nf_tables.
pub fn close(netns: BorrowedFd<'_>) -> Result<()> {
    inside_other(netns, || {
        let mut wires = Wires::open()?;
        let table = observe::observe(&mut wires, Sockets::Own)?.table;
        let closed = Table::closing();
        let op = match table {
            Loaded::Unavailable => bail!("{}", Broken::NoFirewall),
            Loaded::Present(table) if table == closed => return Ok(()),
            Loaded::Present(_) => SealOp::Replace(closed),
            Loaded::Absent => SealOp::Load(closed),
        };
        apply::apply(&[op], &mut wires)
    })
    .context("cannot close the network namespace")
}

/// Takes out what [`close`] or [`seal`] loaded for a container with an allow-list, if the namespace is `vacant`. A table
/// that is changed meanwhile stays, and so does any other than these.
///
/// # Errors
/// It cannot be told whether it is vacant; the kernel refuses. It is the machine's or the caller's own.
pub fn reopen(netns: BorrowedFd<'_>, vacant: impl FnOnce() -> Result<bool> + Send) -> Result<()> {
    inside_other(netns, || {
        let Some(mut wire) = Wires::open()?.firewall else { return Ok(()) };
        let generation =
            firewall::generation(&mut wire).context("cannot ask for the state of the firewall")?;
        let ours = match firewall::read(&mut wire).context("cannot read table inet oci_isolate")? {
            Loaded::Present(table) => table.allows().is_some() || table == Table::closing(),
            Loaded::Absent | Loaded::Unavailable => false,
        };
        if !ours || !vacant()? {
            return Ok(());
        }
        match firewall::remove(&mut wire, generation) {
            Ok(()) | Err(Errno::ERESTART) => Ok(()),
            Err(errno) => Err(errno).context("cannot remove table inet oci_isolate"),
        }
    })
}

/// The peers in a namespace's allow-list; an address is a prefix of full length.
///
/// # Errors
/// The table is missing or no allow-list; it cannot be read.
pub fn peers(netns: BorrowedFd<'_>) -> Result<BTreeSet<IpNet>> {
    enter::inside(netns, || peers::read(&mut Wires::open()?)).context("cannot read the peers")
}

/// Makes these the peers, in one transaction. Those that stay are peers at every moment, so their connections go on. A
/// prefix within another is left out.
///
/// # Errors
/// It is the machine's or the caller's own namespace; the table is not intact or no allow-list; a peer is one of
/// [`Allow::never`]; they do not fit into one transaction. Nothing has changed then.
pub fn set_peers(netns: BorrowedFd<'_>, peers: &BTreeSet<IpNet>) -> Result<()> {
    inside_other(netns, || peers::replace(&mut Wires::open()?, peers)).context("cannot change the peers")
}

fn inside_other<T: Send>(netns: BorrowedFd<'_>, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    if enter::is_own(netns)? {
        bail!("the network namespace is the host's own");
    }
    enter::inside(netns, || match enter::here_is_initial()? {
        true => bail!("the network namespace is the host's own"),
        false => work(),
    })
}

/// Observes a namespace and changes nothing.
///
/// # Errors
/// It cannot be entered or observed.
pub fn look(netns: BorrowedFd<'_>, whose: Sockets) -> Result<Observation> {
    enter::inside(netns, || observe::observe(&mut Wires::open()?, whose))
}

/// The addresses of a namespace, or of the caller's own, that mean something beyond it. Reads only.
///
/// # Errors
/// It cannot be entered, or the kernel does not answer.
pub fn addresses(netns: Option<BorrowedFd<'_>>) -> Result<Vec<IpAddr>> {
    match netns {
        Some(netns) => enter::inside(netns, observe::own_addresses),
        None => observe::own_addresses(),
    }
}

fn others(seen: &Observation) -> impl Iterator<Item = String> {
    seen.links.iter().filter(|link| !link.is_loopback()).map(|link| link.name.clone())
}

/// How often an engine may plumb while the namespace is being sealed.
const ROUNDS: usize = 4;
