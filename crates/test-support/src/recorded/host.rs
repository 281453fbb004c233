//! A throw-away host for a recording runtime: own mount, pid and network namespaces, an empty `/run`, and a
//! bundle. It ends with the test, together with everything started or mounted in it.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::output::{ShimOutput, say};
use super::recorder::Recorded;
use crate::shim;

/// Process 1 of the host. bash reaps orphans; the host ends when its standard input is closed. crun 1.8.1
/// refuses a host with unified control groups beside the old ones, and makes its own in the directory below, which here ends with the host.
const INIT: &str = "set -e; mount -t tmpfs -o mode=0755 tmpfs /run
    if umount /sys/fs/cgroup/unified 2>/dev/null; then mount -t tmpfs tmpfs /sys/fs/cgroup/unified; fi; rm -rf /run/mount
    ip link set lo up; echo ready; read -r _";

/// A throw-away host whose runtime is the recorder.
pub struct RecorderHost {
    dir: TempDir,
    holder: Child,
    init: String,
}

/// What identifies a version of a file: inode, time of last modification, mode, owner, bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stamp {
    pub inode: u64,
    modified: (i64, i64),
    pub mode: u32,
    pub owner: (u32, u32),
    pub bytes: Vec<u8>,
}

impl RecorderHost {
    /// A host whose runtime is the recorder.
    pub fn new() -> Self {
        assert!(nix::unistd::geteuid().is_root(), "these tests make namespaces and mounts; run them as root");
        let dir = tempfile::Builder::new().prefix("oci-isolate-").tempdir().unwrap();
        // Tests also run as other users.
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        for name in ["bundle", "bundle/rootfs", "calls"] {
            fs::create_dir(dir.path().join(name)).unwrap();
        }
        let mut holder = Command::new("/usr/bin/unshare");
        holder.args([
            "--mount",
            "--net",
            "--pid",
            "--fork",
            "--kill-child",
            "--mount-proc",
            "bash",
            "-c",
            INIT,
        ]);
        let holder = holder.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut host = Self { dir, holder, init: String::new() };
        let mut line = String::new();
        BufReader::new(host.holder.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n", "the host did not come up");
        let holder = host.holder.id();
        let children = fs::read_to_string(format!("/proc/{holder}/task/{holder}/children")).unwrap();
        host.init = children.trim().to_owned();
        let recorder = host.at("recorder");
        fs::write(&recorder, include_str!("recorder.sh")).unwrap();
        fs::set_permissions(&recorder, fs::Permissions::from_mode(0o755)).unwrap();
        // `restore` is handled like `run`; that it is refused by default is shown in tests/closed_world.
        host.settings("restore = \"allow\"");
        host
    }

    /// The path of `name` in a directory that is the same inside and outside.
    pub fn at(&self, name: &str) -> String {
        self.dir.path().join(name).to_str().unwrap().to_owned()
    }

    /// Writes a file into that directory and returns its path.
    pub fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> String {
        fs::write(self.at(name), bytes).unwrap();
        self.at(name)
    }

    /// Writes the settings file: the recorder as the runtime, and `text`.
    pub fn settings(&self, text: &str) {
        self.write("config.toml", format!("runtime = [\"{}\"]\n{text}", self.at("recorder")));
    }

    /// Writes the bundle's config.json.
    pub fn config(&self, config: &Value) {
        self.write("bundle/config.json", config.to_string());
    }

    /// The bundle's config.json as it is now.
    pub fn read_config(&self) -> Value {
        serde_json::from_slice(&fs::read(self.at("bundle/config.json")).unwrap()).unwrap()
    }

    /// Makes the recorder run these lines of shell after recording. `$n` is the number of previous calls,
    /// `$pid_file` the value of `--pid-file`, `$1` the first word, `$d` this host's directory.
    pub fn behave(&self, script: &str) {
        self.write("behave", script);
    }

    /// The path outside of the host's `path`.
    pub fn outside(&self, path: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root{path}", self.init))
    }

    /// A command on the host, with an environment of `PATH` and the settings file, in the bundle's directory.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("/usr/bin/nsenter");
        command.args(["--mount", "--net", "--pid", "--target", &self.init]);
        command.arg(format!("--wdns={}", self.at("bundle"))).arg("--").arg(program);
        command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        command.env("OCI_ISOLATE_CONFIG", self.at("config.toml"));
        command
    }

    /// Runs a shell script on the host; `$SHIM` is the shim.
    pub fn sh(&self, script: &str) -> ShimOutput {
        say(self.command("sh").args(["-euc", script]).env("SHIM", shim()))
    }

    /// Calls the shim in the bundle's directory, with the runtime's root in this host.
    pub fn shim<S: AsRef<OsStr>>(&self, args: &[S]) -> ShimOutput {
        say(self.command(shim()).arg("--root").arg(self.at("root")).args(args))
    }

