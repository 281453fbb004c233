//! The directory of jobs and models: one directory for each, which has its request, its status, its logs and its data. A job is
//! created in one step, and every document is replaced in one step.

mod job;

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, Result};
use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;
use serde::Serialize;

pub use job::{End, Failure, Job, Lock, Outcome};

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
        self.make()?;
        // Several threads may create at once.
        let id = (std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        // No name of a job begins with a dot.
        let temporary = Job {
            directory: self.directory.join(format!(".{name}.{}.{}", id.0, id.1)),
            name: name.to_owned(),
        };
        let cannot = || format!("cannot create {}", temporary.directory.display());
        private().create(&temporary.directory).with_context(cannot)?;
        private().create(temporary.directory.join("log")).with_context(cannot)?;
        temporary.replace("request.json", request)?;
        temporary.set_status(status)?;
        let job = self.at(name);
        match renameat_with(CWD, &temporary.directory, CWD, &job.directory, RenameFlags::NOREPLACE) {
            Ok(()) => {
                sync(&self.directory)?;
                Ok(job)
            }
            Err(errno) => {
                fs::remove_dir_all(&temporary.directory).with_context(cannot)?;
                Err(match errno {
                    Errno::EXIST => NotCreated::InUse(format!(
                        "ResourceInUse: {name} exists in {}; choose another name, or remove it with `isolate-job remove {name}`",
                        self.directory.display()
                    )),
                    errno => NotCreated::Failed(
                        anyhow::Error::new(errno)
                            .context(format!("cannot create {}", job.directory.display())),
                    ),
                })
            }
        }
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
        Ok(names.iter().filter_map(|name| self.job(name).ok()).collect())
    }

    fn at(&self, name: &str) -> Job {
        Job { directory: self.directory.join(name), name: name.to_owned() }
    }
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
