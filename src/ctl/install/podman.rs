//! Podman: a file in containers.conf.d (containers.conf(5)). Its lists replace those of files read before, so ours
//! take along what holds without them.

use std::path::{Path, PathBuf};

use anyhow::Result;
use toml_edit::{Array, DocumentMut, Item};

use super::containerd::read;
use super::tables::{at, extend, make, parse, put_back, set, strings, take_out, written};
use super::{Edited, NAME, Wanted};

pub(in crate::ctl) const DIRECTORY: &str = "/etc/containers/containers.conf.d";

/// Lists of runtimes: which of them write their errors as JSON, and which do without control groups; with what Podman
/// has in them by itself (containers/common, pkg/config/default.go, 4.3 and 5).
const LISTS: [(&str, &[&str]); 2] = [
    ("runtime_supports_json", &["crun", "runc", "kata", "runsc", "youki", "krun"]),
    ("runtime_supports_nocgroups", &["crun", "krun"]),
];

pub(super) fn edited(config: Option<&Path>, name: &str) -> Result<Edited> {
    let file = config.map_or_else(|| Path::new(DIRECTORY).join(file_name(name, "conf")), Path::to_owned);
    let elsewhere = effective(&file)?;
    let other = elsewhere.clone();
    Ok(Edited {
        file,
        // Podman's own list of places, of which nobody writes one down.
        behind: None,
        add: Box::new(move |text, wanted| add(text, wanted, &elsewhere)),
        remove: Box::new(move |text, name, before| remove(text, name, before, &other)),
    })
}

/// The name of a file of ours in a directory of an engine; behind all that begin with a number.
pub(super) fn file_name(name: &str, suffix: &str) -> String {
    if name.starts_with(NAME) { format!("{name}.{suffix}") } else { format!("{NAME}-{name}.{suffix}") }
}

fn add(text: &str, wanted: &Wanted, elsewhere: &[Vec<String>; 2]) -> Result<String> {
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

/// What Podman reads below `root`, in its order; the last one wins.
pub(in crate::ctl) fn files(root: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = ["usr/share/containers/containers.conf", "etc/containers/containers.conf"]
        .map(|file| root.join(file))
        .into();
    let entries = std::fs::read_dir(root.join(&DIRECTORY[1..]))
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path());
    let mut more: Vec<_> =
        entries.filter(|path| path.extension().is_some_and(|suffix| suffix == "conf")).collect();
    more.sort();
    found.append(&mut more);
    found
}

/// The lists as they are without this file.
fn effective(without: &Path) -> Result<[Vec<String>; 2]> {
    let mut lists = LISTS.map(|(_, default)| default.iter().map(|name| (*name).to_owned()).collect());
    for file in files(Path::new("/")).iter().filter(|file| *file != without) {
        let document: DocumentMut = read(file)?;
        for ((key, _), list) in LISTS.iter().zip(&mut lists) {
            if let Some(there) = at(&document, &["engine", key]) {
                *list = strings(Some(there));
            }
        }
    }
    Ok(lists)
}
