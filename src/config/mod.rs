//! The engine's `config.json` (and the process file of `exec`): its text, typed views of it, and edits. Read
//! typed, written untyped: the document is never converted to a Rust type and back, because oci-spec's `Spec`
//! drops members it does not know, reorders capabilities and rejects what runc accepts. Whatever no edit
//! names is written back byte for byte.
//!
//! Must not open a file, or know what isolation is.

mod apply;
mod deserialize;
mod edit;
mod json;
mod members;
mod scan;
mod seccomp;
mod strict;
mod text;
mod texts;
mod view;

use std::fmt;

use serde::Deserialize;

pub use edit::{Edit, EditOp, JsonText, Pointer, Step};
pub use members::{Judge, MemberSchema, Shape, members};
pub use seccomp::{Seccomp, SeccompArg, Syscall};
pub use text::Text;
pub use texts::Texts;
pub use view::{
    Capabilities, Device, DeviceAccess, Hooks, HugepageLimit, IdMapping, IntelRdt, Linux, Mount, Process,
    Resources, Rlimit, Root, View,
};

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
pub struct Unreadable {
    why: String,
    /// Line and column, from 1.
    at: Option<(usize, usize)>,
}

impl Unreadable {
    fn new(why: impl Into<String>) -> Self {
        Self { why: why.into(), at: None }
    }

    /// An error at the end of this part of the text.
    fn behind(why: &str, text: &str) -> Self {
        let line = text.rfind('\n').map_or(0, |end| end + 1);
        let lines = text.bytes().filter(|byte| *byte == b'\n').count();
        Self { why: why.into(), at: Some((lines + 1, text.len() - line)) }
    }
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.why)?;
        self.at.map_or(Ok(()), |(line, column)| write!(f, " at line {line} column {column}"))
    }
}

impl std::error::Error for Unreadable {}

impl From<serde_json::Error> for Unreadable {
    fn from(error: serde_json::Error) -> Self {
        let message = error.to_string();
        let why = message.rsplit_once(" at line ").map_or(&*message, |(why, _)| why);
        Self { why: why.to_owned(), at: Some((error.line(), error.column())) }
    }
}

/// A whole document that means the same to every JSON decoder.
#[derive(Debug, Clone)]
pub struct Document<'a> {
    kind: Kind,
    json: json::ParsedJson<'a>,
    /// Paths of unknown members.
    unknown: Vec<String>,
}

impl<'a> Document<'a> {
    /// Parses and checks a document.
    ///
    /// # Errors
    /// Not UTF-8, not JSON, trailing text, a NUL in a string, or members on which Go's decoder and others
    /// differ (`strict`).
    pub fn parse(kind: Kind, bytes: &'a [u8]) -> Result<Self, Unreadable> {
        let json = json::ParsedJson::parse(utf8(bytes)?, strict::LEVELS)?;
        json.without_nul()?;
        let unknown = strict::check(kind, json.root())?;
        Ok(Self { kind, json, unknown })
    }

    /// What the document's root is.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The members that rules are about.
    ///
    /// # Errors
    /// One of these members has another type than in runtime-spec.
    pub fn view(&self) -> Result<View<'a>, Unreadable> {
        let root = self.json.root();
        let (mut view, process) = match self.kind {
            Kind::Config => (View::deserialize(root)?, root.member("process")),
            Kind::Process => {
                (View { process: Some(Process::deserialize(root)?), ..View::default() }, Some(root))
            }
        };
        if let (Some(process), Some(list)) = (&mut view.process, process.and_then(|it| it.member("env"))) {
            process.env = Texts::read(&self.json, list)?;
        }
        Ok(View { unknown: self.unknown.clone(), ..view })
    }

    /// Writes the edited text. Pointers start at the root of a `config.json`, also for a process file: there
    /// `/process` is the document itself.
    ///
    /// # Errors
    /// An edit points to a place that does not exist or has the wrong type, which would be a bug of a rule; or it
    /// cannot be written.
    pub fn write(&self, edits: &[Edit], text: &mut dyn fmt::Write) -> Result<(), Unreadable> {
        let depth = match self.kind {
            Kind::Config => 0,
            Kind::Process => 1,
        };
        apply::apply(self.json.root(), edits, depth, text)
    }

    /// [`Self::write`] into memory.
    ///
    /// # Errors
    /// An edit points to a place that does not exist or has the wrong type.
    pub fn with(&self, edits: &[Edit]) -> Result<Vec<u8>, Unreadable> {
        let mut text = String::with_capacity(self.json.root().raw().len() + 2048);
        self.write(edits, &mut text)?;
        Ok(text.into_bytes())
    }
}

