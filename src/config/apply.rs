//! Applies edits to the text of a document. Everything that no edit names is copied byte for byte.

use super::Unreadable;
use super::edit::{Edit, EditOp, Step};
use super::json::JsonValue;

/// Returns the edited document; the first `depth` steps of every pointer lead to the root itself.
pub(super) fn apply(root: JsonValue, edits: &[Edit], depth: usize) -> Result<Vec<u8>, Unreadable> {
    let ops = edits.iter().filter(|edit| edit.op != EditOp::Note);
    let mut all: Vec<LocatedOp> = ops.map(|edit| (edit.at.0.as_slice(), &edit.op)).collect();
    // The sort is stable: edits of one place stay in their order.
    all.sort_by_key(|(steps, _)| *steps);
    let edits = (!all.is_empty()).then(|| EditsAt::of(&all, depth));
    let mut out = Out { bytes: Vec::with_capacity(root.raw().len() + 2048), first: true };
    out.child(None, Some(root), edits)
        .map_err(|why| Unreadable::new(format!("cannot edit the document: {why}")))?;
    Ok(out.bytes)
}

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

struct Out {
    bytes: Vec<u8>,
    /// Whether the next child is the first of its parent.
    first: bool,
}

impl Out {
    /// Writes an item, a member with its name, or the root: its present value, if any, with its edits.
    fn child(
        &mut self,
        name: Option<&str>,
        value: Option<JsonValue>,
        edits: Option<EditsAt>,
    ) -> Result<(), String> {
        if edits.is_some_and(|edits| edits.ops().any(|op| *op == EditOp::Remove)) {
            return Ok(());
        }
        self.separate();
        if let Some(name) = name {
            self.write(name);
            self.bytes.push(b':');
        }
        match (value, edits.filter(|edits| !edits.is_outside())) {
            (Some(value), None) => self.write(value.raw()),
            (_, Some(edits)) => self.changed(value, edits)?,
            (None, None) => {}
        }
        self.first = false;
        Ok(())
    }

    fn changed(&mut self, value: Option<JsonValue>, edits: EditsAt) -> Result<(), String> {
        let set = edits.ops().filter_map(|op| if let EditOp::Set(to) = op { Some(to) } else { None });
        if let Some(set) = set.last() {
            self.write(&set.0);
            return Ok(());
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

    fn list(&mut self, list: Option<JsonValue>, edits: EditsAt) -> Result<(), String> {
        self.open(b'[');
        for op in edits.ops() {
            if let EditOp::Prepend(item) = op {
                self.item(&item.to_string());
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
                    EditOp::Follow(list) => self.item(list.items()),
                    _ => {}
                }
            }
        }
        if steps.next().is_some() {
            return Err(NO_ITEM.into());
        }
        for op in edits.ops() {
            match op {
                EditOp::Append(item) => self.item(&item.to_string()),
                EditOp::Extend(list) if !list.items().is_empty() => self.item(list.items()),
                _ => {}
            }
        }
        self.close(b']');
        Ok(())
    }

    fn object(&mut self, object: Option<JsonValue>, edits: EditsAt) -> Result<(), String> {
        if edits.ops().any(|op| !matches!(op, EditOp::Follow(_))) {
            return Err("an item is appended to an object".into());
        }
        self.open(b'{');
        let mut new: Vec<(&Step, EditsAt)> = edits.steps().collect();
        for (name, value) in object.into_iter().flat_map(JsonValue::members) {
            let text = name.string().map_err(|why| why.to_string())?;
            let here = new.iter().position(|(step, _)| matches!(step, Step::Member(to) if **to == *text));
            self.child(Some(name.raw()), Some(value), here.map(|at| new.remove(at).1))?;
        }
        for (step, edits) in new {
            let Step::Member(name) = step else { return Err("an edit takes an object for a list".into()) };
            self.child(Some(&serde_json::Value::from(&**name).to_string()), None, Some(edits))?;
        }
        self.close(b'}');
        Ok(())
    }

    fn item(&mut self, text: &str) {
        self.separate();
        self.write(text);
        self.first = false;
    }

    fn separate(&mut self) {
        if !self.first {
            self.bytes.push(b',');
        }
    }

    fn open(&mut self, bracket: u8) {
        self.bytes.push(bracket);
        self.first = true;
    }

    fn close(&mut self, bracket: u8) {
        self.bytes.push(bracket);
        self.first = false;
    }

    fn write(&mut self, text: &str) {
        self.bytes.extend_from_slice(text.as_bytes());
    }
}
