//! The containerd that runs. The one in PATH may be another, its configuration may be in another file (k3s), and what was changed
//! there since it was started has no effect yet.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use nix::time::{ClockId, clock_gettime};

use crate::program_version;
use oci_isolate::files;
use oci_isolate::proc::{Dir, ProcessId};

/// Its name in the kernel.
const NAME: &str = "containerd";

/// How much later than the process a file has to be, since clocks are compared.
const TOLERANCE: Duration = Duration::from_secs(2);

/// USER_HZ, the unit of start times, on every architecture that containerd has.
const TICKS: u64 = 100;

/// A running containerd.
pub(super) struct RunningContainerd {
    process: ProcessId,
    /// The file that its command line names.
    pub(super) config: Option<PathBuf>,
}

impl RunningContainerd {
    /// The one that starts pods here: neither dockerd's own, nor one of another file system, which a container has.
    pub(super) fn find() -> Option<Self> {
        let ours = Dir::ours().ns("mnt").ok()?;
        let mut all = Dir::all().ok()?;
        all.sort_unstable_by_key(|(pid, _)| *pid);
        let (pid, dir) = all.into_iter().find(|(_, dir)| {
            let of_docker =
                || dir.parent().ok().flatten().is_some_and(|parent| Dir::of(parent).comm() == "dockerd");
            dir.comm() == NAME && dir.ns("mnt").is_ok_and(|its| its == ours) && !of_docker()
        })?;
        let words = files::read(&dir.join("cmdline"), files::SMALL_LIMIT).ok()?.bytes;
        let config = config(&words).map(|file| dir.join("cwd").join(file));
        Some(Self { process: ProcessId::of(pid).ok()?, config })
    }

    pub(super) fn pid(&self) -> u32 {
        self.process.pid
    }

    /// What its own program prints. That of k3s is not only containerd, and prints its own version.
    pub(super) fn version(&self) -> Option<String> {
        let said = program_version::query(&self.process.dir().join("exe"))?;
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
        let this = RunningContainerd { process: ProcessId::this().unwrap(), config: None };
        let started = this.started().unwrap();
        assert!(started <= SystemTime::now());
        assert!(!this.is_older_than(file_of(started - Duration::from_secs(60))));
        assert!(!this.is_older_than(file_of(started + TOLERANCE / 2)));
        assert!(this.is_older_than(file_of(started + Duration::from_secs(60))));
        assert!(!this.is_older_than(&dir.path().join("none")));
    }
}
