//! The directory of jobs and models: one directory for each, which has its request, its status, its logs and its data. A job is
//! created in one step, and every document is replaced in one step.

mod job;
mod outcome;
mod proof;
mod stated;

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, Result};
use rustix::fs::{CWD, FlockOperation, RenameFlags, flock, renameat_with};
use rustix::io::Errno;
use rustix::process::{Pid, test_kill_process};
use serde::Serialize;

use crate::tree::Dir;

pub use job::{Job, Lock};
pub use outcome::{End, Failure, Outcome};
pub use stated::{Stated, StatedContainer, StatedData, StatedDigest, leave};

impl Lock {
    /// The same lock for another process, too: the job has a supervisor as long as one of them lives.
    pub(crate) fn share(&self) -> io::Result<Self> {
        Ok(Self { file: self.file.try_clone()? })
    }

    /// Gives the lock up for every process that has it. Closing it is not enough at once: between fork and exec, a program
    /// that another thread starts has a copy of it.
    pub(crate) fn release(self) {
        // It fails only for what is not a descriptor.
        let _ = flock(&self.file, FlockOperation::Unlock);
    }
}

/// For temporary names.
static NEXT: AtomicU64 = AtomicU64::new(0);

/// The directory of jobs and models.
#[derive(Debug, Clone)]
pub struct Store {
    directory: PathBuf,
}

/// Why a job is not created.
#[derive(Debug)]
pub enum NotCreated {
    /// There is one of that name.
    InUse(String),
    /// The system's error.
    Failed(anyhow::Error),
}

impl From<anyhow::Error> for NotCreated {
    fn from(error: anyhow::Error) -> Self {
        Self::Failed(error)
    }
}

impl Store {
    /// The directory that the settings name. It need not exist.
    #[must_use]
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self { directory: directory.into() }
    }

    /// The models that were created by the API. No name of a job begins with a dot.
    #[must_use]
    pub fn of_models(state: &str) -> Self {
        Self::new(format!("{state}/.models"))
    }

    /// Makes the directory, which only its owner can enter.
    ///
    /// # Errors
    /// The system's.
    pub fn make(&self) -> Result<&Path> {
        let directory = &self.directory;
        if !directory.is_dir() {
            private()
                .recursive(true)
                .create(directory)
                .with_context(|| format!("cannot create {}", directory.display()))?;
        }
        Ok(directory)
    }

    /// Creates a job or a model with its request and its first status.
    ///
    /// # Errors
    /// The name is taken, or the system's.
    pub fn create(&self, name: &str, request: &[u8], status: &impl Serialize) -> Result<Job, NotCreated> {
        let (job, lock) = self.create_with(name, request, status, |_| Ok(()))?;
        lock.release();
        Ok(job)
    }

    /// Creates a job or a model with what `fill` writes into its directory. Its name appears when it is complete, and locked.
    ///
    /// # Errors
    /// The name is taken, or the system's.
    pub fn create_with(
        &self,
        name: &str,
        request: &[u8],
        status: &impl Serialize,
        fill: impl FnOnce(&Job) -> Result<()>,
    ) -> Result<(Job, Lock), NotCreated> {
        self.make()?;
        // What cannot be removed yet is no reason to refuse a job, and is removed later.
        let _ = self.sweep();
        let temporary = Job { directory: self.directory.join(temporary(name)), name: name.to_owned() };
        let made = || -> Result<Lock> {
            let directories = [temporary.directory.clone(), temporary.path("log")];
            for directory in directories {
                let made = private().create(&directory);
                made.with_context(|| format!("cannot create {}", directory.display()))?;
            }
            temporary.replace("request.json", request)?;
            temporary.set_status(status)?;
            fill(&temporary)?;
            temporary.lock()
        };
        let placed = made().map_err(NotCreated::Failed).and_then(|lock| Ok((self.place(&temporary)?, lock)));
        if placed.is_err() {
            // The error is the reason, and what is left is swept later.
            let _ = fs::remove_dir_all(&temporary.directory);
        }
        placed
    }

    /// Gives a complete directory its name, if that is free.
    fn place(&self, temporary: &Job) -> Result<Job, NotCreated> {
        let job = self.at(&temporary.name);
        match renameat_with(CWD, &temporary.directory, CWD, &job.directory, RenameFlags::NOREPLACE) {
            Ok(()) => {
                sync(&self.directory)?;
                Ok(job)
            }
            Err(Errno::EXIST) => Err(NotCreated::InUse(format!(
                "ResourceInUse: {0} exists in {1}; choose another name, or remove it with `isolate-job remove {0}`",
                job.name,
                self.directory.display()
            ))),
            Err(errno) => {
                let cannot = format!("cannot create {}", job.directory.display());
                Err(NotCreated::Failed(anyhow::Error::new(errno).context(cannot)))
            }
        }
    }

    /// Removes what processes have left that were killed while they created or removed a job.
    fn sweep(&self) -> Result<()> {
        let directory = Dir::open(&self.directory)?;
        for name in self.names()? {
            let Some(what) = left(&name) else { continue };
            // Another process may sweep, too; one of them gets it.
            let own = temporary(what);
            if fs::rename(self.directory.join(&name), self.directory.join(&own)).is_ok() {
                let _ = directory.remove(&own);
            }
        }
        Ok(())
    }

    /// A job or a model that was created.
    ///
    /// # Errors
    /// There is none of that name.
    pub fn job(&self, name: &str) -> Result<Job> {
        let job = self.at(name);
        let is_name = !name.is_empty() && !name.starts_with('.') && !name.contains('/');
        if is_name && job.path("request.json").is_file() {
            return Ok(job);
        }
        anyhow::bail!(
            "there is no job {name:?} in {}; `isolate-job list` shows all",
            self.directory.display()
        )
    }

    /// All jobs and models, sorted by name.
    ///
    /// # Errors
    /// The system's.
    pub fn list(&self) -> Result<Vec<Job>> {
        let names = self.names()?;
        Ok(names.iter().filter_map(|name| self.job(name).ok()).collect())
    }

    fn names(&self) -> Result<Vec<String>> {
        let cannot = || format!("cannot read {}", self.directory.display());
        let entries = match fs::read_dir(&self.directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.with_context(cannot)?,
        };
        let mut names = Vec::new();
        for entry in entries {
            names.extend(entry.with_context(cannot)?.file_name().into_string().ok());
        }
        names.sort_unstable();
        Ok(names)
    }

    fn at(&self, name: &str) -> Job {
        Job { directory: self.directory.join(name), name: name.to_owned() }
    }
}

/// A name that is not seen, as no name of a job begins with a dot. It has the process that uses it.
fn temporary(name: &str) -> String {
    // Several threads may create at once.
    format!(".{name}.{}.{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

/// Of which job a temporary name is, whose process has ended.
fn left(temporary: &str) -> Option<&str> {
    let mut parts = temporary.strip_prefix('.')?.rsplitn(3, '.');
    let (number, process, name) = (parts.next()?, parts.next()?, parts.next()?);
    number.parse::<u64>().ok()?;
    let process = Pid::from_raw(process.parse().ok()?)?;
    (test_kill_process(process) == Err(Errno::SRCH)).then_some(name)
}

fn private() -> DirBuilder {
    let mut builder = DirBuilder::new();
    builder.mode(0o700);
    builder
}

/// A name that was made or replaced is there after a power failure.
fn sync(directory: &Path) -> Result<()> {
    File::open(directory)
        .and_then(|file| file.sync_all())
        .with_context(|| format!("cannot write {}", directory.display()))
}

#[cfg(test)]
mod tests;
