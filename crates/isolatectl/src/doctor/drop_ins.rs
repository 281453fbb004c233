//! Podman and CRI-O, which read several files in order: whether one of them names the shim.

use std::path::{Path, PathBuf};

use anyhow::Result;
use toml_edit::{DocumentMut, Item};

use super::{Finding, is_shim, unusable};
use crate::install::tables::{at, read, strings};
use crate::install::{crio as crio_files, podman as podman_lists, podman_files};
use crate::program_version;

pub(super) fn podman(root: &Path, shim: &Path) -> Finding {
    let path = |runtime: &Item| strings(Some(runtime)).into_iter().next();
    check("podman", &podman_files::files(root), &["engine", "runtimes"], shim, path, |found, documents| {
        if podman_lists::supports_json(documents).contains(&found.name) {
            return None;
        }
        Some("it is not in runtime_supports_json, so Podman does not show why a container was refused".into())
    })
}

pub(super) fn crio(root: &Path, shim: &Path) -> Finding {
    let path = |runtime: &Item| Some(runtime.get("runtime_path")?.as_str()?.to_owned());
    check("crio", &crio_files::files(root), &["crio", "runtime", "runtimes"], shim, path, |_, _| None)
}

/// A runtime in a configuration file.
struct ConfiguredRuntime {
    name: String,
    path: String,
    file: PathBuf,
}

fn check(
    engine: &'static str,
    files: &[PathBuf],
    runtimes: &[&str],
    shim: &Path,
    path: impl Fn(&Item) -> Option<String>,
    lacks: impl Fn(&ConfiguredRuntime, &[DocumentMut]) -> Option<String>,
) -> Finding {
    let version = program_version::query(Path::new(engine));
    if version.is_none() && !files.iter().any(|file| file.exists()) {
        return Finding::ok(engine, "not there");
    }
    let version = version.unwrap_or_else(|| "no program of that name".into());
    let install = format!("isolatectl install {engine}");
    let documents = match files.iter().map(|file| read(file)).collect::<Result<Vec<_>>>() {
        Ok(documents) => documents,
        Err(error) => return Finding::fail(engine, format!("{error:#}"), "correct it"),
    };
    // Of two entries with the same name the later one counts.
    let mut found: Vec<ConfiguredRuntime> = Vec::new();
    for (file, document) in files.iter().zip(&documents) {
        let table = at(document, runtimes).and_then(Item::as_table_like);
        for (name, runtime) in table.into_iter().flat_map(|table| table.iter()) {
            let Some(path) = path(runtime) else { continue };
            found.retain(|before| before.name != name);
            found.push(ConfiguredRuntime { name: name.to_owned(), path, file: file.clone() });
        }
    }
    let Some(found) = found.into_iter().rfind(|found| is_shim(Path::new(&found.path), shim)) else {
        return Finding::warn(engine, format!("{version}; no runtime of it is oci-isolate"), install);
    };
    let says = format!("{version}; runtime {} of {} is {}", found.name, found.file.display(), found.path);
    if let Some(why) = unusable(Path::new(&found.path)) {
        return Finding::fail(engine, format!("{says}: {why}"), install);
    }
    match lacks(&found, &documents) {
        Some(why) => Finding::warn(engine, format!("{says}; {why}"), install),
        None => Finding::ok(engine, says),
    }
}
