//! Observes the network namespace of the calling thread: links, addresses, routes, foreign sockets, our
//! table, ids of other namespaces.
//!
//! Must not change anything, and must not judge.

use std::collections::BTreeSet;
use std::net::IpAddr;

use anyhow::{Context, Result};
use netlink_bindings::rt_addr::{self, Ifaddrmsg};
use netlink_bindings::rt_link::{self, Ifinfomsg};
use netlink_bindings::traits::{NetlinkRequest, Protocol};
use netlink_bindings::utils::find_attr;
use nix::errno::Errno;
use nix::sys::socket::SockProtocol;

use super::firewall;
use super::foreign_sockets::{self, SocketCache};
use super::model::{Address, Link, Observation, is_global};
use super::routes;
use crate::netlink::{Socket, Sockets};
use crate::nft::Loaded;

/// Foreign sockets are listed if there is a cache for them, and routes if it is asked: they judge nothing where
/// nothing is let through or counted.
///
/// # Errors
/// The kernel refuses a request.
pub(super) fn observe(
    sockets: &mut Sockets,
    foreign: Option<&mut SocketCache>,
    with_routes: bool,
) -> Result<Observation> {
    let (links, ipv6) = links(&mut sockets.route).context("cannot list the links")?;
    let addresses = addresses(&mut sockets.route).context("cannot list the addresses")?;
    let (gateways, default_routes) = match with_routes {
        true => routes::list(&mut sockets.route).context("cannot list the routes")?,
        false => Default::default(),
    };
    let nsids = sockets.route.query(&GetNsid, |id| id).context("cannot list the peer namespaces")?;
    let table = table(&mut sockets.firewall)?;
    let sockets = match foreign {
        Some(cache) => foreign_sockets::observe(&mut sockets.diag, cache)?,
        None => BTreeSet::new(),
    };
    Ok(Observation { links, addresses, ipv6, sockets, table, gateways, default_routes, nsids })
}

/// The table `inet oci_isolate`.
pub(super) fn table(firewall: &mut Option<Socket>) -> Result<Loaded> {
    match firewall {
        Some(socket) => firewall::read_table(socket).context("cannot read table inet oci_isolate"),
        None => Ok(Loaded::Unavailable),
    }
}

/// All links, and whether IPv6 is enabled on lo.
fn links(socket: &mut Socket) -> Result<(Vec<Link>, bool), Errno> {
    let mut request = rt_link::Request::new().op_getlink_dump(&Ifinfomsg::new());
    request.encode().push_ext_mask(SKIP_STATISTICS);
    let found = socket.query(&request, |(header, attributes)| {
        let text = |text: &std::ffi::CStr| text.to_string_lossy().into_owned();
        let link = Link {
            index: header.ifi_index,
            name: attributes.get_ifname().map(text).unwrap_or_default(),
            kind: attributes.get_linkinfo().and_then(|info| info.get_kind()).map(text).ok(),
            up: header.ifi_flags & IFF_UP != 0,
        };
        let inet6 = attributes.get_af_spec().and_then(|families| families.get_inet6());
        let ipv6 =
            inet6.ok().and_then(|inet6| disabled(find_attr(inet6.get_buf(), INET6_CONF)?)) == Some(false);
        Some((ipv6, link))
    })?;
    let ipv6 = found.iter().any(|(ipv6, link)| link.is_loopback() && *ipv6);
    Ok((found.into_iter().map(|(_, link)| link).collect(), ipv6))
}

/// Every address here.
pub(super) fn addresses(socket: &mut Socket) -> Result<Vec<Address>, Errno> {
    socket.query(&rt_addr::Request::new().op_getaddr_dump(&Ifaddrmsg::new()), |(header, attributes)| {
        // On a point-to-point link IFA_ADDRESS is the peer's, IFA_LOCAL our own (rtnetlink(7)).
        let address = attributes.get_local().or_else(|_| attributes.get_address()).ok()?;
        Some(Address { link: header.ifa_index as i32, address, prefix: header.ifa_prefixlen })
    })
}

/// The global ones, each once.
pub(super) fn own_addresses() -> Result<Vec<IpAddr>> {
    let mut socket =
        Socket::open(SockProtocol::NetlinkRoute).context("cannot open a socket for addresses")?;
    Ok(global_addresses(&mut socket)?.into_iter().collect())
}

/// The same, over a socket that is there.
pub(super) fn global_addresses(socket: &mut Socket) -> Result<BTreeSet<IpAddr>> {
    let found = addresses(socket).context("cannot list the addresses")?;
    Ok(found.iter().map(|a| a.address).filter(|a| is_global(*a)).collect())
}

/// `net.ipv6.conf.lo.disable_ipv6`, out of the array of all such settings.
fn disabled(conf: &[u8]) -> Option<bool> {
    let value = conf.chunks_exact(4).nth(DEVCONF_DISABLE_IPV6)?;
    Some(value.iter().any(|byte| *byte != 0))
}

/// RTM_GETNSID (linux/net_namespace.h; not in rtnetlink(7)), which netlink-bindings lacks.
struct GetNsid;

impl NetlinkRequest for GetNsid {
    fn protocol(&self) -> Protocol {
        Protocol::Raw { protonum: 0, request_type: 90 }
    }
    fn flags(&self) -> u16 {
        netlink_bindings::consts::NLM_F_DUMP as u16
    }
    /// struct rtgenmsg: the family, padded.
    fn payload(&self) -> &[u8] {
        &[0; 4]
    }
    type ReplyType<'buf> = Option<i32>;
    fn decode_reply(payload: &[u8]) -> Option<i32> {
        let id = find_attr(payload.get(4..)?, 1)?;
        id.first_chunk().map(|id| i32::from_ne_bytes(*id))
    }
}

/// linux/if.h
pub(super) const IFF_UP: u32 = 1;
/// `RTEXT_FILTER_SKIP_STATS` of linux/rtnetlink.h.
const SKIP_STATISTICS: u32 = 8;
/// `IFLA_INET6_CONF` of linux/if_link.h.
const INET6_CONF: u16 = 2;
/// linux/ipv6.h
const DEVCONF_DISABLE_IPV6: usize = 26;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_settings_array_that_is_too_short_has_no_value() {
        assert_eq!(disabled(&[0; 8]), None);
        assert_eq!(disabled(&[0; 108]), Some(false));
        let mut conf = [0; 108];
        conf[104..].copy_from_slice(&1i32.to_ne_bytes());
        assert_eq!(disabled(&conf), Some(true));
    }
}
