//! What to change so that a namespace is in its desired state, and what does not hold yet. Pure.

use std::collections::BTreeSet;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

use super::model::{Address, Desired, LOOPBACK, Link, Observation, SocketOwner, is_global};
use crate::nft::{AllowList, Difference, ForeignSocket, Loaded, Table};
use crate::settings::{Firewall, Links};

/// A change, to be made in the order of the plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SealOp {
    /// Load this table, in one transaction.
    Load(Table),
    /// Replace the table that is there, in one transaction.
    Replace(Table),
    /// Remove these links, by index and name.
    Remove(Vec<(i32, String)>),
    /// Take these links down, by index and name.
    Down(Vec<(i32, String)>),
    /// Remove these addresses from their links.
    Unassign(Vec<Address>),
    /// Bring lo up.
    LoopbackUp,
    /// Put these addresses on lo, each as a prefix of full length.
    Keep(Vec<IpAddr>),
    /// Add a default route over lo of the family of each, with it as the preferred source.
    Route(Vec<IpAddr>),
}

/// Something that has to hold and does not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Defect {
    /// A link other than lo that should be removed.
    Link(String),
    /// A link other than lo that should be down.
    LinkUp(String),
    /// lo is down or missing.
    Loopback,
    /// An address that the container had is missing.
    Address(IpAddr),
    /// An address of a link that is down.
    Assigned(IpAddr),
    /// The firewall is required and this kernel has none.
    NoFirewall,
    /// The table is not loaded.
    NoTable,
    /// The table was changed.
    Table(Difference),
    /// A peer that must not be one: a gateway or an address of the host.
    Peer(IpAddr),
    /// A foreign socket that is not blocked.
    Reachable(ForeignSocket),
    /// A foreign socket that cannot be blocked without blocking all loopback traffic.
    Unblockable(ForeignSocket),
    /// Attempts should be counted, and the table does not.
    NotCounting,
    /// Attempts should be counted, and those at addresses of this one's family have no route to the table.
    NoRoute(IpAddr),
}

/// The changes that lead from the observed to the desired state; none if that is reached.
///
/// The firewall comes first, so that it applies to links that are plumbed meanwhile.
pub fn plan(seen: &Observation, desired: &Desired) -> Vec<SealOp> {
    let mut ops = Vec::new();
    let allow = allowed(seen, desired);
    match &seen.table {
        Loaded::Unavailable => (),
        Loaded::Absent => {
            let table = Table::default().blocking_also(&seen.sockets, allow.as_ref(), desired.attempts);
            ops.push(SealOp::Load(table));
        }
        Loaded::Present(table) => {
            let unblocked: Vec<_> =
                seen.sockets.iter().filter(|s| can_block(s) && !table.blocks(s)).cloned().collect();
            if !unblocked.is_empty()
                || not_counting(table, desired)
                || !table.differs(&table.intended(allow.as_ref())).is_empty()
            {
                let table = table.blocking_also(&unblocked, allow.as_ref(), desired.attempts);
                ops.push(SealOp::Replace(table));
            }
        }
    }
    let (mut remove, mut down) = (Vec::new(), Vec::new());
    for link in &seen.links {
        match misplaced(link, seen, desired) {
            Some(Defect::Link(name)) => remove.push((link.index, name)),
            Some(Defect::LinkUp(name)) => down.push((link.index, name)),
            _ => (),
        }
    }
    if !down.is_empty() {
        ops.push(SealOp::Down(down));
    }
    if !remove.is_empty() {
        ops.push(SealOp::Remove(remove));
    }
    let unassign = unassigned(seen, desired);
    if !unassign.is_empty() {
        ops.push(SealOp::Unassign(unassign));
    }
    if !loopback_up(seen) {
        ops.push(SealOp::LoopbackUp);
    }
    let missing: Vec<_> = kept(seen, desired).difference(&present(seen, desired)).copied().collect();
    if !missing.is_empty() {
        ops.push(SealOp::Keep(missing));
    }
    let unrouted = uncounted(seen, desired);
    if !unrouted.is_empty() {
        ops.push(SealOp::Route(unrouted));
    }
    ops
}

