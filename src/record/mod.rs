//! The record of an isolated container between `create` and `delete`: one small file, keyed by the runtime's
//! root and the container's id. A container with a record is isolated; `start` and `exec` rely on it.
//!
//! A record is created before its container and removed after a successful `delete`. A failed create can
//! leave one behind; the next container of that id replaces it, so nothing is inherited.

mod directory;
mod granted_openings;
mod kept;
mod lock;
mod looks;
mod platform;
mod pod;
mod pod_network;
mod remains;
mod slot;
mod store;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

pub use directory::{about_runtime, check_state, empty_directory, empty_file, is_above_state};
pub use granted_openings::{Excluded, GrantedOpenings, Hosts};
pub use platform::{Sandbox, check_root, remedy};
pub use pod::{Pod, RemoteMember};
pub use pod_network::PodNetwork;
pub use remains::Remains;
pub use slot::Slot;
pub use store::{Recorded, Store};

use crate::audit::{Line, Outcome};
use crate::files;
use crate::policy::{Job, Workload};
use crate::proc::{Dir, Inode, ProcessId};
use crate::rewrite::RuleChanges;
use crate::rules::mounts::Pinned;
use crate::rules::{Network, credentials};
use crate::seal::{Netns, OpenNetns, Sealed};
use crate::settings::{Audit, Firewall, Links};
use crate::statement::{Beginning, Time};

/// The record format that this version reads and writes.
pub const VERSION: u32 = 6;

/// The largest record, in bytes. What grows in it are lines about parts of the configuration, mostly shorter than those; the
/// rest, of which the image decides and the other members of a job, has at most [`files::SMALL_LIMIT`].
const LIMIT: u64 = files::DOCUMENT_LIMIT;

/// An isolated container.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// [`VERSION`].
    pub version: u32,
    /// The container's id.
    pub id: String,
    /// The runtime that creates it, absolute.
    pub runtime: PathBuf,
    /// The bundle, absolute.
    pub bundle: PathBuf,
    /// The root file system, by which the init process is identified.
    pub rootfs: Inode,
    /// What its bind mounts must show when it is started.
    pub pinned: Vec<Pinned>,
    /// Where the runtime writes the pid of the init process; not with `run` and `restore`.
    pub pid_file: Option<PathBuf>,
    /// The process that creates the container and becomes the runtime.
    pub creator: ProcessId,
    /// The annotation or setting that asked for isolation.
    pub why: String,
    /// Whether the firewall table may be missing.
    pub firewall: Firewall,
    /// What becomes of its network devices.
    pub links: Links,
    /// How many destinations are counted that it tries to reach; `None`: they are not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempts: Option<u32>,
    /// What became of the network that the engine requested.
    pub network: Network,
    /// Whether its user namespace confines it: no id in it is the host's root.
    pub confined: bool,
    /// What stays open; for most containers nothing.
    pub opened: Option<GrantedOpenings>,
    /// Of the sandbox of a pod with platform containers: the network that they keep.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod_network: Option<PodNetwork>,
    /// The names that Kubernetes has for it, for the audit log; none without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workload: Option<Workload>,
    /// What the statement about it needs; none where the settings ask for none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub statement: Option<Beginning>,
    /// What was changed in its `config.json`.
    pub applied: Vec<RuleChanges>,
    /// Rules that were not enforced because their answer was `allow`.
    pub waived: Vec<String>,
    /// The audit log for decisions about it by calls that do not read the settings.
    pub audit: Audit,
    /// The init process, once the container was sealed.
    pub init: Option<ProcessId>,
    /// What sealing found and did, once it has been sealed.
    pub sealed: Option<Sealed>,
}

/// The init process of a container, and its network namespace.
#[derive(Debug)]
pub struct InitProcess {
    /// The process.
    pub process: ProcessId,
    /// Its namespace.
    pub netns: OpenNetns,
}

