//! *Lease*: members of a job on other nodes, which an allow-list lets pass only while a lease runs. The kernel ends it
//! without anybody's help.
//!
//! In addition to the allow-list ([`super::allow_list`]), in the notation of nft(8):
//!
//! ```text
//! set leased4 { type ipv4_addr; size 16; }           # addresses of members on other nodes; likewise leased6
//! set lease1 { type nf_proto; flags timeout; timeout 3650d; elements = { ipv4 timeout 5m, ipv6 timeout 5m } }
//! set lease2 { ... }                                 # the same
//! chain leased {
//!     meta nfproto @lease1 accept
//!     meta nfproto @lease2 accept
//! }
//! chain input {
//!     ... ip saddr @peers4 accept
//!     ... ip saddr @leased4 jump leased              # so behind each rule that accepts peers
//! }
//! ```
//!
//! There is one lease for all addresses, because one contact with the API server vouches for all of them: renewing it costs the
//! same for two members as for thousands. It is in two sets, of which the one that runs out sooner is renewed, by removing and
//! adding its elements. Before Linux 6.18 a lookup can miss both generations of an element, and then finds the other set's. An
//! element that is there is not prolonged by adding it again before Linux 6.12. The timeouts stand still while the machine is
//! suspended.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use netlink_bindings::nftables::{
    IterableSetelemAttrs, IterableSetelemListAttrs, SetelemAttrs, SetelemListElemAttrs,
};

use super::allow_list::AllowList;
use super::codec::bytes;
use super::expr::{Expr, META_NFPROTO, SET_TIMEOUT, address, in_set, meta};
use super::family::{FAMILIES, IpFamily};
use super::keys::Keys;
use super::peer_sets::{keys, size_like};
use super::table::{Chain, Set, Table};

/// The sets of the lease.
pub(crate) const LEASES: [&str; 2] = ["lease1", "lease2"];

const CHAIN: &str = "leased";

/// An element of a set of the lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LeaseElement {
    pub(crate) key: Vec<u8>,
    /// What is left of its time; an element without a limit has the longest of all.
    pub(crate) left: Duration,
}

impl AllowList {
    /// Whether this address is a peer, or is one while the lease runs. Those that never are have to be asked for beside.
    #[must_use]
    pub fn names(&self, address: &IpAddr) -> bool {
        self.peers.cover(*address) || self.leased.as_ref().is_some_and(|leased| leased.contains(address))
    }
}

impl Table {
    /// This allow-list, with these addresses let pass while the lease runs.
    pub(super) fn leasing(mut self, leased: &BTreeSet<IpAddr>, like: &Self) -> Self {
        for chain in &mut self.chains {
            let rules = std::mem::take(&mut chain.rules).into_iter();
            let with_leased = rules.flat_map(|rule| {
                let leased = leased_like(&rule);
                [rule].into_iter().chain(leased)
            });
            chain.rules = with_leased.collect();
        }
        let accept = |set: &&str| vec![meta(META_NFPROTO, 1), in_set(1, set), Expr::Accept];
        let rules = LEASES.iter().map(accept).collect();
        self.chains.push(Chain { name: CHAIN.into(), base: None, rules });
        self.chains.sort_by(|a, b| a.name.cmp(&b.name));
        for family in &FAMILIES {
            let none = family.no_keys();
            let of_family = leased.iter().copied().filter(|address| address.is_ipv4() == family.is_ipv4());
            let keys = keys(&none, of_family);
            let size = size_like(like.sets.iter().find(|set| set.name == family.leased), keys.len());
            self.sets.push(family.set(family.leased, 0, size, keys, none));
        }
        self.sets.extend(LEASES.map(|name| Set {
            name: name.into(),
            key_type: NF_PROTO,
            key_length: 1,
            flags: SET_TIMEOUT,
            size: 0,
            keys: Keys::none(1),
            ends: Keys::none(1),
        }));
        self.sets.sort_by(|a, b| a.name.cmp(&b.name));
        self
    }

    /// The addresses that pass while the lease runs; `None` if there is no lease.
    pub(super) fn leased(&self) -> Option<BTreeSet<IpAddr>> {
        self.sets.iter().find(|set| set.name == LEASES[0])?;
        let is_leased = |set: &&Set| FAMILIES.iter().any(|family| set.name == family.leased);
        Some(self.sets.iter().filter(is_leased).flat_map(|set| set.keys.iter().filter_map(address)).collect())
    }
}

