//! Podman: a file in containers.conf.d (containers.conf(5)). Its lists replace those of files read before, so
//! ours include the previous values.

use std::path::Path;

use anyhow::Result;
use toml_edit::{Array, DocumentMut, Item, Value};

use super::podman_files::{DIRECTORY, files};
use super::tables::{at, extend, make, parse, put_back, read, set, strings, take_out, written};
use super::{ConfigEdit, NAME, Registration};

/// Lists of runtimes: which of them write their errors as JSON, and which do without control groups; with what Podman
/// has in them by itself (pkg/config/default.go of 4.3 to 6; `ocijail` of 5 is FreeBSD's).
const LISTS: [(&str, &[&str]); 2] = [
    ("runtime_supports_json", &["crun", "runc", "kata", "runsc", "youki", "krun"]),
    ("runtime_supports_nocgroups", &["crun", "krun"]),
];

pub(super) fn edited(config: Option<&Path>, name: &str) -> Result<ConfigEdit> {
    let file = config.map_or_else(|| Path::new(DIRECTORY).join(file_name(name, "conf")), Path::to_owned);
    let elsewhere = effective(&file)?;
    let other = elsewhere.clone();
    Ok(ConfigEdit {
        file,
        // Podman's own list of paths, which is usually not in a file.
        default_runtime: None,
        add: Box::new(move |text, wanted| add(text, wanted, &elsewhere)),
        remove: Box::new(move |text, name, before| remove(text, name, before, &other)),
    })
}

/// The name of our file in an engine's directory; sorted after all that begin with a number.
pub(super) fn file_name(name: &str, suffix: &str) -> String {
    if name.starts_with(NAME) { format!("{name}.{suffix}") } else { format!("{NAME}-{name}.{suffix}") }
}

fn add(text: &str, wanted: &Registration, elsewhere: &[Vec<String>; 2]) -> Result<String> {
    let mut document = parse(text)?;
    // Podman looks a runtime given by path up under its file name.
    let file_name = wanted.path.file_name().and_then(|name| name.to_str()).unwrap_or(NAME);
    let names: &[&str] = if file_name == wanted.name { &[file_name] } else { &[&wanted.name, file_name] };
    let engine = make(&mut document, &["engine"])?;
    for ((key, _), base) in LISTS.iter().zip(elsewhere) {
        extend(engine, key, base, names)?;
    }
    if wanted.default {
        set(engine, "runtime", wanted.name.as_str());
    }
    let path: Array = [wanted.path.display().to_string()].into_iter().collect();
    set(make(&mut document, &["engine", "runtimes"])?, &wanted.name, path);
    written(&document, text)
}

fn remove(text: &str, name: &str, before: &str, elsewhere: &[Vec<String>; 2]) -> Result<String> {
    let (mut document, before) = (parse(text)?, parse(before)?);
    let entry = ["engine", "runtimes", name];
    let Some(path) = at(&document, &entry) else { return Ok(text.to_owned()) };
    let path = strings(Some(path));
    let file_name = path.first().and_then(|path| path.rsplit('/').next()).unwrap_or_default().to_owned();
    take_out(&mut document, &entry, &before);
    let others = at(&document, &entry[..2]).and_then(Item::as_table_like);
    let shared = others.is_some_and(|others| {
        others.iter().any(|(_, path)| {
            strings(Some(path)).iter().any(|path| path.rsplit('/').next() == Some(&file_name))
        })
    });
    for ((key, _), base) in LISTS.iter().zip(elsewhere) {
        let list = ["engine", key];
        let old = at(&before, &list);
        if let Some(items) = super::tables::table_mut(&mut document, &["engine"])
            .and_then(|engine| engine.get_mut(key)?.as_array_mut())
        {
            let had = strings(old);
            items.retain(|item| {
                let item = item.as_str().unwrap_or_default();
                had.iter().any(|had| had == item) || item != name && (item != file_name || shared)
            });
        }
        if old.is_none() && strings(at(&document, &list)) == *base {
            take_out(&mut document, &list, &before);
        }
    }
    let default = ["engine", "runtime"];
    if at(&document, &default).and_then(Item::as_str) == Some(name) {
        put_back(&mut document, &default, at(&before, &default));
        if at(&document, &["engine"]).and_then(Item::as_table_like).is_some_and(|engine| engine.is_empty()) {
            take_out(&mut document, &["engine"], &before);
        }
    }
    written(&document, text)
}

/// The runtimes that write their errors as JSON, as these files make it.
pub(crate) fn supports_json(documents: &[DocumentMut]) -> Vec<String> {
    let [(key, built_in), _] = LISTS;
    effective_of(documents, key, built_in)
}

/// The effective value of a list: each one replaces the one before, or with `{append = true}` in it or in one
/// before, is appended to it (containers.conf(5), "Appending to string arrays").
fn effective_of(documents: &[DocumentMut], key: &str, built_in: &[&str]) -> Vec<String> {
    let mut found: Vec<String> = built_in.iter().map(|name| (*name).to_owned()).collect();
    let mut appends = false;
    for there in documents.iter().filter_map(|document| at(document, &["engine", key])) {
        let attributes = there.as_array().into_iter().flatten().filter_map(Value::as_inline_table);
        appends = attributes.filter_map(|table| table.get("append")?.as_bool()).last().unwrap_or(appends);
        if !appends {
            found.clear();
        }
        found.extend(strings(Some(there)));
    }
    found
}

/// The lists as they are without this file.
fn effective(without: &Path) -> Result<[Vec<String>; 2]> {
    let files = files(Path::new("/"));
    let documents = files.iter().filter(|file| *file != without).map(|file| read(file));
    let documents = documents.collect::<Result<Vec<DocumentMut>>>()?;
    Ok(LISTS.map(|(key, built_in)| effective_of(&documents, key, built_in)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_takes_the_place_of_the_one_before_unless_it_is_to_be_appended() {
        for (files, expected) in [
            (&["", ""][..], "crun krun"),
            (&["a = ['one']"], "one"),
            (&["a = ['one']", "a = ['two']"], "two"),
            (&["a = ['one', {append=true}]"], "crun krun one"),
            (&["a = ['one', {append=true}]", "", "a = ['two']"], "crun krun one two"),
            (&["a = ['one']", "a = ['two', {append=true}]", "a = ['three', {append=false}]"], "three"),
        ] {
            let parsed = |text: &&str| format!("[engine]\n{text}\n").parse().unwrap();
            let documents: Vec<DocumentMut> = files.iter().map(parsed).collect();
            assert_eq!(effective_of(&documents, "a", &["crun", "krun"]).join(" "), expected, "{files:?}");
        }
    }
}
