//! CRI-O: a handler in crio.conf.d (crio.conf(5)).
//!
//! `allowed_annotations` is not used: it accepts only names from a list that CRI-O knows, CRI-O does not
//! start with any other (`validateAllowedAndGenerateDisallowedAnnotations`, pkg/config/config.go), and
//! annotations outside that list reach every runtime (`SpecAddAnnotations`,
//! internal/factory/container/container.go).

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use toml_edit::{DocumentMut, Item, Table};

use super::podman::file_name;
use super::tables::{at, make, parse, put_back, read, set, take_out, written};
use super::{ConfigEdit, Registration};

pub(crate) const DIRECTORY: &str = "/etc/crio/crio.conf.d";
const RUNTIME: [&str; 2] = ["crio", "runtime"];

/// What is said of a handler that becomes the default.
pub(super) const OF_DEFAULT: &str = "it has the root of the handler that was the default, so that CRI-O finds the pods that run; platform \
     containers need a handler with a root of its own: isolatectl install crio --name NAME, and a RuntimeClass for it";

/// What is copied from the default handler: how a container is monitored, and what CRI-O does for it.
const COPIED: [&str; 6] = [
    "monitor_path",
    "monitor_cgroup",
    "monitor_env",
    "monitor_exec_cgroup",
    "allowed_annotations",
    "privileged_without_host_devices",
];

pub(super) fn edited(config: Option<&Path>, name: &str) -> Result<ConfigEdit> {
    let file = config.map_or_else(|| Path::new(DIRECTORY).join(file_name(name, "conf")), Path::to_owned);
    let mut model = None;
    let others: Vec<_> = files(Path::new("/"))
        .into_iter()
        .filter(|other| *other != file)
        .chain(config.map(PathBuf::from))
        .collect();
    let documents = others.iter().map(|file| read(file)).collect::<Result<Vec<DocumentMut>>>()?;
    let find = |path: &[&str]| {
        documents.iter().rev().find_map(|document| at(document, &[&RUNTIME[..], path].concat()))
    };
    let default = find(&[DEFAULT]).and_then(Item::as_str).filter(|default| *default != name);
    // crun is the default since 1.31, runc was before; the one that is configured.
    for default in default.into_iter().chain(["crun", "runc"]) {
        model = model.or_else(|| find(&["runtimes", default])?.clone().into_table().ok());
    }
    let model = model.unwrap_or_default();
    let default_runtime = model.get("runtime_path").and_then(Item::as_str).map(PathBuf::from);
    Ok(ConfigEdit {
        file,
        default_runtime,
        add: Box::new(move |text, wanted| add(text, wanted, &model)),
        remove: Box::new(remove),
    })
}

fn add(text: &str, wanted: &Registration, model: &Table) -> Result<String> {
    let mut document = parse(text)?;
    let path = [&RUNTIME[..], &["runtimes", &wanted.name]].concat();
    let default = [&RUNTIME[..], &[DEFAULT]].concat();
    let default_root = model.get(ROOT).and_then(Item::as_str);
    let is_default = at(&document, &default).and_then(Item::as_str) == Some(&wanted.name);
    let root = match at(&document, &path).map(|handler| handler.get(ROOT).and_then(Item::as_str)) {
        Some(root) if wanted.default && !is_default && root != default_root => bail!(
            "the pods of handler {} are in {}, those of the default in {}; make another handler the default, with --name",
            wanted.name,
            root.unwrap_or(UNSET),
            default_root.unwrap_or(UNSET)
        ),
        // Where there may be containers, it stays.
        Some(_) => None,
        // CRI-O looks for the containers of pods without a handler in the root of the default, also for those that run by now.
        None if wanted.default => default_root.map(str::to_owned),
        // One of its own, by which its pods are known (`record::check_root`).
        None => Some(format!("/run/crio/{}", wanted.name)),
    };
    if wanted.default {
        set(make(&mut document, &RUNTIME)?, DEFAULT, wanted.name.as_str());
    }
    let handler = make(&mut document, &path)?;
    set(handler, "runtime_path", wanted.path.display().to_string());
    set(handler, "runtime_type", "oci");
    if let Some(root) = root {
        set(handler, ROOT, root);
    }
    for key in COPIED {
        if let Some(item) = model.get(key).filter(|_| !handler.contains_key(key)) {
            handler.insert(key, item.clone());
        }
    }
    written(&document, text)
}

fn remove(text: &str, name: &str, before: &str) -> Result<String> {
    let (mut document, before) = (parse(text)?, parse(before)?);
    let handler = [&RUNTIME[..], &["runtimes", name]].concat();
    if at(&document, &handler).is_none() {
        return Ok(text.to_owned());
    }
    let default = [&RUNTIME[..], &[DEFAULT]].concat();
    if at(&document, &default).and_then(Item::as_str) == Some(name) {
        put_back(&mut document, &default, at(&before, &default));
    }
    take_out(&mut document, &handler, &before);
    written(&document, text)
}

/// The files that CRI-O reads below `root`, in order; the last one wins.
pub(crate) fn files(root: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(root.join(&DIRECTORY[1..]))
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path());
    let mut found: Vec<_> = entries.filter(|path| path.is_file()).collect();
    found.sort();
    found.insert(0, root.join("etc/crio/crio.conf"));
    found
}

const DEFAULT: &str = "default_runtime";

/// Where a runtime keeps the containers of a handler.
const ROOT: &str = "runtime_root";

/// The root of a handler that names none.
const UNSET: &str = "CRI-O's own root";
