//! Changes as data, and the one place that carries them out: everything that no edit names is copied as it stands.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

use super::Text;

/// One step of a [`Pointer`].
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// A member of an object.
    Member(Cow<'static, str>),
    /// An item of a list.
    Item(usize),
}

/// A place in a `config.json`, as RFC 6901 has them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pointer(Vec<Step>);

impl Pointer {
    /// The place reached from the root by these members.
    #[must_use]
    pub fn to(members: &[&'static str]) -> Self {
        Self(members.iter().map(|name| Step::Member(Cow::Borrowed(name))).collect())
    }

    /// The item of the list at this place.
    #[must_use]
    pub fn item(mut self, index: usize) -> Self {
        self.0.push(Step::Item(index));
        self
    }

    /// The member of the map at this place, which has free names.
    #[must_use]
    pub fn named(mut self, name: &str) -> Self {
        self.0.push(Step::Member(Cow::Owned(name.to_owned())));
        self
    }

    /// The member of the object at this place.
    #[must_use]
    pub fn member(mut self, name: &'static str) -> Self {
        self.0.push(Step::Member(Cow::Borrowed(name)));
        self
    }
}

impl fmt::Display for Pointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|step| match step {
            Step::Member(name) => write!(f, "/{}", name.replace('~', "~0").replace('/', "~1")),
            Step::Item(index) => write!(f, "/{index}"),
        })
    }
}

/// What an edit does at its place.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// The place is gone.
    Remove,
    /// The list at the place, made if there is none, gets one more item at its end.
    Append(Value),
    /// The list at the place, made if there is none, gets one more item at its beginning.
    Prepend(Value),
    /// The list at the place, made if there is none, gets the items of this list at its end.
    Extend(Json),
    /// The place, made if there is none, holds this, whatever else is changed below it.
    Set(Json),
    /// Nothing: the report says something of what stays.
    Note,
}

/// The text of a value that is too large to be built as a tree first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Json(String);

impl Json {
    /// The value's text.
    ///
    /// # Panics
    /// Never: the types that rules write have no maps with keys other than strings.
    #[must_use]
    pub fn of(value: &impl Serialize) -> Self {
        Self(serde_json::to_string(value).expect("plain structures have a JSON text"))
    }

    /// The text of a list's items, without its brackets.
    fn items(&self) -> &str {
        self.0.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(&self.0)
    }
}

/// One change, and what the report says of it. It never says the value of an environment variable.
#[derive(Debug, Clone, PartialEq)]
pub struct Edit {
    /// Where.
    pub at: Pointer,
    /// What.
    pub change: Change,
    /// In words, for the report.
    pub says: String,
}

/// Writes the document below `root` with the edits made; the first `depth` steps of every pointer name the root
/// itself.
pub(super) fn apply(root: &str, edits: &[Edit], depth: usize) -> Result<Vec<u8>, String> {
    let mut tree = Tree::default();
    for edit in edits.iter().filter(|edit| edit.change != Change::Note) {
        let steps =
            edit.at.0.get(depth..).ok_or_else(|| format!("{} is outside of the document", edit.at))?;
        tree.add(steps, &edit.change);
    }
    let mut out = Vec::with_capacity(root.len() + 256);
    write(Some(root), &tree, &mut out).map_err(|why| format!("cannot edit the document: {why}"))?;
    Ok(out)
}

/// The edits by place, so that every list and object is walked once however many edits it has.
#[derive(Default)]
struct Tree<'e> {
    removed: bool,
    prepended: Vec<&'e Value>,
    appended: Vec<&'e Value>,
    extended: Vec<&'e Json>,
    set: Option<&'e Json>,
    below: BTreeMap<&'e Step, Tree<'e>>,
}

impl<'e> Tree<'e> {
    fn add(&mut self, steps: &'e [Step], change: &'e Change) {
        match steps {
            [first, rest @ ..] => self.below.entry(first).or_default().add(rest, change),
            [] => match change {
                Change::Remove => self.removed = true,
                Change::Append(item) => self.appended.push(item),
                Change::Prepend(item) => self.prepended.push(item),
                Change::Extend(items) => self.extended.push(items),
                Change::Set(value) => self.set = Some(value),
                Change::Note => {}
            },
        }
    }

    fn has_items(&self) -> bool {
        !(self.prepended.is_empty() && self.appended.is_empty() && self.extended.is_empty())
    }
}

