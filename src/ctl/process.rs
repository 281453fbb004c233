//! What there is to say against one process of a container. Names and numbers only, never the value of a variable.

use std::collections::BTreeSet;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};

use super::sockets::{descriptors, inode, listed};
use super::verify::Broken;
use super::{devices, read, read_bytes, tree};
use crate::prepare::is_initial;
use crate::record::Record;
use crate::rules::{capabilities, credentials};
use crate::seal::{self, Netns};
use crate::settings::Credentials;

/// How long a socket may be in no table: one that was made and not bound yet, or whose peer is gone.
const PASSING: Duration = Duration::from_millis(50);

/// What processes are compared with.
pub(super) struct Looker<'a> {
    init: PathBuf,
    netns: Netns,
    credentials: &'a Credentials,
    /// What was promised at `create`.
    record: &'a Record,
    /// Sockets of the host's namespace, and of the container's.
    hosts: BTreeSet<u64>,
    own: BTreeSet<u64>,
    /// Mount namespaces that were looked at.
    mounts: BTreeSet<(u64, u64)>,
}

impl<'a> Looker<'a> {
    pub(super) fn new(
        init: &Path,
        netns: Netns,
        credentials: &'a Credentials,
        record: &'a Record,
    ) -> Result<Self> {
        let (hosts, own) = (listed(Path::new("/proc/self"))?, listed(init)?);
        Ok(Self { init: init.to_owned(), netns, credentials, record, hosts, own, mounts: BTreeSet::new() })
    }

    /// Everything that is to be said of one process. One that ends meanwhile breaks nothing.
    pub(super) fn look(&mut self, pid: u32) -> Result<Vec<Broken>> {
        let process = PathBuf::from(format!("/proc/{pid}"));
        match self.look_at(pid, &process) {
            Err(_) if has_ended(&process) => Ok(Vec::new()),
            looked => looked.with_context(|| format!("cannot look at process {pid}")),
        }
    }

    fn look_at(&mut self, pid: u32, process: &Path) -> Result<Vec<Broken>> {
        let mut broken = Vec::new();
        let netns = seal::netns_of(process)?;
        if Netns::of(netns.as_fd())? != self.netns {
            let why = format!("process {pid} is in another network namespace");
            broken.push(Broken::new("network-namespace", why));
        }
        for (rule, kind) in [("host-pid", "pid"), ("host-ipc", "ipc")] {
            let own = namespace(Path::new("/proc/self"), kind)?;
            if namespace(process, kind)? == own {
                broken.push(Broken::new(rule, format!("process {pid} is in the host's {kind} namespace")));
            }
        }
        let status = read(&process.join("status"))?;
        if member(&status, "Seccomp") != Some("2") {
            broken.push(Broken::new("seccomp", format!("process {pid} has no filter of system calls")));
        }
        self.capabilities(pid, process, &status, &mut broken)?;
        let environment = read_bytes(&process.join("environ"))?;
        let environment = String::from_utf8_lossy(&environment);
        let entries: Vec<&str> = environment.split('\0').filter(|entry| entry.contains('=')).collect();
        for stray in credentials::strays(&entries, self.credentials) {
            let why = format!("process {pid} has variable {} ({})", stray.name, stray.because);
            broken.push(Broken::new("credentials-env", why));
        }
        self.descriptors(pid, process, &mut broken)?;
        if self.mounts.insert(namespace(process, "mnt")?) {
            tree::look(pid, process, self.record, &mut broken)?;
        }
        Ok(broken)
    }

    /// Capabilities in a user namespace that the container has made itself do not reach its network namespace.
    fn capabilities(&self, pid: u32, process: &Path, status: &str, broken: &mut Vec<Broken>) -> Result<()> {
        let user = namespace(process, "user")?;
        // What was promised of a container in a user namespace is not true of one that has left it.
        let escaped = self.record.confined && is_initial(&process.join("ns/user"))?;
        if escaped {
            let why = format!("process {pid} is in the host's user namespace");
            broken.push(Broken::new("host-capabilities", why));
        }
        if user != namespace(&self.init, "user")? && user != namespace(Path::new("/proc/self"), "user")? {
            return Ok(());
        }
        let sets = status.lines().filter_map(|line| line.split_once(":\t"));
        for (set, bits) in sets.filter(|(member, _)| member.starts_with("Cap")) {
            let bits = u64::from_str_radix(bits.trim(), 16).context("cannot understand its status")?;
            let against = capabilities::against(bits, self.record.confined && !escaped);
            let says = |name| format!("process {pid} has CAP_{name} ({set})");
            broken.extend(against.map(|(rule, name)| Broken::new(rule, says(name))));
        }
        Ok(())
    }

    fn descriptors(&mut self, pid: u32, process: &Path, broken: &mut Vec<Broken>) -> Result<()> {
        let mut strange = Vec::new();
        for (number, target) in descriptors(process)? {
            if target.starts_with("/dev/")
                && let Ok(stat) = nix::sys::stat::stat(&process.join(format!("fd/{number}")))
                && let Some(device) =
                    devices::unusual(&stat)?.filter(|device| !device.contains("(driver tty"))
            {
                let why = format!("descriptor {number} of process {pid} is {device}");
                broken.push(Broken::new("descriptors", why));
            }
            let socket = inode(&target);
            let says = if target.starts_with("net:[") || target.starts_with("mnt:[") {
                "a namespace"
            } else if socket.is_some_and(|socket| self.own.contains(&socket)) {
                continue;
            } else if socket.is_some_and(|socket| self.hosts.contains(&socket)) {
                "a socket of the host's network namespace"
            } else {
                strange.extend(socket.map(|_| (number, target)));
                continue;
            };
            broken
                .push(Broken::new("descriptors", format!("descriptor {number} of process {pid} is {says}")));
        }
        if strange.is_empty() {
            return Ok(());
        }
        std::thread::sleep(PASSING);
        self.own = listed(&self.init)?;
        let now = descriptors(process)?;
        let stays = |(number, target): &(u32, String)| {
            now.get(number) == Some(target) && inode(target).is_some_and(|socket| !self.own.contains(&socket))
        };
        broken.extend(strange.into_iter().filter(stays).map(|(number, _)| {
            let why = format!(
                "descriptor {number} of process {pid} is a socket that its network namespace does not list: of \
                 another one, of another family, or never bound"
            );
            Broken::new("descriptors", why)
        }));
        Ok(())
    }
}

/// A process' namespace of a kind (`net`), by device and inode.
pub(super) fn namespace(process: &Path, kind: &str) -> Result<(u64, u64)> {
    let path = process.join("ns").join(kind);
    let meta = std::fs::metadata(&path).with_context(|| format!("cannot look at {}", path.display()))?;
    Ok((meta.dev(), meta.ino()))
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
