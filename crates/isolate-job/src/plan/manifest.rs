//! Manifest files: ManifestFile and AugmentedManifestFile.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::request::S3Uri;

/// A ManifestFile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// What every entry is appended to.
    pub prefix: S3Uri,
    /// The ends of keys, which are paths of files, too.
    pub entries: Vec<String>,
}

/// A manifest that is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadManifest(String);

impl fmt::Display for BadManifest {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for BadManifest {}

#[derive(serde::Deserialize)]
#[serde(untagged)]
enum Item {
    Prefix(Prefix),
    Entry(String),
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Prefix {
    prefix: String,
}

const FORM: &str = "a manifest is [{\"prefix\": \"s3://BUCKET/PREFIX\"}, \"END OF A KEY\", ...]";

/// Reads a manifest.
///
/// # Errors
/// Another form than the documented one.
pub fn manifest(text: &[u8]) -> Result<Manifest, BadManifest> {
    let bad = |why: String| BadManifest(format!("{why}; {FORM}"));
    let items: Vec<Item> =
        serde_json::from_slice(text).map_err(|error| bad(format!("cannot be read: {error}")))?;
    let mut items = items.into_iter();
    let Some(Item::Prefix(Prefix { prefix })) = items.next() else {
        return Err(bad("its first item is not the prefix".to_owned()));
    };
    let prefix = S3Uri::read(&prefix).map_err(|why| bad(format!("its prefix {prefix:?} {why}")))?;
    let entries = items.enumerate().map(|(index, item)| match item {
        Item::Entry(entry) if entry.is_empty() => Err(bad(format!("item {} is empty", index + 1))),
        Item::Entry(entry) => Ok(entry),
        Item::Prefix(_) => Err(bad(format!("item {} is a second prefix", index + 1))),
    });
    let entries = entries.collect::<Result<Vec<_>, _>>()?;
    if entries.is_empty() {
        return Err(bad("it names no object".to_owned()));
    }
    Ok(Manifest { prefix, entries })
}

/// The value of an attribute in a line of an AugmentedManifestFile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Attribute {
    /// `NAME-ref`: an object.
    Object(S3Uri),
    /// Any other: the value itself; a string without its quotation marks, anything else as it is written.
    Value(String),
}

/// Reads the attributes that were asked for out of an AugmentedManifestFile, line by line and in their order.
///
/// # Errors
/// A line that is no object, that lacks an attribute, or whose `-ref` is not an S3 URI; more than a million values.
pub fn augmented(text: &str, names: &[String]) -> Result<Vec<Vec<Attribute>>, BadManifest> {
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let read = |(index, line): (usize, &str)| {
        let bad = |why: String| BadManifest(format!("line {}: {why}", index + 1));
        let Record(record) = serde_json::from_str(line).map_err(|error| bad(error.to_string()))?;
        let attribute = |name: &String| {
            let value = record.get(name).ok_or_else(|| bad(format!("has no attribute {name:?}")))?.get();
            match (name.ends_with("-ref"), serde_json::from_str::<String>(value)) {
                (true, Ok(uri)) => S3Uri::read(&uri)
                    .map(Attribute::Object)
                    .map_err(|why| bad(format!("{name:?}: {uri:?} {why}"))),
                (true, Err(_)) => Err(bad(format!("{name:?} is no string"))),
                (false, text) => Ok(Attribute::Value(text.unwrap_or_else(|_| value.to_owned()))),
            }
        };
        names.iter().map(attribute).collect::<Result<Vec<_>, _>>()
    };
    let most = MOST_OF_VALUES / names.len().max(1);
    let mut records = Vec::new();
    for line in lines {
        if records.len() == most {
            return Err(BadManifest(format!("has more than {most} lines; divide it into several")));
        }
        records.push(read(line)?);
    }
    Ok(records)
}

/// They are held in memory while the job runs, some hundred bytes each.
const MOST_OF_VALUES: usize = 1_000_000;

/// A line, with its values as they are written. Of two values of one name it is unclear which is meant.
struct Record<'l>(BTreeMap<String, &'l RawValue>);

impl<'l> Deserialize<'l> for Record<'l> {
    fn deserialize<D: Deserializer<'l>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Members)
    }
}

struct Members;

impl<'l> Visitor<'l> for Members {
    type Value = Record<'l>;

    fn expecting(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'l>>(self, mut members: A) -> Result<Self::Value, A::Error> {
        let mut record = BTreeMap::new();
        while let Some((name, value)) = members.next_entry::<String, &RawValue>()? {
            if record.contains_key(&name) {
                return Err(A::Error::custom(format_args!("{name:?} is a duplicate")));
            }
            record.insert(name, value);
        }
        Ok(Record(record))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_is_a_prefix_and_ends_of_keys() {
        let read = manifest(b"[{\"prefix\": \"s3://data/p/\"}, \"a\", \"b/c\"]").unwrap();
        assert_eq!((read.prefix.to_string().as_str(), read.entries.len()), ("s3://data/p/", 2));
    }

    #[test]
    fn what_is_no_manifest_is_refused_with_its_form() {
        for text in [
            "",
            "{}",
            "[]",
            "[\"a\"]",
            "[{\"prefix\": \"s3://data/p/\"}]",
            "[{\"prefix\": \"s3://data/p/\"}, \"\"]",
            "[{\"prefix\": \"s3://data/p/\"}, 7]",
            "[{\"prefix\": \"s3://data/p/\"}, {\"prefix\": \"s3://data/q/\"}]",
            "[{\"prefix\": \"data\"}, \"a\"]",
            "[{\"prefix\": \"s3://data/p/\", \"x\": 1}, \"a\"]",
        ] {
            let error = manifest(text.as_bytes()).unwrap_err().to_string();
            assert!(error.ends_with(FORM), "{text}: {error}");
        }
    }

    #[test]
    fn attributes_are_objects_or_values_in_the_order_that_was_asked_for() {
        let text =
            r#"{"source-ref": "s3://data/a.png", "label": 3.00, "text": "a\n\"b\"", "more": { "x" : 1 }}"#;
        let names = ["label", "source-ref", "text", "more"].map(str::to_owned);
        let object = Attribute::Object(S3Uri::read("s3://data/a.png").unwrap());
        let value = |text: &str| Attribute::Value(text.to_owned());
        let expected = [value("3.00"), object, value("a\n\"b\""), value("{ \"x\" : 1 }")];
        assert_eq!(augmented(&format!("{text}\n\n"), &names).unwrap(), [expected]);
        let names = ["label", "source-ref"].map(str::to_owned);
        for text in [
            "{}",
            "[]",
            "{\"label\": 1, \"label\": 2, \"source-ref\": \"s3://data/a\"}",
            "{\"label\": 1, \"source-ref\": 7}",
            "{\"label\": 1, \"source-ref\": \"/etc\"}",
        ] {
            let error = augmented(&format!("\n{text}"), &names).unwrap_err().to_string();
            assert!(error.starts_with("line 2: "), "{error}");
        }
    }
}
