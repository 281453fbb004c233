//! What to do so that a namespace is sealed, and what still does not hold. Pure.

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;

use super::observe::{Link, Loaded, Observation};
use super::sockets::Foreign;
use super::table::{Difference, Table};
use super::{Allow, Firewall, Sockets, Wanted};
use crate::policy::Prefixes;

/// A change, to be made in the order of the plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SealOp {
    /// Load this table, in one transaction.
    Load(Table),
    /// Put this table in place of the one that is there, in one transaction.
    Replace(Table),
    /// Remove these links, by index and name.
    Remove(Vec<(i32, String)>),
    /// Take a link down that the kernel does not let go of.
    Down(i32, String),
    /// Bring lo up.
    LoopbackUp,
    /// Put these addresses on lo, each for itself alone.
    Keep(Vec<IpAddr>),
}

/// Something that must hold and does not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Broken {
    /// A link other than lo.
    Link(String),
    /// lo is down or missing.
    Loopback,
    /// An address that the container had and has no more.
    Address(IpAddr),
    /// The firewall is required and this kernel has none.
    NoFirewall,
    /// The table is not there.
    NoTable,
    /// The table is not the one that was loaded.
    Table(Difference),
    /// A peer that must not be one: a gateway or an address of the host.
    Peer(IpAddr),
    /// A foreign socket that can be reached from inside.
    Reachable(Foreign),
    /// A foreign socket that cannot be blocked without blocking all loopback traffic.
    Unblockable(Foreign),
}

/// The steps from what is to a sealed namespace; none if it is sealed already.
///
/// The firewall comes first, so that whatever is plumbed meanwhile meets it.
pub fn plan(seen: &Observation, wanted: &Wanted) -> Vec<SealOp> {
    let mut ops = Vec::new();
    let allow = allowed(seen, wanted);
    match &seen.table {
        Loaded::Unavailable => (),
        Loaded::Absent => ops.push(SealOp::Load(Table::sealing(&seen.sockets).opened(allow.as_ref()))),
        Loaded::Present(table) => {
            let unblocked: Vec<_> =
                seen.sockets.iter().filter(|s| can_block(s) && !table.blocks(s)).cloned().collect();
            if !unblocked.is_empty() || !table.differs(&table.intended(allow.as_ref())).is_empty() {
                ops.push(SealOp::Replace(table.blocking_also(&unblocked, allow.as_ref())));
            }
        }
    }
    let others = || seen.links.iter().filter(|link| !link.is_loopback());
    let remove: Vec<_> =
        others().filter(|l| !stays(l) && allow.is_none()).map(|l| (l.index, l.name.clone())).collect();
    if !remove.is_empty() {
        ops.push(SealOp::Remove(remove));
    }
    ops.extend(others().filter(|l| stays(l) && l.up).map(|l| SealOp::Down(l.index, l.name.clone())));
    if !loopback_up(seen) {
        ops.push(SealOp::LoopbackUp);
    }
    let missing: Vec<_> = kept(seen, wanted).difference(&present(seen, wanted)).copied().collect();
    if !missing.is_empty() {
        ops.push(SealOp::Keep(missing));
    }
    ops
}

/// What does not hold.
pub fn broken(seen: &Observation, wanted: &Wanted, whose: Sockets) -> Vec<Broken> {
    let mut found = Vec::new();
    let allow = allowed(seen, wanted);
    let link = |link: &&Link| !link.is_loopback() && if stays(link) { link.up } else { allow.is_none() };
    found.extend(seen.links.iter().filter(link).map(|link| Broken::Link(link.name.clone())));
    if !loopback_up(seen) {
        found.push(Broken::Loopback);
    }
    found.extend(kept(seen, wanted).difference(&present(seen, wanted)).copied().map(Broken::Address));
    let mut foreign: Vec<_> = match whose {
        Sockets::Foreign => seen.sockets.iter().cloned().collect(),
        Sockets::Own => vec![],
    };
    match (&seen.table, wanted.firewall) {
        (Loaded::Unavailable, Firewall::Required) => found.push(Broken::NoFirewall),
        (Loaded::Unavailable, Firewall::IfAvailable) if allow.is_some() => found.push(Broken::NoFirewall),
        (Loaded::Unavailable, Firewall::IfAvailable) => (),
        (Loaded::Absent, _) => found.push(Broken::NoTable),
        (Loaded::Present(table), _) => {
            found.extend(table.differs(&table.intended(allow.as_ref())).into_iter().map(Broken::Table));
            foreign.retain(|socket| !table.blocks(socket));
        }
    }
    if let Some(allow) = &allow {
        found.extend(forbidden_peer(&allow.peers, &allow.never).map(Broken::Peer));
    }
    found.extend(foreign.into_iter().map(|socket| match can_block(&socket) {
        true => Broken::Reachable(socket),
        false => Broken::Unblockable(socket),
    }));
    found
}