/// What does not hold.
pub fn defects(seen: &Observation, desired: &Desired, owner: SocketOwner) -> Vec<Defect> {
    let mut found = Vec::new();
    let allow = allowed(seen, desired);
    found.extend(seen.links.iter().filter_map(|link| misplaced(link, seen, desired)));
    let is_down = |address: &Address| seen.links.iter().any(|link| link.index == address.link && !link.up);
    let assigned = unassigned(seen, desired).into_iter().filter(is_down);
    found.extend(assigned.map(|assigned| Defect::Assigned(assigned.address)));
    if !loopback_up(seen) {
        found.push(Defect::Loopback);
    }
    found.extend(kept(seen, desired).difference(&present(seen, desired)).copied().map(Defect::Address));
    let mut foreign: Vec<_> = match owner {
        SocketOwner::Foreign => seen.sockets.iter().cloned().collect(),
        SocketOwner::Container => vec![],
    };
    match (&seen.table, desired.firewall) {
        (Loaded::Unavailable, Firewall::Required) => found.push(Defect::NoFirewall),
        (Loaded::Unavailable, Firewall::IfAvailable) if allow.is_some() => found.push(Defect::NoFirewall),
        (Loaded::Unavailable, Firewall::IfAvailable) => (),
        (Loaded::Absent, _) => found.push(Defect::NoTable),
        (Loaded::Present(table), _) => {
            found.extend(table.differs(&table.intended(allow.as_ref())).into_iter().map(Defect::Table));
            found.extend(not_counting(table, desired).then_some(Defect::NotCounting));
            foreign.retain(|socket| !table.blocks(socket));
        }
    }
    found.extend(uncounted(seen, desired).into_iter().map(Defect::NoRoute));
    if let Some(allow) = &allow {
        found.extend(forbidden_peer(allow).map(Defect::Peer));
    }
    found.extend(foreign.into_iter().map(|socket| match can_block(&socket) {
        true => Defect::Reachable(socket),
        false => Defect::Unblockable(socket),
    }));
    found
}

/// What becomes of links. Without a table there is no lock but that they are gone.
fn links(seen: &Observation, desired: &Desired) -> Links {
    match seen.table {
        Loaded::Unavailable => Links::Remove,
        Loaded::Absent | Loaded::Present(_) => desired.links,
    }
}

/// What is wrong with a link.
fn misplaced(link: &Link, seen: &Observation, desired: &Desired) -> Option<Defect> {
    match desired.allow_list {
        _ if link.is_loopback() => None,
        Some(_) if !link.is_fallback_tunnel() => None,
        _ if !link.stays_down(links(seen, desired)) => Some(Defect::Link(link.name.clone())),
        _ => link.up.then(|| Defect::LinkUp(link.name.clone())),
    }
}

/// The addresses of links that are down in a sealed namespace. With an allow-list the links stay as they are.
fn unassigned(seen: &Observation, desired: &Desired) -> Vec<Address> {
    let stay = links(seen, desired);
    let closed = |link: &Link| !link.is_loopback() && desired.allow_list.is_none() && link.stays_down(stay);
    let links: BTreeSet<_> = seen.links.iter().filter(|link| closed(link)).map(|link| link.index).collect();
    seen.addresses.iter().filter(|address| links.contains(&address.link)).cloned().collect()
}

/// The list for the table: the gateways that were seen are never peers either.
fn allowed(seen: &Observation, desired: &Desired) -> Option<AllowList> {
    let mut allow = desired.allow_list.clone()?;
    allow.never.extend(&seen.gateways);
    allow.never = allow.never.iter().map(IpAddr::to_canonical).collect();
    Some(allow)
}

/// A peer that is a single address which never is one. A prefix that contains such an address is a peer
/// without it.
pub(super) fn forbidden_peer(allow: &AllowList) -> Option<IpAddr> {
    let single = allow.peers.iter().filter(|peer| peer.prefix_len() == peer.max_prefix_len());
    let mut single = single.map(IpNet::addr).chain(allow.leased.iter().flatten().copied());
    single.find(|address| allow.never.contains(address))
}

