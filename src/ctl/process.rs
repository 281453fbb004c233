//! What there is to say against one process of a container. Names and numbers only, never the value of a variable.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::descriptors::Sockets;
use super::members::parent;
use super::survey::Survey;
use super::verify::Broken;
use super::{read, read_bytes, tree};
use crate::prepare::{self, is_initial};
use crate::record::{self, Record};
use crate::rules::{CoreDumps, capabilities, credentials};
use crate::seal::{self, Netns};
use crate::settings::Credentials;

/// What processes are compared with.
pub(super) struct Looker<'a> {
    init: PathBuf,
    netns: Netns,
    credentials: &'a Credentials,
    /// What was promised at `create`.
    record: &'a Record,
    survey: &'a Survey,
    sockets: Sockets<'a>,
    /// How many filters of system calls its processes have without one of their own: those of the engine that init
    /// was started by, where the kernel counts them (Linux 5.9).
    inherited_filters: u32,
    /// Whether a crash starts a program of the host.
    dumps: bool,
    /// Mount namespaces that were looked at.
    mounts: BTreeSet<(u64, u64)>,
}

/// A process, and what was found against it.
pub(super) struct Case {
    pid: u32,
    /// Its directory in /proc.
    pub(super) process: PathBuf,
    broken: Vec<Broken>,
}

impl Case {
    /// As `process 7 is elsewhere`.
    fn process(&mut self, rule: &'static str, is: impl Display) {
        self.broken.push(Broken::new(rule, format!("process {} {is}", self.pid)));
    }

    /// As `/dev/mem of process 7 is a device`.
    pub(super) fn thing(&mut self, rule: &'static str, thing: impl Display, is: impl Display) {
        self.broken.push(Broken::new(rule, format!("{thing} of process {} {is}", self.pid)));
    }

    /// Whether it is in our own namespace of a kind.
    pub(super) fn is_in_ours(&self, kind: &str) -> Result<bool> {
        Ok(namespace(&self.process, kind)? == namespace(Path::new("/proc/self"), kind)?)
    }
}

impl<'a> Looker<'a> {
    pub(super) fn new(
        init: &Path,
        netns: Netns,
        credentials: &'a Credentials,
        record: &'a Record,
        survey: &'a Survey,
    ) -> Result<Self> {
        let parent = record.init.map(|init| parent(init.pid)).transpose()?.flatten();
        let parent = parent.and_then(|parent| read(&directory(parent).join("status")).ok());
        Ok(Self {
            init: init.to_owned(),
            netns,
            credentials,
            record,
            survey,
            sockets: Sockets::listed(init, &survey.sockets)?,
            inherited_filters: parent.and_then(|status| filters(&status)).unwrap_or_default(),
            dumps: prepare::core_dumps() == CoreDumps::Program,
            mounts: BTreeSet::new(),
        })
    }

    /// Everything that is to be said of one process. One that ends meanwhile breaks nothing.
    pub(super) fn look(&mut self, pid: u32) -> Result<Vec<Broken>> {
        let mut case = Case { pid, process: directory(pid), broken: Vec::new() };
        match self.look_at(&mut case) {
            Err(_) if has_ended(&case.process) => Ok(Vec::new()),
            looked => looked.map(|()| case.broken).with_context(|| format!("cannot look at process {pid}")),
        }
    }