/// The annotations of a `config.json` and nothing else: a container that is not isolated costs no more. Every
/// member counts that some decoder takes for `annotations`, also one whose name continues after a NUL, and
/// repeated names are kept, so that the decision is based on what any runtime may see.
///
/// # Errors
/// Not UTF-8, not JSON, or annotations that are not an object.
pub fn annotations(bytes: &[u8]) -> Result<Vec<Annotation<'_>>, Unreadable> {
    // The root and its members.
    let json = json::ParsedJson::parse(utf8(bytes)?, 2)?;
    let root = json.root();
    if root.first() != b'{' {
        return Err(root.error("wrong type, expected an object"));
    }
    let mut found = Vec::new();
    for (name, value) in root.members() {
        match value.first() {
            _ if !equal_fold(until_nul(&name.string()?), "annotations") => {}
            b'n' => {}
            b'{' => {
                for (name, value) in json::ParsedJson::parse(value.raw(), 2)?.root().members() {
                    let value = (value.first() == b'"').then(|| value.string()).transpose()?;
                    found.push(Annotation { name: name.string()?.into(), value: value.map(Into::into) });
                }
            }
            _ => return Err(value.error("wrong type, expected an object of annotations")),
        }
    }
    Ok(found)
}

/// The environment of the process of a `config.json`, without any check of the rest: every list counts that some decoder
/// takes for `process.env`, and an entry that continues after a NUL also as crun sees it.
///
/// # Errors
/// Not UTF-8, not JSON, or the environment is not a list of strings.
pub fn environment(bytes: &[u8]) -> Result<Vec<String>, Unreadable> {
    let json = json::ParsedJson::parse(utf8(bytes)?, 2)?;
    let mut found = Vec::new();
    readable_names(json.root())?;
    for process in values(json.root(), "process") {
        // The object, the list, its entries.
        let process = json::ParsedJson::parse(process.raw(), 3)?;
        readable_names(process.root())?;
        for list in values(process.root(), "env") {
            match list.first() {
                b'n' => continue,
                b'[' => (),
                _ => return Err(list.error("wrong type, expected a list of variables")),
            }
            for entry in list.children() {
                let entry = entry.string()?;
                found.extend(entry.contains('\0').then(|| until_nul(&entry).to_owned()));
                found.push(String::from(&*entry));
            }
        }
    }
    Ok(found)
}

/// The namespaces that a `config.json` names by path, each with its type, without any check: whatever some
/// decoder takes for one counts. What cannot be parsed is left out, since no runtime makes a container from
/// it.
#[must_use]
pub fn joined(bytes: &[u8]) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let json = utf8(bytes).and_then(|text| json::ParsedJson::parse(text, 2));
    let Ok(json) = json else { return found };
    for linux in values(json.root(), "linux") {
        // The object, the list, its entries, their members.
        let Ok(linux) = json::ParsedJson::parse(linux.raw(), 4) else { continue };
        for list in values(linux.root(), "namespaces").filter(|list| list.first() == b'[') {
            for entry in list.children().filter(|entry| entry.first() == b'{') {
                let texts = |name| strings(entry, name);
                found.extend(
                    texts("type").flat_map(|kind| texts("path").map(move |path| (kind.clone(), path))),
                );
            }
        }
    }
    found
}

/// A name that cannot be decoded here may be any to another decoder.
fn readable_names(object: json::JsonValue) -> Result<(), Unreadable> {
    match object.first() {
        b'{' => object.members().try_for_each(|(name, _)| name.string().map(drop)),
        _ => Ok(()),
    }
}

/// The values of all members that some decoder takes for the one of this name.
fn values<'j, 'a>(
    object: json::JsonValue<'j, 'a>,
    wanted: &str,
) -> impl Iterator<Item = json::JsonValue<'j, 'a>> {
    let is_object = object.first() == b'{';
    let members = object.members().filter(move |_| is_object);
    members
        .filter(move |(name, _)| name.string().is_ok_and(|name| equal_fold(until_nul(&name), wanted)))
        .map(|(_, value)| value)
}

fn strings<'j, 'a>(object: json::JsonValue<'j, 'a>, wanted: &str) -> impl Iterator<Item = String> {
    let texts = values(object, wanted).filter_map(|value| value.string().ok());
    texts.map(|text| until_nul(&text).to_owned())
}

/// A string as crun sees it: up to the first NUL.
fn until_nul(text: &str) -> &str {
    text.split('\0').next().unwrap_or_default()
}

fn utf8(bytes: &[u8]) -> Result<&str, Unreadable> {
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Err(Unreadable::new("the file is empty"));
    }
    std::str::from_utf8(bytes).map_err(|e| Unreadable::new(format!("not UTF-8 at byte {}", e.valid_up_to())))
}

/// Go's `encoding/json` takes a member for a field when the names are equal under simple case folding, which besides
/// ASCII folds U+017F (long s) and U+212A (Kelvin sign).
fn equal_fold(name: &str, other: &str) -> bool {
    let fold = |c: char| match c {
        '\u{17f}' => 's',
        '\u{212a}' => 'k',
        c => c.to_ascii_lowercase(),
    };
    name.chars().map(fold).eq(other.chars().map(fold))
}

#[cfg(test)]
mod tests;