fn write(text: Option<&str>, tree: &Tree, out: &mut Vec<u8>) -> Result<(), String> {
    if let Some(value) = tree.set {
        out.extend_from_slice(value.0.as_bytes());
        return Ok(());
    }
    let text = text.unwrap_or("null");
    if tree.below.is_empty() && !tree.has_items() {
        out.extend_from_slice(text.as_bytes());
        return Ok(());
    }
    match (text.as_bytes().first(), tree.below.keys().next()) {
        (Some(b'['), _) => write_list(items(text)?, tree, out),
        (Some(b'{'), _) => write_object(members(text)?, tree, out),
        (Some(b'n'), Some(Step::Member(_))) => write_object(Vec::new(), tree, out),
        (Some(b'n'), None) => write_list(Vec::new(), tree, out),
        _ => Err("an edit goes below something that is neither a list nor an object".into()),
    }
}

fn write_list(items: Vec<&RawValue>, tree: &Tree, out: &mut Vec<u8>) -> Result<(), String> {
    if tree.below.keys().any(|step| !matches!(step, Step::Item(i) if *i < items.len())) {
        return Err("an edit goes to an item that is not there".into());
    }
    let mut separator = Separator::after(b'[');
    let mut edits = tree.below.iter().peekable();
    for item in &tree.prepended {
        separator.write(out);
        out.extend_from_slice(item.to_string().as_bytes());
    }
    for (index, item) in items.into_iter().enumerate() {
        let below = edits.next_if(|(step, _)| **step == &Step::Item(index)).map(|(_, below)| below);
        match below {
            Some(below) if below.removed => {}
            Some(below) => {
                separator.write(out);
                write(Some(item.get()), below, out)?;
            }
            None => {
                separator.write(out);
                out.extend_from_slice(item.get().as_bytes());
            }
        }
    }
    for item in &tree.appended {
        separator.write(out);
        out.extend_from_slice(item.to_string().as_bytes());
    }
    for items in tree.extended.iter().map(|items| items.items()).filter(|items| !items.is_empty()) {
        separator.write(out);
        out.extend_from_slice(items.as_bytes());
    }
    separator.end(b']', out);
    Ok(())
}

fn write_object(members: Vec<(Text, &RawValue)>, tree: &Tree, out: &mut Vec<u8>) -> Result<(), String> {
    if tree.has_items() {
        return Err("an item is appended to an object".into());
    }
    let mut new: BTreeMap<&Step, &Tree> = tree.below.iter().map(|(step, below)| (*step, below)).collect();
    let mut separator = Separator::after(b'{');
    let mut member = |name: &str, raw, below: Option<&Tree>, out: &mut Vec<u8>| {
        if below.is_some_and(|below| below.removed) {
            return Ok(());
        }
        separator.write(out);
        out.extend_from_slice(Value::from(name).to_string().as_bytes());
        out.push(b':');
        write(raw, below.unwrap_or(&Tree::default()), out)
    };
    for (name, raw) in members {
        let below = new.remove(&Step::Member(Cow::Owned(name.to_string())));
        member(&name, Some(raw.get()), below, out)?;
    }
    for (step, below) in new {
        let Step::Member(name) = step else { return Err("an edit takes an object for a list".into()) };
        member(name, None, Some(below), out)?;
    }
    separator.end(b'}', out);
    Ok(())
}

/// Writes the opening bracket before the first item and a comma before every other.
struct Separator {
    opening: Option<u8>,
}

impl Separator {
    fn after(opening: u8) -> Self {
        Self { opening: Some(opening) }
    }

    fn write(&mut self, out: &mut Vec<u8>) {
        out.push(self.opening.take().unwrap_or(b','));
    }

    fn end(mut self, closing: u8, out: &mut Vec<u8>) {
        out.extend(self.opening.take());
        out.push(closing);
    }
}

fn items(text: &str) -> Result<Vec<&RawValue>, String> {
    serde_json::from_str(text).map_err(|e| e.to_string())
}

/// The members of an object in order.
fn members(text: &str) -> Result<Vec<(Text<'_>, &RawValue)>, String> {
    struct Members<'a>(Vec<(Text<'a>, &'a RawValue)>);

    impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
        fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            struct All;
            impl<'de> Visitor<'de> for All {
                type Value = Members<'de>;

                fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    f.write_str("an object")
                }

                fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                    let mut members = Vec::new();
                    while let Some(member) = map.next_entry()? {
                        members.push(member);
                    }
                    Ok(Members(members))
                }
            }
            deserializer.deserialize_map(All)
        }
    }

    serde_json::from_str::<Members>(text).map(|m| m.0).map_err(|e| e.to_string())
}