/// For a rule that accepts what is in a set of peers, the one for what is leased.
fn leased_like(rule: &[Expr]) -> Option<Vec<Expr>> {
    let (last, conditions) = rule.split_last()?;
    if *last != Expr::Accept {
        return None;
    }
    let family = FAMILIES.iter().find(|family| conditions.iter().any(|expr| is_peers(expr, family)))?;
    let of_leased =
        |expr: &Expr| if is_peers(expr, family) { in_set(1, family.leased) } else { expr.clone() };
    Some(conditions.iter().map(of_leased).chain([Expr::Jump(CHAIN.into())]).collect())
}

fn is_peers(expr: &Expr, family: &IpFamily) -> bool {
    matches!(expr, Expr::InSet { set, .. } if set == family.peers)
}

/// The keys of both families.
pub(crate) fn lease_keys() -> Keys {
    Keys::new(1, FAMILIES.iter().map(|family| [family.nfproto()]))
}

/// The elements of one reply; one that cannot be decoded counts as one without a limit.
pub(crate) fn lease_elements(part: &IterableSetelemListAttrs<'_>) -> Vec<LeaseElement> {
    let decode = |element| match element {
        Ok(SetelemListElemAttrs::Elem(element)) => lease_element(element),
        Err(_) => LeaseElement { key: Vec::new(), left: Duration::MAX },
    };
    part.get_elements().into_iter().flatten().map(decode).collect()
}

fn lease_element(element: IterableSetelemAttrs<'_>) -> LeaseElement {
    let mut decoded = LeaseElement { key: Vec::new(), left: Duration::MAX };
    for attribute in element.flatten() {
        match attribute {
            SetelemAttrs::Key(data) => decoded.key = bytes(data).unwrap_or_default().to_vec(),
            // netlink-bindings 0.3.5 takes it in the order of the host.
            SetelemAttrs::Expiration(time) => decoded.left = Duration::from_millis(u64::from_be(time)),
            _ => (),
        }
    }
    decoded
}

/// nft(8)'s number of the type `nf_proto`.
const NF_PROTO: u32 = 2;

#[cfg(test)]
mod tests {
    use super::*;

    fn leasing(leased: &[&str]) -> AllowList {
        AllowList {
            peers: ["10.0.0.2/32", "10.1.0.0/24"].map(|peer| peer.parse().unwrap()).into_iter().collect(),
            leased: Some(leased.iter().map(|address| address.parse().unwrap()).collect()),
            ..AllowList::default()
        }
    }

    #[test]
    fn the_leased_can_be_parsed_from_their_table_and_come_and_go_in_it() {
        let many: Vec<String> = (0..17).map(|n| format!("10.2.0.{n}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        let mut is = Table::new([], Some(&leasing(&[])));
        for leased in [&["10.2.0.1"][..], &[], &["10.2.0.1", "fd00::1"], &many, &["10.2.0.1"]] {
            let allow = leasing(leased);
            let next = is.intended(Some(&allow));
            assert!(is.additions(&next).is_some(), "{leased:?}");
            assert_eq!(next.allow_list(), Some(allow.clone()));
            assert_eq!(next.differs(&next.intended(Some(&allow))), []);
            let said: Vec<_> = is.differs(&next).iter().map(ToString::to_string).collect();
            assert_eq!(said.is_empty(), is == next, "{said:?}");
            is = next;
        }
    }

    #[test]
    fn without_a_lease_a_table_is_what_it_was_and_grows_into_one_with_it() {
        let without = Table::new([], Some(&AllowList { leased: None, ..leasing(&[]) }));
        assert!(without.sets.iter().all(|set| !set.name.contains("lease")));
        let with = without.intended(Some(&leasing(&["10.2.0.1"])));
        assert!(without.additions(&with).is_some());
        assert_ne!(without.differs(&with), []);
        assert_ne!(with.differs(&without), []);
    }

    /// Nothing but the lease itself accepts them.
    #[test]
    fn every_rule_about_the_leased_leads_to_the_lease() {
        let allow = leasing(&["10.2.0.1"]);
        let table = Table::new([], Some(&allow));
        let about = |name: &str| {
            let of = |expr: &Expr| matches!(expr, Expr::InSet { set, .. } if set == name);
            let rules = table.chains.iter().flat_map(|chain| &chain.rules);
            rules.filter(|rule| rule.iter().any(of)).collect::<Vec<_>>()
        };
        for family in &FAMILIES {
            assert_eq!(about(family.leased).len(), about(family.peers).len());
            let leads = |rule: &&Vec<Expr>| rule.last() == Some(&Expr::Jump(CHAIN.into()));
            assert!(about(family.leased).iter().all(leads));
        }
        assert!(about(FAMILIES[0].leased).len() > 3);
    }
}
