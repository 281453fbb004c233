//! Carries out edits: the text is walked once, and everything that no edit names is copied as it stands.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

use super::Text;
use super::edit::{Change, Edit, Json, Step};

/// Writes the document `text` with the edits made; the first `depth` steps of every pointer name the root itself.
pub(super) fn apply(text: &str, edits: &[Edit], depth: usize) -> Result<Vec<u8>, String> {
    let mut tree = Tree::default();
    for edit in edits.iter().filter(|edit| edit.change != Change::Note) {
        let steps =
            edit.at.0.get(depth..).ok_or_else(|| format!("{} is outside of the document", edit.at))?;
        tree.add(steps, &edit.change);
    }
    let mut out = Vec::with_capacity(text.len() + 2048);
    if edits.is_empty() {
        out.extend_from_slice(text.trim().as_bytes());
        return Ok(out);
    }
    let mut separator = Separator { opening: None, first: true };
    let root = Place { tree: Some(&tree), name: None, separator: &mut separator, out: &mut out };
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let done = root.deserialize(&mut deserializer).and_then(|()| deserializer.end());
    done.map_err(|why| format!("cannot edit the document: {why}"))?;
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

/// A value on the way from the old text to the new one. The text is walked once: what no edit names is copied as it
/// is met.
struct Place<'t, 'e, 'o> {
    /// The edits here and below.
    tree: Option<&'t Tree<'e>>,
    /// Of a member.
    name: Option<&'t str>,
    separator: &'o mut Separator,
    out: &'o mut Vec<u8>,
}

impl Place<'_, '_, '_> {
    fn begin(&mut self) {
        self.separator.write(self.out);
        if let Some(name) = self.name {
            self.out.extend_from_slice(Value::from(name).to_string().as_bytes());
            self.out.push(b':');
        }
    }

    /// The value where there was none, or null.
    fn make(mut self, tree: &Tree) -> Result<(), &'static str> {
        if tree.removed {
            return Ok(());
        }
        self.begin();
        match (tree.set, tree.below.keys().next()) {
            (Some(value), _) => self.out.extend_from_slice(value.0.as_bytes()),
            (None, Some(Step::Member(_))) => write_new(Separator::after(b'{'), tree.below.iter(), self.out)?,
            (None, Some(Step::Item(_))) => return Err(NO_ITEM),
            (None, None) => {
                let mut separator = Separator::after(b'[');
                write_items_before(tree, &mut separator, self.out);
                write_items_behind(tree, &mut separator, self.out);
                separator.end(b']', self.out);
            }
        }
        Ok(())
    }
}

const NO_ITEM: &str = "an edit goes to an item that is not there";

impl<'de> DeserializeSeed<'de> for Place<'_, '_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(mut self, deserializer: D) -> Result<(), D::Error> {
        match self.tree {
            None => {
                let raw = <&RawValue>::deserialize(deserializer)?;
                self.begin();
                self.out.extend_from_slice(raw.get().as_bytes());
                Ok(())
            }
            Some(tree) if tree.removed || tree.set.is_some() => {
                IgnoredAny::deserialize(deserializer)?;
                self.make(tree).map_err(D::Error::custom)
            }
            Some(_) => deserializer.deserialize_any(self),
        }
    }
}

impl<'de> Visitor<'de> for Place<'_, '_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list or an object, since an edit goes below it")
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        let Some(tree) = self.tree else { return Ok(()) };
        self.make(tree).map_err(E::custom)
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut items: A) -> Result<(), A::Error> {
        let Some(tree) = self.tree else { return Ok(()) };
        self.begin();
        let mut separator = Separator::after(b'[');
        write_items_before(tree, &mut separator, self.out);
        let mut edits = tree.below.iter().peekable();
        for index in 0.. {
            let here = edits.next_if(|(step, _)| **step == &Step::Item(index)).map(|(_, tree)| tree);
            let place = Place { tree: here, name: None, separator: &mut separator, out: self.out };
            if items.next_element_seed(place)?.is_none() {
                if here.is_some() || edits.next().is_some() {
                    return Err(A::Error::custom(NO_ITEM));
                }
                break;
            }
        }
        write_items_behind(tree, &mut separator, self.out);
        separator.end(b']', self.out);
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut members: A) -> Result<(), A::Error> {
        let Some(tree) = self.tree else { return Ok(()) };
        if tree.has_items() {
            return Err(A::Error::custom("an item is appended to an object"));
        }
        self.begin();
        let mut separator = Separator::after(b'{');
        let mut new: Vec<(&&Step, &Tree)> = tree.below.iter().collect();
        while let Some(name) = members.next_key::<Text>()? {
            let here = new.iter().position(|(step, _)| matches!(step, Step::Member(to) if **to == *name));
            let here = here.map(|at| new.remove(at).1);
            let place = Place { tree: here, name: Some(&name), separator: &mut separator, out: self.out };
            members.next_value_seed(place)?;
        }
        write_new(separator, new.into_iter(), self.out).map_err(A::Error::custom)
    }
}

/// Ends an object with the members that it did not have.
fn write_new<'t, 'e: 't>(
    mut separator: Separator,
    new: impl Iterator<Item = (&'t &'e Step, &'t Tree<'e>)>,
    out: &mut Vec<u8>,
) -> Result<(), &'static str> {
    for (step, tree) in new {
        let Step::Member(name) = step else { return Err("an edit takes an object for a list") };
        Place { tree: None, name: Some(name), separator: &mut separator, out }.make(tree)?;
    }
    separator.end(b'}', out);
    Ok(())
}

fn write_items_before(tree: &Tree, separator: &mut Separator, out: &mut Vec<u8>) {
    for item in &tree.prepended {
        separator.write(out);
        out.extend_from_slice(item.to_string().as_bytes());
    }
}

fn write_items_behind(tree: &Tree, separator: &mut Separator, out: &mut Vec<u8>) {
    for item in &tree.appended {
        separator.write(out);
        out.extend_from_slice(item.to_string().as_bytes());
    }
    for items in tree.extended.iter().map(|items| items.items()).filter(|items| !items.is_empty()) {
        separator.write(out);
        out.extend_from_slice(items.as_bytes());
    }
}

/// Writes the opening bracket before the first item and a comma before every other; nothing around a root.
struct Separator {
    opening: Option<u8>,
    first: bool,
}

impl Separator {
    fn after(opening: u8) -> Self {
        Self { opening: Some(opening), first: true }
    }

    fn write(&mut self, out: &mut Vec<u8>) {
        let comma = (!self.first).then_some(b',');
        self.first = false;
        out.extend(self.opening.take().or(comma));
    }

    fn end(mut self, closing: u8, out: &mut Vec<u8>) {
        out.extend(self.opening.take());
        out.push(closing);
    }
}
