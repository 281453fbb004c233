//! A JSON object as text: members are inserted and removed, and every other byte stays unchanged.
//!
//! The text was accepted by serde_json first, so looking for a name or a comma is a matter of skipping spaces.

use std::fmt;
use std::ops::Range;

use anyhow::{Result, bail};
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// A member of an object, by positions in the text.
pub(super) struct ObjectMember {
    pub(super) name: String,
    starts: usize,
    pub(super) value: Range<usize>,
}

/// The members of the object at `object`.
///
/// # Errors
/// It is not JSON, or not an object, or has a member twice.
pub(super) fn members(text: &str, object: Range<usize>) -> Result<Vec<ObjectMember>> {
    let part = &text[object.clone()];
    let mut deserializer = serde_json::Deserializer::from_str(part);
    let raw = deserializer.deserialize_map(Raw).and_then(|raw| deserializer.end().map(|()| raw));
    let raw = raw.map_err(|error| anyhow::anyhow!("{error}"))?;
    let mut found: Vec<ObjectMember> = Vec::new();
    let mut at = object.start + part.find('{').unwrap_or(0) + 1;
    for (name, value) in raw {
        if found.iter().any(|member| member.name == name) {
            bail!("{name:?} appears twice");
        }
        let starts = at + text[at..].find('"').unwrap_or(0);
        let value_starts = value.as_ptr() as usize - text.as_ptr() as usize;
        at = value_starts + value.len();
        found.push(ObjectMember { name, starts, value: value_starts..at });
    }
    Ok(found)
}

/// The text with a member added at the end of the object, in the style of the existing ones.
pub(super) fn insert(text: &str, object: Range<usize>, name: &str, value: &str) -> Result<String> {
    let there = members(text, object.clone())?;
    let opening = object.start + text[object.clone()].find('{').unwrap_or(0) + 1;
    let mut added = String::new();
    let at = match (there.first(), there.last()) {
        (Some(first), Some(last)) => {
            added.push(',');
            added.push_str(&text[opening..first.starts]);
            last.value.end
        }
        _ => opening,
    };
    added.push_str(&format!("{}: {value}", serde_json::Value::from(name)));
    Ok(spliced(text, at..at, &added))
}

/// The text without the member of that name.
pub(super) fn remove(text: &str, object: Range<usize>, name: &str) -> Result<String> {
    let there = members(text, object.clone())?;
    let Some(index) = there.iter().position(|member| member.name == name) else { return Ok(text.to_owned()) };
    let gone = &there[index];
    let range = match (index.checked_sub(1).map(|before| &there[before]), there.get(index + 1)) {
        (Some(before), _) => before.value.end..gone.value.end,
        (None, Some(after)) => gone.starts..after.starts,
        (None, None) => object.start + text[object.clone()].find('{').unwrap_or(0) + 1..gone.value.end,
    };
    Ok(spliced(text, range, ""))
}

/// The text with a range replaced.
pub(super) fn spliced(text: &str, range: Range<usize>, new: &str) -> String {
    [&text[..range.start], new, &text[range.end..]].concat()
}

struct Raw;

impl<'de> Visitor<'de> for Raw {
    type Value = Vec<(String, &'de str)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found = Vec::new();
        while let Some(name) = map.next_key::<String>()? {
            found.push((name, map.next_value::<&RawValue>()?.get()));
        }
        Ok(found)
    }
}