    /// Makes the record of `web` that of a container which was sealed: of the init process of the host.
    pub fn sealed(&self) {
        let mut record = self.read_record("web");
        let stat = self.sh("cat /proc/1/stat").must();
        let start = stat.rsplit_once(')').unwrap().1.split_whitespace().nth(19).unwrap();
        record["init"] = json!({"pid": 1, "start": start.parse::<u64>().unwrap()});
        fs::write(self.outside(&self.record("web")), record.to_string()).unwrap();
    }

    /// All recorded calls, in order.
    pub fn calls(&self) -> Vec<Recorded> {
        let dirs = (0..).map(|n| self.dir.path().join(format!("calls/{n}"))).take_while(|call| call.exists());
        dirs.map(|call| Recorded::read(&call)).collect()
    }

    /// The only call recorded since the last time; it is removed.
    #[track_caller]
    pub fn call(&self) -> Recorded {
        let mut calls = self.calls();
        assert_eq!(calls.len(), 1, "{calls:#?}");
        fs::remove_dir_all(self.at("calls/0")).unwrap();
        calls.remove(0)
    }

    /// Every file below the state directory, relative to it, without what is cached about a runtime.
    pub fn state(&self) -> Vec<String> {
        self.sh("cd /run; [ ! -d oci-isolate ] || find oci-isolate ! -type d ! -name 'runtime-*' | sort")
            .must()
            .lines()
            .map(str::to_owned)
            .collect()
    }

    /// The path, on the host, of the record of container `id`.
    pub fn record(&self, id: &str) -> String {
        format!("/run/oci-isolate/containers{}/{id}.json", self.at("root"))
    }

    /// The record of the container `id`.
    #[track_caller]
    pub fn read_record(&self, id: &str) -> Value {
        serde_json::from_slice(&fs::read(self.outside(&self.record(id))).unwrap()).unwrap()
    }

    /// The bundle's config.json, whatever it is.
    pub fn stamp(&self) -> Option<Stamp> {
        let path = self.outside(&self.at("bundle/config.json"));
        let meta = fs::symlink_metadata(&path).ok()?;
        let bytes = if meta.is_file() { fs::read(&path).unwrap() } else { Vec::new() };
        Some(Stamp {
            inode: meta.ino(),
            modified: (meta.mtime(), meta.mtime_nsec()),
            mode: meta.mode(),
            owner: (meta.uid(), meta.gid()),
            bytes,
        })
    }

    /// Calls the shim and asserts that it refuses with exactly this text, on stderr and in the log, and that
    /// nothing happened: the recorder was not called, the bundle and the state directory are unchanged.
    #[track_caller]
    pub fn refuses<S: AsRef<OsStr>>(&self, args: &[S], message: &str) {
        self.refuses_with(|_| {}, args, message);
    }

    /// The same for a command that `prepare` changes.
    #[track_caller]
    pub fn refuses_with<S: AsRef<OsStr>>(&self, prepare: impl Fn(&mut Command), args: &[S], message: &str) {
        let message = format!("oci-isolate: {message}");
        let quoted = Value::from(message.as_str()).to_string();
        let before = (self.stamp(), self.state(), self.bundle());
        let log = self.at("log");
        for format in [None, Some("json"), Some("text")] {
            let mut command = self.command(shim());
            prepare(&mut command);
            command.arg("--root").arg(self.at("root"));
            if let Some(format) = format {
                command.args(["--log", &log, "--log-format", format]);
            }
            let said = say(command.args(args));
            assert_eq!(said, ShimOutput { status: 1, out: String::new(), err: format!("{message}\n") });
            let entry = fs::read_to_string(&log).unwrap_or_default();
            let _ = fs::remove_file(&log);
            match format {
                None => assert_eq!(entry, ""),
                Some("json") => {
                    assert_eq!(entry.lines().count(), 1, "{entry}");
                    let entry: Value = serde_json::from_str(&entry).unwrap();
                    assert_eq!((&entry["level"], &entry["msg"]), (&"error".into(), &message.as_str().into()));
                }
                Some(_) => {
                    assert!(entry.starts_with("time=\""), "{entry}");
                    assert!(entry.ends_with(&format!("\" level=error msg={quoted}\n")), "{entry}");
                }
            }
        }
        assert_eq!(self.calls(), [], "the runtime was called");
        assert_eq!((self.stamp(), self.state(), self.bundle()), before);
    }

    /// The names in the bundle.
    pub fn bundle(&self) -> String {
        self.sh("ls -A").must()
    }
}

impl Drop for RecorderHost {
    fn drop(&mut self) {
        // Process 1 ends with its input, and every process of the host with process 1.
        drop(self.holder.stdin.take());
        drop(self.holder.wait());
    }
}

/// Arguments as a vector, for those that are not text.
pub fn words(text: &str) -> Vec<OsString> {
    text.split_whitespace().map(OsString::from).collect()
}

/// A regular file's path is the same inside and outside of a host, so plain reading does.
pub fn read(path: impl AsRef<Path>) -> Vec<u8> {
    fs::read(path).unwrap()
}
