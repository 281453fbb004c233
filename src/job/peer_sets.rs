//! The peers of each member of a job. Pure.

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnet::IpNet;

use crate::policy::{Prefixes, ReservedRanges, check_bounds};
use crate::settings::PeerBounds;

/// A member of a job with a namespace of its own.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Participant {
    /// Peers by address, independent of the job's members.
    pub peers: Prefixes,
    /// The bounds within which other members become its peers.
    pub bounds: PeerBounds,
    /// Addresses that are never peers.
    pub never: BTreeSet<IpAddr>,
    /// Its addresses.
    pub own: BTreeSet<IpAddr>,
    /// The addresses of members on other nodes.
    pub remote: BTreeSet<IpAddr>,
    /// Whether those are peers only while a lease runs.
    pub is_leased: bool,
}

/// Whom a member has as peers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PeersOfMember {
    /// Always.
    pub peers: Prefixes,
    /// While the lease runs; `None`: there is no lease.
    pub leased: Option<BTreeSet<IpAddr>>,
}

/// The peers of the member at `index`: its own by address, and the addresses of all others, here and on other
/// nodes, that its bounds allow.
#[must_use]
pub fn peers_of(parts: &[Participant], index: usize) -> PeersOfMember {
    let Some(part) = parts.get(index) else { return PeersOfMember::default() };
    let is_peer = |address: &&IpAddr| !part.never.contains(address) && is_allowed(**address, &part.bounds);
    let others = parts.iter().enumerate().filter(|(other, _)| *other != index);
    let here = others.flat_map(|(_, other)| &other.own).filter(is_peer).copied();
    let elsewhere = part.remote.iter().filter(is_peer).copied();
    let (unlimited, leased) = match part.is_leased {
        true => (None, Some(elsewhere.collect())),
        false => (Some(elsewhere), None),
    };
    let addresses = here.chain(unlimited.into_iter().flatten()).map(IpNet::from);
    PeersOfMember { peers: part.peers.iter().copied().chain(addresses).collect(), leased }
}

/// Whether an address is allowed as a peer.
#[must_use]
pub fn is_allowed(address: IpAddr, bounds: &PeerBounds) -> bool {
    check_bounds(&IpNet::from(address), bounds).is_ok() && !ReservedRanges::all().has(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(peers: &[&str], own: &[&str]) -> Participant {
        let peers = peers.iter().map(|peer| peer.parse().unwrap()).collect();
        let own = own.iter().map(|address| address.parse().unwrap()).collect();
        Participant { peers, own, ..Participant::default() }
    }

    fn shown(parts: &[Participant], index: usize) -> Vec<String> {
        peers_of(parts, index).peers.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn each_member_has_all_others_as_peers() {
        let parts = [
            part(&[], &["10.0.0.2", "fd00::2"]),
            part(&[], &["10.0.0.4"]),
            part(&["10.9.0.0/24"], &["10.0.0.6"]),
        ];
        assert_eq!(shown(&parts, 0), ["10.0.0.4/32", "10.0.0.6/32"]);
        assert_eq!(shown(&parts, 1), ["10.0.0.2/32", "10.0.0.6/32", "fd00::2/128"]);
        assert_eq!(shown(&parts, 2), ["10.0.0.2/32", "10.0.0.4/32", "10.9.0.0/24", "fd00::2/128"]);
        assert_eq!(shown(&parts[..1], 0), [""; 0]);
        assert_eq!(shown(&parts, 3), [""; 0]);
    }

    #[test]
    fn a_set_has_no_overlap() {
        let parts =
            [part(&["10.0.0.0/24"], &[]), part(&[], &["10.0.0.4"]), part(&[], &["10.0.1.0", "10.0.1.1"])];
        assert_eq!(shown(&parts, 0), ["10.0.0.0/24", "10.0.1.0/32", "10.0.1.1/32"]);
    }

    #[test]
    fn a_member_that_comes_or_goes_changes_no_other_members_prefix() {
        let addresses: Vec<String> = (0..32).map(|n| format!("10.0.0.{n}")).collect();
        let parts: Vec<_> = addresses.iter().map(|address| part(&["10.0.1.0/25"], &[address])).collect();
        for count in 2..parts.len() {
            let [before, after] = [&parts[..count], &parts[..=count]].map(|parts| peers_of(parts, 0).peers);
            let joined: IpNet = format!("10.0.0.{count}/32").parse().unwrap();
            assert_eq!(after.difference(&before).collect::<Vec<_>>(), [&joined]);
            assert_eq!(before.difference(&after).next(), None);
        }
    }

    #[test]
    fn an_address_outside_the_bounds_or_of_the_host_is_no_peer() {
        let others = ["8.8.8.8", "169.254.169.254", "fd00:ec2::254", "10.0.0.1", "10.0.0.2"];
        let mut parts = [part(&[], &[]), part(&[], &others)];
        parts[0].never.insert("10.0.0.1".parse().unwrap());
        assert_eq!(shown(&parts, 0), ["10.0.0.2/32"]);
        parts[0].bounds.within.clear();
        assert_eq!(shown(&parts, 0), [""; 0]);
    }

    #[test]
    fn a_member_on_another_node_is_a_peer_of_those_that_have_it() {
        let mut parts = [part(&[], &["10.0.0.2"]), part(&[], &["10.0.0.4"])];
        parts[0].remote =
            ["10.1.0.2", "10.0.0.4", "8.8.8.8", "10.0.0.1"].map(|address| address.parse().unwrap()).into();
        parts[0].never.insert("10.0.0.1".parse().unwrap());
        assert_eq!(shown(&parts, 0), ["10.0.0.4/32", "10.1.0.2/32"]);
        assert_eq!(shown(&parts, 1), ["10.0.0.2/32"]);
        assert_eq!(peers_of(&parts, 0).leased, None);
        parts[0].is_leased = true;
        let leased = ["10.1.0.2", "10.0.0.4"].map(|address| address.parse().unwrap()).into();
        assert_eq!(
            (shown(&parts, 0), peers_of(&parts, 0).leased),
            (vec!["10.0.0.4/32".into()], Some(leased))
        );
    }

    #[test]
    fn a_hundred_are_each_others() {
        let parts: Vec<_> = (0..100u8).map(|n| part(&[], &[&format!("10.0.0.{}", 2 * n + 1)])).collect();
        assert!((0..100).all(|index| peers_of(&parts, index).peers.len() == 99));
    }
}
