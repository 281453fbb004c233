//! Who is whose peer in a job. Pure.

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnet::IpNet;

use crate::policy::{Prefixes, ReservedRanges, check_bounds};
use crate::settings::PeerBounds;

/// One of those that have a namespace of their own in a job.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Part {
    /// Peers by address, whoever else is in the job.
    pub peers: Prefixes,
    /// Within what others become its peers.
    pub bounds: PeerBounds,
    /// Nobody's peers.
    pub never: BTreeSet<IpAddr>,
    /// Its addresses.
    pub own: BTreeSet<IpAddr>,
}

/// The peers of the part at `index`: its own by address, and the addresses of all others that its bounds let in.
#[must_use]
pub fn wanted(parts: &[Part], index: usize) -> Prefixes {
    let Some(part) = parts.get(index) else { return Prefixes::default() };
    let others = parts.iter().enumerate().filter(|(other, _)| *other != index);
    let addresses = others.flat_map(|(_, other)| &other.own).filter(|address| !part.never.contains(address));
    let addresses = addresses.filter(|address| is_allowed(**address, &part.bounds));
    part.peers.iter().copied().chain(addresses.map(|address| IpNet::from(*address))).collect()
}

/// Whether an address can be that of somebody's peer.
#[must_use]
pub fn is_allowed(address: IpAddr, bounds: &PeerBounds) -> bool {
    check_bounds(&IpNet::from(address), bounds).is_ok() && !ReservedRanges::all().has(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(peers: &[&str], own: &[&str]) -> Part {
        let peers = peers.iter().map(|peer| peer.parse().unwrap()).collect();
        let own = own.iter().map(|address| address.parse().unwrap()).collect();
        Part { peers, own, ..Part::default() }
    }

    fn shown(parts: &[Part], index: usize) -> Vec<String> {
        wanted(parts, index).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn everybody_s_peers_are_all_others() {
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
            let (before, after) = (wanted(&parts[..count], 0), wanted(&parts[..=count], 0));
            let joined: BTreeSet<IpNet> = [format!("10.0.0.{count}/32").parse().unwrap()].into();
            assert_eq!(&*after - &*before, joined);
            assert_eq!(&*before - &*after, BTreeSet::new());
        }
    }

    #[test]
    fn nobody_becomes_a_peer_whom_the_bounds_or_the_host_rule_out() {
        let others = ["8.8.8.8", "169.254.169.254", "fd00:ec2::254", "10.0.0.1", "10.0.0.2"];
        let mut parts = [part(&[], &[]), part(&[], &others)];
        parts[0].never.insert("10.0.0.1".parse().unwrap());
        assert_eq!(shown(&parts, 0), ["10.0.0.2/32"]);
        parts[0].bounds.within.clear();
        assert_eq!(shown(&parts, 0), [""; 0]);
    }

    #[test]
    fn a_hundred_are_each_others() {
        let parts: Vec<_> = (0..100u8).map(|n| part(&[], &[&format!("10.0.0.{}", 2 * n + 1)])).collect();
        assert!((0..100).all(|index| wanted(&parts, index).len() == 99));
    }
}