/// What the table is to let through: the gateways that were seen are no peers either.
fn allowed(seen: &Observation, wanted: &Wanted) -> Option<Allow> {
    let mut allow = wanted.allow.clone()?;
    allow.never.extend(&seen.gateways);
    allow.never = allow.never.iter().map(IpAddr::to_canonical).collect();
    Some(allow)
}

/// A peer that is one address, and one that never is a peer. A prefix that contains such an address is none without it.
pub(super) fn forbidden_peer(peers: &Prefixes, never: &BTreeSet<IpAddr>) -> Option<IpAddr> {
    let single = peers.iter().filter(|peer| peer.prefix_len() == peer.max_prefix_len());
    single.map(IpNet::addr).find(|address| never.contains(address))
}

/// The addresses that belong on lo: those of the links and those asked for, as far as they mean anything outside of
/// their link and this namespace can have them.
pub(super) fn kept(seen: &Observation, wanted: &Wanted) -> BTreeSet<IpAddr> {
    worth_keeping(seen, wanted).filter(|a| a.is_ipv4() || seen.ipv6).collect()
}

/// Those that this namespace cannot have, because IPv6 is disabled.
pub(super) fn skipped(seen: &Observation, wanted: &Wanted) -> BTreeSet<IpAddr> {
    worth_keeping(seen, wanted).filter(|a| a.is_ipv6() && !seen.ipv6).collect()
}

fn worth_keeping(seen: &Observation, wanted: &Wanted) -> impl Iterator<Item = IpAddr> {
    // Where the links stay, so do their addresses.
    let had = seen.addresses.iter().filter(|_| wanted.allow.is_none()).map(|a| a.address);
    had.chain(wanted.addresses.iter().copied()).filter(|a| is_global(*a))
}

/// Whether an address means something beyond its own link: not loopback, link-local, multicast, broadcast or
/// unspecified (RFC 6890), nor an IPv4 address in the clothes of IPv6.
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

/// The addresses that are where they belong.
fn present(seen: &Observation, wanted: &Wanted) -> BTreeSet<IpAddr> {
    match wanted.allow {
        Some(_) => seen.addresses.iter().map(|a| a.address).collect(),
        None => on_loopback(seen),
    }
}

fn on_loopback(seen: &Observation) -> BTreeSet<IpAddr> {
    let lo = |a: &&super::observe::Address| seen.links.iter().any(|l| l.is_loopback() && l.index == a.link);
    seen.addresses.iter().filter(lo).map(|a| a.address).collect()
}

fn loopback_up(seen: &Observation) -> bool {
    seen.links.iter().any(|link| link.is_loopback() && link.up)
}

fn can_block(foreign: &Foreign) -> bool {
    Table::sealing([foreign]).blocks(foreign)
}

