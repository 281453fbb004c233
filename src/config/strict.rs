//! Refuses a document on which two decoders could differ, and lists unknown members.
//!
//! Go's `encoding/json`, and so runc, accepts `"Process"` as `process` and lets a later duplicate win
//! (measured with runc 1.1.5); libocispec, and so crun, compares exactly and keeps the first. The rules would
//! check something other than what the runtime does.

use super::json::JsonValue;
use super::members::{self, MemberSchema, Shape};
use super::{Kind, Unreadable, equal_fold};

/// How many levels of a document are checked, which is deeper than any table. What is below is unknown, or
/// belongs to another platform.
pub(super) const LEVELS: usize = 16;

/// How many unknown members are listed; one is enough for a refusal.
const MOST_UNKNOWN: usize = 8;

/// Checks a whole document; returns the paths of the first few unknown members.
///
/// # Errors
/// Not an object, a member on which decoders differ, a list, an object or a scalar in the wrong place, or an
/// invalid string or number.
pub(super) fn check(kind: Kind, root: JsonValue) -> Result<Vec<String>, Unreadable> {
    let mut unknown = Vec::new();
    match (root.first(), kind) {
        (b'{', Kind::Config) => members(root, members::schema(kind), None, &mut unknown)?,
        (b'{', Kind::Process) => {
            let place = MemberPath { above: None, step: PathStep::Member("process") };
            members(root, members::schema(kind), Some(&place), &mut unknown)?;
        }
        (_, Kind::Config) => return Err(Unreadable::new("not a configuration: the JSON is not an object")),
        (_, Kind::Process) => return Err(Unreadable::new("not a process: the JSON is not an object")),
    }
    Ok(unknown)
}

/// The path to the current member. It costs nothing until it is written.
#[derive(Clone, Copy)]
struct MemberPath<'p> {
    above: Option<&'p MemberPath<'p>>,
    step: PathStep<'p>,
}

#[derive(Clone, Copy)]
enum PathStep<'p> {
    Member(&'p str),
    Key(&'p str),
    Item(usize),
}

impl MemberPath<'_> {
    fn write(&self, path: &mut String) {
        if let Some(above) = self.above {
            above.write(path);
        }
        match self.step {
            PathStep::Item(index) => path.push_str(&format!("[{index}]")),
            PathStep::Key(name) => path.push_str(&format!("[{:?}]", shortened(name))),
            PathStep::Member(name) => {
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

/// A name, shortened for an error.
fn shortened(name: &str) -> String {
    const MOST: usize = 64;
    let mut shown: String = name.chars().take(MOST).collect();
    if shown.len() < name.len() {
        shown.push('…');
    }
    shown
}

type Unknown = Vec<String>;

fn value(value: JsonValue, is: &Shape, place: &MemberPath, unknown: &mut Unknown) -> Result<(), Unreadable> {
    match (value.first(), is) {
        (b'n', _) | (_, Shape::Any(_)) => Ok(()),
        (b'{', Shape::Object(table)) => members(value, table, Some(place), unknown),
        (b'{', Shape::Map(_)) => {
            value.members().try_for_each(|(_, value)| scalar(value))?;
            keys_are_unique(value)
        }
        (b'{', Shape::MapOf(table)) => {
            for (key, value) in value.members() {
                let key = key.string()?;
                let place = MemberPath { above: Some(place), step: PathStep::Key(&key) };
                object(value, table, &place, unknown)?;
            }
            keys_are_unique(value)
        }
        (b'[', Shape::Many(_)) => value.children().try_for_each(scalar),
        (b'[', Shape::Objects(table)) => value.children().enumerate().try_for_each(|(index, item)| {
            object(item, table, &MemberPath { above: Some(place), step: PathStep::Item(index) }, unknown)
        }),
        (_, Shape::One(_)) => scalar(value),
        (b'[', _) => Err(value.error("a list is not allowed here")),
        (b'{', _) => Err(value.error("an object is not allowed here")),
        (_, Shape::Many(_) | Shape::Objects(_)) => Err(value.error("wrong type, expected a list")),
        _ => Err(value.error("wrong type, expected an object")),
    }
}

/// An item of a list of objects, or a value of a map of objects.
fn object(
    value: JsonValue,
    table: &'static [MemberSchema],
    place: &MemberPath,
    unknown: &mut Unknown,
) -> Result<(), Unreadable> {
    self::value(value, &Shape::Object(table), place, unknown)
}

fn scalar(value: JsonValue) -> Result<(), Unreadable> {
    match value.first() {
        b'"' => value.check_string(),
        b'-' | b'0'..=b'9' => value.number().map(drop),
        b'[' => Err(value.error("a list is not allowed here")),
        b'{' => Err(value.error("an object is not allowed here")),
        _ => Ok(()),
    }
}

fn members(
    object: JsonValue,
    table: &'static [MemberSchema],
    place: Option<&MemberPath>,
    unknown: &mut Unknown,
) -> Result<(), Unreadable> {
    let (mut seen, mut next) = (0u32, 0);
    for (name, value) in object.members() {
        let text = name.string()?;
        let here = MemberPath { above: place, step: PathStep::Member(&text) };
        let Some(at) = find(table, &text, next) else {
            if let Some(MemberSchema { name: known, .. }) =
                table.iter().find(|known| equal_fold(known.name, &text))
            {
                let why = format!("member {:?} is {known:?} to some decoders and unknown to others", &*text);
                return Err(name.error(&why));
            }
            if unknown.len() < MOST_UNKNOWN {
                let mut path = String::new();
                here.write(&mut path);
                unknown.push(path);
            }
            continue;
        };
        if seen & 1 << at != 0 {
            return Err(name.error(&format!("member {:?} is given twice", &*text)));
        }
        seen |= 1 << at;
        next = at + 1;
        self::value(value, &table[at].shape, &here, unknown)?;
    }
    Ok(())
}

/// The index of the name in the table. Most documents have their members in the order of the tables.
fn find(table: &[MemberSchema], name: &str, next: usize) -> Option<usize> {
    match table.get(next) {
        Some(member) if member.name == name => Some(next),
        _ => table.iter().position(|member| member.name == name),
    }
}

fn keys_are_unique(map: JsonValue) -> Result<(), Unreadable> {
    let mut keys = map.members().map(|(key, _)| key.string()).collect::<Result<Vec<_>, _>>()?;
    keys.sort_unstable();
    match keys.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(map.error(&format!("key {:?} is given twice", &*pair[0]))),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether the members fit into the bit set, and the levels into what is checked.
    fn fits(table: &'static [MemberSchema], level: usize) -> bool {
        table.len() <= 32
            && level + 2 < LEVELS
            && table.iter().all(|member| match member.shape {
                Shape::Object(below) => fits(below, level + 1),
                Shape::Objects(below) | Shape::MapOf(below) => fits(below, level + 2),
                _ => true,
            })
    }

    #[test]
    fn the_tables_are_no_larger_and_no_deeper_than_the_walk_can_tell() {
        assert!(fits(members::schema(Kind::Config), 1));
    }

    #[test]
    fn members_of_one_object_have_names_that_no_decoder_takes_for_each_other() {
        fn check(table: &'static [MemberSchema]) {
            for (at, member) in table.iter().enumerate() {
                assert!(
                    table[..at].iter().all(|other| !equal_fold(other.name, member.name)),
                    "{}",
                    member.name
                );
                if let Shape::Object(below) | Shape::Objects(below) | Shape::MapOf(below) = member.shape {
                    check(below);
                }
            }
        }
        check(members::schema(Kind::Config));
    }
}
