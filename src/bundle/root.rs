//! The container's root file system, opened once.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::open::Opened;

/// The container's root file system.
pub(super) struct Root {
    pub(super) opened: Opened,
    pub(super) path: PathBuf,
}

impl Root {
    /// Opens the root file system.
    ///
    /// # Errors
    /// It is not there, or a link of procfs leads to it.
    pub(super) fn open(path: &Path) -> Result<Self> {
        let shown = || format!("cannot look at the root {}", path.display());
        let opened = Opened::plain(path).with_context(shown)?;
        let path = opened.path().with_context(shown)?;
        Ok(Self { opened, path })
    }
}