/// The addresses that belong on lo: those of the links and the desired ones, if they are valid beyond their
/// link and this namespace can have them.
pub(super) fn kept(seen: &Observation, desired: &Desired) -> BTreeSet<IpAddr> {
    global_addresses(seen, desired).filter(|a| a.is_ipv4() || seen.ipv6).collect()
}

/// Those that this namespace cannot have, because IPv6 is disabled.
pub(super) fn skipped(seen: &Observation, desired: &Desired) -> BTreeSet<IpAddr> {
    global_addresses(seen, desired).filter(|a| a.is_ipv6() && !seen.ipv6).collect()
}

fn global_addresses(seen: &Observation, desired: &Desired) -> impl Iterator<Item = IpAddr> {
    // Where the links stay, so do their addresses.
    let had = seen.addresses.iter().filter(|_| desired.allow_list.is_none()).map(|a| a.address);
    had.chain(desired.addresses.iter().copied()).filter(|a| is_global(*a))
}

/// The addresses that are where they belong.
fn present(seen: &Observation, desired: &Desired) -> BTreeSet<IpAddr> {
    match desired.allow_list {
        Some(_) => seen.addresses.iter().map(|a| a.address).collect(),
        None => on_loopback(seen),
    }
}

fn on_loopback(seen: &Observation) -> BTreeSet<IpAddr> {
    let lo = |a: &&Address| seen.links.iter().any(|l| l.is_loopback() && l.index == a.link);
    seen.addresses.iter().filter(lo).map(|a| a.address).collect()
}

fn not_counting(table: &Table, desired: &Desired) -> bool {
    desired.attempts.is_some() && table.counts().is_none()
}

/// The families whose attempts should be counted and have no route to the table, by their loopback addresses.
fn uncounted(seen: &Observation, desired: &Desired) -> Vec<IpAddr> {
    match (desired.attempts, &seen.table) {
        (None, _) | (_, Loaded::Unavailable) => vec![],
        (Some(_), _) => unrouted(seen, desired.allow_list.is_some()),
    }
}

/// The families without a default route, by their loopback addresses. The routes of links of a closed container go with
/// the links.
pub(super) fn unrouted(seen: &Observation, is_open: bool) -> Vec<IpAddr> {
    let is_routed = |address: &IpAddr| {
        let routes = seen.default_routes.iter().filter(|route| route.ipv4 == address.is_ipv4());
        routes.into_iter().any(|route| is_open || route.link == Some(LOOPBACK))
    };
    let families = [Some(Ipv4Addr::LOCALHOST.into()), seen.ipv6.then_some(Ipv6Addr::LOCALHOST.into())];
    families.into_iter().flatten().filter(|address| !is_routed(address)).collect()
}

fn loopback_up(seen: &Observation) -> bool {
    seen.links.iter().any(|link| link.is_loopback() && link.up)
}

fn can_block(foreign: &ForeignSocket) -> bool {
    Table::sealed([foreign]).blocks(foreign)
}

