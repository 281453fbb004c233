//! The slot of one record: created before its container, then read, updated and removed. Every change is made
//! under a lock, and a file is replaced atomically.

use std::ffi::OsStr;
use std::fs::{File, OpenOptions};
use std::io::ErrorKind;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::fcntl::Flock;
use serde::Deserialize;

use super::directory::{self, check_owner, make_dir, make_state, state_dir};
use super::lock::lock;
use super::{LIMIT, PodNetwork, Record, Remains, VERSION};
use crate::files;
use crate::proc::ProcessId;

/// The lock is held for a few file operations; a process that holds it longer is stopped or stuck.
const LOCK_DEADLINE: Duration = Duration::from_secs(10);

/// The lock is held while the peers of every member of a job are set.
const PEERS_DEADLINE: Duration = Duration::from_secs(60);

/// The member that a record of any version has.
#[derive(Deserialize)]
struct Versioned {
    version: u32,
}

/// The slot of one container's record, whether or not the record exists.
#[derive(Debug, Clone)]
pub struct Slot {
    state: PathBuf,
    container: PathBuf,
    record: PathBuf,
}

impl Slot {
    /// The slot of the container `id` below a runtime's `root` (absolute); `None` for an invalid id, one that
    /// is not a file name.
    #[must_use]
    pub fn of(root: &Path, id: &str) -> Option<Self> {
        let named = !matches!(id, "" | "." | "..") && !id.contains(['/', '\0']) && id.len() <= 240;
        named.then(|| {
            let state = state_dir();
            let record = records_of(&state, root).join(format!("{id}.json"));
            Self { container: root.join(id), record, state }
        })
    }

    /// The slot of the record with this path, for a hook, which is given the path: its environment is not the
    /// engine's, so the state directory is derived from the path.
    ///
    /// # Errors
    /// It is not a path that [`Slot::of`] makes.
    pub fn at(record: &Path) -> Result<Self> {
        let containers = record.ancestors().filter(|dir| dir.ends_with("oci-isolate/containers")).last();
        let split = containers.and_then(|dir| Some((dir.parent()?, record.strip_prefix(dir).ok()?)));
        let Some((state, below)) = split else {
            bail!("{} is not a record of oci-isolate", record.display())
        };
        let container = Path::new("/").join(below).with_extension("");
        Ok(Self { state: state.to_owned(), container, record: record.to_owned() })
    }

    /// The record's path.
    #[must_use]
    pub fn record(&self) -> &Path {
        &self.record
    }

    /// The pid file that the runtime is given when the engine names none.
    #[must_use]
    pub fn pid_file(&self) -> PathBuf {
        self.record.with_extension("pid")
    }

    /// Creates the [`empty_directory`](super::empty_directory) if it does not exist.
    ///
    /// # Errors
    /// The state directory cannot be written.
    pub fn make_empty_directory(&self) -> Result<()> {
        directory::make_empty_directory(&self.state)
    }

    /// Creates the [`empty_file`](super::empty_file) if it does not exist.
    ///
    /// # Errors
    /// The state directory cannot be written.
    pub fn make_empty_file(&self) -> Result<()> {
        directory::make_empty_file(&self.state)
    }

    /// Reads the record. `None`: the container is not isolated.
    ///
    /// # Errors
    /// There is a record that cannot be read or parsed, or that other users can write.
    pub fn load(&self) -> Result<Option<Record>> {
        if !self.is_there() {
            return Ok(None);
        }
        let bytes = self.read()?;
        let read: serde_json::Result<Record> = serde_json::from_slice(&bytes);
        // A record of another version may have other members.
        let version = match &read {
            Ok(record) => Some(record.version),
            Err(_) => serde_json::from_slice(&bytes).ok().map(|Versioned { version }| version),
        };
        if let Some(version) = version.filter(|version| *version != VERSION) {
            bail!(
                "the record {} is of version {version}, not {VERSION}; delete the container and create it again",
                self.record.display()
            );
        }
        read.map(Some).with_context(|| format!("cannot understand the record {}", self.record.display()))
    }

