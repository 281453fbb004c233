//! Processes as /proc shows them: identity, whether one has ended, its namespaces and mounts. Reads only.

mod id_map;
mod links;
mod mountinfo;

use std::fmt::Display;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use nix::sys::stat::FileStat;
use serde::{Deserialize, Serialize};

pub use id_map::{ID_MAPS, IdRange};
pub use links::linking_to;
pub use mountinfo::{MountInfo, parse_mountinfo};

use crate::files;

/// A file by device and inode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[allow(missing_docs, reason = "stat(2)'s names")]
pub struct Inode {
    pub dev: u64,
    pub ino: u64,
}

impl Inode {
    /// The file at a path, links followed.
    ///
    /// # Errors
    /// It does not exist, or is not accessible.
    pub fn of(path: &Path) -> io::Result<Self> {
        std::fs::metadata(path).map(|meta| Self::from(&meta))
    }
}

impl From<&std::fs::Metadata> for Inode {
    fn from(meta: &std::fs::Metadata) -> Self {
        Self { dev: meta.dev(), ino: meta.ino() }
    }
}

impl From<&FileStat> for Inode {
    fn from(stat: &FileStat) -> Self {
        Self { dev: stat.st_dev, ino: stat.st_ino }
    }
}

/// A process, distinguished from a later one of the same pid by its start time (proc_pid_stat(5), field 22).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the struct's own words")]
pub struct ProcessId {
    pub pid: u32,
    pub start: u64,
}

impl ProcessId {
    /// This process.
    ///
    /// # Errors
    /// /proc is not mounted.
    pub fn this() -> Result<Self> {
        Self::of(std::process::id())
    }

    /// The process of this pid.
    ///
    /// # Errors
    /// It is gone.
    pub fn of(pid: u32) -> Result<Self> {
        let stat = Dir::of(pid).stat().with_context(|| format!("cannot read /proc/{pid}/stat"))?;
        Ok(Self { pid, start: stat.start })
    }

    /// Whether it is running and is not this process. A process that has ended is not running, whether or not
    /// it was reaped.
    #[must_use]
    pub fn runs(self) -> bool {
        let is_it = |stat: &Stat| stat.start == self.start && !stat.has_ended();
        self.pid != std::process::id() && self.dir().stat().is_ok_and(|stat| is_it(&stat))
    }

    /// Its directory in /proc, which may belong to another process once it has ended.
    #[must_use]
    pub fn dir(self) -> Dir {
        Dir::of(self.pid)
    }
}

/// A process' directory in /proc.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dir(PathBuf);

impl Dir {
    /// The directory for this pid, whether there is such a process or not.
    #[must_use]
    pub fn of(pid: u32) -> Self {
        Self(PathBuf::from(format!("/proc/{pid}")))
    }

    /// This process' own.
    #[must_use]
    pub fn ours() -> Self {
        Self(PathBuf::from("/proc/self"))
    }

    /// All processes, by pid.
    ///
    /// # Errors
    /// /proc cannot be listed.
    pub fn all() -> Result<Vec<(u32, Self)>> {
        let mut found = Vec::new();
        for entry in std::fs::read_dir("/proc").context("cannot list /proc")? {
            let entry = entry.context("cannot list /proc")?;
            if let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) {
                found.push((pid, Self(entry.path())));
            }
        }
        Ok(found)
    }

    /// Its path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// A file in it.
    #[must_use]
    pub fn join(&self, file: impl AsRef<Path>) -> PathBuf {
        self.0.join(file)
    }

    /// Its namespace of a kind, as the kernel calls it (`net`, `mnt`).
    ///
    /// # Errors
    /// It has ended, or is not accessible.
    pub fn ns(&self, kind: impl Display) -> Result<Inode> {
        let path = self.join(format!("ns/{kind}"));
        Inode::of(&path).with_context(|| format!("cannot inspect {}", path.display()))
    }

    /// Its root directory.
    ///
    /// # Errors
    /// It has ended, or is not accessible.
    pub fn root(&self) -> io::Result<Inode> {
        Inode::of(&self.join("root/"))
    }

    /// Its threads.
    pub fn threads(&self) -> impl Iterator<Item = Self> + use<> {
        let threads = std::fs::read_dir(self.join("task")).into_iter().flatten().flatten();
        threads.map(|thread| Self(thread.path()))
    }

    /// Its name in the kernel; empty once it has ended.
    #[must_use]
    pub fn comm(&self) -> String {
        std::fs::read_to_string(self.join("comm")).unwrap_or_default().trim_end().to_owned()
    }

    /// Its status (proc_pid_status(5)).
    ///
    /// # Errors
    /// It is gone.
    pub fn status(&self) -> Result<Status> {
        let bytes = files::read(&self.join("status"), files::SMALL_LIMIT)?.bytes;
        Ok(Status(String::from_utf8_lossy(&bytes).into_owned()))
    }

    /// Its parent; `None` if that is outside our pid namespace.
    ///
    /// # Errors
    /// It is gone.
    pub fn parent(&self) -> Result<Option<u32>> {
        let parent = self.status()?.field("PPid").and_then(|parent| parent.parse().ok());
        Ok(parent.filter(|parent| *parent != 0))
    }

    /// Whether it has ended; a zombie has.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.stat().map_or(true, |stat| stat.has_ended())
    }

    fn stat(&self) -> io::Result<Stat> {
        // Read at once: a file in /proc has no size to rely on.
        let mut text = [0; 1024];
        let length = File::open(self.join("stat"))?.read(&mut text)?;
        Stat::of(&text[..length]).ok_or(io::ErrorKind::InvalidData.into())
    }
}