impl fmt::Display for Defect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Link(name) => write!(f, "link {name} is still there"),
            Self::LinkUp(name) => write!(f, "link {name} is up"),
            Self::Loopback => write!(f, "lo is not up"),
            Self::Address(address) => write!(f, "address {address} is not on lo"),
            Self::Assigned(address) => write!(f, "address {address} is still on its link"),
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
            Self::NotCounting => write!(f, "table inet {} does not count attempts", Table::NAME),
            Self::NoRoute(address) => {
                let family = if address.is_ipv4() { "IPv4" } else { "IPv6" };
                write!(f, "{family} attempts are not counted: there is no default route over lo")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lo(up: bool) -> Link {
        Link { index: 1, name: "lo".into(), kind: None, up }
    }

    fn veth() -> Link {
        Link { index: 7, name: "eth0".into(), kind: Some("veth".into()), up: true }
    }

    fn address(link: i32, address: &str) -> Address {
        Address { link, address: address.parse().unwrap(), prefix: 24 }
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
            table: Loaded::Present(Table::sealed([])),
            ..Observation::default()
        }
    }

    fn desired() -> Desired {
        Desired {
            addresses: vec!["10.0.0.5".parse().unwrap()],
            firewall: Firewall::Required,
            links: Links::Down,
            allow_list: None,
            attempts: None,
        }
    }

    fn said(seen: &Observation, desired: &Desired) -> Vec<String> {
        defects(seen, desired, SocketOwner::Foreign).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn the_firewall_comes_first_and_the_addresses_last() {
        let ops = plan(&plumbed(), &desired());
        assert_eq!(
            ops,
            [
                SealOp::Load(Table::sealed([])),
                SealOp::Down(vec![(7, "eth0".into())]),
                SealOp::Unassign(plumbed().addresses),
                SealOp::LoopbackUp,
                SealOp::Keep(vec!["10.0.0.5".parse().unwrap(), "fd00::5".parse().unwrap()]),
            ]
        );
    }

    #[test]
    fn links_go_down_if_they_stay_down_and_are_removed_otherwise() {
        let link = |index, kind: Option<&str>, up| Link {
            index,
            name: format!("x{index}"),
            kind: kind.map(Into::into),
            up,
        };
        let mut seen = sealed();
        let others = [
            link(2, Some("veth"), true),
            link(3, Some("vlan"), false),
            link(4, None, true),
            link(5, Some("macvlan"), false),
            link(6, Some("bridge"), true),
        ];
        seen.links.extend(others);
        let named = |of: &[i32]| of.iter().map(|index| (*index, format!("x{index}"))).collect::<Vec<_>>();
        let planned = [SealOp::Down(named(&[2, 4])), SealOp::Remove(named(&[3, 6]))];
        assert_eq!(plan(&seen, &desired()), planned);
        let expected = ["link x2 is up", "link x3 is still there", "link x4 is up", "link x6 is still there"];
        assert_eq!(said(&seen, &desired()), expected);
        let remove = Desired { links: Links::Remove, ..desired() };
        assert_eq!(plan(&seen, &remove), [SealOp::Remove(named(&[2, 3, 4, 5, 6]))]);
        assert_eq!(said(&seen, &remove).len(), 5);
    }

    #[test]
    fn a_sealed_namespace_is_left_alone() {
        assert_eq!(plan(&sealed(), &desired()), []);
        assert_eq!(defects(&sealed(), &desired(), SocketOwner::Foreign), []);
    }

    #[test]
    fn every_defect_is_planned_for() {
        let breaks: [fn(&mut Observation); 6] = [
            |s| s.links.push(veth()),
            |s| s.links[0].up = false,
            |s| s.addresses.truncate(1),
            |s| s.table = Loaded::Absent,
            |s| s.table = Loaded::Present(Table { flags: 1, ..Table::sealed([]) }),
            |s| s.sockets.extend([ForeignSocket::Port { protocol: 6, address: None, port: 80 }]),
        ];
        for change in breaks {
            let mut seen = sealed();
            change(&mut seen);
            assert_eq!(defects(&seen, &desired(), SocketOwner::Foreign).len(), 1, "{seen:?}");
            assert_eq!(plan(&seen, &desired()).len(), 1, "{seen:?}");
        }
    }

    #[test]
    fn each_reason_says_what_is_wrong() {
        let mut seen = plumbed();
        seen.sockets = BTreeSet::from([
            ForeignSocket::Port { protocol: 6, address: None, port: 80 },
            ForeignSocket::Packet,
        ]);
        assert_eq!(
            said(&seen, &desired()),
            [
                "link eth0 is up",
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
            said(&altered, &desired())[0],
            "table inet oci_isolate was changed: chain forward is missing"
        );
    }

    #[test]
    fn sockets_of_the_containers_own_are_not_judged() {
        let sockets = BTreeSet::from([ForeignSocket::Packet]);
        let seen = Observation { sockets, ..sealed() };
        assert_eq!(defects(&seen, &desired(), SocketOwner::Container), []);
    }

    #[test]
    fn no_nf_tables_is_a_defect_unless_the_settings_allow_it() {
        let seen = Observation { table: Loaded::Unavailable, ..sealed() };
        assert_eq!(plan(&seen, &desired()), []);
        assert!(said(&seen, &desired())[0].starts_with("this kernel has no nf_tables"));
        let lax = Desired { firewall: Firewall::IfAvailable, ..desired() };
        assert_eq!(said(&seen, &lax), Vec::<String>::new());
        // There is no second lock on a link that is down.
        let mut seen = seen;
        seen.links.push(Link { up: false, ..veth() });
        assert_eq!(said(&seen, &lax), ["link eth0 is still there"]);
        assert_eq!(plan(&seen, &lax), [SealOp::Remove(vec![(7, "eth0".into())])]);
    }

    #[test]
    fn an_address_of_a_link_that_is_down_is_a_defect() {
        let mut seen = sealed();
        seen.links.push(Link { up: false, ..veth() });
        seen.addresses.push(address(7, "fd00::5"));
        assert_eq!(said(&seen, &desired()), ["address fd00::5 is still on its link"]);
        assert_eq!(plan(&seen, &desired()), [SealOp::Unassign(vec![address(7, "fd00::5")])]);
    }

    #[test]
    fn without_nf_tables_a_foreign_socket_is_a_defect_in_any_case() {
        let sockets = BTreeSet::from([ForeignSocket::Port { protocol: 17, address: None, port: 53 }]);
        let seen = Observation { table: Loaded::Unavailable, sockets, ..sealed() };
        let lax = Desired { firewall: Firewall::IfAvailable, ..desired() };
        assert_eq!(said(&seen, &lax), ["foreign socket udp *:53 is not blocked"]);
    }

    #[test]
    fn a_new_foreign_socket_is_blocked_beside_the_old_ones() {
        let old = ForeignSocket::Port { protocol: 17, address: None, port: 53 };
        let new = ForeignSocket::Port { protocol: 6, address: None, port: 80 };
        let mut seen = Observation { table: Loaded::Present(Table::sealed([&old])), ..sealed() };
        seen.sockets.insert(new.clone());
        assert_eq!(plan(&seen, &desired()), [SealOp::Replace(Table::sealed([&old, &new]))]);
    }

    #[test]
    fn an_unblockable_socket_does_not_make_the_plan_run_in_circles() {
        let seen = Observation { sockets: BTreeSet::from([ForeignSocket::Protocol(6)]), ..sealed() };
        assert_eq!(plan(&seen, &desired()), []);
        assert_eq!(
            said(&seen, &desired()),
            ["foreign socket raw tcp hears the loopback interface and cannot be blocked"]
        );
    }

    #[test]
    fn ipv6_addresses_are_skipped_where_ipv6_is_disabled() {
        let seen = Observation { ipv6: false, ..plumbed() };
        assert_eq!(plan(&seen, &desired()).last(), Some(&SealOp::Keep(vec!["10.0.0.5".parse().unwrap()])));
        assert_eq!(skipped(&seen, &desired()), BTreeSet::from(["fd00::5".parse().unwrap()]));
    }

    #[test]
    fn a_fallback_tunnel_is_taken_down_and_left() {
        let sit = Link { index: 2, name: "sit0".into(), kind: Some("sit".into()), up: true };
        let mut seen = sealed();
        seen.links.push(sit.clone());
        assert_eq!(plan(&seen, &desired()), [SealOp::Down(vec![(2, "sit0".into())])]);
        assert_eq!(said(&seen, &desired()), ["link sit0 is up"]);
        seen.links[1].up = false;
        assert_eq!(said(&seen, &desired()), Vec::<String>::new());
        // Only under its own name and of its own kind; any other of that kind is removed.
        seen.links[1].name = "sit1".into();
        assert_eq!(plan(&seen, &desired()), [SealOp::Remove(vec![(2, "sit1".into())])]);
    }
}