    fn look_at(&mut self, case: &mut Case) -> Result<()> {
        let netns = seal::netns_of(&case.process)?;
        if Netns::of(netns.as_fd())? != self.netns {
            case.process("network-namespace", "is in another network namespace");
        }
        for (rule, kind) in [("host-pid", "pid"), ("host-ipc", "ipc")] {
            if case.is_in_ours(kind)? {
                case.process(rule, format_args!("is in the host's {kind} namespace"));
            }
        }
        let status = read(&case.process.join("status"))?;
        if member(&status, "Seccomp") != Some("2") {
            case.process("seccomp", "has no filter of system calls");
        } else if filters(&status).is_some_and(|filters| filters <= self.inherited_filters) {
            case.process("seccomp", "has no filter of system calls but those of its engine");
        }
        self.capabilities(case, &status)?;
        let environment = read_bytes(&case.process.join("environ"))?;
        let environment = String::from_utf8_lossy(&environment);
        let entries = environment.split('\0').filter(|entry| entry.contains('='));
        for stray in credentials::strays(entries, self.credentials) {
            case.process("credentials-env", format_args!("has variable {} ({})", stray.name, stray.because));
        }
        let home = environment.split('\0').filter_map(|entry| entry.strip_prefix("HOME=")).next_back();
        if home.is_some_and(|home| !home.is_empty() && !home.starts_with('/')) {
            case.process("credential-files", "has a HOME that is not an absolute path");
        }
        if self.dumps {
            core_dumps(case)?;
        }
        self.sockets.look(case)?;
        if self.mounts.insert(namespace(&case.process, "mnt")?) {
            // All of the machine is there, and to name it file by file would help nobody.
            match case.is_in_ours("mnt")? {
                true => case.process("mount-system", "is in the host's mount namespace"),
                false => tree::look(case, self.record, self.survey)?,
            }
        }
        Ok(())
    }

    /// Capabilities in a user namespace that the container has made itself do not reach its network namespace.
    fn capabilities(&self, case: &mut Case, status: &str) -> Result<()> {
        // What was promised of a container in a user namespace is not true of a process that has left it.
        let has_left = self.record.confined && is_initial(&case.process.join("ns/user"))?;
        if has_left {
            case.process("host-capabilities", "is in the host's user namespace");
        }
        if namespace(&case.process, "user")? != namespace(&self.init, "user")? && !case.is_in_ours("user")? {
            return Ok(());
        }
        let sets = status.lines().filter_map(|line| line.split_once(":\t"));
        for (set, bits) in sets.filter(|(member, _)| member.starts_with("Cap")) {
            let bits = u64::from_str_radix(bits.trim(), 16).context("cannot understand its status")?;
            for (rule, name) in capabilities::against(bits, self.record.confined && !has_left) {
                case.process(rule, format_args!("has CAP_{name} ({set})"));
            }
        }
        Ok(())
    }
}

/// The limit of one byte is the only one with which the kernel does not start the program (fs/coredump.c), and the program
/// in the container can raise the soft one to the hard one.
fn core_dumps(case: &mut Case) -> Result<()> {
    let limits = read(&case.process.join("limits"))?;
    let line = limits.lines().find_map(|line| line.strip_prefix("Max core file size"));
    let mut words = line.context("cannot understand its limits")?.split_ascii_whitespace();
    for kind in ["soft", "hard"] {
        let limit = words.next().context("cannot understand its limits")?;
        if limit != "1" {
            let is = format_args!(
                "has a {kind} limit for core dumps of {limit}: a crash starts a program of the host"
            );
            case.process("core-dumps", is);
        }
    }
    Ok(())
}

/// The number of filters of system calls.
fn filters(status: &str) -> Option<u32> {
    member(status, "Seccomp_filters")?.parse().ok()
}

/// A process' directory in /proc.
pub(super) fn directory(pid: u32) -> PathBuf {
    PathBuf::from(format!("/proc/{pid}"))
}

/// A process' namespace of a kind (`net`), by device and inode.
pub(super) fn namespace(process: &Path, kind: &str) -> Result<(u64, u64)> {
    let path = process.join("ns").join(kind);
    let meta = std::fs::metadata(&path).with_context(|| format!("cannot look at {}", path.display()))?;
    Ok((meta.dev(), meta.ino()))
}

/// Whether a container's first process has not ended.
pub(super) fn runs(init: record::Process) -> bool {
    init.lives() && !has_ended(&directory(init.pid))
}

/// Whether a process is gone, or is a zombie and holds nothing any more.
pub(super) fn has_ended(process: &Path) -> bool {
    state(process).is_none_or(|state| state.starts_with(['Z', 'X']))
}

/// The state of a process in the kernel's words, such as `S (sleeping)`.
pub(super) fn state(process: &Path) -> Option<String> {
    member(&read(&process.join("status")).ok()?, "State").map(str::to_owned)
}

/// A member of /proc/PID/status.
pub(super) fn member<'s>(status: &'s str, name: &str) -> Option<&'s str> {
    status.lines().find_map(|line| Some(line.strip_prefix(name)?.strip_prefix(':')?.trim()))
}