/// The text of /proc/PID/status.
#[derive(Debug)]
pub struct Status(String);

impl Status {
    /// The value of a field.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields().find(|(field, _)| *field == name).map(|(_, value)| value)
    }

    /// All fields and their values.
    pub fn fields(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.lines().filter_map(|line| line.split_once(':')).map(|(field, value)| (field, value.trim()))
    }
}

/// How long ago the machine was started (proc(5), `/proc/uptime`): a clock that cannot be set.
///
/// # Errors
/// The file cannot be read.
pub fn since_boot() -> Result<Duration> {
    let text = std::fs::read_to_string("/proc/uptime").context("cannot read /proc/uptime")?;
    let seconds = text.split_whitespace().next().and_then(|seconds| seconds.parse().ok());
    let since = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    since.context("/proc/uptime has no time")
}

/// The fields of /proc/PID/stat that are used.
#[derive(Debug, PartialEq, Eq)]
struct Stat {
    state: u8,
    threads: u64,
    start: u64,
}

impl Stat {
    fn of(text: &[u8]) -> Option<Self> {
        // The second field is the command in parentheses; it may contain any byte, but no later field
        // contains a parenthesis.
        let behind = &text[text.iter().rposition(|byte| *byte == b')')? + 1..];
        let fields: Vec<&str> = std::str::from_utf8(behind).ok()?.split_ascii_whitespace().collect();
        let number = |field: usize| fields.get(field - 3)?.parse().ok();
        Some(Self { state: *fields.first()?.as_bytes().first()?, threads: number(20)?, start: number(22)? })
    }

    /// A zombie with other threads has not ended: only its first thread has.
    fn has_ended(&self) -> bool {
        matches!(self.state, b'Z' | b'X' | b'x') && self.threads <= 1
    }
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};
    use std::time::{Duration, Instant};

    use super::*;

    #[test]
    fn a_process_that_has_ended_and_was_not_reaped_does_not_run() {
        let mut child = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
        let process = ProcessId::of(child.id()).unwrap();
        assert!(process.runs() && !process.dir().has_ended());
        assert!(!ProcessId { start: process.start + 1, ..process }.runs());
        drop(child.stdin.take());
        let deadline = Instant::now() + Duration::from_secs(10);
        while !process.dir().has_ended() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(5));
        }
        let state = process.dir().status().unwrap().field("State").unwrap().to_owned();
        assert_eq!(state, "Z (zombie)");
        assert_eq!(ProcessId::of(process.pid).unwrap(), process);
        assert!(!process.runs() && process.dir().has_ended());
        child.wait().unwrap();
        assert!(!process.runs() && process.dir().has_ended());
        assert!(ProcessId::of(process.pid).is_err());
    }

    #[test]
    fn fields_are_found_behind_any_name() {
        let text = |state: &str, threads: u32| {
            format!(
                "7 (a) b) {state} 1 7 7 0 -1 4194304 1 2 3 4 5 6 7 8 20 0 {threads} 0 9876 1 2 18446744073709551615"
            )
        };
        let of = |state, threads| Stat::of(text(state, threads).as_bytes()).unwrap();
        assert_eq!(of("S", 3), Stat { state: b'S', threads: 3, start: 9876 });
        assert!(!of("S", 1).has_ended() && !of("D", 1).has_ended() && !of("T", 1).has_ended());
        assert!(of("Z", 1).has_ended() && of("X", 0).has_ended());
        assert!(!of("Z", 2).has_ended());
        assert_eq!(Stat::of(b"7 (a"), None);
        assert_eq!(Stat::of(b"7 (a) S 1"), None);
    }
}
