//! Every member that a Linux runtime reads, by its place in the document, and the rule that checks it. The
//! tables are those of runtime-spec 1.3 and its main branch (specs-go/config.go), which runc reads as they
//! are; crun reads runtime-spec's JSON schema, youki oci-spec-rs. Members that only those two know are
//! marked.
//!
//! A member that is in no table is checked by no rule: `unknown-members` refuses it. A new member costs a
//! line here. docs/members.md has the same tables.

mod linux;
mod process;
mod resources;
mod root;

use std::fmt;

use super::Kind;

/// A member of an object.
#[derive(Debug)]
pub struct MemberSchema {
    /// Its name.
    pub name: &'static str,
    /// The type of its value.
    pub shape: Shape,
}

/// The type of a value. Any value may also be null.
#[derive(Debug)]
pub enum Shape {
    /// A string, a number, true or false.
    One(Judge),
    /// A list of strings, numbers or booleans.
    Many(Judge),
    /// A map from any keys to such values; keys are case-sensitive.
    Map(Judge),
    /// An object.
    Object(&'static [MemberSchema]),
    /// A list of objects.
    Objects(&'static [MemberSchema]),
    /// A map from any keys to objects.
    MapOf(&'static [MemberSchema]),
    /// Anything.
    Any(Judge),
}

/// What checks a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Judge {
    /// The rule of that name.
    Rule(&'static str),
    /// No rule is needed: it cannot lead out of the container, for this reason.
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
pub(super) fn schema(kind: Kind) -> &'static [MemberSchema] {
    match kind {
        Kind::Config => &root::ROOT,
        Kind::Process => &process::PROCESS,
    }
}

/// Every known member of a `config.json`, by its path, `[]` for an item of a list and `*` for a key of a map.
#[must_use]
pub fn members() -> Vec<(String, Judge)> {
    let mut found = Vec::new();
    judged("", &root::ROOT, &mut found);
    found
}

fn judged(above: &str, members: &[MemberSchema], found: &mut Vec<(String, Judge)>) {
    for member in members {
        let path = if above.is_empty() { member.name.to_owned() } else { format!("{above}.{}", member.name) };
        match member.shape {
            Shape::One(judge) => found.push((path, judge)),
            Shape::Many(judge) => found.push((format!("{path}[]"), judge)),
            Shape::Map(judge) => found.push((format!("{path}.*"), judge)),
            Shape::Any(judge) => found.push((format!("{path} (all of it)"), judge)),
            Shape::Object(below) => judged(&path, below, found),
            Shape::Objects(below) => judged(&format!("{path}[]"), below, found),
            Shape::MapOf(below) => judged(&format!("{path}.*"), below, found),
        }
    }
}

const fn one(name: &'static str, judge: Judge) -> MemberSchema {
    MemberSchema { name, shape: Shape::One(judge) }
}

const fn many(name: &'static str, judge: Judge) -> MemberSchema {
    MemberSchema { name, shape: Shape::Many(judge) }
}

const fn map(name: &'static str, judge: Judge) -> MemberSchema {
    MemberSchema { name, shape: Shape::Map(judge) }
}

const fn any(name: &'static str, judge: Judge) -> MemberSchema {
    MemberSchema { name, shape: Shape::Any(judge) }
}

const fn object(name: &'static str, members: &'static [MemberSchema]) -> MemberSchema {
    MemberSchema { name, shape: Shape::Object(members) }
}

const fn objects(name: &'static str, members: &'static [MemberSchema]) -> MemberSchema {
    MemberSchema { name, shape: Shape::Objects(members) }
}

const fn map_of(name: &'static str, members: &'static [MemberSchema]) -> MemberSchema {
    MemberSchema { name, shape: Shape::MapOf(members) }
}
