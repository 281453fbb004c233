//! Docker: `runtimes` and `default-runtime` of daemon.json (dockerd(8)), both read again on SIGHUP.

use std::ops::Range;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::json::{ObjectMember, insert, members, remove, spliced};
use super::{ConfigEdit, Registration};
use oci_isolate::files::{self, SMALL_LIMIT};

pub(crate) const FILE: &str = "/etc/docker/daemon.json";

pub(super) fn edited(config: Option<&Path>, name: &str) -> ConfigEdit {
    let file = config.unwrap_or(Path::new(FILE)).to_owned();
    let default_runtime = behind(&file, name);
    ConfigEdit { file, default_runtime, add: Box::new(add), remove: Box::new(take_out) }
}

/// An unreadable file is reported when it is edited.
fn behind(file: &Path, name: &str) -> Option<PathBuf> {
    let document: Value = serde_json::from_slice(&files::read(file, SMALL_LIMIT).ok()?.bytes).ok()?;
    let default = document.get(DEFAULT)?.as_str().filter(|default| *default != name)?;
    Some(document.get("runtimes")?.get(default)?.get("path")?.as_str()?.into())
}

fn add(text: &str, wanted: &Registration) -> Result<String> {
    if text.trim_ascii().is_empty() {
        return add("{\n}\n", wanted);
    }
    let mut text = text.to_owned();
    match find(&text, 0..text.len(), "runtimes")? {
        None => {
            let empty = match newline(&text) {
                Some(newline) => format!("{{{newline}    }}"),
                None => "{}".into(),
            };
            text = append(&text, 0..text.len(), "runtimes", &empty, 1)?;
        }
        Some(runtimes) if !text[runtimes.value.clone()].starts_with('{') => {
            bail!("\"runtimes\" is not an object")
        }
        Some(_) => {}
    }
    let runtimes = find(&text, 0..text.len(), "runtimes")?.context("\"runtimes\" is gone")?.value;
    match find(&text, runtimes.clone(), &wanted.name)? {
        Some(there) => {
            let now: Value = serde_json::from_str(&text[there.value.clone()])?;
            if now != serde_json::from_str::<Value>(&runtime_json(wanted))? {
                text = spliced(&text, there.value, &runtime_json(wanted));
            }
        }
        None => text = append(&text, runtimes, &wanted.name, &runtime_json(wanted), 2)?,
    }
    if !wanted.default {
        return Ok(text);
    }
    let name = Value::from(wanted.name.as_str()).to_string();
    match find(&text, 0..text.len(), DEFAULT)? {
        Some(there) => Ok(spliced(&text, there.value, &name)),
        None => append(&text, 0..text.len(), DEFAULT, &name, 1),
    }
}

fn take_out(text: &str, name: &str, before: &str) -> Result<String> {
    if text.trim_ascii().is_empty() {
        return Ok(text.to_owned());
    }
    let mut text = text.to_owned();
    let whole = 0..text.len();
    let Some(runtimes) = find(&text, whole.clone(), "runtimes")?.map(|member| member.value) else {
        return Ok(text);
    };
    if !text[runtimes.clone()].starts_with('{') || find(&text, runtimes.clone(), name)?.is_none() {
        return Ok(text);
    }
    text = remove(&text, runtimes, name)?;
    let left = find(&text, 0..text.len(), "runtimes")?.context("\"runtimes\" is gone")?.value;
    let known: Vec<String> = members(&text, left)?.into_iter().map(|member| member.name).collect();
    let had = |key: &str| {
        if before.trim_ascii().is_empty() { Ok(None) } else { find(before, 0..before.len(), key) }
    };
    // An object that was empty before stays; one that others have emptied meanwhile is removed.
    let empty = |member: ObjectMember| members(before, member.value).is_ok_and(|members| members.is_empty());
    if known.is_empty() && !had("runtimes")?.is_some_and(empty) {
        text = remove(&text, 0..text.len(), "runtimes")?;
    }
    let Some(default) = find(&text, 0..text.len(), DEFAULT)? else { return Ok(text) };
    if serde_json::from_str::<Value>(&text[default.value.clone()])? != name {
        return Ok(text);
    }
    // dockerd does not start with a default that it does not know.
    let previous = had(DEFAULT)?.map(|member| &before[member.value]);
    let usable = |previous: &&str| {
        let previous: String = serde_json::from_str(previous).unwrap_or_default();
        previous != name && (known.contains(&previous) || previous == "runc" || previous.contains('.'))
    };
    match previous.filter(usable) {
        Some(previous) => Ok(spliced(&text, default.value, previous)),
        None => remove(&text, 0..text.len(), DEFAULT),
    }
}

