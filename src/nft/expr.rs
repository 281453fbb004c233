//! Expressions, the parts that a rule of nftables is made of, and short ways to make the common ones.
//!
//! Values are as the kernel has them (linux/netfilter/nf_tables.h): registers, offsets into headers, numbers
//! of keys.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// An expression of a rule (linux/netfilter/nf_tables.h).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expr {
    /// Loads a packet's meta information.
    Meta {
        /// `NFT_META_*`.
        key: u32,
        /// Where to.
        register: u32,
    },
    /// Loads bytes of a header; the rule does not match a packet that lacks them.
    Payload {
        /// `NFT_PAYLOAD_*_HEADER`.
        base: u32,
        /// From the start of that header.
        offset: u32,
        /// In bytes.
        length: u32,
        /// Where to.
        register: u32,
    },
    /// Continues if the comparison holds, of big-endian numbers.
    Compare {
        /// Which.
        register: u32,
        /// How.
        op: Compare,
        /// The bytes.
        value: Vec<u8>,
    },
    /// Puts bytes into a register.
    Immediate {
        /// Which.
        register: u32,
        /// The bytes.
        value: Vec<u8>,
    },
    /// Loads a value of the packet's connection tracking entry; the rule does not match a packet without one.
    Ct {
        /// `NFT_CT_*`.
        key: u32,
        /// Where to.
        register: u32,
    },
    /// Sets a value of the entry, for the whole connection.
    SetCt {
        /// `NFT_CT_*`.
        key: u32,
        /// From where.
        register: u32,
    },
    /// Looks an address up in the routing tables.
    Fib {
        /// `NFTA_FIB_F_*`: which address.
        flags: u32,
        /// `NFT_FIB_RESULT_*`.
        result: u32,
        /// Where to.
        register: u32,
    },
    /// Continues if the key that starts at the register is in the set.
    InSet {
        /// Which.
        register: u32,
        /// The set's name.
        set: String,
        /// Continues if it is not.
        inverted: bool,
    },
    /// Adds the key that starts at the register to a set with a time limit; continues if the set has it then.
    Remember {
        /// Which.
        register: u32,
        /// The set's name.
        set: String,
        /// Also for a key that is there: its time begins again, and the packet is counted.
        count: bool,
    },
    /// Counts packets; how many is not compared.
    Counter,
    /// Accepts the packet.
    Accept,
    /// Drops the packet silently.
    Drop,
    /// Continues in another chain and does not return.
    Goto(String),
    /// Continues in another chain, and here if that decides nothing.
    Jump(String),
    /// Returns from a jump.
    Return,
    /// Rejects the packet with a TCP reset.
    Reset,
    /// Rejects the packet with an ICMP or ICMPv6 error, "administratively prohibited".
    Prohibit,
    /// Any other, which we never load.
    Other(String),
}

/// How a register is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "their own names")]
pub enum Compare {
    Equal,
    NotEqual,
    AtMost,
    AtLeast,
}

pub(crate) fn meta(key: u32, register: u32) -> Expr {
    Expr::Meta { key, register }
}

pub(crate) fn interface(key: u32, op: Compare) -> Vec<Expr> {
    // lo always has index 1 (`LOOPBACK_IFINDEX`).
    vec![meta(key, 1), compare(op, &1u32.to_ne_bytes())]
}

pub(crate) fn protocol(number: u8) -> Vec<Expr> {
    vec![meta(META_L4PROTO, 1), equals(1, &[number])]
}

/// The destination port, of any protocol with ports.
pub(crate) fn port(register: u32) -> Expr {
    Expr::Payload { base: TRANSPORT, offset: 2, length: 2, register }
}

/// The type of an ICMP or ICMPv6 message; with a length of two, type and code.
pub(crate) fn icmp(length: u32) -> Expr {
    Expr::Payload { base: TRANSPORT, offset: 0, length, register: 1 }
}

pub(crate) fn byte(base: u32, offset: u32) -> Expr {
    Expr::Payload { base, offset, length: 1, register: 1 }
}

/// Of which type the routing tables say an address is (`RTN_*`).
pub(crate) fn fib(flags: u32) -> Expr {
    Expr::Fib { flags, result: FIB_ADDRTYPE, register: 1 }
}

pub(crate) fn ct(key: u32) -> Expr {
    Expr::Ct { key, register: 1 }
}

/// Exactly one bit of a state is set (`NF_CT_STATE_BIT`).
pub(crate) fn state(bit: u32) -> Vec<Expr> {
    vec![ct(CT_STATE), equals(1, &bit.to_ne_bytes())]
}

pub(crate) fn equals(register: u32, value: &[u8]) -> Expr {
    Expr::Compare { register, op: Compare::Equal, value: value.to_vec() }
}

pub(crate) fn compare(op: Compare, value: &[u8]) -> Expr {
    Expr::Compare { register: 1, op, value: value.to_vec() }
}

pub(crate) fn in_set(register: u32, set: &str) -> Expr {
    Expr::InSet { register, set: set.into(), inverted: false }
}

pub(crate) fn octets(address: &IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(a) => a.octets().to_vec(),
        IpAddr::V6(a) => a.octets().to_vec(),
    }
}

pub(crate) fn address(octets: &[u8]) -> Option<IpAddr> {
    match octets.len() {
        4 => Some(Ipv4Addr::from(*octets.first_chunk::<4>()?).into()),
        16 => Some(Ipv6Addr::from(*octets.first_chunk::<16>()?).into()),
        _ => None,
    }
}

pub(crate) const TCP: u8 = 6;
pub(crate) const UDP: u8 = 17;
pub(crate) const ICMP: u8 = 1;
pub(crate) const ICMPV6: u8 = 58;
pub(crate) const NETWORK: u32 = 1;
pub(crate) const TRANSPORT: u32 = 2;
pub(crate) const META_IIF: u32 = 4;
pub(crate) const META_OIF: u32 = 5;
pub(crate) const META_NFPROTO: u32 = 15;
pub(crate) const META_L4PROTO: u32 = 16;
pub(crate) const SET_CONSTANT: u32 = 2;
pub(crate) const SET_INTERVAL: u32 = 4;
pub(crate) const SET_TIMEOUT: u32 = 16;
/// Rules add elements to it.
pub(crate) const SET_EVAL: u32 = 32;
const FIB_ADDRTYPE: u32 = 3;
pub(crate) const FIB_SADDR: u32 = 1;
pub(crate) const FIB_DADDR: u32 = 2;
/// linux/rtnetlink.h
pub(crate) const RTN_UNICAST: u32 = 1;
pub(crate) const RTN_LOCAL: u32 = 2;
const CT_STATE: u32 = 0;
pub(crate) const CT_DIRECTION: u32 = 1;
pub(crate) const CT_MARK: u32 = 3;
pub(crate) const INVALID: u32 = 1;
pub(crate) const ESTABLISHED: u32 = 2;
pub(crate) const RELATED: u32 = 4;
