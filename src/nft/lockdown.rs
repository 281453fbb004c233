//! *Lockdown*: the table of a namespace that an engine has not plumbed yet. Nothing passes but loopback
//! traffic and the announcement of an address.
//!
//! Docker 28 announces an IPv6 address by a neighbour advertisement from inside the namespace, and gives the
//! container up if it cannot. Must not be taken for the sealed table. `output` has the priority that it has
//! in an allow-list, so that lockdown can grow into one ([`super::additions`]).

use super::expr::{Compare, Expr, ICMPV6, NETWORK, compare, equals, icmp, protocol};
use super::family::FAMILIES;
use super::sealed::base;
use super::table::{Base, Table};

impl Table {
    /// The table for the time in which an engine plumbs.
    pub fn lockdown() -> Self {
        let mut table = Self::sealed([]);
        for chain in &mut table.chains {
            if NEIGHBOUR_DISCOVERY.contains(&chain.name.as_str()) {
                chain.rules.insert(0, neighbours());
            }
            if chain.name == "output" {
                chain.base = behind_conntrack();
            }
        }
        table
    }
}

/// Where `output` is hooked in: behind connection tracking.
pub(super) fn behind_conntrack() -> Option<Base> {
    base(3, -150)
}

/// RFC 4861, 7.1: hop limit 255 shows that no router forwarded it. Programs cannot send these without
/// CAP_NET_RAW, and the kernel solicits a neighbour only to send it what `postrouting` let pass.
pub(super) fn neighbours() -> Vec<Expr> {
    let hop_limit = Expr::Payload { base: NETWORK, offset: 7, length: 1, register: 1 };
    let types = [compare(Compare::AtLeast, &[135]), compare(Compare::AtMost, &[136])];
    let [_, v6] = &FAMILIES;
    [&protocol(ICMPV6)[..], &v6.matches(), &[hop_limit, equals(1, &[255]), icmp(1)], &types, &[Expr::Accept]]
        .concat()
}

/// The chains in which neighbour discovery passes.
const NEIGHBOUR_DISCOVERY: [&str; 3] = ["input", "output", "postrouting"];
