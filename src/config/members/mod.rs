//! Every member that a Linux runtime reads, by its place in the document, and who judges it. The tables are
//! those of runtime-spec 1.3 and its main branch (specs-go/config.go), which runc reads as they are; crun
//! reads runtime-spec's JSON schema, youki oci-spec-rs. What those two read beyond it is marked.
//!
//! A member that is in no table has no judge: the rule `unknown-members` refuses it. A new member costs a
//! line here. docs/members.md is these tables.

mod linux;
mod process;
mod resources;
mod root;

use std::fmt;

use super::Kind;

/// A member of an object.
#[derive(Debug)]
pub struct Member {
    /// As it is written.
    pub name: &'static str,
    /// What its value is.
    pub is: Is,
}

/// What the value of a member is. In place of each it may be null.
#[derive(Debug)]
pub enum Is {
    /// A string, a number, true or false.
    One(Judge),
    /// A list of such.
    Many(Judge),
    /// A map with free keys to such; case matters in keys.
    Map(Judge),
    /// An object.
    Object(&'static [Member]),
    /// A list of objects.
    Objects(&'static [Member]),
    /// A map with free keys to objects.
    MapOf(&'static [Member]),
    /// Anything.
    Any(Judge),
}

/// Who judges a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Judge {
    /// The rule of that name.
    Rule(&'static str),
    /// Nobody has to: it cannot lead out of the container, for this reason.
    Harmless(&'static str),
}

impl fmt::Display for Judge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rule(name) => write!(f, "rule `{name}`"),
            Self::Harmless(why) => f.write_str(why),
        }
    }
}

/// The members of a document's root.
pub(super) fn of(kind: Kind) -> &'static [Member] {
    match kind {
        Kind::Config => &root::ROOT,
        Kind::Process => &process::PROCESS,
    }
}

/// Every member of a `config.json` that has a judge, by its path, `[]` for an item of a list and `*` for a
/// key of a map.
#[must_use]
pub fn members() -> Vec<(String, Judge)> {
    let mut found = Vec::new();
    judged("", &root::ROOT, &mut found);
    found
}

fn judged(above: &str, members: &[Member], found: &mut Vec<(String, Judge)>) {
    for member in members {
        let path = if above.is_empty() { member.name.to_owned() } else { format!("{above}.{}", member.name) };
        match member.is {
            Is::One(judge) => found.push((path, judge)),
            Is::Many(judge) => found.push((format!("{path}[]"), judge)),
            Is::Map(judge) => found.push((format!("{path}.*"), judge)),
            Is::Any(judge) => found.push((format!("{path} (all of it)"), judge)),
            Is::Object(below) => judged(&path, below, found),
            Is::Objects(below) => judged(&format!("{path}[]"), below, found),
            Is::MapOf(below) => judged(&format!("{path}.*"), below, found),
        }
    }
}

const fn one(name: &'static str, judge: Judge) -> Member {
    Member { name, is: Is::One(judge) }
}

const fn many(name: &'static str, judge: Judge) -> Member {
    Member { name, is: Is::Many(judge) }
}

const fn map(name: &'static str, judge: Judge) -> Member {
    Member { name, is: Is::Map(judge) }
}

const fn any(name: &'static str, judge: Judge) -> Member {
    Member { name, is: Is::Any(judge) }
}

const fn object(name: &'static str, members: &'static [Member]) -> Member {
    Member { name, is: Is::Object(members) }
}

const fn objects(name: &'static str, members: &'static [Member]) -> Member {
    Member { name, is: Is::Objects(members) }
}

const fn map_of(name: &'static str, members: &'static [Member]) -> Member {
    Member { name, is: Is::MapOf(members) }
}
