//! What is remembered of an isolated container between `create` and `delete`: one small file, keyed by the runtime's
//! root and the container's id. That a container has a record means that it is isolated; start and exec go by it.
//!
//! A record is claimed before the container is created and dropped when `delete` has succeeded. A create that failed
//! leaves one behind; whoever reuses the id replaces it, so nothing is inherited.

use std::ffi::OsString;
use std::fs::{DirBuilder, File};
use std::io::ErrorKind;
use std::net::IpAddr;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::fcntl::{Flock, FlockArg};
use serde::{Deserialize, Serialize};

use crate::files;
use crate::report::Applied;
use crate::runtime;
use crate::seal::Sealed;
use crate::settings::Firewall;

/// Of records that this version reads and writes.
const VERSION: u32 = 1;

/// The lock is held for a few file operations; whoever holds it longer is stopped or stuck.
const LOCK_DEADLINE: Duration = Duration::from_secs(10);

/// An isolated container.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    version: u32,
    /// The container's id.
    pub id: String,
    /// The bundle, absolute.
    pub bundle: PathBuf,
    /// The root file system: the init process is told by it.
    pub rootfs: Inode,
    /// Where the runtime writes the pid of the init process; not with `run` and `restore`.
    pub pid_file: Option<PathBuf>,
    /// Who creates the container; the process becomes the runtime.
    pub creator: Creator,
    /// Who asked for isolation.
    pub why: String,
    /// Whether the firewall table may be missing.
    pub firewall: Firewall,
    /// Whether the container joins a namespace that was sealed before.
    pub joins_sealed: bool,
    /// Whether its capabilities count in a user namespace only.
    pub confined: bool,
    /// The addresses of the network that the container does not get; it keeps them on `lo`.
    pub addresses: Vec<IpAddr>,
    /// What was changed in its `config.json`.
    pub applied: Vec<Applied>,
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
pub struct Creator {
    pub pid: u32,
    pub start: u64,
}

impl Creator {
    /// This process.
    ///
    /// # Errors
    /// /proc is not there.
    pub fn this() -> Result<Self> {
        let pid = std::process::id();
        let start = start_time(pid).with_context(|| format!("cannot read /proc/{pid}/stat"))?;
        Ok(Self { pid, start })
    }

    fn lives(self) -> bool {
        self.pid != std::process::id() && start_time(self.pid) == Some(self.start)
    }
}

fn start_time(pid: u32) -> Option<u64> {
    let stat = std::fs::read(format!("/proc/{pid}/stat")).ok()?;
    // The second field is the command in parentheses, which may hold anything but is the last to have one.
    let behind = &stat[stat.iter().rposition(|b| *b == b')')? + 1..];
    std::str::from_utf8(behind).ok()?.split_ascii_whitespace().nth(19)?.parse().ok()
}

/// What a new record is made of.
#[derive(Debug)]
#[allow(missing_docs, reason = "the fields of Record")]
pub struct New {
    pub id: String,
    pub bundle: PathBuf,
    pub rootfs: Inode,
    pub pid_file: Option<PathBuf>,
    pub why: String,
    pub firewall: Firewall,
    pub joins_sealed: bool,
    pub confined: bool,
    pub addresses: Vec<IpAddr>,
    pub applied: Vec<Applied>,
}

impl Record {
    /// A record of a container that this process is about to create.
    ///
    /// # Errors
    /// /proc is not there.
    pub fn new(new: New) -> Result<Self> {
        let New { id, bundle, rootfs, pid_file, why, firewall, joins_sealed, confined, addresses, applied } =
            new;
        Ok(Self {
            version: VERSION,
            creator: Creator::this()?,
            sealed: None,
            id,
            bundle,
            rootfs,
            pid_file,
            why,
            firewall,
            joins_sealed,
            confined,
            addresses,
            applied,
        })
    }
}

/// The place of one container's record.
#[derive(Debug, Clone)]
pub struct Place {
    state: PathBuf,
    container: PathBuf,
    record: PathBuf,
}

impl Place {
    /// The place for the container `id` below a runtime's `root` (absolute); `None` for an id that no container can
    /// have, because it is not the name of a file.
    #[must_use]
    pub fn of(root: &Path, id: &str) -> Option<Self> {
        let named = !matches!(id, "" | "." | "..") && !id.contains(['/', '\0']) && id.len() <= 240;
        named.then(|| {
            let state = state_dir();
            let record = records_of(&state, root).join(format!("{id}.json"));
            Self { container: root.join(id), record, state }
        })
    }

    /// The places of all records of a runtime's `root`.
    #[must_use]
    pub fn all_of(root: &Path) -> Vec<Self> {
        let entries = std::fs::read_dir(records_of(&state_dir(), root)).into_iter().flatten().flatten();
        let id = |name: OsString| name.to_str().and_then(|name| Some(name.strip_suffix(".json")?.to_owned()));
        entries.filter_map(|entry| Self::of(root, &id(entry.file_name())?)).collect()
    }

    /// The place of the record with this path, for a hook that was given it: a hook's environment is not the engine's,
    /// so the state directory is read from the path.
    ///
    /// # Errors
    /// It is not a path that [`Place::of`] makes.
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

    /// Where the runtime is told to write the init process' pid when the engine did not say.
    #[must_use]
    pub fn pid_file(&self) -> PathBuf {
        self.record.with_extension("pid")
    }

    /// An empty directory that nobody writes to; made if it is not there. `None` when options of a mount could not hold
    /// its path.
    ///
    /// # Errors
    /// The state directory cannot be written.
    pub fn empty_directory(&self) -> Result<Option<String>> {
        let path = self.state.join("empty");
        make_dir(&self.state)?;
        self.check_owner()?;
        make_dir(&path)?;
        Ok(path.into_os_string().into_string().ok().filter(|path| !path.contains([':', ',', '\\'])))
    }

