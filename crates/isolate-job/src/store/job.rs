//! The directory of one job or model. Below `algo-N` and `opt-ml` a container has written, and names there are resolved by
//! [`Dir`]; everything else is this program's own.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::outcome::Outcome;
use crate::request::MOST;
use crate::status::Reason;
use crate::tree::Dir;

/// A job or a model.
#[derive(Debug, Clone)]
pub struct Job {
    pub(super) directory: PathBuf,
    /// Its name.
    pub name: String,
}

/// While it lives, the job has a supervisor.
#[derive(Debug)]
pub struct Lock {
    pub(super) file: File,
}

/// The lock as another program's stdin, which has it then.
impl From<Lock> for Stdio {
    fn from(lock: Lock) -> Self {
        lock.file.into()
    }
}

/// The most bytes of a status.
const MOST_OF_STATUS: u64 = 64 << 20;

impl Job {
    /// A path in its directory.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// Its directory.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The log of one container.
    #[must_use]
    pub fn log(&self, host: &str) -> PathBuf {
        self.directory.join("log").join(format!("{host}.log"))
    }

    /// Its request, as it was given.
    ///
    /// # Errors
    /// The system's.
    pub fn request(&self) -> Result<Vec<u8>> {
        self.read("request.json", MOST as u64 + 1)
    }

    /// Its status, as `Describe` answers it.
    ///
    /// # Errors
    /// The system's, or what is not a status of this kind.
    pub fn status<T: DeserializeOwned>(&self) -> Result<T> {
        self.document("status.json")
    }

    /// Replaces its status.
    ///
    /// # Errors
    /// The system's.
    pub fn set_status(&self, status: &impl Serialize) -> Result<()> {
        self.set_document("status.json", status)
    }

    /// How its containers ended, if they have.
    ///
    /// # Errors
    /// The system's.
    pub fn outcome(&self) -> Result<Option<Outcome>> {
        if !self.has("outcome.json")? {
            return Ok(None);
        }
        self.document("outcome.json").map(Some)
    }

    /// Keeps how its containers ended.
    ///
    /// # Errors
    /// The system's.
    pub fn set_outcome(&self, outcome: &Outcome) -> Result<()> {
        if outcome.is_left() {
            // What the containers wrote is complete after a power failure, too.
            let directory = fs::File::open(&self.directory);
            let synced = directory.and_then(|directory| Ok(rustix::fs::syncfs(directory)?));
            synced.with_context(|| format!("cannot write {} to the disk", self.directory.display()))?;
        }
        self.set_document("outcome.json", outcome)
    }

    /// Asks its supervisor to stop it.
    ///
    /// # Errors
    /// The system's.
    pub fn request_stop(&self) -> Result<()> {
        self.replace("stop", b"")
    }

    /// Whether it is to be stopped.
    #[must_use]
    pub fn is_stop_requested(&self) -> bool {
        self.path("stop").exists()
    }

    /// Becomes its supervisor.
    ///
    /// # Errors
    /// It has one, or the system's.
    pub fn lock(&self) -> Result<Lock> {
        self.lock_if_free()?.with_context(|| {
            format!(
                "{} is supervised by another process; wait for it, or stop it with `isolate-job stop {0}`",
                self.name
            )
        })
    }

    /// Becomes its supervisor, if it has none.
    ///
    /// # Errors
    /// The system's.
    pub fn lock_if_free(&self) -> Result<Option<Lock>> {
        // A look at the lock takes it for a moment.
        for _ in 0..20 {
            if let Some(lock) = self.try_lock(FlockOperation::NonBlockingLockExclusive)? {
                return Ok(Some(lock));
            }
            thread::sleep(Duration::from_millis(25));
        }
        Ok(None)
    }

    /// Whether it has a supervisor.
    ///
    /// # Errors
    /// The system's.
    pub fn is_supervised(&self) -> Result<bool> {
        let Some(lock) = self.try_lock(FlockOperation::NonBlockingLockShared)? else { return Ok(true) };
        lock.release();
        Ok(false)
    }

