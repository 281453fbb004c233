//! Looks up which of the files that SDKs read credentials from are there, in the root file system and in what is mounted
//! over it. Nothing is followed out of the container: links are resolved as its own processes would (openat2(2)).
//!
//! Only what is there at `create` can be masked; a file that comes later comes from the container itself, or through a
//! volume that somebody fills while it runs.

use std::collections::BTreeSet;

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::stat::{FileStat, SFlag};

use super::open::{Opened, text};
use super::sources::Root;
use crate::config::View;
use crate::rules::Sources;
use crate::rules::credentials::files;
use crate::rules::mounts::{self, Node, clean, is_within};

/// As much is read of a file, in bytes.
const FILE_LIMIT: usize = 256 << 10;
/// As many homes are looked into.
const HOMES: usize = 64;

/// What a process in the container would find at a path.
struct Tree<'a> {
    root: &'a Root,
    /// Destinations in the order of the mounts, and the host's path behind them, if it is one.
    mounts: Vec<(String, Option<&'a str>)>,
}

/// Paths in the container at which there may be credentials.
pub(super) fn credential_files(view: &View, root: &Root, sources: &Sources) -> Vec<String> {
    let mounts = view.mounts.iter().flatten().map(|mount| {
        let source = mount.source.as_ref().filter(|_| mounts::is_bind(mount));
        let real = source.and_then(|source| text(&sources.get(&**source)?.real));
        (clean(&mount.destination), real)
    });
    let tree = Tree { root, mounts: mounts.collect() };
    let mut paths = BTreeSet::new();
    for home in homes(view, &tree, sources).into_iter().take(HOMES) {
        in_home(&tree, &home, &mut paths);
    }
    paths.extend(files::ABSOLUTE.iter().filter(|path| tree.has(path)).map(|path| (*path).to_owned()));
    let logins = files::ABSOLUTE_LOGINS.iter().filter(|path| tree.is_login(path));
    paths.extend(logins.map(|path| (*path).to_owned()));
    let pointers = files::pointers(view).into_iter().filter(|(path, directory)| tree.is(path, *directory));
    paths.extend(pointers.map(|(path, _)| path));
    paths.into_iter().collect()
}

/// Homes in the container: of its process, of its users, below `/home`, and each directory that is mounted, which may be
/// somebody's home on the host.
fn homes(view: &View, tree: &Tree, sources: &Sources) -> BTreeSet<String> {
    let mut homes: BTreeSet<String> = ["/", "/root"].map(str::to_owned).into();
    homes.extend(files::home(view).map(clean));
    if let Ok(passwd) = tree.read("/etc/passwd") {
        homes.extend(files::homes_of(&String::from_utf8_lossy(&passwd)));
    }
    let mut children_of = vec!["/home".to_owned()];
    for mount in view.mounts.iter().flatten().filter(|mount| mounts::is_bind(mount)) {
        let Some(source) = mount.source.as_ref().and_then(|source| sources.get(&**source)) else { continue };
        if source.node == Node::Directory {
            homes.insert(clean(&mount.destination));
            if source.real.as_os_str() == "/home" {
                children_of.push(clean(&mount.destination));
            }
        }
    }
    for parent in children_of {
        let names = tree.open(&parent, OFlag::O_RDONLY | OFlag::O_DIRECTORY).and_then(|dir| dir.names(HOMES));
        let names = names.into_iter().flatten().filter_map(|name| name.into_string().ok());
        homes.extend(names.map(|name| format!("{parent}/{name}")));
    }
    homes
}

fn in_home(tree: &Tree, home: &str, paths: &mut BTreeSet<String>) {
    let at = |name: &str| format!("{}/{name}", home.trim_end_matches('/'));
    // A mount below a home is there, whatever the root file system says. Few homes have one.
    let below: Vec<&str> = tree.mounts.iter().map(|(destination, _)| destination.as_str()).collect();
    let below: Vec<&str> = below.into_iter().filter(|dest| *dest != home && is_within(dest, home)).collect();
    let is_mounted = |path: &str| below.iter().any(|destination| is_within(destination, path));
    let Ok(home_dir) = tree.open(home, OFlag::O_PATH | OFlag::O_DIRECTORY) else {
        // The runtime makes what it mounts on.
        if !below.is_empty() {
            let names = files::IN_HOMES.iter().flat_map(|(name, inside)| match inside {
                [] => vec![at(name)],
                inside => inside.iter().map(|inside| at(&format!("{name}/{inside}"))).collect(),
            });
            paths.extend(names.filter(|path| is_mounted(path)));
        }
        return;
    };
    let is_there =
        |name: &str| !is_missing(home_dir.stat_of(name)) || (!below.is_empty() && is_mounted(&at(name)));
    for (name, inside) in files::IN_HOMES.iter().filter(|(name, _)| is_there(name)) {
        if inside.is_empty() {
            paths.insert(at(name));
        }
        let inside = inside.iter().map(|inside| at(&format!("{name}/{inside}")));
        paths.extend(inside.filter(|path| tree.has(path) || is_mounted(path)));
    }
    let first = |login: &'static str| login.split('/').next().unwrap_or_default();
    for login in files::REGISTRY_LOGINS.into_iter().filter(|login| is_there(first(login))) {
        if tree.is_login(&at(login)) {
            paths.insert(at(login));
        }
    }
}

fn is_missing(found: nix::Result<FileStat>) -> bool {
    matches!(found, Err(errno) if nothing(errno))
}

/// Anything but a clear "not there" counts as there.
fn nothing(errno: Errno) -> bool {
    matches!(errno, Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP)
}

impl Tree<'_> {
    /// Opens what is at a path; a file system that is made empty for the container holds nothing.
    fn open(&self, path: &str, flags: OFlag) -> nix::Result<Opened> {
        // The last mount that covers a path is the one that is seen.
        let Some((destination, source)) = self.mounts.iter().rev().find(|(dest, _)| is_within(path, dest))
        else {
            return self.root.opened.within(path, flags);
        };
        let base = Opened::plain(source.ok_or(Errno::ENOENT)?.as_ref())?;
        match &path[destination.trim_end_matches('/').len()..] {
            "" => {
                let resolved = Opened::plain(source.ok_or(Errno::ENOENT)?.as_ref())?;
                if flags.contains(OFlag::O_PATH) { Ok(resolved) } else { resolved.reopened(flags) }
            }
            rest => base.within(rest, flags),
        }
    }

    fn has(&self, path: &str) -> bool {
        !matches!(self.open(path, OFlag::O_PATH), Err(errno) if nothing(errno))
    }

    /// Whether a file is there, or a directory.
    fn is(&self, path: &str, directory: bool) -> bool {
        let kind = if directory { SFlag::S_IFDIR } else { SFlag::S_IFREG };
        let stat = self.open(path, OFlag::O_PATH).and_then(|opened| opened.stat());
        match stat {
            Ok(stat) => stat.st_mode & SFlag::S_IFMT.bits() == kind.bits(),
            Err(errno) => !nothing(errno),
        }
    }

    fn read(&self, path: &str) -> nix::Result<Vec<u8>> {
        let opened = self.open(path, OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY)?;
        if opened.stat()?.st_mode & SFlag::S_IFMT.bits() != SFlag::S_IFREG.bits() {
            return Err(Errno::EINVAL);
        }
        opened.read(FILE_LIMIT)
    }

    fn is_login(&self, path: &str) -> bool {
        match self.read(path) {
            Ok(bytes) => files::names_ecr(&String::from_utf8_lossy(&bytes)),
            Err(errno) => !nothing(errno),
        }
    }
}