    /// Reads the record. `None`: the container is not isolated.
    ///
    /// # Errors
    /// There is a record that cannot be read or understood, or others than us can write it.
    pub fn load(&self) -> Result<Option<Record>> {
        if !self.is_there() {
            return Ok(None);
        }
        self.check_owner()?;
        let snapshot = files::read(&self.record, files::SMALL_LIMIT)?;
        let record: Record = serde_json::from_slice(&snapshot.bytes)
            .with_context(|| format!("cannot understand the record {}", self.record.display()))?;
        if record.version != VERSION {
            bail!("the record {} is of version {}, not {VERSION}", self.record.display(), record.version);
        }
        Ok(Some(record))
    }

    /// Whether there is a record, readable or not.
    #[must_use]
    pub fn is_there(&self) -> bool {
        // Anything but a clear "no such file" counts as a record, which will then fail to be read.
        !matches!(std::fs::symlink_metadata(&self.record), Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory))
    }

    /// Whether the runtime has a container of that id.
    #[must_use]
    pub fn has_container(&self) -> bool {
        // Unreachable counts as there: nothing is taken over or dropped that may belong to it.
        !matches!(self.container.try_exists(), Ok(false))
    }

    /// Writes the record of a container that is about to be created.
    ///
    /// # Errors
    /// A container of that id exists or is being created, or the state directory cannot be written.
    pub fn claim(&self, record: &Record) -> Result<()> {
        let _lock = self.lock()?;
        if let Some(why) = self.taken() {
            bail!("{why}");
        }
        let dir = self.record.parent().unwrap_or(&self.state);
        make_dir(dir)?;
        match std::fs::remove_file(self.pid_file()) {
            Err(e) if e.kind() != ErrorKind::NotFound => {
                return Err(e).with_context(|| format!("cannot remove {}", self.pid_file().display()));
            }
            _ => {}
        }
        self.write(record)
    }

    /// Writes the record of a container that was sealed.
    ///
    /// # Errors
    /// The state directory cannot be written.
    pub fn update(&self, record: &Record) -> Result<()> {
        self.write(record)
    }

    /// Drops the record, if there is one. The container is gone, or was not created.
    ///
    /// # Errors
    /// The state directory cannot be written.
    pub fn forget(&self) -> Result<()> {
        let _lock = self.lock()?;
        self.remove()
    }

    /// Drops a record that a failed create left behind, since a container that is not isolated takes its id. Where a
    /// container of that id exists the runtime will say so.
    ///
    /// # Errors
    /// The state directory cannot be written.
    pub fn forget_stale(&self) -> Result<()> {
        if !self.is_there() {
            return Ok(());
        }
        let _lock = self.lock()?;
        if self.taken().is_none() { self.remove() } else { Ok(()) }
    }

    /// Why a new container cannot have the id, if so.
    fn taken(&self) -> Option<String> {
        if self.has_container() {
            return Some(format!("a container of that id exists ({})", self.container.display()));
        }
        // A record that cannot be understood belongs to no container: there is none of that id.
        let creator = self.load().ok().flatten().map(|record| record.creator);
        creator.filter(|c| c.lives()).map(|c| format!("it is being created by process {}", c.pid))
    }

    fn write(&self, record: &Record) -> Result<()> {
        files::write(&self.record, &serde_json::to_vec(record)?, 0o600)
    }

    fn remove(&self) -> Result<()> {
        for path in [&self.record, &self.pid_file()] {
            match std::fs::remove_file(path) {
                Err(e) if !matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
                    return Err(e).with_context(|| format!("cannot remove {}", path.display()));
                }
                _ => {}
            }
        }
        // Directories that are not empty stay.
        let below = self.record.ancestors().skip(1).take_while(|dir| *dir != self.state);
        let _ = below.map(std::fs::remove_dir).take_while(Result::is_ok).count();
        Ok(())
    }

    fn lock(&self) -> Result<Flock<File>> {
        make_dir(&self.state)?;
        self.check_owner()?;
        let shown = self.state.display();
        let mut file = File::open(&self.state).with_context(|| format!("cannot open {shown}"))?;
        let deadline = Instant::now() + LOCK_DEADLINE;
        loop {
            match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
                Ok(lock) => return Ok(lock),
                Err((_, errno)) if errno != nix::errno::Errno::EWOULDBLOCK => {
                    return Err(errno).with_context(|| format!("cannot lock {shown}"));
                }
                Err(_) if Instant::now() > deadline => {
                    bail!("cannot lock {shown}: held by another process for {LOCK_DEADLINE:?}");
                }
                Err((back, _)) => file = back,
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Whoever can write the state directory can make an isolated container look like one that is not.
    fn check_owner(&self) -> Result<()> {
        let shown = self.state.display();
        let meta =
            std::fs::symlink_metadata(&self.state).with_context(|| format!("cannot look at {shown}"))?;
        let ours = meta.uid() == nix::unistd::geteuid().as_raw();
        if !meta.is_dir() || !ours || meta.mode() & 0o022 != 0 {
            bail!("{shown} is not a directory that only its owner, who is us, can write");
        }
        Ok(())
    }
}

fn records_of(state: &Path, root: &Path) -> PathBuf {
    state.join("containers").join(root.strip_prefix("/").unwrap_or(root))
}

fn state_dir() -> PathBuf {
    runtime::user_runtime_dir().unwrap_or_else(|| "/run".into()).join("oci-isolate")
}

fn make_dir(dir: &Path) -> Result<()> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(dir);
    made.with_context(|| format!("cannot make the directory {}", dir.display()))
}
