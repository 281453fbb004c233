//! Applies a plan, step by step. Stops at the first one that fails, and names its object. Must not decide
//! anything.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use netlink_bindings::rt_addr::{self, Ifaddrmsg};
use netlink_bindings::rt_link::{self, Ifinfomsg};
use nix::errno::Errno;

use super::model::{Address, LOOPBACK, Observation};
use super::observe::IFF_UP;
use super::plan::SealOp;
use super::{firewall, routes};
use crate::netlink::{Batch, Socket, Sockets, is_unavailable};
use crate::nft::Table;

/// `seen` is our table, if it was read in that state of the firewall.
///
/// # Errors
/// `cannot <verb> <object>: <cause>`; what came before in the plan stays done.
pub(super) fn apply(plan: &[SealOp], sockets: &mut Sockets, seen: Option<(u32, &Table)>) -> Result<()> {
    for op in plan {
        match op {
            SealOp::Load(table) => load(sockets.firewall.as_mut(), table, firewall::load)?,
            SealOp::Replace(table) => {
                let replace = |socket: &mut Socket, table: &Table| firewall::replace(socket, seen, table);
                load(sockets.firewall.as_mut(), table, replace)?;
            }
            SealOp::Remove(links) => remove(&mut sockets.route, links)?,
            SealOp::Down(links) => down(&mut sockets.route, links)?,
            SealOp::Unassign(addresses) => unassign(&mut sockets.route, addresses)?,
            SealOp::LoopbackUp => {
                switch(&mut sockets.route, LOOPBACK, true).context("cannot bring lo up")?;
            }
            SealOp::Keep(addresses) => keep(&mut sockets.route, addresses)?,
            SealOp::Route(sources) => routes::add(&mut sockets.route, sources)?,
        }
    }
    Ok(())
}

/// Loads the table of a sealed namespace where there is none, counting `attempts`, and then adds its routes. What is there
/// already, a kernel without nf_tables, and a route that cannot be added yet, are left to the plan.
///
/// # Errors
/// `cannot load <part> of the firewall: <cause>`.
pub(super) fn close(sockets: &mut Sockets, attempts: Option<u32>) -> Result<()> {
    let Some(socket) = sockets.firewall.as_mut() else { return Ok(()) };
    match firewall::load(socket, &Table::default().blocking_also([], None, attempts)) {
        Err((_, errno)) if errno == Errno::EEXIST || is_unavailable(errno) => return Ok(()),
        done => done.map_err(refused)?,
    }
    if attempts.is_some() {
        let _ = routes::add(&mut sockets.route, &[Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]);
    }
    Ok(())
}

fn load(
    socket: Option<&mut Socket>,
    table: &Table,
    how: impl FnOnce(&mut Socket, &Table) -> Result<(), (String, Errno)>,
) -> Result<()> {
    let socket = socket.context("cannot load the firewall: this kernel has no nf_tables")?;
    how(socket, table).map_err(refused)
}

fn refused((part, errno): (String, Errno)) -> anyhow::Error {
    anyhow!(errno).context(format!("cannot load {part} of the firewall"))
}

/// Several links are removed in one step, because the kernel waits for a grace period at every removal, some
/// 10 ms each: they are put into a group, and the group is removed. If one link of the group cannot be
/// removed, none is; then they are removed one by one, and the one that fails is named.
fn remove(socket: &mut Socket, links: &[(i32, String)]) -> Result<()> {
    if links.len() > 1 && remove_as_group(socket, links).is_ok() {
        return Ok(());
    }
    for (index, name) in links {
        let mut batch = Batch::default();
        batch.add(&rt_link::Request::new().op_dellink_do(&link(*index)));
        match socket.send(batch, 0) {
            // Removed with its peer, or by its owner.
            Ok(()) | Err((_, Errno::ENODEV)) => (),
            Err((_, errno)) => return Err(errno).with_context(|| format!("cannot remove link {name}")),
        }
    }
    Ok(())
}

fn remove_as_group(socket: &mut Socket, links: &[(i32, String)]) -> Result<(), (usize, Errno)> {
    for links in links.chunks(BATCH) {
        let mut batch = Batch::default();
        for (index, _) in links {
            let mut request = rt_link::Request::new().op_setlink_do(&link(*index));
            request.encode().push_group(GROUP);
            batch.add(&request);
        }
        let last = batch.len() - 1;
        socket.send(batch, last)?;
    }
    let mut request = rt_link::Request::new().op_dellink_do(&Ifinfomsg::new());
    request.encode().push_group(GROUP);
    let mut batch = Batch::default();
    batch.add(&request);
    socket.send(batch, 0)
}

fn down(socket: &mut Socket, links: &[(i32, String)]) -> Result<()> {
    for (index, name) in links {
        match switch(socket, *index, false) {
            // Removed by its owner.
            Ok(()) | Err(Errno::ENODEV) => (),
            Err(errno) => return Err(errno).with_context(|| format!("cannot take link {name} down")),
        }
    }
    Ok(())
}

/// IPv6 addresses usually went with the link, and further IPv4 addresses of a prefix with the first.
fn unassign(socket: &mut Socket, addresses: &[Address]) -> Result<()> {
    for Address { link, address, prefix } in addresses {
        let mut header = Ifaddrmsg::new();
        header.ifa_family = if address.is_ipv4() { 2 } else { 10 };
        header.ifa_prefixlen = *prefix;
        header.ifa_index = *link as u32;
        let mut request = rt_addr::Request::new().op_deladdr_do(&header);
        drop(request.encode().push_local(*address));
        let mut batch = Batch::default();
        batch.add(&request);
        match socket.send(batch, 0) {
            Ok(()) | Err((_, Errno::EADDRNOTAVAIL | Errno::ENODEV)) => (),
            Err((_, errno)) => {
                return Err(errno).with_context(|| format!("cannot remove address {address} of a link"));
            }
        }
    }
    Ok(())
}

