//! The engine's `config.json` (and the process file of `exec`): the text as it is, lenses to look at it, edits to
//! change it. Read typed, written untyped: the document is never put through a Rust type and back, because oci-spec's
//! `Spec` drops members it does not know, reorders capabilities and rejects what runc accepts. Whatever no edit names
//! is written back byte for byte.
//!
//! Mustn't: open a file, or know what isolation is.

mod apply;
mod edit;
mod seccomp;
mod strict;
mod text;
mod view;

use std::borrow::Cow;
use std::fmt;

use serde::Deserializer as _;

pub use edit::{Change, Edit, Json, Pointer, Step};
pub use seccomp::{Seccomp, SeccompArg, SeccompRule};
pub use text::Text;
pub use view::{Capabilities, Device, DeviceAccess, Hooks, Linux, Mount, Process, Rlimit, Root, View};

use crate::policy::Annotation;

/// What the root of a document is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A bundle's `config.json` (runtime-spec, config.md).
    Config,
    /// The file of `exec --process`: the `process` member of a config by itself.
    Process,
}

/// Why a document cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unreadable(String);

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Unreadable {}

impl From<serde_json::Error> for Unreadable {
    /// serde quotes a string that is of the wrong type, and that may be the value of a variable.
    fn from(error: serde_json::Error) -> Self {
        let message = error.to_string();
        let quotes = message.starts_with("invalid type: ") || message.starts_with("invalid value: ");
        match message.rsplit_once(", expected ").filter(|_| quotes) {
            Some((_, expected)) => Self(format!("wrong type, expected {expected}")),
            None => Self(message),
        }
    }
}

/// A whole document that every JSON decoder reads alike.
#[derive(Debug, Clone, Copy)]
pub struct Document<'a> {
    kind: Kind,
    text: &'a str,
}

impl<'a> Document<'a> {
    /// Takes the bytes of a document.
    ///
    /// # Errors
    /// Not UTF-8, not JSON, something behind the JSON, or members that Go's decoder and others read differently
    /// (`strict`).
    pub fn read(kind: Kind, bytes: &'a [u8]) -> Result<Self, Unreadable> {
        let text = utf8(bytes)?;
        strict::check(kind, text)?;
        Ok(Self { kind, text })
    }

    /// What the document's root is.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Looks at the members that rules are about.
    ///
    /// # Errors
    /// A member that a rule looks at has a type that runtime-spec does not give it.
    pub fn view(&self) -> Result<View<'a>, Unreadable> {
        Ok(match self.kind {
            Kind::Config => serde_json::from_str(self.text)?,
            Kind::Process => View { process: Some(serde_json::from_str(self.text)?), ..View::default() },
        })
    }

    /// The document's text with the edits made. Pointers start at the root of a `config.json`, also for a process
    /// file: there `/process` is the document itself.
    ///
    /// # Errors
    /// An edit points to something that is not there or cannot hold it, which would be a mistake of a rule.
    pub fn with(&self, edits: &[Edit]) -> Result<Vec<u8>, Unreadable> {
        let depth = match self.kind {
            Kind::Config => 0,
            Kind::Process => 1,
        };
        apply::apply(self.text, edits, depth).map_err(Unreadable)
    }
}

/// The annotations of a `config.json`, without looking at anything else: all that a container which is not isolated
/// costs. All members that some decoder takes for `annotations` count, and repeated names are kept, so that the
/// decision sees what any runtime may see.
///
/// # Errors
/// Not UTF-8, not JSON, or annotations that are not an object.
pub fn annotations(bytes: &[u8]) -> Result<Vec<Annotation<'_>>, Unreadable> {
    let text = utf8(bytes)?;
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let found = deserializer.deserialize_map(view::AnnotationsOf)?;
    deserializer.end()?;
    Ok(found)
}

fn utf8(bytes: &[u8]) -> Result<&str, Unreadable> {
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Err(Unreadable("the file is empty".into()));
    }
    std::str::from_utf8(bytes).map_err(|e| Unreadable(format!("not UTF-8 at byte {}", e.valid_up_to())))
}

/// Go's `encoding/json` takes a member for a field when the names are equal under simple case folding, which besides
/// ASCII folds U+017F (long s) and U+212A (Kelvin sign).
fn fold(name: &str) -> Cow<'_, str> {
    if name.bytes().all(|b| b.is_ascii() && !b.is_ascii_uppercase()) {
        return Cow::Borrowed(name);
    }
    let folded = name.chars().map(|c| match c {
        '\u{17f}' => 's',
        '\u{212a}' => 'k',
        c => c.to_ascii_lowercase(),
    });
    Cow::Owned(folded.collect())
}

#[cfg(test)]
mod tests;