    /// What can be told of the container of a record that is not understood; `None`: nothing.
    #[must_use]
    pub fn remains(&self) -> Option<Remains> {
        serde_json::from_slice(&self.read().ok()?).ok()
    }

    fn read(&self) -> Result<Vec<u8>> {
        check_owner(&self.state, std::fs::symlink_metadata(&self.state))?;
        Ok(files::read(&self.record, LIMIT)?.bytes)
    }

    /// Whether the record exists, readable or not.
    #[must_use]
    pub fn is_there(&self) -> bool {
        // Anything but a clear "no such file" counts as a record, which will then fail to be read.
        !matches!(std::fs::symlink_metadata(&self.record), Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory))
    }

    pub(super) fn state(&self) -> &Path {
        &self.state
    }

    /// The container's id.
    #[must_use]
    pub fn id(&self) -> &OsStr {
        self.container.file_name().unwrap_or_default()
    }

    /// The runtime's root.
    #[must_use]
    pub fn root(&self) -> &Path {
        self.container.parent().unwrap_or(Path::new("/"))
    }

    /// Whether the runtime has a container of that id.
    #[must_use]
    pub fn has_container(&self) -> bool {
        // Unreachable counts as existing: nothing that may belong to it is reused or removed.
        !matches!(self.container.try_exists(), Ok(false))
    }

    /// Writes the record of a container that is about to be created.
    ///
    /// # Errors
    /// A container of that id exists or is being created, or the state directory cannot be written.
    pub fn create(&self, record: &Record) -> Result<()> {
        let _lock = self.lock()?;
        if let Some(why) = self.taken() {
            bail!("{why}");
        }
        let ours = self.pid_file();
        if record.pid_file.as_ref() == Some(&ours) {
            files::remove(&ours)?;
        }
        record.statement.iter().try_for_each(|_| self.forget_looks())?;
        self.record.parent().filter(|directory| !directory.exists()).map_or(Ok(()), make_dir)?;
        self.write(record)
    }

    /// Writes the record of a container that was sealed.
    ///
    /// # Errors
    /// The state directory cannot be written.
    pub fn update(&self, record: &Record) -> Result<()> {
        let _lock = self.lock()?;
        self.write(record)
    }

    /// Changes what the record of a sandbox has about the network of its pod, if the change is possible.
    ///
    /// # Errors
    /// The change is not possible, the record is gone, or the state directory cannot be written.
    pub fn change_pod_network(&self, change: impl FnOnce(&mut PodNetwork) -> Result<()>) -> Result<()> {
        let _lock = self.lock()?;
        let mut record = self.load()?.context("the record of its sandbox is gone")?;
        change(record.pod_network.as_mut().context("the record of its sandbox has no network")?)?;
        self.write(&record)
    }

    /// Removes the record, if there is one: the container was deleted, or not created. With a known creator,
    /// the record of another container that has reused the id is kept.
    ///
    /// # Errors
    /// The state directory cannot be written.
    pub fn remove(&self, creator: Option<ProcessId>) -> Result<()> {
        let _lock = self.lock()?;
        let is_anothers = |record: Record| creator.is_some_and(|creator| creator != record.creator);
        if self.load().ok().flatten().is_some_and(is_anothers) { Ok(()) } else { self.delete_files() }
    }

    /// Removes the record of a failed create when a container that is not isolated takes its id. If a
    /// container of that id exists, the runtime reports it.
    ///
    /// # Errors
    /// The state directory cannot be written.
    pub fn remove_stale(&self) -> Result<()> {
        if !self.is_there() {
            return Ok(());
        }
        let _lock = self.lock()?;
        if self.taken().is_none() { self.delete_files() } else { Ok(()) }
    }

    /// Why a new container cannot have the id, if it cannot.
    fn taken(&self) -> Option<String> {
        if self.has_container() {
            return Some(format!("a container of that id exists ({})", self.container.display()));
        }
        // An unreadable record belongs to no container: there is none of that id.
        let stale = self.load().ok().flatten()?;
        stale.sweep();
        let creator = stale.creator;
        creator.runs().then(|| format!("it is being created by process {}", creator.pid))
    }

    fn write(&self, record: &Record) -> Result<()> {
        let bytes = serde_json::to_vec(record)?;
        let (size, shown) = (bytes.len() as u64, self.record.display());
        if size > LIMIT {
            bail!(
                "the record {shown} would have {size} bytes, at most {LIMIT} are read; give the container fewer mounts or variables"
            );
        }
        if size > files::SMALL_LIMIT {
            let rest = size - record.size_of_configuration()?;
            if rest > files::SMALL_LIMIT {
                bail!(
                    "the record {shown} would have {rest} bytes besides what its mounts and variables need, at most {} are read; \
                     use an image with fewer credential files, or a job with fewer members",
                    files::SMALL_LIMIT
                );
            }
        }
        files::write(&self.record, &bytes, 0o600)
    }

    fn delete_files(&self) -> Result<()> {
        self.let_go_or_report();
        for path in [&self.record, &files::unfinished(&self.record), &self.pid_file()] {
            files::remove(path)?;
        }
        self.forget_looks()?;
        // Directories that are not empty are kept.
        let below = self.record.ancestors().skip(1).take_while(|dir| *dir != self.state);
        let _ = below.map(std::fs::remove_dir).take_while(Result::is_ok).count();
        Ok(())
    }

    pub(super) fn lock(&self) -> Result<Flock<File>> {
        make_state(&self.state)?;
        let file =
            File::open(&self.state).with_context(|| format!("cannot open {}", self.state.display()))?;
        lock(file, &self.state, LOCK_DEADLINE)
    }

    /// Excludes other processes from changing peers and names until the lock is dropped.
    ///
    /// # Errors
    /// The state directory cannot be written, or another process holds the lock for too long.
    pub fn lock_peers(&self) -> Result<Flock<File>> {
        lock_peers(&self.state)
    }
}

