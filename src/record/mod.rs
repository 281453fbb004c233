//! What is remembered of an isolated container between `create` and `delete`: one small file, keyed by the runtime's
//! root and the container's id. That a container has a record means that it is isolated; start and exec go by it.
//!
//! A record is claimed before the container is created and dropped when `delete` has succeeded. A create that failed
//! leaves one behind; whoever reuses the id replaces it, so nothing is inherited.

mod directory;
mod lock;
mod opened;
mod place;

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

pub use directory::{about_runtime, check_state, empty_directory, empty_file, is_above_state};
pub use opened::{Excluded, Hosts, Opened};
pub use place::Place;

use crate::files;
use crate::policy::Job;
use crate::report::Applied;
use crate::rules::Network;
use crate::rules::mounts::Pinned;
use crate::seal::Sealed;
use crate::settings::{Audit, Firewall};

/// Of records that this version reads and writes.
pub const VERSION: u32 = 3;

/// An isolated container.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// [`VERSION`].
    pub version: u32,
    /// The container's id.
    pub id: String,
    /// The runtime that makes it, absolute.
    pub runtime: PathBuf,
    /// The bundle, absolute.
    pub bundle: PathBuf,
    /// The root file system: the init process is told by it.
    pub rootfs: Inode,
    /// What its bind mounts have to show when it is started.
    pub pinned: Vec<Pinned>,
    /// Where the runtime writes the pid of the init process; not with `run` and `restore`.
    pub pid_file: Option<PathBuf>,
    /// Who creates the container; the process becomes the runtime.
    pub creator: Process,
    /// Who asked for isolation.
    pub why: String,
    /// Whether the firewall table may be missing.
    pub firewall: Firewall,
    /// What became of the network that its engine had in mind.
    pub network: Network,
    /// Whether it is in a user namespace that confines: no id in it is the machine's root.
    pub confined: bool,
    /// What stays open; nothing, for most.
    pub opened: Option<Opened>,
    /// What was changed in its `config.json`.
    pub applied: Vec<Applied>,
    /// Rules whose promises were not made, because their answer was `allow`.
    pub waived: Vec<String>,
    /// Where decisions about it are written down by those who do not read the settings.
    pub audit: Audit,
    /// The init process, once the container was sealed.
    pub init: Option<Process>,
    /// What the seal found and did, once there is one.
    pub sealed: Option<Sealed>,
}

/// A file by device and inode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "stat(2)'s names")]
pub struct Inode {
    pub dev: u64,
    pub ino: u64,
}

impl From<&std::fs::Metadata> for Inode {
    fn from(meta: &std::fs::Metadata) -> Self {
        Self { dev: meta.dev(), ino: meta.ino() }
    }
}

/// A process, told from a later one of the same pid by its start time (proc_pid_stat(5), field 22).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the struct's own words")]
pub struct Process {
    pub pid: u32,
    pub start: u64,
}

impl Process {
    /// This process.
    ///
    /// # Errors
    /// /proc is not there.
    pub fn this() -> Result<Self> {
        Self::of(std::process::id())
    }

    /// The process of this pid.
    ///
    /// # Errors
    /// It is gone.
    pub fn of(pid: u32) -> Result<Self> {
        let start = start_time(pid).with_context(|| format!("cannot read /proc/{pid}/stat"))?;
        Ok(Self { pid, start })
    }

    /// Whether it has not ended.
    #[must_use]
    pub fn lives(self) -> bool {
        self.pid != std::process::id() && start_time(self.pid) == Some(self.start)
    }
}

fn start_time(pid: u32) -> Option<u64> {
    // One read of all of it: a file of /proc has no size to go by.
    let mut stat = [0; 1024];
    let length = File::open(format!("/proc/{pid}/stat")).ok()?.read(&mut stat).ok()?;
    let stat = &stat[..length];
    // The second field is the command in parentheses, which may hold anything but is the last to have one.
    let behind = &stat[stat.iter().rposition(|b| *b == b')')? + 1..];
    std::str::from_utf8(behind).ok()?.split_ascii_whitespace().nth(19)?.parse().ok()
}

impl Record {
    /// Removes what its creator left in the bundle if it was killed while it made the container.
    pub fn sweep(&self) {
        if !self.creator.lives() {
            files::sweep(&self.bundle.join("config.json"), self.creator.pid);
        }
    }

    /// Whether it was sealed and its init process has not ended.
    #[must_use]
    pub fn lives(&self) -> bool {
        self.init.is_some_and(Process::lives)
    }

    /// Its job, if it has one.
    #[must_use]
    pub fn job(&self) -> Option<&Job> {
        self.opened.as_ref()?.asked.job.as_ref()
    }

    /// The network namespace that it was given by path, in which something is open for it and that outlives it.
    #[must_use]
    pub fn given_namespace(&self) -> Option<&Path> {
        self.opened.as_ref().and(self.network.given())
    }
}
