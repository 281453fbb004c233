//! The recording runtime's view of a call, read back. The program is `recorder.sh`.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::path::Path;

use serde_json::Value;

/// A recorded call. Two are equal if the runtime could not distinguish them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recorded {
    /// Without the name of the program.
    pub args: Vec<OsString>,
    /// The entries as in memory: order and duplicates count.
    pub env: Vec<OsString>,
    /// Working directory.
    pub cwd: String,
    /// Open descriptors: what they lead to, and their flags.
    pub fds: BTreeMap<String, String>,
    /// Of proc_pid_status(5): umask, signals, ids, capabilities.
    pub status: String,
    /// proc_pid_limits(5).
    pub limits: String,
    /// The bundle's config.json at that moment.
    pub config: Option<String>,
    /// What was in the file behind `--process`.
    pub process: Option<String>,
}

impl Recorded {
    pub(super) fn read(call: &Path) -> Self {
        let bytes = |name| fs::read(call.join(name)).unwrap();
        let text = |name| String::from_utf8(bytes(name)).unwrap();
        let words = |name| {
            let words: Vec<OsString> =
                bytes(name).split(|b| *b == 0).map(|w| OsString::from_vec(w.to_vec())).collect();
            words[..words.len() - 1].to_vec()
        };
        let links = text("links");
        let mut links = links.lines().map(|line| {
            let (from, to) = line.split_once(" -> ").unwrap();
            (from.rsplit('/').next().unwrap().to_owned(), to.to_owned())
        });
        let (_, cwd) = links.next().unwrap();
        let mut fds: BTreeMap<_, _> = links.collect();
        // "/proc/7/fdinfo/3:flags:\t0100000"
        for line in text("flags").lines() {
            let [fd, _, flags] = line.rsplit('/').next().unwrap().split(':').collect::<Vec<_>>()[..] else {
                continue;
            };
            fds.entry(fd.to_owned()).and_modify(|to| *to += &format!(" {}", flags.trim()));
        }
        let told = [
            "Umask",
            "PPid",
            "SigPnd",
            "SigBlk",
            "SigIgn",
            "Uid",
            "Gid",
            "Groups",
            "Cap",
            "NoNewPrivs",
            "Seccomp",
        ];
        let status = text("status");
        let status = status.lines().filter(|line| told.iter().any(|field| line.starts_with(field)));
        // `/bin/busybox sh SCRIPT` comes from the script's first line.
        Self {
            args: words("cmdline")[3..].to_vec(),
            env: words("environ"),
            cwd,
            fds,
            status: status.collect::<Vec<_>>().join("\n"),
            limits: text("limits"),
            config: fs::read_to_string(call.join("config")).ok(),
            process: fs::read_to_string(call.join("process")).ok(),
        }
    }

    /// The arguments as text.
    pub fn words(&self) -> Vec<&str> {
        self.args.iter().map(|word| word.to_str().unwrap()).collect()
    }

    /// The config.json that the runtime would have read.
    pub fn config(&self) -> Value {
        serde_json::from_str(self.config.as_ref().unwrap()).unwrap()
    }

    /// The process file that the runtime would have read.
    pub fn process(&self) -> Value {
        serde_json::from_str(self.process.as_ref().unwrap()).unwrap()
    }
}
