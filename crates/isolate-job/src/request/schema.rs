//! The schema of the SageMaker API, extracted from botocore (`sagemaker.json`, written by `hack/sagemaker-model`), and validation
//! against it: types, members, bounds, patterns and enumerations.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use regex_lite::Regex;
use serde::Deserialize;

use super::json::Json;
use super::members::{self, Verdict};
use super::refused::{At, Refused, shortened};

static SCHEMA: LazyLock<Schema> =
    LazyLock::new(|| serde_json::from_str(include_str!("sagemaker.json")).expect("it is tested"));

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Schema {
    pub(super) source: String,
    /// `CreateTrainingJob.request` and `CreateTrainingJob.answer`, and their types.
    pub(super) operations: BTreeMap<String, String>,
    pub(super) shapes: BTreeMap<String, Shape>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Shape {
    #[serde(rename = "type")]
    pub(super) kind: Kind,
    min: Option<i64>,
    max: Option<i64>,
    pub(super) pattern: Option<String>,
    #[serde(rename = "enum", default)]
    words: Vec<String>,
    #[serde(default)]
    required: Vec<String>,
    /// Of a structure, with their types.
    #[serde(default)]
    pub(super) members: BTreeMap<String, String>,
    /// Of a list.
    pub(super) member: Option<String>,
    key: Option<String>,
    pub(super) value: Option<String>,
}

#[derive(Debug, Deserialize, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(super) enum Kind {
    Structure,
    List,
    Map,
    String,
    Integer,
    Long,
    Float,
    Double,
    Boolean,
    Timestamp,
}

pub(super) fn schema() -> &'static Schema {
    &SCHEMA
}

/// The description of the API that the types were extracted from.
#[must_use]
pub fn source() -> &'static str {
    &schema().source
}

/// What was found in a document.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) refused: Vec<Refused>,
    /// Paths of members that have no effect here, each with the reason.
    pub(super) without_effect: Vec<(String, &'static str)>,
}

/// The most reasons that are reported for one document.
const MOST: usize = 20;

/// Validates the request of an operation: each member has its type and is on one of the three lists.
pub(super) fn request(operation: &str, value: &Json) -> Found {
    let mut walk = Walk { found: Found::default(), is_taken: true };
    walk.value(&schema().operations[&format!("{operation}.request")], value, &At::ROOT);
    walk.found
}

/// Validates the answer to an operation.
#[cfg(test)]
pub(crate) fn answer(operation: &str, text: &str) -> Vec<Refused> {
    let mut walk = Walk { found: Found::default(), is_taken: false };
    let name = &schema().operations[&format!("{operation}.answer")];
    walk.value(name, &serde_json::from_str(text).expect("JSON"), &At::ROOT);
    walk.found.refused
}

struct Walk {
    found: Found,
    /// Whether members have to be on a list. Those below a member without effect need not.
    is_taken: bool,
}

impl Walk {
    fn refuse(&mut self, at: &At, why: impl Into<String>) {
        if self.found.refused.len() < MOST {
            self.found.refused.push(at.refuse(why));
        }
    }

    fn value(&mut self, name: &str, value: &Json, at: &At) {
        let shape = &schema().shapes[name];
        match (shape.kind, value) {
            (Kind::Structure, Json::Object(members)) => self.structure(name, shape, members, at),
            (Kind::List, Json::List(items)) => {
                self.within(shape, items.len() as i64, "items", at);
                for (index, item) in items.iter().enumerate() {
                    self.value(shape.member.as_deref().unwrap_or_default(), item, &at.item(index));
                }
            }
            (Kind::Map, Json::Object(entries)) => self.map(shape, entries, at),
            (Kind::String, Json::Text(text)) => self.text(name, shape, text, at),
            (Kind::Integer | Kind::Long, Json::Number(number)) => match number.as_i64() {
                Some(number) if shape.kind == Kind::Long || i32::try_from(number).is_ok() => {
                    self.within(shape, number, "", at);
                }
                _ => self.refuse(at, format!("{number} is not an integer that fits; give a whole number")),
            },
            (Kind::Float | Kind::Double | Kind::Timestamp, Json::Number(_))
            | (Kind::Boolean, Json::Boolean(_)) => {}
            (_, Json::Null) => self.refuse(at, "is null; leave the member out"),
            (kind, other) => {
                self.refuse(at, format!("is {}; expected {}", other.kind(), expected(kind)));
            }
        }
    }

