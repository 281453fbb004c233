//! Edits as data. `apply` makes them.

use std::borrow::Cow;
use std::fmt;

use serde::Serialize;
use serde_json::Value;

/// One step of a [`Pointer`].
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// A member of an object.
    Member(Cow<'static, str>),
    /// An item of a list.
    Item(usize),
}

/// A place in a `config.json`, as in RFC 6901.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pointer(pub(super) Vec<Step>);

impl Pointer {
    /// The place at the end of these members, from the root.
    #[must_use]
    pub fn to(members: &[&'static str]) -> Self {
        Self(members.iter().map(|name| Step::Member(Cow::Borrowed(name))).collect())
    }

    /// The steps from the root.
    #[must_use]
    pub fn steps(&self) -> &[Step] {
        &self.0
    }

    /// The item of the list at this place.
    #[must_use]
    pub fn item(mut self, index: usize) -> Self {
        self.0.push(Step::Item(index));
        self
    }

    /// The entry with this key of the map at this place.
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
            Step::Member(name) if !name.contains(['~', '/']) => write!(f, "/{name}"),
            Step::Member(name) => write!(f, "/{}", name.replace('~', "~0").replace('/', "~1")),
            Step::Item(index) => write!(f, "/{index}"),
        })
    }
}

/// The operation of an edit.
#[derive(Debug, Clone, PartialEq)]
pub enum EditOp {
    /// Removes the value at the place.
    Remove,
    /// Appends an item to the list at the place, which is made if there is none.
    Append(Value),
    /// Prepends an item to the list at the place, which is made if there is none.
    Prepend(Value),
    /// Appends the items of this list to the list at the place, which is made if there is none.
    Extend(JsonText),
    /// Inserts the items of this list after the item at the place.
    Follow(JsonText),
    /// Replaces or adds the value at the place, whatever edits there are below it.
    Set(JsonText),
    /// Changes nothing: a remark for the report.
    Note,
}

/// The JSON text of a value that is too large to be built as a tree first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JsonText(pub(super) String);

impl JsonText {
    /// The value's text.
    ///
    /// # Panics
    /// Never: the types that rules write have only maps with string keys.
    #[must_use]
    pub fn of(value: &impl Serialize) -> Self {
        Self(serde_json::to_string(value).expect("plain structures have a JSON text"))
    }

    /// The text of a list's items, without its brackets.
    pub(super) fn items(&self) -> &str {
        self.0.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(&self.0)
    }
}

/// One edit. Its description never contains the value of an environment variable.
#[derive(Debug, Clone, PartialEq)]
pub struct Edit {
    /// The place.
    pub at: Pointer,
    /// The operation at that place.
    pub op: EditOp,
    /// In words, for the report.
    pub description: String,
}