impl InitProcess {
    /// Opens the namespace of a process.
    ///
    /// # Errors
    /// It has ended, or is not accessible.
    pub fn open(process: ProcessId) -> Result<Self> {
        let netns = OpenNetns::of(&process.dir())?;
        // Checked after opening: a process that still runs has had the pid all the time, so the namespace is
        // its own.
        if !process.runs() {
            bail!("process {} has ended", process.pid);
        }
        Ok(Self { process, netns })
    }
}

impl Record {
    /// Removes the temporary file that its creator left in the bundle, if that was killed while creating the
    /// container.
    pub fn sweep(&self) {
        if !self.creator.runs() {
            files::sweep(&self.bundle.join("config.json"), self.creator.pid);
        }
    }

    /// Whether it was sealed and its init process has not ended.
    #[must_use]
    pub fn lives(&self) -> bool {
        self.init.is_some_and(ProcessId::runs)
    }

    /// Its init process and network namespace, if it runs and is in this one.
    #[must_use]
    pub fn live_in(&self, netns: Netns) -> Option<InitProcess> {
        InitProcess::open(self.init?).ok().filter(|init| init.netns.id() == netns)
    }

    /// Whether a namespace was sealed for it.
    #[must_use]
    pub fn owns(&self, netns: Netns) -> bool {
        self.sealed.as_ref().is_some_and(|sealed| sealed.netns == netns)
    }

    /// Notes for the statement about it that it is sealed now.
    pub fn note_seal(&mut self) {
        if let Some(beginning) = &mut self.statement {
            beginning.sealed = Some(Time::now());
        }
    }

    /// Its init process, if there is one: the one that was sealed, or before that the one in the runtime's
    /// pid file, provided it is in the container's root file system.
    #[must_use]
    pub fn init_dir(&self) -> Option<Dir> {
        remains::init_dir(self.init, self.pid_file.as_deref(), self.rootfs)
    }

    /// The pid of the init process, from the pid file that the runtime wrote at `create`.
    ///
    /// # Errors
    /// There is no such file, or no pid in it.
    pub fn created_pid(&self) -> Result<u32> {
        created_pid(self.pid_file.as_deref())
    }

    /// How many of its bytes are about parts of the configuration, which an image does not decide.
    fn size_of_configuration(&self) -> Result<u64> {
        let masked = |of: &RuleChanges, what: &str| credentials::files::masked(&of.rule, what).is_some();
        let is_of_image = |of: &&RuleChanges| of.descriptions.iter().any(|what| masked(of, what));
        let changes: Vec<_> = self.applied.iter().filter(|of| !is_of_image(of)).collect();
        Ok((serde_json::to_vec(&self.pinned)?.len() + serde_json::to_vec(&changes)?.len()) as u64)
    }

    /// Its line in the audit log, without the verb.
    #[must_use]
    pub fn audit_line<'a>(&'a self, slot: &'a Slot, decision: Outcome) -> Line<'a> {
        let (root, bundle, why) = (Some(slot.root()), Some(&*self.bundle), Some(&*self.why));
        Line { id: &self.id, root, bundle, why, ..self.line_of_call(decision) }
    }

    /// The same of a call of the runtime about it, which has the rest.
    #[must_use]
    pub fn line_of_call(&self, decision: Outcome) -> Line<'_> {
        let job = self.job().map(|job| &*job.name);
        Line { workload: self.workload.as_ref(), job, ..Line::of(decision) }
    }

    /// Its job, if it has one.
    #[must_use]
    pub fn job(&self) -> Option<&Job> {
        self.opened.as_ref()?.asked.job.as_ref()
    }

    /// The network namespace that it was given by path, with openings loaded for it; it outlives the
    /// container.
    #[must_use]
    pub fn given_namespace(&self) -> Option<&Path> {
        self.opened.as_ref().and(self.network.given())
    }
}

fn created_pid(pid_file: Option<&Path>) -> Result<u32> {
    let path = pid_file.context("it was not made by create, so it cannot be started")?;
    let text = files::read(path, 64).context("cannot determine its init process")?.bytes;
    let pid = std::str::from_utf8(&text).ok().and_then(|text| text.trim().parse().ok());
    let pid = pid.filter(|pid| *pid > 1);
    pid.with_context(|| format!("cannot determine its init process: no pid in {}", path.display()))
}
