//! The containerd that runs. The one in PATH may be another, its configuration may be in another file (k3s), and what was changed
//! there since it was started has no effect yet.

use std::ffi::OsStr;
use std::fs::File;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use nix::time::{ClockId, clock_gettime};

use crate::program_version;
use oci_isolate::files;
use oci_isolate::proc::{Dir, Inode, ProcessId};

/// Its name in the kernel.
const NAME: &str = "containerd";

/// How much later than the process a file has to be, since clocks are compared.
const TOLERANCE: Duration = Duration::from_secs(2);

/// USER_HZ, the unit of start times, on every architecture that containerd has.
const TICKS: u64 = 100;

/// A running containerd.
pub(super) struct RunningContainerd {
    process: ProcessId,
    /// Its program, which only root can have chosen.
    program: File,
    /// The file that its command line names.
    pub(super) config: Option<PathBuf>,
}

impl RunningContainerd {
    /// The one that starts pods here: neither dockerd's own, nor one of another file system, which a container has, nor a
    /// process of another user: that can have any name, program and command line.
    pub(super) fn find() -> Option<Self> {
        let ours = namespaces(&Dir::ours())?;
        let mut all = Dir::all().ok()?;
        all.sort_unstable_by_key(|(pid, _)| *pid);
        all.into_iter().find_map(|(pid, dir)| {
            if dir.comm() != NAME {
                return None;
            }
            let process = ProcessId::of(pid).ok()?;
            let of_docker =
                || dir.parent().ok().flatten().is_some_and(|parent| Dir::of(parent).comm() == "dockerd");
            if namespaces(&dir)? != ours || !is_roots(&dir) || of_docker() {
                return None;
            }
            let program = File::open(dir.join("exe")).ok().filter(only_root_writes)?;
            let words = files::read(&dir.join("cmdline"), files::SMALL_LIMIT).ok()?.bytes;
            let config = config(&words).map(|file| dir.join("cwd").join(file));
            // All of that was of one process.
            process.runs().then_some(Self { process, program, config })
        })
    }

    pub(super) fn pid(&self) -> u32 {
        self.process.pid
    }

    /// What its own program prints. That of k3s is not only containerd, and prints its own version.
    pub(super) fn version(&self) -> Option<String> {
        let said = program_version::query(Path::new(&format!("/proc/self/fd/{}", self.program.as_raw_fd())))?;
        said.starts_with("containerd ").then_some(said)
    }

    /// Whether a file was changed after it was started.
    pub(super) fn is_older_than(&self, file: &Path) -> bool {
        let changed = std::fs::metadata(file).and_then(|meta| meta.modified());
        let started = self.started();
        changed.is_ok_and(|changed| started.is_some_and(|started| changed > started + TOLERANCE))
    }

    fn started(&self) -> Option<SystemTime> {
        let since_boot = Duration::from_millis(self.process.start.checked_mul(1000 / TICKS)?);
        let now = Duration::from(clock_gettime(ClockId::CLOCK_BOOTTIME).ok()?);
        SystemTime::now().checked_sub(now.checked_sub(since_boot)?)
    }
}

fn namespaces(process: &Dir) -> Option<[Inode; 2]> {
    Some([process.ns("mnt").ok()?, process.ns("pid").ok()?])
}

/// Whether all four user ids are root's.
fn is_roots(process: &Dir) -> bool {
    let status = process.status();
    let ids = status.as_ref().ok().and_then(|status| status.field("Uid"));
    ids.is_some_and(|ids| ids.split_whitespace().eq(["0"; 4]))
}

/// Whether an executable is root's, is writable by root only, and gives no rights by its mode.
fn only_root_writes(program: &File) -> bool {
    const OTHERS_WRITE: u32 = 0o022;
    const SET_ID: u32 = 0o6000;
    program
        .metadata()
        .is_ok_and(|meta| meta.is_file() && meta.uid() == 0 && meta.mode() & (OTHERS_WRITE | SET_ID) == 0)
}

/// The value of `--config` or `-c` in a command line.
fn config(words: &[u8]) -> Option<&Path> {
    let mut words = words.split(|byte| *byte == 0).skip(1);
    while let Some(word) = words.next() {
        if matches!(word, b"--config" | b"-config" | b"-c") {
            return words.next().map(|file| Path::new(OsStr::from_bytes(file)));
        }
        let joined =
            [&b"--config="[..], b"-config=", b"-c="].into_iter().find_map(|flag| word.strip_prefix(flag));
        if let Some(file) = joined {
            return Some(Path::new(OsStr::from_bytes(file)));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_that_a_command_line_names_is_found() {
        for (words, file) in [
            ("containerd\0", None),
            ("containerd\0--log-level\0debug\0", None),
            (
                "containerd\0-c\0/var/lib/rancher/k3s/agent/etc/containerd/config.toml\0-a\0x\0",
                Some("/var/lib/rancher/k3s/agent/etc/containerd/config.toml"),
            ),
            ("containerd\0--config=/etc/a.toml\0", Some("/etc/a.toml")),
            ("containerd\0--root\0/r\0--config\0b.toml\0", Some("b.toml")),
        ] {
            assert_eq!(config(words.as_bytes()), file.map(Path::new), "{words:?}");
        }
    }

    #[test]
    fn a_file_that_was_changed_since_a_process_was_started_is_known() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("config.toml");
        let file_of = |time: SystemTime| {
            std::fs::File::create(&file).unwrap().set_modified(time).unwrap();
            &file
        };
        let program = File::open("/proc/self/exe").unwrap();
        let this = RunningContainerd { process: ProcessId::this().unwrap(), program, config: None };
        let started = this.started().unwrap();
        assert!(started <= SystemTime::now());
        assert!(!this.is_older_than(file_of(started - Duration::from_secs(60))));
        assert!(!this.is_older_than(file_of(started + TOLERANCE / 2)));
        assert!(this.is_older_than(file_of(started + Duration::from_secs(60))));
        assert!(!this.is_older_than(&dir.path().join("none")));
    }
}
