//! What `isolatectl verify` has found of a container, for the statement about it: a line for each time, in a file beside
//! the record, which is removed with it. A line names the container's creator: a later container of the same id has
//! others. That a promise was broken is never lost: if no line can be written, a second file says so, which stays.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use nix::libc::O_NOFOLLOW;
use serde::{Deserialize, Serialize};

use super::Slot;
use crate::files;
use crate::proc::ProcessId;
use crate::statement::{Look, Time};

/// The largest file of looks at which all promises held, in bytes: some 70,000 times.
const LIMIT: u64 = 8 << 20;

/// As much more is there for other looks.
const RESERVE: u64 = 1 << 20;

/// What is stated as broken if a look at a broken promise could not be written down.
const LOST: &str = "what was found could not be written down";

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct LookLine {
    creator: ProcessId,
    look: Look,
}

impl Slot {
    fn looks_file(&self) -> PathBuf {
        self.record().with_extension("looks")
    }

    fn lost_looks_file(&self) -> PathBuf {
        self.record().with_extension("looks-lost")
    }

    /// Removes both files.
    pub(super) fn forget_looks(&self) -> Result<()> {
        files::remove(&self.looks_file())?;
        files::remove(&self.lost_looks_file())
    }

    /// Adds what was found just now of the container with this creator, unless it was deleted meanwhile.
    ///
    /// # Errors
    /// The file cannot be written, or is full. If a promise was broken, that is stated nevertheless.
    pub fn add_look(&self, creator: ProcessId, broken: Vec<String>) -> Result<()> {
        let (_lock, locked) = match self.lock() {
            Ok(lock) => (Some(lock), Ok(())),
            Err(error) => (None, Err(error)),
        };
        // One whose record cannot be read any more is taken for this one.
        if self.load().is_ok_and(|record| record.is_none_or(|record| record.creator != creator)) {
            return Ok(());
        }
        let held = broken.is_empty();
        // Under the lock, so that the times are in order.
        let line = LookLine { creator, look: Look { time: Time::now(), broken } };
        let added = locked.and_then(|()| append(&self.looks_file(), &line));
        if held || added.is_ok() { added } else { self.note_loss().and(added) }
    }

    /// Notes that the container does not hold where no look can be written down: its record cannot be read.
    ///
    /// # Errors
    /// That cannot be noted.
    pub fn lose_look(&self) -> Result<()> {
        // Without the lock, if there is none to be had.
        let _lock = self.lock();
        if self.is_there() { self.note_loss() } else { Ok(()) }
    }

    fn note_loss(&self) -> Result<()> {
        let lost = self.lost_looks_file();
        let mut options = OpenOptions::new();
        let options = options.append(true).create(true).mode(0o600).custom_flags(O_NOFOLLOW);
        // A full file system has no room for another file, but for another name of the one that is there.
        let made = options.open(&lost).map(drop);
        let made = made.or_else(|error| std::fs::rename(self.looks_file(), &lost).map_err(|_| error));
        made.with_context(|| {
            format!("cannot write {}, which the statement about the container needs", lost.display())
        })
    }

    /// What was found of the container with this creator, in the order of time.
    ///
    /// # Errors
    /// The file cannot be read or understood, or something is missing in it.
    pub fn looks(&self, creator: ProcessId) -> Result<Vec<Look>> {
        let (path, lost) = (self.looks_file(), self.lost_looks_file());
        let is_there =
            |path: &Path| path.try_exists().with_context(|| format!("cannot find {}", path.display()));
        if is_there(&lost)? {
            bail!(LOST);
        }
        if !is_there(&path)? {
            return Ok(Vec::new());
        }
        let bytes = files::read_no_link(&path, LIMIT + RESERVE)?.bytes;
        let lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        let lines: serde_json::Result<Vec<LookLine>> = lines.map(serde_json::from_slice).collect();
        let lines = lines.with_context(|| format!("cannot understand {}", path.display()))?;
        Ok(lines.into_iter().filter(|line| line.creator == creator).map(|line| line.look).collect())
    }
}

fn append(path: &Path, line: &LookLine) -> Result<()> {
    let shown = || format!("cannot write {}, which the statement about the container needs", path.display());
    let mut options = OpenOptions::new();
    let options = options.append(true).create(true).mode(0o600).custom_flags(O_NOFOLLOW);
    let mut file: File = options.open(path).with_context(shown)?;
    let length = file.metadata().with_context(shown)?.len();
    let limit = if line.look.broken.is_empty() { LIMIT } else { LIMIT + RESERVE };
    let line = format!("{}\n", serde_json::to_string(line)?);
    if length + line.len() as u64 > limit {
        bail!(
            "{}: it has {length} bytes already; create the container again, and verify it less often",
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

#[cfg(test)]
mod tests {
    use super::*;

    const CREATOR: ProcessId = ProcessId { pid: 1, start: 7 };

    /// A slot with a record that cannot be read, so that each look is taken for one of its container.
    fn slot(dir: &Path) -> Slot {
        let path = dir.join("oci-isolate/containers/root/a.json");
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, "{").unwrap();
        Slot::at(&path).unwrap()
    }

    #[test]
    fn a_look_is_one_of_its_container_only() {
        let dir = tempfile::tempdir().unwrap();
        let slot = slot(dir.path());
        slot.add_look(CREATOR, Vec::new()).unwrap();
        slot.add_look(CREATOR, vec!["seal".into()]).unwrap();
        let found: Vec<_> = slot.looks(CREATOR).unwrap().into_iter().map(|look| look.broken).collect();
        assert_eq!(found, [vec![], vec!["seal".to_owned()]]);
        assert_eq!(slot.looks(ProcessId { start: 8, ..CREATOR }).unwrap(), []);
    }

    #[test]
    fn a_broken_promise_is_not_lost_where_there_is_no_room() {
        let dir = tempfile::tempdir().unwrap();
        let slot = slot(dir.path());
        let fill = |size| File::create(slot.looks_file()).unwrap().set_len(size).unwrap();
        // The longer time without a look is what remains of one at which all held.
        fill(LIMIT);
        slot.add_look(CREATOR, Vec::new()).unwrap_err();
        assert!(!slot.lost_looks_file().exists());
        slot.add_look(CREATOR, vec!["seal".into()]).unwrap();
        fill(LIMIT + RESERVE);
        slot.add_look(CREATOR, vec!["seal".into()]).unwrap_err();
        fill(0);
        slot.add_look(CREATOR, Vec::new()).unwrap();
        assert_eq!(slot.looks(CREATOR).unwrap_err().to_string(), LOST);
    }

    #[test]
    fn a_record_that_cannot_be_read_is_a_broken_look() {
        let dir = tempfile::tempdir().unwrap();
        let slot = slot(dir.path());
        slot.add_look(CREATOR, Vec::new()).unwrap();
        slot.lose_look().unwrap();
        assert_eq!(slot.looks(CREATOR).unwrap_err().to_string(), LOST);
        // A container without a record is none of ours.
        std::fs::remove_file(slot.lost_looks_file()).unwrap();
        std::fs::remove_file(slot.record()).unwrap();
        slot.lose_look().unwrap();
        assert!(!slot.lost_looks_file().exists());
    }
}
