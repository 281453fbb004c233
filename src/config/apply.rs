//! Applies edits to the text of a document. Everything that no edit names is copied byte for byte.

use std::fmt;

use super::Unreadable;
use super::edit::{Edit, EditOp, Step};
use super::json::JsonValue;

/// Writes the edited document; the first `depth` steps of every pointer lead to the root itself.
pub(super) fn apply(
    root: JsonValue,
    edits: &[Edit],
    depth: usize,
    text: &mut dyn fmt::Write,
) -> Result<(), Unreadable> {
    let ops = edits.iter().filter(|edit| edit.op != EditOp::Note);
    let mut all: Vec<LocatedOp> = ops.map(|edit| (edit.at.0.as_slice(), &edit.op)).collect();
    // The sort is stable: edits of one place stay in their order.
    all.sort_by_key(|(steps, _)| *steps);
    let edits = (!all.is_empty()).then(|| EditsAt::of(&all, depth));
    Out { text, first: true }
        .child(None, Some(root), edits)
        .map_err(|why| Unreadable::new(format!("cannot edit the document: {}", why.0)))
}

/// Why an edit cannot be applied.
struct NotApplied(String);

impl From<&str> for NotApplied {
    fn from(why: &str) -> Self {
        Self(why.into())
    }
}

impl From<fmt::Error> for NotApplied {
    fn from(_: fmt::Error) -> Self {
        "it cannot be written".into()
    }
}

type Applied = Result<(), NotApplied>;

type LocatedOp<'e> = (&'e [Step], &'e EditOp);

const NO_ITEM: &str = "an edit points to an item that does not exist";

/// The edits at a place and below it.
#[derive(Clone, Copy)]
struct EditsAt<'s, 'e> {
    here: &'s [LocatedOp<'e>],
    below: &'s [LocatedOp<'e>],
    depth: usize,
}

impl<'s, 'e> EditsAt<'s, 'e> {
    /// All of them lead to or through the place, which is `depth` steps from the root.
    fn of(all: &'s [LocatedOp<'e>], depth: usize) -> Self {
        let (here, below) = all.split_at(all.partition_point(|(steps, _)| steps.len() <= depth));
        Self { here, below, depth }
    }

    /// The edits below, grouped by their next step.
    fn steps(self) -> impl Iterator<Item = (&'e Step, Self)> {
        let mut rest = self.below;
        std::iter::from_fn(move || {
            let step = rest.first()?.0.get(self.depth)?;
            let is_next = |(steps, _): &LocatedOp| steps.get(self.depth) == Some(step);
            let (these, others) = rest.split_at(rest.partition_point(is_next));
            rest = others;
            Some((step, Self::of(these, self.depth + 1)))
        })
    }

    fn ops(self) -> impl Iterator<Item = &'e EditOp> {
        self.here.iter().map(|(_, op)| *op)
    }

    /// Whether the value at the place stays as it is.
    fn is_outside(self) -> bool {
        self.below.is_empty() && self.ops().all(|op| matches!(op, EditOp::Follow(_)))
    }
}

struct Out<'w> {
    text: &'w mut dyn fmt::Write,
    /// Whether the next child is the first of its parent.
    first: bool,
}

impl Out<'_> {
    /// Writes an item, a member with its name, or the root: its present value, if any, with its edits.
    fn child(&mut self, name: Option<&str>, value: Option<JsonValue>, edits: Option<EditsAt>) -> Applied {
        if edits.is_some_and(|edits| edits.ops().any(|op| *op == EditOp::Remove)) {
            return Ok(());
        }
        self.separate()?;
        if let Some(name) = name {
            self.text.write_str(name)?;
            self.text.write_char(':')?;
        }
        match (value, edits.filter(|edits| !edits.is_outside())) {
            (Some(value), None) => self.text.write_str(value.raw())?,
            (_, Some(edits)) => self.changed(value, edits)?,
            (None, None) => {}
        }
        self.first = false;
        Ok(())
    }

    fn changed(&mut self, value: Option<JsonValue>, edits: EditsAt) -> Applied {
        let set = edits.ops().filter_map(|op| if let EditOp::Set(to) = op { Some(to) } else { None });
        if let Some(set) = set.last() {
            return Ok(self.text.write_str(&set.0)?);
        }
        let value = value.filter(|value| value.first() != b'n');
        match (value.map(JsonValue::first), edits.below.first().and_then(|(steps, _)| steps.get(edits.depth)))
        {
            (Some(b'['), _) | (None, None) => self.list(value, edits),
            (Some(b'{'), _) | (None, Some(Step::Member(_))) => self.object(value, edits),
            (None, Some(Step::Item(_))) => Err(NO_ITEM.into()),
            (Some(_), _) => Err("an edit points into a value that is neither a list nor an object".into()),
        }
    }

    fn list(&mut self, list: Option<JsonValue>, edits: EditsAt) -> Applied {
        self.open('[')?;
        for op in edits.ops() {
            if let EditOp::Prepend(item) = op {
                self.item(&item.to_string())?;
            }
        }
        let mut steps = edits.steps().peekable();
        for (index, item) in list.into_iter().flat_map(JsonValue::children).enumerate() {
            let here = steps.next_if(|(step, _)| **step == Step::Item(index)).map(|(_, edits)| edits);
            self.child(None, Some(item), here)?;
            for op in here.iter().flat_map(|here| here.ops()) {
                match op {
                    // What was to follow a removed item is left out too.
                    EditOp::Remove => break,
                    EditOp::Follow(list) => self.item(list.items())?,
                    _ => {}
                }
            }
        }
        if steps.next().is_some() {
            return Err(NO_ITEM.into());
        }
        for op in edits.ops() {
            match op {
                EditOp::Append(item) => self.item(&item.to_string())?,
                EditOp::Extend(list) if !list.items().is_empty() => self.item(list.items())?,
                _ => {}
            }
        }
        self.close(']')
    }

    fn object(&mut self, object: Option<JsonValue>, edits: EditsAt) -> Applied {
        if edits.ops().any(|op| !matches!(op, EditOp::Follow(_))) {
            return Err("an item is appended to an object".into());
        }
        self.open('{')?;
        let mut new: Vec<(&Step, EditsAt)> = edits.steps().collect();
        for (name, value) in object.into_iter().flat_map(JsonValue::members) {
            let text = name.string().map_err(|why| NotApplied(why.to_string()))?;
            let here = new.iter().position(|(step, _)| matches!(step, Step::Member(to) if **to == *text));
            self.child(Some(name.raw()), Some(value), here.map(|at| new.remove(at).1))?;
        }
        for (step, edits) in new {
            let Step::Member(name) = step else { return Err("an edit takes an object for a list".into()) };
            self.child(Some(&serde_json::Value::from(&**name).to_string()), None, Some(edits))?;
        }
        self.close('}')
    }

    fn item(&mut self, text: &str) -> Applied {
        self.separate()?;
        self.text.write_str(text)?;
        self.first = false;
        Ok(())
    }

    fn separate(&mut self) -> Applied {
        if !self.first {
            self.text.write_char(',')?;
        }
        Ok(())
    }

    fn open(&mut self, bracket: char) -> Applied {
        self.text.write_char(bracket)?;
        self.first = true;
        Ok(())
    }

    fn close(&mut self, bracket: char) -> Applied {
        self.text.write_char(bracket)?;
        self.first = false;
        Ok(())
    }
}
