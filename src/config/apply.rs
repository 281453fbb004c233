//! Carries out edits: the text is walked along them, and everything that no edit names is copied as it stands.

use super::Unreadable;
use super::edit::{Change, Edit, Step};
use super::json::Value;

/// Writes the document with the edits made; the first `depth` steps of every pointer name the root itself.
pub(super) fn apply(root: Value, edits: &[Edit], depth: usize) -> Result<Vec<u8>, Unreadable> {
    let changes = edits.iter().filter(|edit| edit.change != Change::Note);
    let mut all: Vec<Entry> = changes.map(|edit| (edit.at.0.as_slice(), &edit.change)).collect();
    // Those of one place stay in their order.
    all.sort_by_key(|(steps, _)| *steps);
    let wanted = (!all.is_empty()).then(|| Wanted::of(&all, depth));
    let mut out = Out { bytes: Vec::with_capacity(root.raw().len() + 2048), first: true };
    out.child(None, Some(root), wanted)
        .map_err(|why| Unreadable::new(format!("cannot edit the document: {why}")))?;
    Ok(out.bytes)
}

type Entry<'e> = (&'e [Step], &'e Change);

const NO_ITEM: &str = "an edit goes to an item that is not there";

/// The edits of a place and of those below it.
#[derive(Clone, Copy)]
struct Wanted<'s, 'e> {
    here: &'s [Entry<'e>],
    below: &'s [Entry<'e>],
    depth: usize,
}

impl<'s, 'e> Wanted<'s, 'e> {
    /// All of them go by the place, which is as many steps from the root.
    fn of(all: &'s [Entry<'e>], depth: usize) -> Self {
        let (here, below) = all.split_at(all.partition_point(|(steps, _)| steps.len() <= depth));
        Self { here, below, depth }
    }

    /// Those below by the next step, in its order.
    fn steps(self) -> impl Iterator<Item = (&'e Step, Self)> {
        let mut rest = self.below;
        std::iter::from_fn(move || {
            let step = rest.first()?.0.get(self.depth)?;
            let is_next = |(steps, _): &Entry| steps.get(self.depth) == Some(step);
            let (these, others) = rest.split_at(rest.partition_point(is_next));
            rest = others;
            Some((step, Self::of(these, self.depth + 1)))
        })
    }

    fn changes(self) -> impl Iterator<Item = &'e Change> {
        self.here.iter().map(|(_, change)| *change)
    }

    /// Whether nothing of the place itself changes.
    fn is_outside(self) -> bool {
        self.below.is_empty() && self.changes().all(|change| matches!(change, Change::Follow(_)))
    }
}

struct Out {
    bytes: Vec<u8>,
    /// Whether nothing stands before the next child of what is being written.
    first: bool,
}

impl Out {
    /// Writes an item, or a member by its name, or the root; what is there of it, and what is wanted.
    fn child(
        &mut self,
        name: Option<&str>,
        value: Option<Value>,
        wanted: Option<Wanted>,
    ) -> Result<(), String> {
        if wanted.is_some_and(|wanted| wanted.changes().any(|change| *change == Change::Remove)) {
            return Ok(());
        }
        self.separate();
        if let Some(name) = name {
            self.write(name);
            self.bytes.push(b':');
        }
        match (value, wanted.filter(|wanted| !wanted.is_outside())) {
            (Some(value), None) => self.write(value.raw()),
            (_, Some(wanted)) => self.changed(value, wanted)?,
            (None, None) => {}
        }
        self.first = false;
        Ok(())
    }

    fn changed(&mut self, value: Option<Value>, wanted: Wanted) -> Result<(), String> {
        let set =
            wanted.changes().filter_map(|change| if let Change::Set(to) = change { Some(to) } else { None });
        if let Some(set) = set.last() {
            self.write(&set.0);
            return Ok(());
        }
        let value = value.filter(|value| value.first() != b'n');
        match (value.map(Value::first), wanted.below.first().and_then(|(steps, _)| steps.get(wanted.depth))) {
            (Some(b'['), _) | (None, None) => self.list(value, wanted),
            (Some(b'{'), _) | (None, Some(Step::Member(_))) => self.object(value, wanted),
            (None, Some(Step::Item(_))) => Err(NO_ITEM.into()),
            (Some(_), _) => Err("an edit goes below what is neither a list nor an object".into()),
        }
    }

    fn list(&mut self, list: Option<Value>, wanted: Wanted) -> Result<(), String> {
        self.open(b'[');
        for change in wanted.changes() {
            if let Change::Prepend(item) = change {
                self.item(&item.to_string());
            }
        }
        let mut steps = wanted.steps().peekable();
        for (index, item) in list.into_iter().flat_map(Value::children).enumerate() {
            let here = steps.next_if(|(step, _)| **step == Step::Item(index)).map(|(_, wanted)| wanted);
            self.child(None, Some(item), here)?;
            for change in here.iter().flat_map(|here| here.changes()) {
                match change {
                    // Where the item goes, so does what was to follow it.
                    Change::Remove => break,
                    Change::Follow(list) => self.item(list.items()),
                    _ => {}
                }
            }
        }
        if steps.next().is_some() {
            return Err(NO_ITEM.into());
        }
        for change in wanted.changes() {
            match change {
                Change::Append(item) => self.item(&item.to_string()),
                Change::Extend(list) if !list.items().is_empty() => self.item(list.items()),
                _ => {}
            }
        }
        self.close(b']');
        Ok(())
    }

    fn object(&mut self, object: Option<Value>, wanted: Wanted) -> Result<(), String> {
        if wanted.changes().any(|change| !matches!(change, Change::Follow(_))) {
            return Err("an item is appended to an object".into());
        }
        self.open(b'{');
        let mut new: Vec<(&Step, Wanted)> = wanted.steps().collect();
        for (name, value) in object.into_iter().flat_map(Value::members) {
            let text = name.string().map_err(|why| why.to_string())?;
            let here = new.iter().position(|(step, _)| matches!(step, Step::Member(to) if **to == *text));
            self.child(Some(name.raw()), Some(value), here.map(|at| new.remove(at).1))?;
        }
        for (step, wanted) in new {
            let Step::Member(name) = step else { return Err("an edit takes an object for a list".into()) };
            self.child(Some(&serde_json::Value::from(&**name).to_string()), None, Some(wanted))?;
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
