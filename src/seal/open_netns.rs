//! A network namespace that is opened once. Checks, comparisons and changes use this open file: a path, also
//! one below `/proc/PID`, may lead elsewhere a moment later.

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use anyhow::Result;

use super::netns::{self, Netns};
use crate::proc::{self, Inode};

/// An open network namespace, and which one it is.
#[derive(Debug)]
pub struct OpenNetns {
    file: File,
    id: Netns,
}

impl OpenNetns {
    /// Opens a namespace file, or the namespace of a process by its `/proc/PID` ([`netns::netns_of`]).
    ///
    /// # Errors
    /// It cannot be opened, or is not a network namespace.
    pub fn at(path: &Path) -> Result<Self> {
        let file = netns::netns_of(path)?;
        let id = Netns::of(file.as_fd())?;
        Ok(Self { file, id })
    }

    /// Opens the namespace of a process.
    ///
    /// # Errors
    /// It has ended, or access to it is denied.
    pub fn of(process: &proc::Dir) -> Result<Self> {
        Self::at(process.path())
    }

    /// Which namespace it is.
    #[must_use]
    pub fn id(&self) -> Netns {
        self.id
    }

    /// Whether it is the caller's, or the machine's own.
    ///
    /// # Errors
    /// It cannot be determined.
    pub fn is_host(&self) -> Result<bool> {
        netns::is_host(self.as_fd())
    }
}

impl AsFd for OpenNetns {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

impl From<Netns> for Inode {
    fn from(Netns { dev, ino }: Netns) -> Self {
        Self { dev, ino }
    }
}
