//! The container's root file system, opened once.

use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use nix::sys::stat::FileStat;

use super::path_fd::PathFd;

/// The container's root file system.
pub(super) struct RootFs {
    pub(super) opened: PathFd,
    /// Its path in the kernel.
    pub(super) path: PathBuf,
    pub(super) stat: FileStat,
}

impl RootFs {
    /// Opens the root file system.
    ///
    /// # Errors
    /// It does not exist, or is reached through a magic link of procfs.
    pub(super) fn open(path: &Path) -> Result<Self> {
        let shown = || format!("cannot inspect the root {}", path.display());
        let opened = PathFd::plain(path).map_err(io::Error::from).with_context(shown)?;
        let stat = opened.stat().with_context(shown)?;
        let path = opened.path().with_context(shown)?;
        Ok(Self { opened, path, stat })
    }
}