pub(super) fn lock_peers(state: &Path) -> Result<Flock<File>> {
    make_state(state)?;
    let path = state.join("peers.lock");
    let options = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).clone();
    let file = options.open(&path).with_context(|| format!("cannot open {}", path.display()))?;
    lock(file, &path, PEERS_DEADLINE)
}

pub(super) fn records_of(state: &Path, root: &Path) -> PathBuf {
    state.join("containers").join(root.strip_prefix("/").unwrap_or(root))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every `create` on the host reads the records of all containers.
    #[test]
    fn a_record_grows_with_the_configuration_and_not_with_the_image() {
        let dir = tempfile::tempdir().unwrap();
        let slot = Slot::at(&dir.path().join("oci-isolate/containers/nonexistent/a.json")).unwrap();
        let record = |changes: serde_json::Value, mounts: usize| -> Record {
            let pinned: Vec<_> =
                (0..mounts).map(|mount| ("/x".repeat(50), "/y".repeat(50), 1, mount)).collect();
            serde_json::from_value(serde_json::json!({
                "version": VERSION, "id": "a", "runtime": "/usr/bin/runc", "bundle": "/b", "rootfs": {"dev": 1, "ino": 2},
                "pinned": pinned, "pid_file": null, "creator": {"pid": 1, "start": u64::MAX}, "why": "test",
                "firewall": "required", "links": "down", "network": "new", "confined": false, "opened": null,
                "applied": changes, "waived": [],
                "audit": {"file": null, "required": false, "passed-through": false}, "init": null, "sealed": null,
            }))
            .unwrap()
        };
        let changes = |rule: &str, description: &str, count: usize| serde_json::json!([{"rule": rule, "says": vec![description; count]}]);
        let mask = format!("masked /home/{}/.aws/credentials", "x".repeat(68));
        for (changes, mounts) in [
            (changes("credential-files", &mask, 40_000), 0),
            (changes("credential-files", &mask, 40_000), 50_000),
            (changes("data-channels", &mask, 100_000), 50_000),
        ] {
            slot.create(&record(changes, mounts)).unwrap();
            assert!(slot.load().unwrap().is_some());
        }
        let why =
            slot.create(&record(changes("credential-files", &mask, 50_000), 0)).unwrap_err().to_string();
        assert!(
            why.contains("besides what its mounts and variables need, at most 4194304 are read"),
            "{why}"
        );
    }
}