/// The fallback devices of the tunnel modules. Where such a module is loaded, every namespace has its own from birth
/// (`net.core.fb_tunnels_only_for_init_net`, Documentation/admin-guide/sysctl/net.rst), and the kernel answers a
/// request to delete it with success and keeps it. It has no address and carries nothing while it is down, and to
/// bring it up takes CAP_NET_ADMIN and a way past the table.
pub(super) fn stays(link: &Link) -> bool {
    FALLBACK.iter().any(|(name, kind)| link.name == *name && link.kind.as_deref() == Some(kind))
}

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

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Link(name) => write!(f, "link {name} is still there"),
            Self::Loopback => write!(f, "lo is not up"),
            Self::Address(address) => write!(f, "address {address} is not on lo"),
            Self::NoFirewall => write!(
                f,
                "this kernel has no nf_tables (load the module, or allow it with firewall = \"if-available\")"
            ),
            Self::NoTable => write!(f, "table inet {} is not loaded", Table::NAME),
            Self::Table(difference) => write!(f, "table inet {} was changed: {difference}", Table::NAME),
            Self::Peer(address) => {
                write!(f, "peer {address} is a gateway or an address of the host; leave it out")
            }
            Self::Reachable(socket) => write!(f, "foreign socket {socket} is not blocked"),
            Self::Unblockable(socket) => {
                write!(f, "foreign socket {socket} hears the loopback interface and cannot be blocked")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::observe::Address;
    use super::*;

    fn lo(up: bool) -> Link {
        Link { index: 1, name: "lo".into(), kind: None, up }
    }

    fn veth() -> Link {
        Link { index: 7, name: "eth0".into(), kind: Some("veth".into()), up: true }
    }

    fn address(link: i32, address: &str) -> Address {
        Address { link, address: address.parse().unwrap() }
    }

    fn plumbed() -> Observation {
        Observation {
            links: vec![lo(false), veth()],
            addresses: vec![address(7, "10.0.0.5"), address(7, "fe80::1"), address(7, "fd00::5")],
            ipv6: true,
            ..Observation::default()
        }
    }

    fn sealed() -> Observation {
        Observation {
            links: vec![lo(true)],
            addresses: vec![address(1, "127.0.0.1"), address(1, "10.0.0.5"), address(1, "fd00::5")],
            ipv6: true,
            table: Loaded::Present(Table::sealing([])),
            ..Observation::default()
        }
    }

    fn wanted() -> Wanted {
        Wanted { addresses: vec!["10.0.0.5".parse().unwrap()], firewall: Firewall::Required, allow: None }
    }

    fn said(seen: &Observation, wanted: &Wanted) -> Vec<String> {
        broken(seen, wanted, Sockets::Foreign).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn the_firewall_comes_first_and_the_addresses_last() {
        let ops = plan(&plumbed(), &wanted());
        assert_eq!(
            ops,
            [
                SealOp::Load(Table::sealing([])),
                SealOp::Remove(vec![(7, "eth0".into())]),
                SealOp::LoopbackUp,
                SealOp::Keep(vec!["10.0.0.5".parse().unwrap(), "fd00::5".parse().unwrap()]),
            ]
        );
    }

    #[test]
    fn a_sealed_namespace_is_left_alone() {
        assert_eq!(plan(&sealed(), &wanted()), []);
        assert_eq!(broken(&sealed(), &wanted(), Sockets::Foreign), []);
    }

    #[test]
    fn whatever_is_broken_is_planned_for() {
        let breaks: [fn(&mut Observation); 6] = [
            |s| s.links.push(veth()),
            |s| s.links[0].up = false,
            |s| s.addresses.truncate(1),
            |s| s.table = Loaded::Absent,
            |s| s.table = Loaded::Present(Table { flags: 1, ..Table::sealing([]) }),
            |s| s.sockets.extend([Foreign::Port { protocol: 6, address: None, port: 80 }]),
        ];
        for change in breaks {
            let mut seen = sealed();
            change(&mut seen);
            assert_eq!(broken(&seen, &wanted(), Sockets::Foreign).len(), 1, "{seen:?}");
            assert_eq!(plan(&seen, &wanted()).len(), 1, "{seen:?}");
        }
    }

    #[test]
    fn each_reason_says_what_is_wrong() {
        let mut seen = plumbed();
        seen.sockets =
            BTreeSet::from([Foreign::Port { protocol: 6, address: None, port: 80 }, Foreign::Packet]);
        assert_eq!(
            said(&seen, &wanted()),
            [
                "link eth0 is still there",
                "lo is not up",
                "address 10.0.0.5 is not on lo",
                "address fd00::5 is not on lo",
                "table inet oci_isolate is not loaded",
                "foreign socket tcp *:80 is not blocked",
                "foreign socket packet hears the loopback interface and cannot be blocked",
            ]
        );
        let altered = Observation { table: Loaded::Present(Table::default()), ..sealed() };
        assert_eq!(
            said(&altered, &wanted())[0],
            "table inet oci_isolate was changed: chain forward is missing"
        );
    }

    #[test]
    fn sockets_of_the_containers_own_are_not_judged() {
        let sockets = BTreeSet::from([Foreign::Packet]);
        let seen = Observation { sockets, ..sealed() };
        assert_eq!(broken(&seen, &wanted(), Sockets::Own), []);
    }

    #[test]
    fn no_nf_tables_is_broken_unless_the_settings_allow_it() {
        let seen = Observation { table: Loaded::Unavailable, ..sealed() };
        assert_eq!(plan(&seen, &wanted()), []);
        assert!(said(&seen, &wanted())[0].starts_with("this kernel has no nf_tables"));
        let lax = Wanted { firewall: Firewall::IfAvailable, ..wanted() };
        assert_eq!(said(&seen, &lax), Vec::<String>::new());
    }

    #[test]
    fn without_nf_tables_a_foreign_socket_is_broken_all_the_same() {
        let sockets = BTreeSet::from([Foreign::Port { protocol: 17, address: None, port: 53 }]);
        let seen = Observation { table: Loaded::Unavailable, sockets, ..sealed() };
        let lax = Wanted { firewall: Firewall::IfAvailable, ..wanted() };
        assert_eq!(said(&seen, &lax), ["foreign socket udp *:53 is not blocked"]);
    }

    #[test]
    fn a_new_foreign_socket_is_blocked_beside_the_old_ones() {
        let old = Foreign::Port { protocol: 17, address: None, port: 53 };
        let new = Foreign::Port { protocol: 6, address: None, port: 80 };
        let mut seen = Observation { table: Loaded::Present(Table::sealing([&old])), ..sealed() };
        seen.sockets.insert(new.clone());
        assert_eq!(plan(&seen, &wanted()), [SealOp::Replace(Table::sealing([&old, &new]))]);
    }

    #[test]
    fn an_unblockable_socket_does_not_make_the_plan_run_in_circles() {
        let seen = Observation { sockets: BTreeSet::from([Foreign::Protocol(6)]), ..sealed() };
        assert_eq!(plan(&seen, &wanted()), []);
        assert_eq!(
            said(&seen, &wanted()),
            ["foreign socket raw tcp hears the loopback interface and cannot be blocked"]
        );
    }

    #[test]
    fn ipv6_addresses_are_skipped_where_ipv6_is_disabled() {
        let seen = Observation { ipv6: false, ..plumbed() };
        assert_eq!(plan(&seen, &wanted()).last(), Some(&SealOp::Keep(vec!["10.0.0.5".parse().unwrap()])));
        assert_eq!(skipped(&seen, &wanted()), BTreeSet::from(["fd00::5".parse().unwrap()]));
    }

    #[test]
    fn only_addresses_that_mean_something_elsewhere_are_kept() {
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

    #[test]
    fn a_fallback_tunnel_is_taken_down_and_left() {
        let sit = Link { index: 2, name: "sit0".into(), kind: Some("sit".into()), up: true };
        let mut seen = sealed();
        seen.links.push(sit.clone());
        assert_eq!(plan(&seen, &wanted()), [SealOp::Down(2, "sit0".into())]);
        assert_eq!(said(&seen, &wanted()), ["link sit0 is still there"]);
        seen.links[1].up = false;
        assert_eq!(said(&seen, &wanted()), Vec::<String>::new());
        seen.links[1].kind = Some("veth".into());
        assert_eq!(plan(&seen, &wanted()), [SealOp::Remove(vec![(2, "sit0".into())])]);
    }
}
