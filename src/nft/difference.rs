//! How a table differs from the intended one, in words for people.
//!
//! Everything is compared but the elements of the sets of foreign sockets, whether one is blocked is asked
//! with [`Table::blocks`], and those that packets have added. Must not repair anything.

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;

use super::allow_list::AllowList;
use super::attempts::PORTED_SET;
use super::expr::SET_CONSTANT;
use super::family::FAMILIES;
use super::table::{Chain, Set, Table};

/// One difference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Difference {
    /// Its flags, for example dormant.
    Flags(u32),
    /// A chain is missing.
    NoChain(String),
    /// A chain that is not ours.
    ExtraChain(String),
    /// Type, hook, priority or policy of a chain.
    Hook(String),
    /// The number of rules of a chain, and the intended number.
    Rules(String, usize, usize),
    /// The rule at this position of this chain, from one.
    Rule(String, usize),
    /// A set is missing, has another type, or is not ours.
    Set(String),
    /// The number of extra peers, and of missing ones.
    Peers(usize, usize),
    /// A gateway or an address of the host is a peer.
    Never(IpAddr),
}

impl Table {
    /// How this table differs from the `intended` one. Of the elements of sets those of peers are compared, and those by
    /// which attempts are counted; what is blocked is asked with [`Self::blocks`].
    pub fn differs(&self, intended: &Self) -> Vec<Difference> {
        let mut found = Vec::new();
        if self.flags != intended.flags {
            found.push(Difference::Flags(self.flags));
        }
        for chain in &intended.chains {
            match self.chains.iter().find(|is| is.name == chain.name) {
                None => found.push(Difference::NoChain(chain.name.clone())),
                Some(is) => found.extend(chain_differs(is, chain)),
            }
        }
        let extra = |is: &&Chain| !intended.chains.iter().any(|chain| chain.name == is.name);
        found.extend(self.chains.iter().filter(extra).map(|is| Difference::ExtraChain(is.name.clone())));
        // A constant set is as large as what is in it.
        let size = |s: &Set| if s.flags & SET_CONSTANT == 0 { s.size } else { 0 };
        let make = |s: &Set| (s.name.clone(), s.key_length, s.flags, size(s));
        let is: BTreeSet<_> = self.sets.iter().map(make).collect();
        let should: BTreeSet<_> = intended.sets.iter().map(make).collect();
        let names: BTreeSet<_> = is.symmetric_difference(&should).map(|(name, ..)| name.clone()).collect();
        let has_sets = names.is_empty();
        found.extend(names.into_iter().map(Difference::Set));
        if self.sets == intended.sets && self.chains == intended.chains {
            // Their lists are the same, and 10,000 peers take a while to compare.
            return found;
        }
        let ported = |t: &Self| t.sets.iter().find(|set| set.name == PORTED_SET).map(|set| set.keys.clone());
        if has_sets && ported(self) != ported(intended) {
            found.push(Difference::Set(PORTED_SET.into()));
        }
        let (allows, intended_allows) = (self.allow_list(), intended.allow_list());
        if has_sets && allows.is_none() && intended_allows.is_some() {
            // The intervals of one of them overlap.
            found.extend(FAMILIES.iter().map(|family| Difference::Set(family.prefixes.into())));
        }
        if let (Some(is), Some(should)) = (allows, intended_allows) {
            let lacking = |a: &&IpAddr| !is.never.contains(a) && is.names(a);
            found.extend(should.never.iter().filter(lacking).copied().map(Difference::Never));
            let beyond = |a: &AllowList, b: &AllowList| {
                let leased = |of: &AllowList| of.leased.clone().unwrap_or_default();
                a.peers.difference(&b.peers).count() + leased(a).difference(&leased(b)).count()
            };
            let (extra, missing) = (beyond(&is, &should), beyond(&should, &is));
            if extra + missing > 0 {
                found.push(Difference::Peers(extra, missing));
            }
            if found.is_empty() {
                // The same peers, by elements that are not ours.
                let other = |(is, should): &(&Set, &Set)| is.flags & SET_CONSTANT == 0 && is != should;
                let other = self.sets.iter().zip(&intended.sets).find(other);
                found.extend(other.map(|(set, _)| Difference::Set(set.name.clone())));
            }
        }
        found
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flags(flags) if flags & 1 != 0 => write!(f, "it is dormant"),
            Self::Flags(flags) => write!(f, "its flags are {flags:#x}"),
            Self::NoChain(chain) => write!(f, "chain {chain} is missing"),
            Self::ExtraChain(chain) => write!(f, "chain {chain} is not ours"),
            Self::Hook(chain) => write!(f, "type, hook, priority or policy of chain {chain} was changed"),
            Self::Rules(chain, is, should) => write!(f, "chain {chain} has {is} rules instead of {should}"),
            Self::Rule(chain, place) => write!(f, "rule {place} of chain {chain} was changed"),
            Self::Set(set) => write!(f, "set {set} was changed"),
            Self::Peers(extra, missing) => {
                write!(f, "{extra} peers are not wanted, and {missing} wanted are none")
            }
            Self::Never(address) => write!(f, "{address} must not be a peer"),
        }
    }
}