fn switch(socket: &mut Socket, index: i32, up: bool) -> Result<(), Errno> {
    let mut header = link(index);
    header.ifi_change = IFF_UP;
    header.ifi_flags = if up { IFF_UP } else { 0 };
    let mut batch = Batch::default();
    batch.add(&rt_link::Request::new().op_newlink_do(&header));
    socket.send(batch, 0).map_err(|(_, errno)| errno)
}

fn keep(socket: &mut Socket, addresses: &[IpAddr]) -> Result<()> {
    for addresses in addresses.chunks(BATCH) {
        let mut batch = Batch::default();
        for address in addresses {
            let mut header = Ifaddrmsg::new();
            (header.ifa_family, header.ifa_prefixlen) = if address.is_ipv4() { (2, 32) } else { (10, 128) };
            header.ifa_index = LOOPBACK as u32;
            header.ifa_flags = IFA_F_NODAD;
            let mut request = rt_addr::Request::new().set_create().op_newaddr_do(&header);
            drop(request.encode().push_local(*address).push_address(*address));
            batch.add(&request);
        }
        let last = batch.len() - 1;
        match socket.send(batch, last) {
            Ok(()) | Err((_, Errno::EEXIST)) => (),
            Err((position, errno)) => {
                let address = addresses.get(position).unwrap_or(&addresses[0]);
                return Err(errno).with_context(|| format!("cannot put address {address} on lo"));
            }
        }
    }
    Ok(())
}

/// Waits until every address on lo is reachable; `routed`: there may be other routes to it than its own.
///
/// # Errors
/// One is not, for seconds.
pub(super) fn settle(socket: &mut Socket, seen: &Observation, routed: bool) -> Result<()> {
    let on_lo = seen.addresses.iter().filter(|a| a.link == LOOPBACK && a.address.is_ipv6());
    on_lo.map(|a| a.address).try_for_each(|address| reach(socket, address, routed))
}

/// The kernel makes a new IPv6 address local a moment later, in a work queue (`addrconf_dad_work` in
/// net/ipv6/addrconf.c), and until then reports the network as unreachable. So the address counts once a
/// datagram to it has arrived. Where there are routes none is sent before the address is local: by the route of its prefix, or
/// a default route over lo, it would meet the table, and would be counted as an attempt.
fn reach(route: &mut Socket, address: IpAddr, routed: bool) -> Result<()> {
    let mut arrives = || {
        if routed && !routes::is_local(route, address)? {
            return Err(Errno::ENETUNREACH.into());
        }
        let socket = UdpSocket::bind((address, 0))?;
        socket.set_read_timeout(Some(ROUTE_PATIENCE))?;
        socket.connect(socket.local_addr()?)?;
        socket.send(&[0])?;
        socket.recv(&mut [0])
    };
    let deadline = Instant::now() + ROUTE_DEADLINE;
    loop {
        match arrives() {
            Ok(_) => return Ok(()),
            Err(error) if Instant::now() > deadline => {
                return Err(error).with_context(|| format!("cannot reach address {address} on lo"));
            }
            Err(_) => (),
        }
    }
}

fn link(index: i32) -> Ifinfomsg {
    let mut header = Ifinfomsg::new();
    header.ifi_index = index;
    header
}

/// The work queue takes microseconds when nothing is in its way.
const ROUTE_PATIENCE: Duration = Duration::from_millis(1);
const ROUTE_DEADLINE: Duration = Duration::from_secs(5);
/// An unused number, spelling "oci".
const GROUP: u32 = 0x006f_6369;
/// linux/if_addr.h: usable at once, no duplicate address detection.
const IFA_F_NODAD: u8 = 2;
/// Messages in one write; far from the 200 KiB that a socket's buffer takes (net.core.wmem_default).
const BATCH: usize = 1000;

#[cfg(test)]
mod tests {
    use super::*;

    /// In a new network namespace, on a thread that takes it along.
    fn in_a_new_namespace(ops: &[SealOp]) -> Option<String> {
        let run = || {
            nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET)
                .expect("a network namespace needs root");
            apply(ops, &mut Sockets::open().unwrap(), None).err().map(|error| format!("{error:#}"))
        };
        std::thread::scope(|scope| scope.spawn(run).join().unwrap())
    }

    #[test]
    fn a_link_that_cannot_be_removed_is_named_alone_or_among_others() {
        let lo = (LOOPBACK, "lo".to_owned());
        let gone = (99, "gone".to_owned());
        for links in [vec![lo.clone()], vec![gone.clone(), lo]] {
            let said = in_a_new_namespace(&[SealOp::Remove(links)]).unwrap();
            let expected = "cannot remove link lo: EOPNOTSUPP: Operation not supported on transport endpoint";
            assert_eq!(said, expected);
        }
        // A link that is gone is what was wanted.
        assert_eq!(in_a_new_namespace(&[SealOp::Remove(vec![gone])]), None);
    }

    #[test]
    fn an_address_that_lo_does_not_take_is_named() {
        let addresses =
            vec!["10.0.0.1".parse().unwrap(), "224.0.0.1".parse().unwrap(), "ff02::1".parse().unwrap()];
        let said = in_a_new_namespace(&[SealOp::LoopbackUp, SealOp::Keep(addresses)]).unwrap();
        assert!(said.starts_with("cannot put address ff02::1 on lo: "), "{said}");
    }
}