    fn structure(&mut self, name: &str, shape: &Shape, members: &[(String, Json)], at: &At) {
        for (index, (member, value)) in members.iter().enumerate() {
            let here = at.member(member);
            let Some(below) = shape.members.get(member) else {
                let near = shape.members.keys().find(|known| known.eq_ignore_ascii_case(member));
                let hint = near.map_or(String::new(), |near| format!("; did you mean {near}?"));
                self.refuse(&here, format!("is not a member of {name}{hint}"));
                continue;
            };
            if members[..index].iter().any(|(other, _)| other == member) {
                self.refuse(&here, "is given twice; remove one");
                continue;
            }
            match if self.is_taken { members::verdict(name, member) } else { Verdict::Taken } {
                Verdict::Taken => self.value(below, value, &here),
                Verdict::WithoutEffect(why) => {
                    self.found.without_effect.push((here.to_string(), why));
                    self.is_taken = false;
                    self.value(below, value, &here);
                    self.is_taken = true;
                }
                Verdict::Refused(why) => self.refuse(&here, format!("is not supported: {why}")),
            }
        }
        let needed = if self.is_taken { members::needed(name) } else { &[] };
        for required in shape.required.iter().map(String::as_str).chain(needed.iter().copied()) {
            if !members.iter().any(|(member, _)| member == required) {
                self.refuse(&at.member(required), "is missing");
            }
        }
    }

    fn map(&mut self, shape: &Shape, entries: &[(String, Json)], at: &At) {
        self.within(shape, entries.len() as i64, "entries", at);
        for (index, (key, value)) in entries.iter().enumerate() {
            let here = at.key(key);
            if entries[..index].iter().any(|(other, _)| other == key) {
                self.refuse(&here, "is given twice; remove one");
                continue;
            }
            let key_shape = shape.key.as_deref().unwrap_or_default();
            self.text(key_shape, &schema().shapes[key_shape], key, &here);
            self.value(shape.value.as_deref().unwrap_or_default(), value, &here);
        }
    }

    fn text(&mut self, name: &str, shape: &Shape, text: &str, at: &At) {
        if !self.within(shape, text.chars().count() as i64, "characters", at) {
            return;
        }
        if text.contains('\0') {
            self.refuse(at, "contains a NUL character");
        }
        if !shape.words.is_empty() && !shape.words.iter().any(|word| word == text) {
            self.refuse(at, format!("{:?} is not one of {}", shortened(text), some(&shape.words)));
        }
        if let Some(pattern) = &shape.pattern
            && !is_match(name, pattern, text)
        {
            self.refuse(at, format!("{:?} does not match {pattern}", shortened(text)));
        }
    }

    fn within(&mut self, shape: &Shape, number: i64, of: &str, at: &At) -> bool {
        let of = if of.is_empty() { String::new() } else { format!(" {of}") };
        let (min, max) = (shape.min.unwrap_or(i64::MIN), shape.max.unwrap_or(i64::MAX));
        if number < min {
            self.refuse(at, format!("{number}{of}; the least is {min}"));
        } else if number > max {
            self.refuse(at, format!("{number}{of}; the most is {max}"));
        }
        (min..=max).contains(&number)
    }
}

fn expected(kind: Kind) -> &'static str {
    match kind {
        Kind::Structure | Kind::Map => "an object",
        Kind::List => "a list",
        Kind::String => "a string",
        Kind::Integer | Kind::Long => "an integer",
        Kind::Float | Kind::Double | Kind::Timestamp => "a number",
        Kind::Boolean => "true or false",
    }
}

/// The words of an enumeration, as many as errors show.
fn some(words: &[String]) -> String {
    const MOST: usize = 8;
    let more = if words.len() > MOST { format!(" or {} more", words.len() - MOST) } else { String::new() };
    format!("{}{more}", words[..words.len().min(MOST)].join(", "))
}

/// Whether all of the text matches, as SageMaker does it.
fn is_match(name: &str, pattern: &str, text: &str) -> bool {
    // Unicode classes: letters, separators and numbers, which std knows.
    if matches!(name, "TagKey" | "TagValue") {
        let is_space = |c: char| c.is_whitespace() && !c.is_control();
        return text.chars().all(|c| c.is_alphanumeric() || is_space(c) || "_.:/=+-@".contains(c));
    }
    // Patterns that match everything, or everything on one line, need no regular expression.
    match pattern {
        ".*" => !text.contains('\n'),
        "[\\S\\s]*" => true,
        _ => regex(pattern).is_some_and(|regex| regex.is_match(text)),
    }
}

/// No supported member has a pattern that cannot be compiled (a test).
pub(super) fn regex(pattern: &str) -> Option<Regex> {
    Regex::new(&format!("^(?:{pattern})$")).ok()
}
