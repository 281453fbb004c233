//! `network-capabilities`: the container cannot configure its network namespace nor write raw packets. Both would
//! undo the firewall table: CAP_NET_ADMIN flushes it, and AF_PACKET sockets pass below the hooks of `inet` tables.

use super::{Rule, Subject, Violation};
use crate::config::{Change, Edit, Pointer, View};

pub(super) const RULE: Rule = Rule {
    name: "network-capabilities",
    promise: "CAP_NET_ADMIN and CAP_NET_RAW are in none of the five capability sets",
    reference: "capabilities(7); packet(7); runtime-spec, config.md, \"Linux Process\"",
    process: true,
    plan,
    holds,
};

const TAKEN: [&str; 2] = ["NET_ADMIN", "NET_RAW"];

/// Whether the capability of that name is taken away. crun takes names in any case and without `CAP_`.
#[must_use]
pub fn is_taken(name: &str) -> bool {
    let upper = name.to_ascii_uppercase();
    TAKEN.contains(&upper.strip_prefix("CAP_").unwrap_or(&upper))
}

/// The set and the index of each capability that has to go.
fn strays<'v>(view: &'v View) -> impl Iterator<Item = (&'static str, usize, &'v str)> {
    let sets = view.process.iter().flat_map(|process| &process.capabilities).flat_map(|c| c.sets());
    sets.flat_map(|(set, names)| {
        let taken = names.iter().enumerate().filter(|(_, name)| is_taken(name));
        taken.map(move |(index, name)| (set, index, &**name))
    })
}

fn plan(view: &View, _: &Subject) -> Result<Vec<Edit>, Violation> {
    let edit = |(set, index, name)| Edit {
        at: Pointer::to(&["process", "capabilities", set]).item(index),
        change: Change::Remove,
        says: format!("removed {name} from the {set} set"),
    };
    Ok(strays(view).map(edit).collect())
}

fn holds(view: &View, _: &Subject) -> Result<(), Violation> {
    match strays(view).next() {
        None => Ok(()),
        Some((set, _, name)) => Err(Violation::of(&RULE, format!("{name} is in the {set} set"))),
    }
}
