//! What has to be added to a loaded table to make it another one, if nothing has to be removed but elements of the sets
//! of peers.
//!
//! Additions take effect at once. A removed table is freed after a grace period of RCU, and closing the
//! socket waits for that (`nft_rcv_nl_event` in net/netfilter/nf_tables_api.c).
//!
//! A set of peers that has become too small is put in the place of the old one, with the rules that use it, in the same
//! transaction: a packet meets the old rules with the old set or the new rules with the new one.

use std::collections::BTreeSet;

use super::expr::{Expr, SET_CONSTANT};
use super::keys::Keys;
use super::table::{Chain, Set, Table};

/// What has to be added, and what makes room for it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Additions<'a> {
    /// Rules to remove first, by chain and place from 0: they use a set that is too small.
    pub(crate) outgrown_rules: Vec<(&'a str, usize)>,
    pub(crate) outgrown_sets: Vec<&'a str>,
    pub(crate) sets: Vec<&'a Set>,
    /// Of sets that stay.
    pub(crate) elements: Vec<ElementChange<'a>>,
    /// Without their rules.
    pub(crate) chains: Vec<&'a Chain>,
    /// In the order in which they have to be added.
    pub(crate) rules: Vec<AddedRule<'a>>,
}

/// Elements that are removed from a set and added to it: keys, and ends of intervals. One that stays is not touched.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ElementChange<'a> {
    pub(crate) set: &'a str,
    pub(crate) remove: (Keys, Keys),
    pub(crate) add: (Keys, Keys),
}

/// A rule that has to be added.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct AddedRule<'a> {
    pub(crate) chain: &'a str,
    /// The existing rule before which it is inserted, from 0; `None` is the end of the chain.
    pub(crate) before: Option<usize>,
    pub(crate) rule: &'a [Expr],
}

impl<'a> Additions<'a> {
    /// All of a table.
    pub(crate) fn all(table: &'a Table) -> Self {
        let rules = table.chains.iter().flat_map(|chain| {
            chain.rules.iter().map(|rule| AddedRule { chain: &chain.name, before: None, rule })
        });
        Self {
            sets: table.sets.iter().collect(),
            chains: table.chains.iter().collect(),
            rules: rules.collect(),
            ..Self::default()
        }
    }

    fn set(&mut self, is: Option<&Set>, set: &'a Set) -> Option<()> {
        let Some(is) = is else {
            self.sets.push(set);
            return Some(());
        };
        if is == set {
            return Some(());
        }
        let grown = Set { size: set.size, ..is.clone_empty() };
        if grown != set.clone_empty() || set.flags & SET_CONSTANT != 0 {
            return None;
        }
        if is.size != set.size {
            self.outgrown_sets.push(&set.name);
            self.sets.push(set);
        } else {
            let remove = (is.keys.without(&set.keys), is.ends.without(&set.ends));
            let add = (set.keys.without(&is.keys), set.ends.without(&is.ends));
            self.elements.push(ElementChange { set: &set.name, remove, add });
        }
        Some(())
    }

    fn chain(&mut self, is: Option<&Chain>, chain: &'a Chain) -> Option<()> {
        if is.is_some_and(|is| is.base != chain.base) {
            return None;
        }
        if is.is_none() {
            self.chains.push(chain);
        }
        let there = is.map_or(&[][..], |is| &is.rules);
        let outgrown: BTreeSet<usize> = (0..there.len()).filter(|at| self.is_outgrown(&there[*at])).collect();
        let stays = |from: usize| (from..there.len()).find(|at| !outgrown.contains(at));
        let mut next = stays(0);
        for rule in &chain.rules {
            match next {
                Some(at) if there[at] == *rule => next = stays(at + 1),
                before => self.rules.push(AddedRule { chain: &chain.name, before, rule }),
            }
        }
        self.outgrown_rules.extend(outgrown.into_iter().map(|at| (&*chain.name, at)));
        next.is_none().then_some(())
    }

    fn is_outgrown(&self, rule: &[Expr]) -> bool {
        let is_outgrown =
            |expr: &Expr| matches!(expr, Expr::InSet { set, .. } if self.outgrown_sets.contains(&&**set));
        rule.iter().any(is_outgrown)
    }
}

