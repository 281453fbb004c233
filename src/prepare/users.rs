//! Whether a container's user namespace confines what its users and capabilities reach. It does when no id in it is the
//! machine's root: as that, a process owns the kernel's files without any capability. Reads only.
//!
//! Ids are followed as far as our own namespace says (`/proc/self/uid_map`, user_namespaces(7)); whoever made that one
//! within another and gave it that one's root is taken for the machine.

use std::ops::Range;
use std::path::{Component, Path};

use anyhow::{Context, Result};

use crate::config::{IdMapping, View};

/// The kinds of ids: the map of a process, and that of a document.
const MAPS: [&str; 2] = ["uid_map", "gid_map"];

/// What a container's user namespace is.
pub(super) enum Namespace<'v> {
    /// Ours.
    Ours,
    /// A new one.
    New,
    /// That at a path.
    At(&'v Path),
}

/// Whether it confines. What cannot be told does not: a namespace that is kept at a path and not by a process.
///
/// # Errors
/// A map cannot be read.
pub(super) fn confines(namespace: &Namespace, view: &View) -> Result<bool> {
    let linux = view.linux.as_ref();
    for (index, map) in MAPS.into_iter().enumerate() {
        let roots = roots(&read(Path::new("/proc/self"), map)?);
        let ids: Vec<Range<u64>> = match namespace {
            Namespace::Ours => roots.iter().map(|root| *root..root + 1).collect(),
            Namespace::New => {
                let mappings =
                    linux.and_then(|linux| [&linux.uid_mappings, &linux.gid_mappings][index].as_ref());
                let mappings = mappings.map(Vec::as_slice).unwrap_or_default();
                if mappings.is_empty() {
                    return Ok(false);
                }
                mappings.iter().map(|IdMapping { host, size }| *host..host.saturating_add(*size)).collect()
            }
            Namespace::At(path) => {
                let Some(process) = process_of(path) else { return Ok(false) };
                let lines = read(process, map)?;
                if lines.is_empty() || lines.iter().any(|line| line.outside >= UNMAPPED) {
                    return Ok(false);
                }
                lines.iter().map(|line| line.outside..line.outside + line.size).collect()
            }
        };
        if roots.iter().any(|root| ids.iter().any(|ids| ids.contains(root))) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// What a map says of an id that is none in the reader's namespace.
const UNMAPPED: u64 = 0xffff_ffff;

/// A line of a process' map.
struct Line {
    inside: u64,
    outside: u64,
    size: u64,
}

fn read(process: &Path, map: &str) -> Result<Vec<Line>> {
    let path = process.join(map);
    let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let line = |line: &str| {
        let mut numbers = line.split_ascii_whitespace().map(|number| number.parse().ok());
        let mut next = || numbers.next().flatten();
        Some(Line { inside: next()?, outside: next()?, size: next()? })
    };
    let lines: Option<Vec<Line>> = text.lines().map(line).collect();
    lines.with_context(|| format!("cannot understand {}", path.display()))
}

/// The ids of the map's namespace that are the root of the one around it.
fn roots(lines: &[Line]) -> Vec<u64> {
    lines.iter().filter(|line| line.outside == 0 && line.size > 0).map(|line| line.inside).collect()
}

/// The directory of a process in `/proc/PID/ns/user`.
fn process_of(path: &Path) -> Option<&Path> {
    let names: Vec<&str> = path
        .components()
        .map(|component| match component {
            Component::RootDir => Some("/"),
            Component::Normal(name) => name.to_str(),
            _ => None,
        })
        .collect::<Option<_>>()?;
    let is_pid = |pid: &str| !pid.is_empty() && pid.bytes().all(|byte| byte.is_ascii_digit());
    matches!(names[..], ["/", "proc", pid, "ns", "user"] if is_pid(pid))
        .then(|| path.parent()?.parent())
        .flatten()
}
