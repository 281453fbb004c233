//! Whether a container's user namespace confines its users and capabilities. It does if no id in it is the
//! host's root: as that, a process owns the kernel's files without any capability. Reads only.
//!
//! Ids are resolved as far as our own namespace's maps (`/proc/self/uid_map`, user_namespaces(7)); if that
//! one is nested and has its parent's root, its creator counts as the host.

use std::ops::Range;
use std::path::Path;

use anyhow::Result;

use crate::config::{IdMapping, View};
use crate::proc::{Dir, ID_MAPS, IdRange};

/// A container's user namespace.
pub(super) enum UserNamespace<'v> {
    /// Ours.
    Ours,
    /// A new one.
    New,
    /// One at a path.
    At(&'v Path),
}

/// Whether it confines. Unknown means no: a namespace that is kept by a path and not by a process.
///
/// # Errors
/// A map cannot be read.
pub(super) fn confines(namespace: &UserNamespace, view: &View) -> Result<bool> {
    let linux = view.linux.as_ref();
    for (index, map) in ID_MAPS.into_iter().enumerate() {
        let roots: Vec<u64> = IdRange::roots(&Dir::ours().id_map(map)?).collect();
        let ids: Vec<Range<u64>> = match namespace {
            UserNamespace::Ours => roots.iter().map(|root| *root..root + 1).collect(),
            UserNamespace::New => {
                let mappings =
                    linux.and_then(|linux| [&linux.uid_mappings, &linux.gid_mappings][index].as_ref());
                let mappings = mappings.map(Vec::as_slice).unwrap_or_default();
                if mappings.is_empty() {
                    return Ok(false);
                }
                mappings.iter().map(|IdMapping { host, size }| *host..host.saturating_add(*size)).collect()
            }
            UserNamespace::At(path) => {
                let Some(process) = process_of(path) else { return Ok(false) };
                let ranges = process.id_map(map)?;
                if ranges.is_empty() || ranges.iter().any(|range| range.outside >= UNMAPPED) {
                    return Ok(false);
                }
                ranges.iter().map(|range| range.outside..range.outside + range.size).collect()
            }
        };
        if roots.iter().any(|root| ids.iter().any(|ids| ids.contains(root))) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// How a map shows an id that does not exist in the reader's namespace.
const UNMAPPED: u64 = 0xffff_ffff;

/// The process of `/proc/PID/ns/user`.
fn process_of(path: &Path) -> Option<Dir> {
    let pid = path.to_str()?.strip_prefix("/proc/")?.strip_suffix("/ns/user")?;
    pid.bytes().all(|byte| byte.is_ascii_digit()).then(|| pid.parse().ok().map(Dir::of)).flatten()
}
