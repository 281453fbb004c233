//! Changes as data. `apply` carries them out.

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

/// A place in a `config.json`, as RFC 6901 has them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pointer(pub(super) Vec<Step>);

impl Pointer {
    /// The place reached from the root by these members.
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
pub enum EditOp {
    /// The place is gone.
    Remove,
    /// The list at the place, made if there is none, gets one more item at its end.
    Append(Value),
    /// The list at the place, made if there is none, gets one more item at its beginning.
    Prepend(Value),
    /// The list at the place, made if there is none, gets the items of this list at its end.
    Extend(JsonText),
    /// The item at the place stays, and the items of this list follow it.
    Follow(JsonText),
    /// The place, made if there is none, holds this, whatever else is changed below it.
    Set(JsonText),
    /// Nothing: the report says something of what stays.
    Note,
}

/// The text of a value that is too large to be built as a tree first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JsonText(pub(super) String);

impl JsonText {
    /// The value's text.
    ///
    /// # Panics
    /// Never: the types that rules write have no maps with keys other than strings.
    #[must_use]
    pub fn of(value: &impl Serialize) -> Self {
        Self(serde_json::to_string(value).expect("plain structures have a JSON text"))
    }

    /// The text of a list's items, without its brackets.
    pub(super) fn items(&self) -> &str {
        self.0.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(&self.0)
    }
}

/// One change, and what the report says of it. It never says the value of an environment variable.
#[derive(Debug, Clone, PartialEq)]
pub struct Edit {
    /// Where.
    pub at: Pointer,
    /// What.
    pub op: EditOp,
    /// In words, for the report.
    pub description: String,
}
