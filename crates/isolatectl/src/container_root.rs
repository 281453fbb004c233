//! Files below a container's root, resolved as its processes would.

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::stat::{FileStat, SFlag, makedev};

use oci_isolate::bundle::PathFd;

/// Whether there is something to read: it exists, and is neither /dev/null nor an empty directory, which
/// runtimes use as masks.
pub(super) fn shows(root: &PathFd, path: &str) -> Result<bool> {
    let Some(opened) = there(root, path)? else { return Ok(false) };
    let stat = opened.stat()?;
    if !is(&stat, SFlag::S_IFDIR) {
        return Ok(!is(&stat, SFlag::S_IFCHR) || stat.st_rdev != makedev(1, 3));
    }
    let open = root.within(path, OFlag::O_RDONLY | OFlag::O_DIRECTORY);
    let names = open.and_then(|directory| directory.names(1));
    Ok(!names.with_context(|| format!("cannot list its {path}"))?.is_empty())
}

/// The file at a path below the root, if there is one.
pub(super) fn there(root: &PathFd, path: &str) -> Result<Option<PathFd>> {
    match root.within(path, OFlag::O_PATH) {
        Ok(opened) => Ok(Some(opened)),
        Err(Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP) => Ok(None),
        Err(errno) => Err(errno).with_context(|| format!("cannot inspect its {path}")),
    }
}

/// Whether it is of a kind (inode(7), "The file type and mode").
pub(super) fn is(stat: &FileStat, kind: SFlag) -> bool {
    stat.st_mode & SFlag::S_IFMT.bits() == kind.bits()
}