impl Table {
    /// What makes this table that one; `None` if anything else has to be removed or changed.
    pub(crate) fn additions<'a>(&self, to: &'a Self) -> Option<Additions<'a>> {
        let mut added = Additions::default();
        if self.flags != to.flags {
            return None;
        }
        for set in &to.sets {
            added.set(self.sets.iter().find(|is| is.name == set.name), set)?;
        }
        for chain in &to.chains {
            added.chain(self.chains.iter().find(|is| is.name == chain.name), chain)?;
        }
        let all_stay = self.sets.iter().all(|is| to.sets.iter().any(|set| set.name == is.name))
            && self.chains.iter().all(|is| to.chains.iter().any(|chain| chain.name == is.name));
        all_stay.then_some(added)
    }
}
#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::allow_list::AllowList;
    use super::super::foreign::ForeignSocket;
    use super::*;

    fn allow() -> AllowList {
        AllowList {
            ingress: vec![],
            peers: ["10.0.0.2/32".parse().unwrap()].into_iter().collect(),
            leased: None,
            never: BTreeSet::new(),
        }
    }

    /// The table with the additions, put where a kernel puts them.
    fn grown(table: &Table, added: &Additions) -> Table {
        let mut table = table.clone();
        for (chain, place) in added.outgrown_rules.iter().rev() {
            table.chains.iter_mut().find(|is| is.name == *chain).unwrap().rules[*place].clear();
        }
        table.sets.retain(|set| !added.outgrown_sets.contains(&&*set.name));
        for ElementChange { set, remove, add } in &added.elements {
            let set = table.sets.iter_mut().find(|is| is.name == *set).unwrap();
            let width = set.key_length as usize;
            let change =
                |is: &Keys, remove, add: &Keys| Keys::new(width, is.without(remove).iter().chain(add.iter()));
            (set.keys, set.ends) =
                (change(&set.keys, &remove.0, &add.0), change(&set.ends, &remove.1, &add.1));
        }
        table.sets.extend(added.sets.iter().map(|set| (*set).clone()));
        table.chains.extend(added.chains.iter().map(|chain| Chain { rules: vec![], ..(*chain).clone() }));
        let before = table.clone();
        for AddedRule { chain, before: place, rule } in &added.rules {
            let of = |table: &Table| table.chains.iter().position(|is| is.name == *chain).unwrap();
            let is = &before.chains[of(&before)].rules;
            let at = of(&table);
            let rules = &mut table.chains[at].rules;
            // It is followed by as many rules now as before.
            let at = place.map_or(rules.len(), |place| rules.len() - (is.len() - place));
            rules.insert(at, rule.to_vec());
        }
        table.chains.iter_mut().for_each(|chain| chain.rules.retain(|rule| !rule.is_empty()));
        table.sets.sort_by(|a, b| a.name.cmp(&b.name));
        table.chains.sort_by(|a, b| a.name.cmp(&b.name));
        table
    }

    #[test]
    fn lockdown_grows_into_any_allow_list() {
        let socket = ForeignSocket::Port { protocol: 17, address: None, port: 53 };
        let ingress = vec![crate::policy::Ingress {
            protocol: crate::policy::Protocol::Tcp,
            first: 80,
            last: 80,
            from: None,
        }];
        for foreign in [&[][..], &[socket]] {
            for ingress in [vec![], ingress.clone()] {
                let to = Table::new(foreign, Some(&AllowList { ingress, ..allow() }));
                let added = Table::lockdown().additions(&to).unwrap();
                assert_eq!(grown(&Table::lockdown(), &added), to);
            }
        }
    }

    #[test]
    fn an_empty_table_grows_into_any() {
        let to = Table::new([], Some(&allow()));
        assert_eq!(Table::default().additions(&to), Some(Additions::all(&to)));
        assert_eq!(grown(&Table::default(), &Additions::all(&to)), to);
    }

    /// Those with a set that is not there yet, one that takes them, and one that has to grow.
    #[test]
    fn peers_come_and_go_and_those_that_stay_are_not_touched() {
        let with = |peers: &[&str]| AllowList {
            peers: peers.iter().map(|peer| peer.parse().unwrap()).collect(),
            never: ["10.9.0.1".parse().unwrap()].into(),
            ..allow()
        };
        let many: Vec<_> = (0..17).map(|n| format!("10.0.0.{n}/32")).collect();
        let many: Vec<_> = many.iter().map(String::as_str).collect();
        let lists = [
            &["10.0.0.3/32"][..],
            &["10.0.0.3/32", "10.0.0.4/32"],
            &["10.0.0.3/32", "10.9.0.0/24", "fd00::1/128"],
            &["10.0.0.3/32", "10.9.0.0/24", "10.8.0.0/24"],
            &["fd00::/64"],
            &[],
            &many,
        ];
        for from in lists {
            let mut is = Table::new([], Some(&with(from)));
            for to in lists.iter().chain(lists.iter().rev()) {
                let next = is.intended(Some(&with(to)));
                let added = is.additions(&next).unwrap();
                let stays =
                    |change: &ElementChange| change.remove.0.without(&change.add.0) == change.remove.0;
                assert!(added.elements.iter().all(stays));
                assert_eq!(
                    added.outgrown_sets.is_empty(),
                    is.additions(&next).unwrap().outgrown_rules.is_empty()
                );
                assert_eq!(grown(&is, &added), next);
                assert_eq!(
                    next.allow_list(),
                    Some(AllowList { never: next.allow_list().unwrap().never, ..with(to) })
                );
                assert_eq!(next.differs(&next.intended(next.allow_list().as_ref())), []);
                is = next;
            }
        }
    }

    #[test]
    fn nothing_is_added_to_a_table_that_is_as_it_should_be() {
        assert_eq!(Table::lockdown().additions(&Table::lockdown()), Some(Additions::default()));
    }

    #[test]
    fn a_table_of_which_something_has_to_be_removed_does_not_grow() {
        let to = Table::new([], Some(&allow()));
        let changes: [fn(&mut Table); 7] = [
            |t| t.flags = 1,
            |t| t.chains[1].rules.push(vec![Expr::Accept]),
            |t| t.chains[1].rules.insert(0, vec![Expr::Accept]),
            |t| t.chains[1].rules.swap(0, 1),
            |t| t.chains[2].base.as_mut().unwrap().policy = 1,
            |t| t.chains.push(Chain { name: "x".into(), base: None, rules: vec![] }),
            |t| {
                let set = |name: &str| Set {
                    name: name.into(),
                    key_type: 7,
                    key_length: 4,
                    flags: 0,
                    size: 16,
                    keys: Keys::none(4),
                    ends: Keys::none(4),
                };
                t.sets.push(set("x"));
            },
        ];
        for change in changes {
            let mut table = Table::lockdown();
            change(&mut table);
            assert_eq!(table.additions(&to), None, "{table:?}");
        }
        // A set with a key too many, and a set too many.
        let with = |port| Table::sealed(&[ForeignSocket::Port { protocol: 17, address: None, port }]);
        assert_eq!(with(1).additions(&with(2)), None);
        assert_eq!(with(1).additions(&Table::sealed([])), None);
    }
}
