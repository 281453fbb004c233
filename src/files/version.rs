//! What tells a file that was used from what is at its path later: another file, or the same one after a change.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;

use serde::{Deserialize, Serialize};

use crate::proc::Inode;

/// A file as it was. No two versions of a file are equal, unless a time that is in both was set back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileVersion {
    inode: Inode,
    size: u64,
    /// Seconds and nanoseconds.
    modified: (i64, i64),
    /// The same; `None` of a file that was to get its name, its mode and its owner, which changes it.
    changed: Option<(i64, i64)>,
}

impl FileVersion {
    /// Of a file that gets its name, its mode and its owner later.
    #[must_use]
    pub fn of_unnamed(meta: &Metadata) -> Self {
        Self { changed: None, ..Self::from(meta) }
    }

    /// Whether this is a file that has not been changed since.
    #[must_use]
    pub fn is_of(&self, meta: &Metadata) -> bool {
        let now = Self::from(meta);
        *self == Self { changed: self.changed.and(now.changed), ..now }
    }
}

impl From<&Metadata> for FileVersion {
    fn from(meta: &Metadata) -> Self {
        Self {
            inode: meta.into(),
            size: meta.len(),
            modified: (meta.mtime(), meta.mtime_nsec()),
            changed: Some((meta.ctime(), meta.ctime_nsec())),
        }
    }
}