fn chain_differs(is: &Chain, should: &Chain) -> Vec<Difference> {
    let mut found = Vec::new();
    if is.base != should.base {
        found.push(Difference::Hook(is.name.clone()));
    }
    if is.rules.len() != should.rules.len() {
        found.push(Difference::Rules(is.name.clone(), is.rules.len(), should.rules.len()));
    }
    let changed = is.rules.iter().zip(&should.rules).position(|(is, should)| is != should);
    found.extend(changed.map(|place| Difference::Rule(is.name.clone(), place + 1)));
    found
}

#[cfg(test)]
mod tests {
    use super::super::expr::Expr;
    use super::super::foreign::ForeignSocket;
    use super::super::keys::Keys;
    use super::*;

    fn socket(port: u16) -> ForeignSocket {
        ForeignSocket::Port { protocol: 17, address: None, port }
    }

    #[test]
    fn lockdown_is_not_taken_for_sealed() {
        let lockdown = Table::lockdown();
        let said: Vec<_> =
            lockdown.differs(&lockdown.intended(None)).iter().map(ToString::to_string).collect();
        assert_eq!(said[0], "chain input has 3 rules instead of 2");
        assert_eq!(lockdown.allow_list(), None);
    }

    #[test]
    fn without_foreign_sockets_there_is_no_set() {
        let table = Table::sealed([]);
        assert!(table.sets.is_empty());
        assert_eq!(table.intended(None), table);
    }

    #[test]
    fn every_change_has_a_name() {
        let intact = Table::sealed(&[socket(53)]);
        let said = |change: fn(&mut Table)| {
            let mut table = intact.clone();
            change(&mut table);
            let found = table.differs(&table.intended(None));
            found.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
        };
        assert_eq!(said(|_| ()), "");
        assert_eq!(said(|t| t.flags = 1), "it is dormant");
        assert_eq!(said(|t| drop(t.chains.remove(0))), "chain forward is missing");
        assert_eq!(
            said(|t| t.chains[2].base.as_mut().unwrap().policy = 1),
            "type, hook, priority or policy of chain output was changed"
        );
        assert_eq!(said(|t| t.chains[1].rules[0] = vec![Expr::Accept]), "rule 1 of chain input was changed");
        assert_eq!(
            said(|t| t.chains[2].rules.insert(0, vec![Expr::Other("counter".into()), Expr::Accept])),
            "chain output has 5 rules instead of 4; rule 1 of chain output was changed"
        );
        assert_eq!(said(|t| t.sets[0].flags = 0), "set foreign_any was changed");
        let extra = |t: &mut Table| t.chains.push(Chain { name: "x".into(), base: None, rules: vec![] });
        assert_eq!(said(extra), "chain x is not ours");
    }

    #[test]
    fn an_emptied_set_is_a_change_of_the_rules() {
        let mut table = Table::sealed(&[socket(53)]);
        table.sets[0].keys = Keys::none(8);
        let found = table.differs(&table.intended(None));
        assert!(found.contains(&Difference::Set("foreign_any".into())), "{found:?}");
    }
}
