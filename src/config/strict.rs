//! Refuses a document that two decoders could read differently, and finds the members that are in no table.
//!
//! Go's `encoding/json`, and so runc, takes `"Process"` for `process` and lets a later duplicate win (measured with
//! runc 1.1.5); libocispec, and so crun, compares exactly and keeps the first. What the rules look at and what the
//! runtime does would be two things.

use super::json::Value;
use super::members::{self, Is, Member};
use super::{Kind, Unreadable, is_one};

/// As many levels of a document are looked at, which is deeper than any table goes. What is below is unknown,
/// or another platform's.
pub(super) const LEVELS: usize = 16;

/// As many unknown members are remembered; one is enough to be refused.
const MOST_UNKNOWN: usize = 8;

/// Checks a whole document; the paths of members that are in no table, the first few of them.
///
/// # Errors
/// Not an object, a member that decoders read differently, a list, an object or neither where it does not belong, or a
/// string or number that stands for nothing.
pub(super) fn check(kind: Kind, root: Value) -> Result<Vec<String>, Unreadable> {
    let mut unknown = Vec::new();
    match (root.first(), kind) {
        (b'{', Kind::Config) => members(root, members::of(kind), None, &mut unknown)?,
        (b'{', Kind::Process) => {
            let place = Place { above: None, step: Step::Member("process") };
            members(root, members::of(kind), Some(&place), &mut unknown)?;
        }
        (_, Kind::Config) => return Err(Unreadable::new("not a configuration: the JSON is not an object")),
        (_, Kind::Process) => return Err(Unreadable::new("not a process: the JSON is not an object")),
    }
    Ok(unknown)
}

/// Where in the document we are. It costs nothing until it is asked for.
#[derive(Clone, Copy)]
struct Place<'p> {
    above: Option<&'p Place<'p>>,
    step: Step<'p>,
}

#[derive(Clone, Copy)]
enum Step<'p> {
    Member(&'p str),
    Key(&'p str),
    Item(usize),
}

impl Place<'_> {
    fn write(&self, path: &mut String) {
        if let Some(above) = self.above {
            above.write(path);
        }
        match self.step {
            Step::Item(index) => path.push_str(&format!("[{index}]")),
            Step::Key(name) => path.push_str(&format!("[{:?}]", shortened(name))),
            Step::Member(name) => {
                if !path.is_empty() {
                    path.push('.');
                }
                let is_plain = !name.is_empty()
                    && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'));
                match shortened(name) {
                    name if is_plain => path.push_str(&name),
                    name => path.push_str(&format!("{name:?}")),
                }
            }
        }
    }
}

/// A name as an error has room for it.
fn shortened(name: &str) -> String {
    const MOST: usize = 64;
    let mut shown: String = name.chars().take(MOST).collect();
    if shown.len() < name.len() {
        shown.push('…');
    }
    shown
}

type Unknown = Vec<String>;

fn value(value: Value, is: &Is, place: &Place, unknown: &mut Unknown) -> Result<(), Unreadable> {
    match (value.first(), is) {
        (b'n', _) | (_, Is::Any(_)) => Ok(()),
        (b'{', Is::Object(table)) => members(value, table, Some(place), unknown),
        (b'{', Is::Map(_)) => {
            value.members().try_for_each(|(_, value)| scalar(value))?;
            keys_are_unique(value)
        }
        (b'{', Is::MapOf(table)) => {
            for (key, value) in value.members() {
                let key = key.string()?;
                let place = Place { above: Some(place), step: Step::Key(&key) };
                object(value, table, &place, unknown)?;
            }
            keys_are_unique(value)
        }
        (b'[', Is::Many(_)) => value.children().try_for_each(scalar),
        (b'[', Is::Objects(table)) => value.children().enumerate().try_for_each(|(index, item)| {
            object(item, table, &Place { above: Some(place), step: Step::Item(index) }, unknown)
        }),
        (_, Is::One(_)) => scalar(value),
        (b'[', _) => Err(value.against("a list stands where none belongs")),
        (b'{', _) => Err(value.against("an object stands where none belongs")),
        (_, Is::Many(_) | Is::Objects(_)) => Err(value.against("wrong type, expected a list")),
        _ => Err(value.against("wrong type, expected an object")),
    }
}

/// An item of a list of objects, or a value of a map of objects.
fn object(
    value: Value,
    table: &'static [Member],
    place: &Place,
    unknown: &mut Unknown,
) -> Result<(), Unreadable> {
    self::value(value, &Is::Object(table), place, unknown)
}

fn scalar(value: Value) -> Result<(), Unreadable> {
    match value.first() {
        b'"' => value.string().map(drop),
        b'-' | b'0'..=b'9' => value.number().map(drop),
        b'[' => Err(value.against("a list stands where none belongs")),
        b'{' => Err(value.against("an object stands where none belongs")),
        _ => Ok(()),
    }
}

fn members(
    object: Value,
    table: &'static [Member],
    place: Option<&Place>,
    unknown: &mut Unknown,
) -> Result<(), Unreadable> {
    let (mut seen, mut next) = (0u32, 0);
    for (name, value) in object.members() {
        let text = name.string()?;
        let here = Place { above: place, step: Step::Member(&text) };
        let Some(at) = find(table, &text, next) else {
            if let Some(Member { name: known, .. }) = table.iter().find(|known| is_one(known.name, &text)) {
                let why = format!("member {:?} is {known:?} to some decoders and unknown to others", &*text);
                return Err(name.against(&why));
            }
            if unknown.len() < MOST_UNKNOWN {
                let mut path = String::new();
                here.write(&mut path);
                unknown.push(path);
            }
            continue;
        };
        if seen & 1 << at != 0 {
            return Err(name.against(&format!("member {:?} is given twice", &*text)));
        }
        seen |= 1 << at;
        next = at + 1;
        self::value(value, &table[at].is, &here, unknown)?;
    }
    Ok(())
}

/// Where the name stands in the table. Most documents have their members in the order of the tables.
fn find(table: &[Member], name: &str, next: usize) -> Option<usize> {
    match table.get(next) {
        Some(member) if member.name == name => Some(next),
        _ => table.iter().position(|member| member.name == name),
    }
}

fn keys_are_unique(map: Value) -> Result<(), Unreadable> {
    let mut keys = map.members().map(|(key, _)| key.string()).collect::<Result<Vec<_>, _>>()?;
    keys.sort_unstable();
    match keys.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(map.against(&format!("key {:?} is given twice", &*pair[0]))),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As many members as fit the set of those that were seen, and no more levels than are looked at.
    fn fits(table: &'static [Member], level: usize) -> bool {
        table.len() <= 32
            && level + 2 < LEVELS
            && table.iter().all(|member| match member.is {
                Is::Object(below) => fits(below, level + 1),
                Is::Objects(below) | Is::MapOf(below) => fits(below, level + 2),
                _ => true,
            })
    }

    #[test]
    fn the_tables_are_no_larger_and_no_deeper_than_the_walk_can_tell() {
        assert!(fits(members::of(Kind::Config), 1));
    }

    #[test]
    fn members_of_one_object_have_names_that_no_decoder_takes_for_each_other() {
        fn check(table: &'static [Member]) {
            for (at, member) in table.iter().enumerate() {
                assert!(table[..at].iter().all(|other| !is_one(other.name, member.name)), "{}", member.name);
                if let Is::Object(below) | Is::Objects(below) | Is::MapOf(below) = member.is {
                    check(below);
                }
            }
        }
        check(members::of(Kind::Config));
    }
}
