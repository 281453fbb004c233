//! What `isolatectl verify` has found of a container, for the statement about it: a line for each time, in a file beside
//! the record, which is removed with it.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;

use anyhow::{Context, Result, bail};
use nix::libc::O_NOFOLLOW;

use super::Slot;
use crate::files;
use crate::proc::ProcessId;
use crate::statement::Look;

/// The largest file, in bytes: some 100,000 times.
const LIMIT: u64 = 8 << 20;

impl Slot {
    /// Adds what was found of the container with this creator, unless it was deleted meanwhile.
    ///
    /// # Errors
    /// The file cannot be written, or is full.
    pub fn add_look(&self, creator: ProcessId, look: &Look) -> Result<()> {
        let _lock = self.lock()?;
        if self.load()?.is_none_or(|record| record.creator != creator) {
            return Ok(());
        }
        let path = self.looks_file();
        let shown =
            || format!("cannot write {}, which the statement about the container needs", path.display());
        let mut options = OpenOptions::new();
        let options = options.append(true).create(true).mode(0o600).custom_flags(O_NOFOLLOW);
        let mut file = options.open(&path).with_context(shown)?;
        let length = file.metadata().with_context(shown)?.len();
        let line = format!("{}\n", serde_json::to_string(look)?);
        if length + line.len() as u64 > LIMIT {
            bail!(
                "{}: it has {LIMIT} bytes already; create the container again, and verify it less often",
                shown()
            );
        }
        if let Err(error) = file.write_all(line.as_bytes()) {
            // Half a line would spoil those that are there.
            file.set_len(length).with_context(shown)?;
            return Err(error).with_context(shown);
        }
        Ok(())
    }

    /// What was found of the container, in the order of time.
    ///
    /// # Errors
    /// The file cannot be read or understood.
    pub fn looks(&self) -> Result<Vec<Look>> {
        let path = self.looks_file();
        if !path.try_exists().with_context(|| format!("cannot find {}", path.display()))? {
            return Ok(Vec::new());
        }
        let bytes = files::read_no_link(&path, LIMIT)?.bytes;
        let lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        let looks: serde_json::Result<_> = lines.map(serde_json::from_slice).collect();
        looks.with_context(|| format!("cannot understand {}", path.display()))
    }
}