    fn try_lock(&self, how: FlockOperation) -> Result<Option<Lock>> {
        let path = self.path("lock");
        let cannot = || format!("cannot lock {}", path.display());
        let open = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&path);
        let file = open.with_context(cannot)?;
        match flock(&file, how) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => return Ok(None),
            Err(errno) => return Err(errno).with_context(cannot),
        }
        // It may be that of a job of this name that was removed meanwhile, and there may be another one.
        let (locked, now) =
            (file.metadata().with_context(cannot)?, fs::metadata(&path).with_context(cannot)?);
        Ok((locked.ino() == now.ino() && locked.dev() == now.dev()).then_some(Lock { file }))
    }

    /// The beginning of the failure file of a container, as much as a FailureReason has. Whatever is not a regular file counts as none.
    ///
    /// # Errors
    /// The system's.
    pub fn failure_file(&self, host: &str) -> Result<Option<Vec<u8>>> {
        let directory = self.path(host).join("opt-ml");
        let Ok(directory) = Dir::open(&directory) else { return Ok(None) };
        directory.read("output/failure", Reason::MOST_READ as u64).context("cannot read the failure file")
    }

    /// Removes what containers read and wrote; request, status and logs stay.
    ///
    /// # Errors
    /// The system's.
    pub fn remove_data(&self, hosts: &[String]) -> Result<()> {
        let directory = Dir::open(&self.directory)?;
        for host in hosts {
            directory.remove(host).with_context(|| format!("cannot remove {}", self.path(host).display()))?;
        }
        Ok(())
    }

    /// Removes all of it. It is no job any more before its first file is removed.
    ///
    /// # Errors
    /// The system's.
    pub fn remove(self) -> Result<()> {
        let cannot = || format!("cannot remove {}", self.directory.display());
        let Some(above) = self.directory.parent() else {
            bail!("{} is not the directory of a job", self.directory.display());
        };
        let removed = super::temporary(&self.name);
        fs::rename(&self.directory, above.join(&removed)).with_context(cannot)?;
        Dir::open(above).with_context(cannot)?.remove(&removed).with_context(cannot)
    }

    /// Writes a file that only its owner can read, in one step.
    ///
    /// # Errors
    /// The system's.
    pub fn replace(&self, name: &str, bytes: &[u8]) -> Result<()> {
        // Several threads may write at once.
        let id = (std::process::id(), super::NEXT.fetch_add(1, Ordering::Relaxed));
        let (path, new) = (self.path(name), self.path(&format!("{name}.{}.{}.new", id.0, id.1)));
        let write = || -> io::Result<()> {
            let mut file = OpenOptions::new().create_new(true).write(true).mode(0o600).open(&new)?;
            file.write_all(bytes)?;
            file.sync_all()?;
            fs::rename(&new, &path)
        };
        let is_new = !path.exists();
        write().with_context(|| format!("cannot write {}", path.display()))?;
        // One that was replaced is there after a power failure, with either text.
        if is_new { super::sync(&self.directory) } else { Ok(()) }
    }

    /// Whether a file of it exists. That it cannot be looked at is no answer.
    pub(super) fn has(&self, name: &str) -> Result<bool> {
        let path = self.path(name);
        path.try_exists().with_context(|| format!("cannot look at {}", path.display()))
    }

    pub(super) fn set_document(&self, name: &str, document: &impl Serialize) -> Result<()> {
        let text = serde_json::to_string_pretty(document).context("cannot write JSON")?;
        self.replace(name, format!("{text}\n").as_bytes())
    }

    pub(super) fn document<T: DeserializeOwned>(&self, name: &str) -> Result<T> {
        let bytes = self.read(name, MOST_OF_STATUS)?;
        serde_json::from_slice(&bytes)
            .with_context(|| format!("cannot understand {}", self.path(name).display()))
    }

    fn read(&self, name: &str, most: u64) -> Result<Vec<u8>> {
        let path = self.path(name);
        let mut bytes = Vec::new();
        File::open(&path)
            .and_then(|file| file.take(most).read_to_end(&mut bytes))
            .with_context(|| format!("cannot read {}", path.display()))?;
        Ok(bytes)
    }
}
