//! The pods of one list, from its events. Pure: the time is an argument.
//!
//! A pod that leaves is no member from that moment. Its address is one again only after the pod has been a member for
//! [`SETTLE`]: kubelet repeats the old address for a moment when a new sandbox is up. A list that is fetched anew replaces
//! the old one when it is complete, so there is no gap.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use crate::pod::{Candidate, Standing};

/// How long an address that has left must be reported again before it counts.
pub const SETTLE: Duration = Duration::from_secs(2);

/// What a watch reports.
#[derive(Debug, Clone)]
pub enum Change<T> {
    /// A list begins.
    Begin,
    /// One of the list.
    Listed(String, T),
    /// The list is complete.
    Complete,
    /// One has come or changed.
    Set(String, T),
    /// One is gone.
    Gone(String),
}

/// Objects by their uid.
#[derive(Debug, Clone)]
pub struct Listing<T> {
    /// Those that are there.
    pub all: BTreeMap<String, T>,
    /// Whether a list was complete.
    pub synced: bool,
    next: BTreeMap<String, T>,
}

impl<T> Default for Listing<T> {
    fn default() -> Self {
        Self { all: BTreeMap::new(), synced: false, next: BTreeMap::new() }
    }
}

impl<T> Listing<T> {
    /// Takes a change. `observe` makes the new state of one from the old one, if there is one.
    pub fn take<N>(&mut self, change: Change<N>, observe: impl Fn(Option<&T>, N) -> T) {
        match change {
            Change::Begin => self.next.clear(),
            Change::Listed(uid, new) => {
                let new = observe(self.all.get(&uid), new);
                self.next.insert(uid, new);
            }
            Change::Complete => {
                self.all = std::mem::take(&mut self.next);
                self.synced = true;
            }
            Change::Set(uid, new) => {
                let new = observe(self.all.get(&uid), new);
                self.all.insert(uid, new);
            }
            Change::Gone(uid) => drop(self.all.remove(&uid)),
        }
    }
}

/// A pod, and the history of its addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// As it was reported last.
    pub candidate: Candidate,
    /// Its addresses while it is a member, and since when each has been reported without a break.
    since: BTreeMap<IpAddr, Duration>,
    /// Those that have left before.
    left: BTreeSet<IpAddr>,
}

impl Member {
    /// The state after a report.
    #[must_use]
    pub fn observe(before: Option<&Self>, candidate: Candidate, now: Duration) -> Self {
        let is_member = candidate.standing == Standing::Member;
        let live = candidate.addresses.iter().filter(|_| is_member);
        let known = |address: &IpAddr| before.and_then(|before| before.since.get(address)).copied();
        let since: BTreeMap<_, _> = live.map(|address| (*address, known(address).unwrap_or(now))).collect();
        let mut left = before.map(|before| before.left.clone()).unwrap_or_default();
        let had = before.into_iter().flat_map(|before| before.since.keys());
        left.extend(had.filter(|address| !since.contains_key(address)));
        if !is_member {
            left.extend(&candidate.addresses);
        }
        Self { candidate, since, left }
    }

    /// The addresses that are peers of the job's members now.
    #[must_use]
    pub fn addresses(&self, now: Duration) -> BTreeSet<IpAddr> {
        let settled =
            |(address, since): &(&IpAddr, &Duration)| !self.left.contains(address) || now >= **since + SETTLE;
        self.since.iter().filter(settled).map(|(address, _)| *address).collect()
    }

