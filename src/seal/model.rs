//! What a network namespace is observed to be, what it is desired to be, and what sealing it took. Data only.

use std::collections::BTreeSet;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::netns::Netns;
use crate::nft::{AllowList, ForeignSocket, Loaded};
use crate::settings::{Firewall, Links};

/// What is in a network namespace.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Observation {
    /// Every network device.
    pub links: Vec<Link>,
    /// Every address, loopback's own included.
    pub addresses: Vec<Address>,
    /// Whether lo may have IPv6 addresses.
    pub ipv6: bool,
    /// The foreign sockets; empty when sockets are the container's own and were not listed.
    pub sockets: BTreeSet<ForeignSocket>,
    /// The table `inet oci_isolate`.
    pub table: Loaded,
    /// The next hops of its routes, of all tables; empty where routes were not asked for.
    pub gateways: BTreeSet<IpAddr>,
    /// Its default routes, of all tables; empty where routes were not asked for.
    pub default_routes: BTreeSet<DefaultRoute>,
    /// Ids by which other namespaces are known here (RTM_GETNSID, ip-netns(8) `list-id`).
    pub nsids: Vec<i32>,
}

/// A network device.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Link {
    /// lo has 1 in every namespace (`LOOPBACK_IFINDEX`, include/net/net_namespace.h).
    pub index: i32,
    /// Bytes that are not UTF-8 are replaced.
    pub name: String,
    /// `veth`, `macvlan`, ...; hardware has none.
    pub kind: Option<String>,
    /// IFF_UP.
    pub up: bool,
}

/// An address of a link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// The link's index.
    pub link: i32,
    /// The address itself, never the peer's.
    pub address: IpAddr,
    /// The length of its prefix.
    pub prefix: u8,
}

/// A route to every address of a family.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct DefaultRoute {
    /// Else of IPv6.
    pub ipv4: bool,
    /// The link's index; `None` if it has several or none.
    pub link: Option<i32>,
}

impl Link {
    /// Whether this is lo.
    pub fn is_loopback(&self) -> bool {
        self.index == LOOPBACK
    }

    /// Whether this is a tap device, whose traffic a program carries.
    pub(super) fn is_tap(&self) -> bool {
        self.kind.as_deref() == Some("tun")
    }

    /// Whether this link of a closed container is taken down; any other is removed. A link that is down carries and
    /// sends nothing, to bring it up takes CAP_NET_ADMIN, and its packets would meet the table. Where there
    /// is none, links are removed.
    pub(super) fn stays_down(&self, links: Links) -> bool {
        self.is_fallback_tunnel()
            || links == Links::Down && self.kind.as_deref().is_none_or(|kind| STAYING_DOWN.contains(&kind))
    }

    /// Whether this is the fallback device of a tunnel module. Where such a module is loaded, every namespace
    /// is created with one (`net.core.fb_tunnels_only_for_init_net`,
    /// Documentation/admin-guide/sysctl/net.rst), and the kernel answers a request to delete it with success
    /// and keeps it.
    pub(super) fn is_fallback_tunnel(&self) -> bool {
        FALLBACK.iter().any(|(name, kind)| self.name == *name && self.kind.as_deref() == Some(kind))
    }
}

/// Whether an address is valid beyond its own link: not loopback, link-local, multicast, broadcast or
/// unspecified (RFC 6890), nor an IPv4-mapped IPv6 address.
pub(super) fn is_global(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(a) => {
            let [first, ..] = a.octets();
            first != 0 && first < 240 && !a.is_loopback() && !a.is_link_local() && !a.is_multicast()
        }
        IpAddr::V6(a) => {
            let never =
                a.is_unspecified() || a.is_loopback() || a.is_unicast_link_local() || a.is_multicast();
            !never && a.to_ipv4_mapped().is_none()
        }
    }
}

