//! Whether a program is this shim; a heuristic. Two shims that take each other for the runtime would exec
//! each other forever.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

use crate::files;

/// Contained in every build of the shim, for other builds to find, and in no runtime.
const MARK: &[u8] = b"oci-isolate is a shim before a runtime and is not one itself";

/// A process that gets here for the first time has used about a hundredth of this.
const LONG: Duration = Duration::from_millis(100);

/// The largest program that is searched for [`MARK`], in bytes.
const LIMIT: u64 = 512 << 20;

/// The shim that a program is compared with.
pub(super) struct Shim<'a> {
    pub(super) path: &'a Path,
    pub(super) meta: Metadata,
    /// Whether other builds are detected too: that searches the whole program, which takes milliseconds.
    pub(super) thoroughly: bool,
}

impl Shim<'_> {
    /// How a program is the shim, if it is: the same file, a copy, another build.
    pub(super) fn identify(&self, program: &Path, meta: &Metadata) -> Option<&'static str> {
        let content = |path: &Path| files::read(path, LIMIT).map(|file| file.bytes).unwrap_or_default();
        let is_copy =
            || meta.is_file() && meta.len() == self.meta.len() && content(program) == content(self.path);
        if (meta.dev(), meta.ino()) == (self.meta.dev(), self.meta.ino()) || is_copy() {
            return Some("oci-isolate itself");
        }
        let is_build = || content(program).windows(MARK.len()).any(|bytes| bytes == MARK);
        (self.thoroughly && is_build()).then_some("another build of oci-isolate")
    }
}

/// Whether this process may have been here before. Nothing that survives an exec identifies it, but a process
/// keeps its processor time.
pub(super) fn may_go_in_circles() -> bool {
    clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID).is_ok_and(|used| Duration::from(used) > LONG)
}
