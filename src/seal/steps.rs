//! The steps that rules are made of, and what differs between IPv4 and IPv6 in them. Pure.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::table::{Compare, Expr, Set};

/// What differs between the families.
pub(super) struct Family {
    nfproto: u8,
    key_type: u32,
    length: u32,
    /// Where the addresses stand in the header.
    pub(super) source: u32,
    pub(super) destination: u32,
    /// The names of its sets.
    pub(super) peers: &'static str,
    pub(super) never: &'static str,
}

/// IPv4 and IPv6.
pub(super) const FAMILIES: [Family; 2] = [
    Family {
        nfproto: 2,
        key_type: 7,
        length: 4,
        source: 12,
        destination: 16,
        peers: "peers4",
        never: "never4",
    },
    Family {
        nfproto: 10,
        key_type: 8,
        length: 16,
        source: 8,
        destination: 24,
        peers: "peers6",
        never: "never6",
    },
];

impl Family {
    pub(super) fn is_ipv4(&self) -> bool {
        self.length == 4
    }

    pub(super) fn of(address: IpAddr) -> &'static Self {
        &FAMILIES[usize::from(address.is_ipv6())]
    }

    /// A set of its addresses.
    pub(super) fn set(
        &self,
        name: &str,
        flags: u32,
        keys: BTreeSet<Vec<u8>>,
        ends: BTreeSet<Vec<u8>>,
    ) -> Set {
        Set { name: name.into(), key_type: self.key_type, key_length: self.length, flags, keys, ends }
    }

    pub(super) fn is(&self) -> Vec<Expr> {
        vec![meta(META_NFPROTO, 1), equals(1, &[self.nfproto])]
    }

    /// Loads the address that stands there in a header.
    pub(super) fn address(&self, base: u32, offset: u32) -> Expr {
        Expr::Payload { base, offset, length: self.length, register: 1 }
    }
}

pub(super) fn meta(key: u32, register: u32) -> Expr {
    Expr::Meta { key, register }
}

pub(super) fn interface(key: u32, op: Compare) -> Vec<Expr> {
    // lo always has index 1 (`LOOPBACK_IFINDEX`).
    vec![meta(key, 1), compare(op, &1u32.to_ne_bytes())]
}

pub(super) fn protocol(number: u8) -> Vec<Expr> {
    vec![meta(META_L4PROTO, 1), equals(1, &[number])]
}

/// The destination port, of whatever protocol has ports.
pub(super) fn port(register: u32) -> Expr {
    Expr::Payload { base: TRANSPORT, offset: 2, length: 2, register }
}

/// Type and, of two bytes, code of an ICMP or ICMPv6 message.
pub(super) fn icmp(length: u32) -> Expr {
    Expr::Payload { base: TRANSPORT, offset: 0, length, register: 1 }
}

pub(super) fn ct(key: u32) -> Expr {
    Expr::Ct { key, register: 1 }
}

/// Of the bits of a state exactly one is set (`NF_CT_STATE_BIT`).
pub(super) fn state(bit: u32) -> Vec<Expr> {
    vec![ct(CT_STATE), equals(1, &bit.to_ne_bytes())]
}

pub(super) fn equals(register: u32, value: &[u8]) -> Expr {
    Expr::Compare { register, op: Compare::Equal, value: value.to_vec() }
}

pub(super) fn compare(op: Compare, value: &[u8]) -> Expr {
    Expr::Compare { register: 1, op, value: value.to_vec() }
}

pub(super) fn in_set(register: u32, set: &str) -> Expr {
    Expr::InSet { register, set: set.into(), inverted: false }
}

pub(super) fn octets(address: &IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(a) => a.octets().to_vec(),
        IpAddr::V6(a) => a.octets().to_vec(),
    }
}

pub(super) fn address(octets: &[u8]) -> Option<IpAddr> {
    match octets.len() {
        4 => Some(Ipv4Addr::from(*octets.first_chunk::<4>()?).into()),
        16 => Some(Ipv6Addr::from(*octets.first_chunk::<16>()?).into()),
        _ => None,
    }
}

pub(super) const TCP: u8 = 6;
pub(super) const UDP: u8 = 17;
pub(super) const ICMP: u8 = 1;
pub(super) const ICMPV6: u8 = 58;
pub(super) const NETWORK: u32 = 1;
pub(super) const TRANSPORT: u32 = 2;
pub(super) const META_IIF: u32 = 4;
pub(super) const META_OIF: u32 = 5;
const META_NFPROTO: u32 = 15;
pub(super) const META_L4PROTO: u32 = 16;
pub(super) const SET_CONSTANT: u32 = 2;
pub(super) const SET_INTERVAL: u32 = 4;
const CT_STATE: u32 = 0;
pub(super) const CT_DIRECTION: u32 = 1;
pub(super) const CT_MARK: u32 = 3;
pub(super) const INVALID: u32 = 1;
pub(super) const ESTABLISHED: u32 = 2;
pub(super) const RELATED: u32 = 4;
