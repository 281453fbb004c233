//! Searches a mounted directory for sockets with a bound process, and for FIFOs. Reads only.
//!
//! Every entry is inspected, up to a limit for all directories of a document. Beyond it the kernel's lists of
//! sockets of all network namespaces are used: they contain paths as they were bound, so a socket with a
//! relative path or of another mount namespace is missed.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::Read;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use rustix::fs::FileType;

use super::path_fd::PathFd;
use super::unix_socket::is_bound;
use crate::rules::mounts::{Class, FileSystem};

/// The maximum number of entries, for all directories together.
const ENTRIES: usize = 1 << 17;
/// How much of the kernel's lists is read, in bytes.
const LIST_LIMIT: u64 = 16 << 20;
/// Most lists are shorter; the kernel gives a page at a time.
const CAPACITY: usize = 8 << 10;

/// Sockets and FIFOs in a directory, by relative path, in order.
#[derive(Default)]
pub(super) struct SearchResult {
    pub(super) sockets: BTreeSet<PathBuf>,
    pub(super) fifos: BTreeSet<PathBuf>,
    /// Whether every entry was inspected.
    pub(super) complete: bool,
}

impl SearchResult {
    /// A complete search without a result.
    pub(super) fn nothing() -> Self {
        Self { complete: true, ..Self::default() }
    }
}

/// A directory to search.
#[derive(Clone, Copy)]
pub(super) struct SearchTarget<'a> {
    pub(super) opened: &'a PathFd,
    /// A path to the directory through which its sockets are reached: for the upper layer of an overlay, the
    /// overlay.
    pub(super) bound: &'a Path,
    /// The host path of that.
    pub(super) real: &'a Path,
    /// Mounts below it. Those of other machines or the kernel are not entered, since that may take
    /// arbitrarily long.
    pub(super) below: &'a [(PathBuf, FileSystem)],
    /// Names of directories in it that are not entered.
    pub(super) hidden: &'a [&'a str],
}

/// Searches directory after directory.
pub(super) struct SocketSearch {
    left: usize,
    bound: Option<BTreeSet<PathBuf>>,
}

impl SocketSearch {
    pub(super) fn new() -> Self {
        Self { left: ENTRIES, bound: None }
    }

    /// Searches a directory.
    pub(super) fn run(&mut self, searched: &SearchTarget) -> Result<SearchResult> {
        let SearchTarget { opened, bound, real, below, hidden } = *searched;
        let mut found = SearchResult::nothing();
        let is_foreign = |path: &Path| {
            let mount = below.iter().find(|(point, _)| point == path);
            mount.is_some_and(|(_, fs)| matches!(fs.class, Class::Network | Class::System))
        };
        let is_hidden = |path: &Path| hidden.iter().any(|name| path.as_os_str() == *name);
        let mut directories = vec![PathBuf::new()];
        while let Some(directory) = directories.pop() {
            let here = match opened.directory(&directory) {
                Ok(here) => here,
                // A directory that we may not read, a rootless container may not either.
                Err(Errno::ENOENT | Errno::EACCES | Errno::EPERM) => continue,
                Err(_) => {
                    found.complete = false;
                    continue;
                }
            };
            let read = here.each_entry(|name, kind| {
                if self.left == 0 {
                    return false;
                }
                self.left -= 1;
                let path = || directory.join(OsStr::from_bytes(name.to_bytes()));
                match here.kind_of(name, kind) {
                    FileType::Directory => {
                        let path = path();
                        if !is_hidden(&path) && (below.is_empty() || !is_foreign(&real.join(&path))) {
                            directories.push(path);
                        }
                    }
                    FileType::Socket => {
                        let path = path();
                        if is_bound(&bound.join(&path)) {
                            found.sockets.insert(path);
                        }
                    }
                    FileType::Fifo => {
                        found.fifos.insert(path());
                    }
                    _ => {}
                }
                true
            });
            match read {
                Ok(true) => {}
                Ok(false) => {
                    self.by_list(real, &mut found)?;
                    return Ok(found);
                }
                Err(_) => found.complete = false,
            }
        }
        Ok(found)
    }

    fn by_list(&mut self, real: &Path, found: &mut SearchResult) -> Result<()> {
        found.complete = false;
        if self.bound.is_none() {
            self.bound = Some(listed()?);
        }
        for path in self.bound.iter().flatten() {
            let Ok(below) = path.strip_prefix(real) else { continue };
            if !found.sockets.contains(below) && is_bound(path) {
                found.sockets.insert(below.to_owned());
            }
        }
        Ok(())
    }
}

/// The paths of all unix sockets of the host, from one list per network namespace with a process in it.
fn listed() -> Result<BTreeSet<PathBuf>> {
    let mut namespaces = BTreeSet::new();
    let mut paths = BTreeSet::new();
    let processes = std::fs::read_dir("/proc").context("cannot read /proc")?;
    for process in processes.flatten().map(|entry| entry.path()) {
        // A process that ends meanwhile has no sockets any more, and a user's shim may inspect the user's
        // processes only.
        let Ok(namespace) = std::fs::read_link(process.join("ns/net")) else { continue };
        if !namespaces.insert(namespace) {
            continue;
        }
        let Ok(text) = read_list(&process.join("net/unix")) else { continue };
        let lines = text.split(|byte| *byte == b'\n');
        let path = |line: &[u8]| {
            let at = line.iter().position(|byte| *byte == b'/')?;
            Some(PathBuf::from(OsString::from_vec(line[at..].to_vec())))
        };
        paths.extend(lines.filter_map(path));
    }
    Ok(paths)
}

/// Reads a list of the kernel. One that exceeds the limit is an error: the unread part might matter.
pub(super) fn read_list(path: &Path) -> Result<Vec<u8>> {
    let shown = || format!("cannot read {}", path.display());
    let mut bytes = Vec::with_capacity(CAPACITY);
    let file = File::open(path).with_context(shown)?;
    file.take(LIST_LIMIT + 1).read_to_end(&mut bytes).with_context(shown)?;
    if bytes.len() as u64 > LIST_LIMIT {
        bail!("{} is larger than {LIST_LIMIT} bytes", path.display());
    }
    Ok(bytes)
}
