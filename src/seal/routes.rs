//! The routes of the network namespace of the calling thread: next hops, default routes, and the default routes over lo by
//! which attempts reach the table ([`crate::nft`]).

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use anyhow::{Context, Result};
use netlink_bindings::rt_route::{PushRouteAttrs, Request, Rtmsg};
use netlink_bindings::traits::{NetlinkRequest, Protocol, Pusher};
use netlink_bindings::utils::find_attr;
use nix::errno::Errno;

use super::model::{DefaultRoute, LOOPBACK};
use crate::netlink::{Batch, Socket};

/// Every next hop, and every default route.
pub(super) fn list(socket: &mut Socket) -> Result<(BTreeSet<IpAddr>, BTreeSet<DefaultRoute>), Errno> {
    let (mut gateways, mut defaults) = (BTreeSet::new(), BTreeSet::new());
    for route in socket.query(&GetRoute, Some)? {
        gateways.extend(route.next_hops);
        defaults.extend(route.default);
    }
    Ok((gateways, defaults))
}

/// Adds a default route over lo of the family of each source. Any other default route comes first.
///
/// # Errors
/// `cannot add a default route over lo: <cause>`.
pub(super) fn add(socket: &mut Socket, sources: &[IpAddr]) -> Result<()> {
    for source in sources {
        let mut request = Request::new().set_create().set_excl().op_newroute_do(&header(*source));
        attributes(request.encode(), *source);
        match send(socket, &request) {
            Ok(()) | Err(Errno::EEXIST) => (),
            Err(errno) => {
                return Err(errno)
                    .with_context(|| format!("cannot add a default route over lo, from {source}"));
            }
        }
    }
    Ok(())
}

/// Removes what [`add`] may have added, and no other route. One that cannot be removed does not keep the other.
///
/// # Errors
/// `cannot remove the default route over lo: <cause>`.
pub(super) fn remove(socket: &mut Socket) -> Result<()> {
    let removed = [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()].map(|source: IpAddr| {
        let mut request = Request::new().op_delroute_do(&header(source));
        attributes(request.encode(), source);
        match send(socket, &request) {
            Ok(()) | Err(Errno::ESRCH) => Ok(()),
            // A kernel without IPv6 (ipv6.disable=1) has no routes of it.
            Err(Errno::EOPNOTSUPP | Errno::EAFNOSUPPORT) if source.is_ipv6() => Ok(()),
            Err(errno) => {
                Err(errno).with_context(|| format!("cannot remove the default route over lo, from {source}"))
            }
        }
    });
    removed.into_iter().collect()
}

/// Whether what is sent to an IPv6 address here stays here by the kernel's route of an own address, and not by another one
/// over lo.
pub(super) fn is_local(socket: &mut Socket, address: IpAddr) -> Result<bool, Errno> {
    let mut header = Rtmsg::new();
    (header.rtm_family, header.rtm_dst_len) = (10, 128);
    let mut request = Request::new().op_getroute_do(&header);
    drop(request.encode().push_dst(address));
    Ok(socket.query(&request, |(route, _)| Some(route.rtm_type == LOCAL))?.contains(&true))
}

fn send(socket: &mut Socket, request: &impl NetlinkRequest) -> Result<(), Errno> {
    let mut batch = Batch::default();
    batch.add(request);
    socket.send(batch, 0).map_err(|(_, errno)| errno)
}

fn header(source: IpAddr) -> Rtmsg {
    let mut header = Rtmsg::new();
    header.rtm_family = if source.is_ipv4() { 2 } else { 10 };
    header.rtm_table = TABLE_MAIN;
    header.rtm_protocol = PROTOCOL_STATIC;
    header.rtm_scope = if source.is_ipv4() { SCOPE_LINK } else { 0 };
    header.rtm_type = UNICAST;
    header
}

/// Without a source of its own a packet to another address would have none, or one that routes nowhere.
fn attributes<P: Pusher>(attributes: PushRouteAttrs<P>, source: IpAddr) {
    drop(attributes.push_oif(LOOPBACK as u32).push_priority(u32::MAX).push_prefsrc(source));
}

/// RTM_GETROUTE (rtnetlink(7)). By hand, because a next hop is in one of three attributes, one of them an
/// array.
struct GetRoute;

struct Route {
    next_hops: Vec<IpAddr>,
    default: Option<DefaultRoute>,
}

impl NetlinkRequest for GetRoute {
    fn protocol(&self) -> Protocol {
        Protocol::Raw { protonum: 0, request_type: 26 }
    }
    fn flags(&self) -> u16 {
        netlink_bindings::consts::NLM_F_DUMP as u16
    }
    /// struct rtmsg.
    fn payload(&self) -> &[u8] {
        &[0; 12]
    }
    type ReplyType<'buf> = Route;
    fn decode_reply(payload: &[u8]) -> Route {
        let attributes = payload.get(12..).unwrap_or_default();
        let link =
            find_attr(attributes, 4).and_then(|oif| oif.first_chunk()).map(|oif| i32::from_ne_bytes(*oif));
        // Family, and the length of the destination's prefix; the kernel's own routes of errors are no way.
        let default = match payload {
            [family @ (2 | 10), 0, _, _, _, _, _, UNICAST, ..] => {
                Some(DefaultRoute { ipv4: *family == 2, link })
            }
            _ => None,
        };
        Route { next_hops: next_hops(attributes), default }
    }
}

/// In a route's attributes: `RTA_GATEWAY`; `RTA_VIA`, which has a family in front; `RTA_MULTIPATH`, an array
/// of struct rtnexthop (8 bytes that begin with the length), each with such attributes.
fn next_hops(attributes: &[u8]) -> Vec<IpAddr> {
    let address = |bytes: &[u8]| match bytes.len() {
        4 => bytes.first_chunk::<4>().map(|a| IpAddr::from(*a)),
        _ => bytes.first_chunk::<16>().map(|a| IpAddr::from(*a)),
    };
    let mut found = Vec::new();
    found.extend(find_attr(attributes, 5).and_then(address));
    found.extend(find_attr(attributes, 18).and_then(|via| address(via.get(2..)?)));
    let mut hops = find_attr(attributes, 9).unwrap_or_default();
    while let Some(length) = hops.first_chunk().map(|l| usize::from(u16::from_ne_bytes(*l))) {
        let Some(hop) = hops.get(8..length) else { break };
        found.extend(next_hops(hop));
        hops = hops.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    found
}

/// linux/rtnetlink.h
const TABLE_MAIN: u8 = 254;
const PROTOCOL_STATIC: u8 = 4;
const SCOPE_LINK: u8 = 253;
const UNICAST: u8 = 1;
const LOCAL: u8 = 2;
