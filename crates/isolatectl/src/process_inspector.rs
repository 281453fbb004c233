//! Checks one process of a container. Names and numbers only, never the value of a variable.

use std::collections::BTreeSet;

use anyhow::{Context, Result};

use super::broken_promise::BrokenPromise;
use super::descriptors::KnownSockets;
use super::process_report::ProcessReport;
use super::survey::Survey;
use super::{filesystem, read, read_bytes};
use oci_isolate::bundle::{self, is_initial};
use oci_isolate::proc::{Dir, Inode, Status};
use oci_isolate::record::Record;
use oci_isolate::rules::{CoreDumps, capabilities, credentials};
use oci_isolate::seal::{Netns, OpenNetns};
use oci_isolate::settings::Credentials;

/// Checks processes against what was promised.
pub(super) struct ProcessInspector<'a> {
    init: Dir,
    netns: Netns,
    credentials: &'a Credentials,
    /// The promises made at `create`.
    record: &'a Record,
    survey: &'a Survey,
    sockets: KnownSockets<'a>,
    /// The number of seccomp filters that its processes have without one of their own: those of the engine
    /// that started init, if the kernel counts them (Linux 5.9).
    inherited_filters: u32,
    /// Whether a crash starts a program of the host.
    dumps: bool,
    /// Mount namespaces that were already checked.
    mounts: BTreeSet<Inode>,
}

impl<'a> ProcessInspector<'a> {
    pub(super) fn new(
        init: &Dir,
        netns: Netns,
        credentials: &'a Credentials,
        record: &'a Record,
        survey: &'a Survey,
    ) -> Result<Self> {
        let parent = init.parent()?.and_then(|parent| Dir::of(parent).status().ok());
        Ok(Self {
            init: init.clone(),
            netns,
            credentials,
            record,
            survey,
            sockets: KnownSockets::new(init, &survey.sockets)?,
            inherited_filters: parent.and_then(|status| filters(&status)).unwrap_or_default(),
            dumps: bundle::core_dumps() == CoreDumps::Program,
            mounts: BTreeSet::new(),
        })
    }

    /// All broken promises of one process. One that ends meanwhile breaks none.
    pub(super) fn inspect(&mut self, pid: u32) -> Result<Vec<BrokenPromise>> {
        let mut case = ProcessReport::of(pid);
        match self.inspect_into(&mut case) {
            Err(_) if case.process.has_ended() => Ok(Vec::new()),
            looked => looked.map(|()| case.broken).with_context(|| format!("cannot inspect process {pid}")),
        }
    }

    fn inspect_into(&mut self, case: &mut ProcessReport) -> Result<()> {
        if OpenNetns::of(&case.process)?.id() != self.netns {
            case.process("network-namespace", "is in another network namespace");
        }
        for (rule, kind) in [("host-pid", "pid"), ("host-ipc", "ipc")] {
            if case.is_in_ours(kind)? {
                case.process(rule, format_args!("is in the host's {kind} namespace"));
            }
        }
        let status = case.process.status()?;
        if status.field("Seccomp") != Some("2") {
            case.process("seccomp", "has no filter of system calls");
        } else if filters(&status).is_some_and(|filters| filters <= self.inherited_filters) {
            case.process("seccomp", "has no filter of system calls other than its engine's");
        }
        self.capabilities(case, &status)?;
        let environment = read_bytes(&case.process.join("environ"))?;
        let environment = String::from_utf8_lossy(&environment);
        let entries = environment.split('\0').filter(|entry| entry.contains('='));
        for stray in credentials::leaked_variables(entries, self.credentials) {
            case.process("credentials-env", format_args!("has variable {} ({})", stray.name, stray.reason));
        }
        let home = environment.split('\0').filter_map(|entry| entry.strip_prefix("HOME=")).next_back();
        if home.is_some_and(|home| !home.is_empty() && !home.starts_with('/')) {
            case.process("credential-files", "has a HOME that is not an absolute path");
        }
        if self.dumps {
            core_dumps(case)?;
        }
        self.sockets.inspect(case)?;
        if self.mounts.insert(case.process.ns("mnt")?) {
            // Everything on the host is visible; listing files would not help.
            match case.is_in_ours("mnt")? {
                true => case.process("mount-system", "is in the host's mount namespace"),
                false => filesystem::inspect(case, self.record, self.survey)?,
            }
        }
        Ok(())
    }

    /// Capabilities in a user namespace that the container has created itself do not reach its network
    /// namespace.
    fn capabilities(&self, case: &mut ProcessReport, status: &Status) -> Result<()> {
        // Promises that rely on a user namespace do not hold for a process that has left it.
        let has_left = self.record.confined && is_initial(&case.process.join("ns/user"))?;
        if has_left {
            case.process("host-capabilities", "is in the host's user namespace");
        }
        if case.process.ns("user")? != self.init.ns("user")? && !case.is_in_ours("user")? {
            return Ok(());
        }
        for (set, bits) in status.fields().filter(|(field, _)| field.starts_with("Cap")) {
            let bits = u64::from_str_radix(bits, 16).context("cannot understand its status")?;
            for (rule, name) in capabilities::forbidden(bits, self.record.confined && !has_left) {
                case.process(rule, format_args!("has CAP_{name} ({set})"));
            }
        }
        Ok(())
    }
}

/// One byte is the only limit at which the kernel does not start the program (fs/coredump.c), and a program
/// in the container can raise the soft limit to the hard one.
fn core_dumps(case: &mut ProcessReport) -> Result<()> {
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

/// The number of seccomp filters.
fn filters(status: &Status) -> Option<u32> {
    status.field("Seccomp_filters")?.parse().ok()
}
