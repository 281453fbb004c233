//! The container's root file system, opened once.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::path_fd::PathFd;

/// The container's root file system.
pub(super) struct RootFs {
    pub(super) opened: PathFd,
    pub(super) path: PathBuf,
}

impl RootFs {
    /// Opens the root file system.
    ///
    /// # Errors
    /// It does not exist, or is reached through a magic link of procfs.
    pub(super) fn open(path: &Path) -> Result<Self> {
        let shown = || format!("cannot inspect the root {}", path.display());
        let opened = PathFd::plain(path).with_context(shown)?;
        let path = opened.path().with_context(shown)?;
        Ok(Self { opened, path })
    }
}
