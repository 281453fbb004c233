//! containerd: a handler of the CRI plugin, modelled on the default one.
//!
//! A file of version 3 or 4 that imports a directory gets a file there. A version 2 file never does:
//! containerd 1.x takes the whole section of a plugin from the last file that has one (measured with 1.6.20),
//! so a file with a handler only would lose all the rest of the CRI settings. Nor is a file created where it
//! is not imported: containerd reads no directory by itself.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use toml_edit::{DocumentMut, Item, Table, TableLike};

use super::imports::{FILE, check_imported, drop_in, imports, own_file_of};
use super::tables::{at, extend, make, parse, put_back, read, set, strings, take_out, written};
use super::{ANNOTATIONS, ConfigEdit, Registration};
use crate::program_version;

const RUNC: &str = "io.containerd.runc.v2";

pub(super) fn edited(config: Option<&Path>, name: &str) -> Result<ConfigEdit> {
    let main = config.unwrap_or(Path::new(FILE)).to_owned();
    let document = read(&main)?;
    let own = own_file_of(&main)?;
    let version = match own.as_ref().and_then(config_version).filter(|_| document.is_empty()) {
        Some(version @ 2..=4) => version,
        _ => version(&document).with_context(|| format!("cannot use {}", main.display()))?,
    };
    let imported = imports(Path::new("/"), &main, &document)?;
    if let Some((other, _)) =
        imported.iter().find(|(_, other)| version == 2 && at(other, &["plugins", plugin(2)]).is_some())
    {
        bail!(
            "cannot install into {}: {}, which it imports, has the whole CRI section in containerd 1.x; name that \
             file with --config",
            main.display(),
            other.display()
        );
    }
    let here = at(&document, &[&way(version)[..], &["runtimes", name]].concat()).is_some();
    let file = drop_in(&main, &document, name).filter(|_| version >= 3 && !here).unwrap_or(main);
    let whole: Vec<DocumentMut> =
        imported.into_iter().map(|(_, other)| other).chain([document]).chain(own.clone()).collect();
    let options = model(&whole, version, name).and_then(|model| model.get("options").cloned());
    let binary = options.as_ref().and_then(|options| options.as_table_like()?.get("BinaryName")?.as_str());
    let default_runtime = binary.map(PathBuf::from);
    let place = file.clone();
    Ok(ConfigEdit {
        file,
        default_runtime,
        add: Box::new(move |text, wanted| {
            check_imported(&place, own.as_ref())?;
            add(text, wanted, version, &whole)
        }),
        remove: Box::new(move |text, name, before| remove(text, name, before, version)),
    })
}

fn add(text: &str, wanted: &Registration, version: i64, whole: &[DocumentMut]) -> Result<String> {
    whole.iter().try_for_each(check_served)?;
    let mut document = parse(text)?;
    if document.is_empty() {
        // After the existing comments.
        let newline = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
        document = parse(&format!("{text}{newline}version = {version}\n"))?;
    }
    let way = way(version);
    // containerd 1.x forgets its own runc as soon as a file names any runtime (measured with 1.6.20).
    let runtimes = [&way[..], &["runtimes"]].concat();
    if version == 2 && at(&document, &runtimes).is_none() {
        let runc = make(&mut document, &[&runtimes[..], &["runc"]].concat())?;
        set(runc, "runtime_type", RUNC);
    }
    let model = model(whole, version, &wanted.name);
    let path = [&runtimes[..], &[&wanted.name]].concat();
    let handler = make(&mut document, &path)?;
    let copied = model.as_deref().into_iter().flat_map(TableLike::iter);
    for (key, item) in copied.filter(|(key, item)| !handler_has(key) && item.is_value()) {
        if !handler.contains_key(key) {
            handler.insert(key, item.clone());
        }
    }
    set(handler, "runtime_type", RUNC);
    let switches: Vec<&str> =
        [ANNOTATIONS].into_iter().chain(wanted.switches.iter().map(String::as_str)).collect();
    for key in ["pod_annotations", "container_annotations"] {
        extend(handler, key, &strings(model.as_deref().and_then(|model| model.get(key))), &switches)?;
    }
    let options = make(&mut document, &[&path[..], &["options"]].concat())?;
    let copied = model.as_deref().and_then(|model| model.get("options")?.as_table_like());
    for (key, item) in copied.into_iter().flat_map(TableLike::iter) {
        if !options.contains_key(key) {
            options.insert(key, item.clone());
        }
    }
    set(options, "BinaryName", wanted.path.display().to_string());
    if wanted.default {
        set(make(&mut document, &way)?, DEFAULT, wanted.name.as_str());
    }
    written(&document, text)
}