/// The runtime as a member of `runtimes`.
fn runtime_json(wanted: &Registration) -> String {
    let path = Value::from(wanted.path.display().to_string());
    let arguments = wanted.flag.map(|flag| format!(", \"runtimeArgs\": [\"{flag}\"]")).unwrap_or_default();
    format!("{{\"path\": {path}{arguments}}}")
}

/// Appends a member; in an empty object of several lines, on a line of its own.
fn append(text: &str, object: Range<usize>, name: &str, value: &str, depth: usize) -> Result<String> {
    let new = insert(text, object.clone(), name, value)?;
    let spread = newline(&text[object.clone()]);
    let Some(newline) = spread.filter(|_| members(text, object.clone()).is_ok_and(|there| there.is_empty()))
    else {
        return Ok(new);
    };
    let opening = object.start + text[object].find('{').unwrap_or(0) + 1;
    Ok(spliced(&new, opening..opening, &format!("{newline}{}", "    ".repeat(depth))))
}

/// The line ending of a text, if it has several lines.
fn newline(text: &str) -> Option<&'static str> {
    text.contains('\n').then(|| if text.contains("\r\n") { "\r\n" } else { "\n" })
}

fn find(text: &str, object: Range<usize>, name: &str) -> Result<Option<ObjectMember>> {
    Ok(members(text, object)?.into_iter().find(|member| member.name == name))
}

const DEFAULT: &str = "default-runtime";

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn wanted(name: &str, default: bool) -> Registration {
        Registration {
            name: name.into(),
            path: "/opt/oci-isolate".into(),
            default,
            flag: None,
            switches: vec![],
        }
    }

    fn values() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            any::<bool>().prop_map(Value::from),
            any::<u32>().prop_map(Value::from),
            ".{0,6}".prop_map(Value::from)
        ];
        leaf.prop_recursive(3, 16, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
                prop::collection::btree_map("[a-z\"{},: ]{1,6}", inner, 0..3)
                    .prop_map(|map| map.into_iter().collect()),
            ]
        })
    }

    fn documents() -> impl Strategy<Value = (String, bool)> {
        let members = prop::collection::btree_map("[a-z\"{},:é ]{1,9}", values(), 0..4);
        let runtimes = prop::option::of(prop::collection::btree_map(
            "[a-z]{1,5}",
            Just(serde_json::json!({"path": "/x"})),
            1..3,
        ));
        let default = prop::option::of(Just("runc"));
        (members, runtimes, default, any::<bool>(), any::<bool>()).prop_map(
            |(members, runtimes, default, pretty, set)| {
                let mut map: serde_json::Map<String, Value> = members.into_iter().collect();
                map.extend(runtimes.map(|runtimes| ("runtimes".into(), runtimes.into_iter().collect())));
                map.extend(default.map(|default| (DEFAULT.into(), default.into())));
                let value = Value::from(map);
                (if pretty { format!("{value:#}\n") } else { value.to_string() }, set)
            },
        )
    }

    proptest! {
        #[test]
        fn what_comes_goes_again_to_the_byte((text, default) in documents()) {
            let with = add(&text, &wanted("ours", default)).unwrap();
            prop_assert_eq!(&add(&with, &wanted("ours", default)).unwrap(), &with);
            let value: Value = serde_json::from_str(&with).unwrap();
            prop_assert_eq!(&value["runtimes"]["ours"]["path"], "/opt/oci-isolate");
            prop_assert!(!default || value[DEFAULT] == "ours");
            let mut value = value;
            let mut old: Value = serde_json::from_str(&text).unwrap();
            value.as_object_mut().unwrap().remove("runtimes");
            value.as_object_mut().unwrap().remove(DEFAULT);
            old.as_object_mut().unwrap().remove("runtimes");
            old.as_object_mut().unwrap().remove(DEFAULT);
            prop_assert_eq!(value, old);
            // An object without a member is the one that can come out spread differently; change.rs keeps those.
            if text.trim() != "{}" {
                prop_assert_eq!(take_out(&with, "ours", &text).unwrap(), text);
            }
        }

        #[test]
        fn two_runtimes_go_in_either_order((text, default) in documents(), first in any::<bool>()) {
            prop_assume!(text.trim() != "{}");
            let one = add(&text, &wanted("one", default)).unwrap();
            let two = add(&one, &wanted("two", default)).unwrap();
            let (gone, base, then) = if first { ("one", &text, ("two", &one)) } else { ("two", &one, ("one", &text)) };
            let left = take_out(&two, gone, base).unwrap();
            let left = take_out(&left, then.0, then.1).unwrap();
            let value: Value = serde_json::from_str(&left).unwrap();
            prop_assert!(value.get(DEFAULT).is_none_or(|default| default == "runc"), "{}", left);
            if !default {
                prop_assert_eq!(left, text);
            }
        }
    }
}
