//! Prefixes as the elements of an interval set: each is a start and, unless it reaches to the last address,
//! an end, which is the first address behind it.
//!
//! The prefixes must not overlap ([`crate::policy::Prefixes`]), because intervals of a set must not.

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnet::{IpNet, IpSubnets, Ipv4Subnets, Ipv6Subnets};

use super::expr::{address, octets};
use super::keys::Keys;
use super::table::Set;

/// The first and the last address.
pub(super) fn range_of(prefix: &IpNet) -> (IpAddr, IpAddr) {
    (prefix.network(), prefix.broadcast())
}

/// Starts and ends of prefixes in their order, as keys like `none`.
pub(super) fn elements<'a>(none: &Keys, prefixes: impl Iterator<Item = &'a IpNet>) -> (Keys, Keys) {
    let (mut starts, mut ends) = (none.clone(), none.clone());
    for prefix in prefixes {
        let (first, last) = range_of(prefix);
        starts.push(&octets(&first));
        if let Some(end) = behind(last) {
            ends.push(&end);
        }
    }
    (starts, ends)
}

/// Inverse of [`elements`], for any content of a set; what is not an address is left out.
pub(super) fn parse(set: &Set, ipv4: bool) -> BTreeSet<IpNet> {
    let mut found = BTreeSet::new();
    for start in set.keys.iter() {
        let last = set.ends.after(start).and_then(|end| before(address(end)?));
        match (address(start), last) {
            (Some(IpAddr::V4(first)), None) if ipv4 => {
                found.extend(IpSubnets::from(Ipv4Subnets::new(first, [255; 4].into(), 0)));
            }
            (Some(IpAddr::V4(first)), Some(IpAddr::V4(last))) if ipv4 => {
                found.extend(IpSubnets::from(Ipv4Subnets::new(first, last, 0)));
            }
            (Some(IpAddr::V6(first)), None) if !ipv4 => {
                found.extend(IpSubnets::from(Ipv6Subnets::new(first, [255; 16].into(), 0)));
            }
            (Some(IpAddr::V6(first)), Some(IpAddr::V6(last))) if !ipv4 => {
                found.extend(IpSubnets::from(Ipv6Subnets::new(first, last, 0)));
            }
            _ => (),
        }
    }
    found
}

fn behind(last: IpAddr) -> Option<Vec<u8>> {
    match last {
        IpAddr::V4(a) => Some(a.to_bits().checked_add(1)?.to_be_bytes().to_vec()),
        IpAddr::V6(a) => Some(a.to_bits().checked_add(1)?.to_be_bytes().to_vec()),
    }
}

fn before(end: IpAddr) -> Option<IpAddr> {
    match end {
        IpAddr::V4(a) => Some(IpAddr::V4(a.to_bits().checked_sub(1)?.into())),
        IpAddr::V6(a) => Some(IpAddr::V6(a.to_bits().checked_sub(1)?.into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefixes(text: &[&str]) -> BTreeSet<IpNet> {
        text.iter().map(|prefix| prefix.parse().unwrap()).collect()
    }

    #[test]
    fn elements_are_parsed_back() {
        let all = prefixes(&["0.0.0.0/8", "10.0.1.0/32", "10.0.1.1/32", "10.0.2.0/23", "255.255.255.255/32"]);
        let (keys, ends) = elements(&Keys::none(4), all.iter());
        assert_eq!((keys.len(), ends.len()), (5, 4));
        let set = Set { name: String::new(), key_type: 7, key_length: 4, flags: 4, size: 0, keys, ends };
        assert_eq!(parse(&set, true), all);
        let all = prefixes(&["fd00::/64", "fd00:0:0:1::/64", "ff00::/8"]);
        let (keys, ends) = elements(&Keys::none(16), all.iter());
        let set = Set { name: String::new(), key_type: 8, key_length: 16, flags: 4, size: 0, keys, ends };
        assert_eq!(parse(&set, false), all);
    }
}
