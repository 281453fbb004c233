//! What has to be added to a loaded table to make it another one, if nothing has to be removed.
//!
//! Additions take effect at once. A removed table is freed after a grace period of RCU, and closing the
//! socket waits for that (`nft_rcv_nl_event` in net/netfilter/nf_tables_api.c).

use super::expr::Expr;
use super::table::{Chain, Set, Table};

/// What has to be added.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Additions<'a> {
    pub(crate) sets: Vec<&'a Set>,
    /// Without their rules.
    pub(crate) chains: Vec<&'a Chain>,
    /// In the order in which they have to be added.
    pub(crate) rules: Vec<AddedRule<'a>>,
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
        }
    }
}

impl Table {
    /// What makes this table that one; `None` if anything in it has to be removed or changed. A set cannot
    /// grow.
    pub(crate) fn additions<'a>(&self, to: &'a Self) -> Option<Additions<'a>> {
        let mut added = Additions::default();
        if self.flags != to.flags {
            return None;
        }
        for set in &to.sets {
            match self.sets.iter().find(|is| is.name == set.name) {
                None => added.sets.push(set),
                Some(is) if is == set => (),
                Some(_) => return None,
            }
        }
        for chain in &to.chains {
            let is = self.chains.iter().find(|is| is.name == chain.name);
            if is.is_none() {
                added.chains.push(chain);
            } else if is.is_some_and(|is| is.base != chain.base) {
                return None;
            }
            let there = is.map_or(&[][..], |is| &is.rules);
            let mut next = 0;
            for rule in &chain.rules {
                if there.get(next) == Some(rule) {
                    next += 1;
                } else {
                    let before = (next < there.len()).then_some(next);
                    added.rules.push(AddedRule { chain: &chain.name, before, rule });
                }
            }
            if next < there.len() {
                return None;
            }
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
            never: BTreeSet::new(),
        }
    }

    /// The table with the additions, put where a kernel puts them.
    fn grown(table: &Table, added: &Additions) -> Table {
        let mut table = table.clone();
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
                let to = Table::sealed(foreign).with_allow_list(&AllowList { ingress, ..allow() });
                let added = Table::lockdown().additions(&to).unwrap();
                assert_eq!(grown(&Table::lockdown(), &added), to);
            }
        }
    }

    #[test]
    fn an_empty_table_grows_into_any() {
        let to = Table::sealed([]).with_allow_list(&allow());
        assert_eq!(Table::default().additions(&to), Some(Additions::all(&to)));
        assert_eq!(grown(&Table::default(), &Additions::all(&to)), to);
    }

    #[test]
    fn nothing_is_added_to_a_table_that_is_as_it_should_be() {
        assert_eq!(Table::lockdown().additions(&Table::lockdown()), Some(Additions::default()));
    }

    #[test]
    fn a_table_of_which_something_has_to_be_removed_does_not_grow() {
        let to = Table::sealed([]).with_allow_list(&allow());
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
                    keys: BTreeSet::new(),
                    ends: BTreeSet::new(),
                };
                t.sets.push(set("peers4"));
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
