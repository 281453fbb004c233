//! What differs between IPv4 and IPv6 in a rule: types, lengths, offsets, and the names of the sets.

use std::net::IpAddr;

use super::expr::{Expr, META_NFPROTO, NETWORK, TCP, byte, equals, meta};
use super::keys::Keys;
use super::table::Set;

/// What differs between the families.
pub(crate) struct IpFamily {
    nfproto: u8,
    key_type: u32,
    length: u32,
    /// Offsets of the addresses in the header.
    pub(crate) source: u32,
    pub(crate) destination: u32,
    /// The names of its sets.
    pub(crate) peers: &'static str,
    pub(crate) prefixes: &'static str,
    pub(crate) never: &'static str,
    pub(crate) leased: &'static str,
}

/// IPv4 and IPv6.
pub(crate) const FAMILIES: [IpFamily; 2] = [
    IpFamily {
        nfproto: 2,
        key_type: 7,
        length: 4,
        source: 12,
        destination: 16,
        peers: "peers4",
        prefixes: "prefixes4",
        never: "never4",
        leased: "leased4",
    },
    IpFamily {
        nfproto: 10,
        key_type: 8,
        length: 16,
        source: 8,
        destination: 24,
        peers: "peers6",
        prefixes: "prefixes6",
        never: "never6",
        leased: "leased6",
    },
];

impl IpFamily {
    pub(crate) fn is_ipv4(&self) -> bool {
        self.length == 4
    }

    /// As `meta nfproto` has it.
    pub(super) fn nfproto(&self) -> u8 {
        self.nfproto
    }

    pub(crate) fn of(address: IpAddr) -> &'static Self {
        &FAMILIES[usize::from(address.is_ipv6())]
    }

    /// A set of its addresses.
    pub(crate) fn set(&self, name: &str, flags: u32, size: u32, keys: Keys, ends: Keys) -> Set {
        Set { name: name.into(), key_type: self.key_type, key_length: self.length, flags, size, keys, ends }
    }

    /// No keys of its addresses.
    pub(crate) fn no_keys(&self) -> Keys {
        Keys::none(self.length as usize)
    }

    pub(crate) fn matches(&self) -> Vec<Expr> {
        vec![meta(META_NFPROTO, 1), equals(1, &[self.nfproto])]
    }

    /// TCP right behind the header: without IPv4 options, a source route for example, and without IPv6 extensions.
    pub(crate) fn plain_tcp(&self) -> Vec<Expr> {
        let tcp = |offset| vec![byte(NETWORK, offset), equals(1, &[TCP])];
        let no_options = vec![byte(NETWORK, 0), equals(1, &[0x45])];
        match self.is_ipv4() {
            true => [self.matches(), no_options, tcp(9)].concat(),
            false => [self.matches(), tcp(6)].concat(),
        }
    }

    /// Loads the address at that offset of a header.
    pub(crate) fn address(&self, base: u32, offset: u32) -> Expr {
        Expr::Payload { base, offset, length: self.length, register: 1 }
    }
}