fn remove(text: &str, name: &str, before: &str, version: i64) -> Result<String> {
    let (mut document, before) = (parse(text)?, parse(before)?);
    let way = way(version);
    let runtimes = [&way[..], &["runtimes"]].concat();
    let handler = [&runtimes[..], &[name]].concat();
    if at(&document, &handler).is_none() {
        return Ok(text.to_owned());
    }
    let default = [&way[..], &[DEFAULT]].concat();
    if at(&document, &default).and_then(Item::as_str) == Some(name) {
        let known = |item: &&Item| {
            item.as_str().is_some_and(|old| {
                old == "runc" || at(&document, &[&runtimes[..], &[old]].concat()).is_some()
            })
        };
        let old = at(&before, &default).filter(known).cloned();
        put_back(&mut document, &default, old.as_ref());
    }
    take_out(&mut document, &handler, &before);
    // The entry added together with ours, if it is alone and unchanged.
    let left = at(&document, &runtimes).and_then(Item::as_table_like);
    let ours = |(key, item): (&str, &Item)| {
        let table = item.as_table_like();
        key == "runc"
            && table.is_some_and(|table| {
                table.len() == 1 && table.get("runtime_type").and_then(Item::as_str) == Some(RUNC)
            })
    };
    if at(&before, &runtimes).is_none() && left.is_some_and(|left| left.iter().all(ours)) {
        take_out(&mut document, &[&runtimes[..], &["runc"]].concat(), &before);
    }
    written(&document, text)
}

/// The default handler, or the one of runc if the default is of another kind: ours should behave like it.
fn model(whole: &[DocumentMut], version: i64, own: &str) -> Option<Box<Table>> {
    let find = |path: &[&str]| {
        whole.iter().find_map(|document| at(document, &[&way_of(document, version)[..], path].concat()))
    };
    let default = find(&[DEFAULT]).and_then(Item::as_str).filter(|name| *name != own);
    default.into_iter().chain(["runc"]).find_map(|name| {
        let handler = find(&["runtimes", name])?.clone().into_table().ok()?;
        let is_runc = handler.get("runtime_type").and_then(Item::as_str).is_none_or(|kind| kind == RUNC);
        is_runc.then(|| Box::new(handler))
    })
}

/// Keys of a handler that are not copied from its model.
fn handler_has(key: &str) -> bool {
    matches!(
        key,
        "runtime_type"
            | "runtime_path"
            | "runtime_engine"
            | "runtime_root"
            | "pod_annotations"
            | "container_annotations"
    )
}

/// The version of a file; for a missing or an empty one, that of the installed containerd.
fn version(document: &DocumentMut) -> Result<i64> {
    match config_version(document).or((!document.is_empty()).then_some(1)) {
        Some(version @ 2..=4) => Ok(version),
        Some(other) => {
            check_served(document)?;
            bail!("its version is {other}, and 2, 3 and 4 are known; see `containerd config migrate`")
        }
        None => {
            let said = program_version::query(Path::new("containerd"));
            match said.as_deref().and_then(program_version::major) {
                Some(1) => Ok(2),
                Some(_) => Ok(3),
                None => bail!(
                    "it does not exist, and no containerd reports its version; write `version = 2` (containerd 1.x) or `version = 3` into it"
                ),
            }
        }
    }
}

pub(crate) fn config_version(document: &DocumentMut) -> Option<i64> {
    document.get("version").and_then(Item::as_integer)
}

/// The entry that disables the CRI plugin, as in the file that comes with Docker's containerd.io.
pub(crate) fn disabled(document: &DocumentMut) -> Option<String> {
    let all = strings(document.get("disabled_plugins"));
    let cri = |plugin: &String| plugin == "cri" || [2, 3].map(self::plugin).contains(&plugin.as_str());
    all.into_iter().find(cri).map(|plugin| format!("disabled_plugins has {plugin:?}"))
}

fn check_served(document: &DocumentMut) -> Result<()> {
    match disabled(document) {
        Some(disabled) => bail!("{disabled}, so no pods run in this containerd; take that out first"),
        None => Ok(()),
    }
}

/// Version 4 came with containerd 2.3 and has handlers where version 3 has them (RELEASES.md, "Daemon Configuration").
pub(crate) fn plugin(version: i64) -> &'static str {
    if version == 2 { "io.containerd.grpc.v1.cri" } else { "io.containerd.cri.v1.runtime" }
}

/// The keys that lead to the section on runtimes.
fn way(version: i64) -> [&'static str; 3] {
    ["plugins", plugin(version), "containerd"]
}

/// The same in a file that may be imported by one of another version.
pub(crate) fn way_of(document: &DocumentMut, version: i64) -> [&'static str; 3] {
    way(config_version(document).unwrap_or(version))
}

const DEFAULT: &str = "default_runtime_name";
