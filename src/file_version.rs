//! What tells a file that was used from what is at its path later: another file, or the same one after a change. Pure.

use serde::{Deserialize, Serialize};

/// A file as it was ([`crate::files`] makes it of what stat(2) has). No two versions of a file are equal, unless a time that is in both
/// was set back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileVersion {
    pub(crate) device: u64,
    pub(crate) inode: u64,
    pub(crate) size: u64,
    /// Seconds and nanoseconds.
    pub(crate) modified: (i64, i64),
    /// The same; `None` of a file that was to get its name, its mode and its owner, which changes it.
    pub(crate) changed: Option<(i64, i64)>,
}

impl FileVersion {
    /// The same of a file that gets its name, its mode and its owner later.
    #[must_use]
    pub fn unnamed(self) -> Self {
        Self { changed: None, ..self }
    }

    /// Whether `now` is this file, and it has not been changed since.
    #[must_use]
    pub fn is_still(&self, now: Self) -> bool {
        *self == Self { changed: self.changed.and(now.changed), ..now }
    }
}