    /// When there will be more of them without another report.
    #[must_use]
    pub fn due(&self, now: Duration) -> Option<Duration> {
        let waiting = self.since.iter().filter(|(address, _)| self.left.contains(address));
        waiting.map(|(_, since)| *since + SETTLE).filter(|due| *due > now).min()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::pod::tests::{candidate, member};

    fn with(last: u8, leaving: bool) -> Candidate {
        let mut pod = member();
        pod["status"]["podIPs"] = json!([{"ip": format!("10.88.2.{last}")}]);
        if leaving {
            pod["metadata"]["deletionTimestamp"] = json!("2026-11-29T15:00:00Z");
        }
        candidate(&pod).unwrap()
    }

    fn shown(member: &Member, seconds: u64) -> Vec<String> {
        member.addresses(Duration::from_secs(seconds)).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn an_address_that_left_comes_back_after_two_seconds() {
        let at = Duration::from_secs;
        let first = Member::observe(None, with(5, false), at(10));
        assert_eq!(shown(&first, 10), ["10.88.2.5"]);
        let left = Member::observe(Some(&first), with(5, true), at(20));
        assert_eq!(shown(&left, 99), [""; 0]);
        let repeated = Member::observe(Some(&left), with(5, false), at(21));
        assert_eq!((shown(&repeated, 22), repeated.due(at(22))), (vec![], Some(at(23))));
        assert_eq!((shown(&repeated, 23), repeated.due(at(23))), (vec!["10.88.2.5".to_owned()], None));
        // The sandbox's new address counts at once, the old one no more.
        let new = Member::observe(Some(&repeated), with(6, false), at(22));
        assert_eq!(shown(&new, 22), ["10.88.2.6"]);
        let old = Member::observe(Some(&new), with(5, false), at(22));
        assert_eq!((shown(&old, 23), shown(&old, 24)), (vec![], vec!["10.88.2.5".to_owned()]));
        // A report that changes nothing does not start the time again.
        let same = Member::observe(Some(&old), with(5, false), at(23));
        assert_eq!(shown(&same, 24), ["10.88.2.5"]);
    }

    proptest! {
        /// An address is a peer if, and only if, the last report has it and every report of the last [`SETTLE`] had, or
        /// every report since the first that named it.
        #[test]
        fn no_set_misses_a_live_member_or_keeps_one_that_left(
            reports in prop::collection::vec((0u8..3, any::<bool>(), 0u64..4), 1..40)
        ) {
            let mut now = Duration::ZERO;
            let mut listing: Listing<Member> = Listing::default();
            let mut since: BTreeMap<IpAddr, Duration> = BTreeMap::new();
            let mut left: BTreeSet<IpAddr> = BTreeSet::new();
            for (last, leaving, wait) in reports {
                now += Duration::from_secs(wait);
                let new = with(last, leaving);
                let live = |address: &IpAddr| !leaving && new.addresses.contains(address);
                left.extend(since.keys().chain(&new.addresses).filter(|address| !live(address)));
                since.retain(|address, _| live(address));
                for address in new.addresses.iter().filter(|address| live(address)) {
                    since.entry(*address).or_insert(now);
                }
                let expected = since.iter().filter(|(a, since)| !left.contains(*a) || now >= **since + SETTLE);
                let expected: BTreeSet<IpAddr> = expected.map(|(address, _)| *address).collect();
                listing.take(Change::Set("u".into(), new.clone()), |before, new| Member::observe(before, new, now));
                prop_assert_eq!(listing.all["u"].addresses(now), expected);
            }
        }
    }

    #[test]
    fn a_list_replaces_the_old_one_when_it_is_complete() {
        let mut listing: Listing<u8> = Listing::default();
        let take = |listing: &mut Listing<u8>, change| listing.take(change, |_, new| new);
        take(&mut listing, Change::Begin);
        take(&mut listing, Change::Listed("a".into(), 1));
        assert!(!listing.synced && listing.all.is_empty());
        take(&mut listing, Change::Complete);
        assert!(listing.synced && listing.all.len() == 1);
        // 410 Gone: the list is fetched anew.
        take(&mut listing, Change::Begin);
        take(&mut listing, Change::Listed("b".into(), 2));
        assert_eq!(listing.all.keys().collect::<Vec<_>>(), ["a"]);
        take(&mut listing, Change::Complete);
        assert_eq!(listing.all.keys().collect::<Vec<_>>(), ["b"]);
        take(&mut listing, Change::Set("c".into(), 3));
        take(&mut listing, Change::Gone("b".into()));
        assert_eq!(listing.all.keys().collect::<Vec<_>>(), ["c"]);
    }
}