/// The desired state of a namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Desired {
    /// Addresses to put on lo in addition to those of the links found: those of a namespace that was
    /// replaced.
    pub addresses: Vec<IpAddr>,
    /// What to do if the kernel has no nf_tables. A foreign socket is an error without them in any case.
    pub firewall: Firewall,
    /// What becomes of the links of a sealed namespace.
    pub links: Links,
    /// `None`: sealed. `Some`: the links stay with their addresses, and a kernel
    /// without nf_tables is an error whatever [`Self::firewall`] says.
    pub allow_list: Option<AllowList>,
    /// `Some`: attempts at that many destinations are counted, where there is a table. `None`: a table that counts may go on.
    pub attempts: Option<u32>,
}

/// Who owns the sockets in the namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SocketOwner {
    /// No program of the container has run yet, so each is foreign and must be blocked.
    Foreign,
    /// Programs have run, so a socket may be the container's own; they are not listed.
    Container,
}

/// A sealed namespace, and what it took. Names and numbers only: it goes into the record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Sealed {
    /// Its identity.
    pub netns: Netns,
    /// Names of the links that were removed.
    pub links_removed: Vec<String>,
    /// Names of the links that are down: those of the engine, and fallback devices of tunnel modules.
    pub links_down: Vec<String>,
    /// Names of the links that stay, behind an allow-list.
    pub links_kept: Vec<String>,
    /// Names of those of them that are tap devices: for the caller, and in no record.
    #[serde(skip)]
    pub taps: Vec<String>,
    /// The addresses of those, without link-local ones.
    pub own: Vec<IpAddr>,
    /// The gateways of the namespace's routes, which are never peers; only with an allow-list.
    pub gateways: Vec<IpAddr>,
    /// The container's addresses, now on lo.
    pub addresses_kept: Vec<IpAddr>,
    /// IPv6 addresses that the namespace cannot have, because IPv6 is disabled in it.
    pub addresses_skipped: Vec<IpAddr>,
    /// Sockets that existed, and are blocked.
    pub foreign_blocked: Vec<ForeignSocket>,
    /// Ids of other namespaces that are still known here: of no use without CAP_NET_ADMIN.
    pub nsids_left: Vec<i32>,
    /// False if this kernel has none and [`Firewall::IfAvailable`] is set.
    pub firewall: bool,
}

/// `LOOPBACK_IFINDEX`.
pub(super) const LOOPBACK: i32 = 1;

/// The kinds that engines plumb and that only a process with CAP_NET_ADMIN brings up again. Hardware, which has no kind,
/// is treated as these. It is a list, because the kernel itself brings some up: a VLAN device with its parent, which is
/// the host's (`NETDEV_UP` in net/8021q/vlan.c).
const STAYING_DOWN: [&str; 3] = ["veth", "macvlan", "ipvlan"];

const FALLBACK: [(&str, &str); 11] = [
    ("tunl0", "ipip"),
    ("gre0", "gre"),
    ("gretap0", "gretap"),
    ("erspan0", "erspan"),
    ("ip_vti0", "vti"),
    ("sit0", "sit"),
    ("ip6tnl0", "ip6tnl"),
    ("ip6gre0", "ip6gre"),
    ("ip6_vti0", "vti6"),
    ("ip6erspan0", "ip6erspan"),
    ("ip6gretap0", "ip6gretap"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_a_link_or_of_the_host_itself_are_not_global() {
        let no = [
            "127.0.0.1",
            "169.254.169.254",
            "224.0.0.1",
            "0.0.0.0",
            "255.255.255.255",
            "::",
            "::1",
            "fe80::1",
            "ff02::1",
            "::ffff:10.0.0.1",
        ];
        let yes = ["10.0.0.1", "172.17.0.2", "100.64.0.1", "8.8.8.8", "fd00::1", "2001:db8::1"];
        assert!(no.iter().all(|a| !is_global(a.parse().unwrap())));
        assert!(yes.iter().all(|a| is_global(a.parse().unwrap())));
    }
}
