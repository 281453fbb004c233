//! The facts about one container, from the moment it was sealed until it was deleted. A statement has them under the same
//! names (docs/statement.md).

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{Digest, Time, Tried};
use crate::file_version::FileVersion;
use crate::policy::{Image, Workload};
use crate::proc::ProcessId;

/// What a record keeps for the statement about its container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Beginning {
    /// The file of signed statements.
    pub file: PathBuf,
    /// The settings file.
    pub settings: UsedFile,
    /// The configuration in its bundle.
    pub config: UsedFile,
    /// The shim that created it.
    pub shim: FileVersion,
    /// The image, if the engine has told it.
    pub image: Option<Image>,
    /// What the relying party asked to be repeated.
    pub nonce: Option<String>,
    /// Settings that let it do more than by default, apart from rules.
    pub loosened: Vec<String>,
    /// Rules that are waived by default, and whose promises its configuration kept all the same.
    #[serde(default)]
    pub unused: Vec<String>,
    /// When it was sealed, once it was.
    pub sealed: Option<Time>,
}

/// A file that was used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UsedFile {
    /// Its absolute path.
    pub path: PathBuf,
    /// What it was then.
    pub version: FileVersion,
}

/// What is stated.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Facts {
    /// Tells it from every other container, also of the same id: the boot, and the process that created it.
    pub run: String,
    /// Its names.
    pub container: Container,
    /// Its image, if the engine has told it.
    pub image: Option<Image>,
    /// The `config.json` that the runtime executed.
    pub config: Digest,
    /// From when until when it was sealed: until it was deleted.
    pub sealed: Period,
    /// What was open in it: `ingress 8080/tcp`, `peer 10.0.0.1/32`, `job train`.
    pub openings: Vec<String>,
    /// Rules that were not enforced and might have made a difference, and settings that let it do more than by default.
    pub waived: Vec<String>,
    /// Rules that are waived by default, and made no difference: what it was created with keeps their promises, and each look
    /// has them too.
    pub unused: Vec<String>,
    /// Each `isolatectl verify` of it, in the order of time.
    pub verified: Vec<Look>,
    /// What it tried to reach.
    pub attempts: Tried,
    /// Where it ran.
    pub host: Host,
    /// What the relying party asked to be repeated.
    pub nonce: Option<String>,
}

impl Facts {
    /// What [`Facts::run`] is of the container that a process has created since a boot.
    #[must_use]
    pub fn run(boot: &str, creator: ProcessId) -> String {
        format!("{boot}-{}-{}", creator.pid, creator.start)
    }
}

/// A container by its names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Container {
    /// The runtime's id.
    pub id: String,
    /// The runtime's root.
    pub root: PathBuf,
    /// Kubernetes' names.
    pub workload: Option<Workload>,
}

/// A time from its beginning to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs, reason = "the struct's own words")]
pub struct Period {
    pub from: Time,
    pub to: Time,
}

/// One `isolatectl verify`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Look {
    /// When it was done.
    pub time: Time,
    /// The rules whose promises were found broken; none: it held.
    pub broken: Vec<String>,
}

/// The host, as it was when the container was deleted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Host {
    /// The kernel's release.
    pub kernel: String,
    /// The boot (`/proc/sys/kernel/random/boot_id`).
    pub boot: String,
    /// The program that isolated it.
    pub shim: ShimProgram,
    /// The settings file.
    pub settings: Digest,
    /// The runtime that ran it.
    pub runtime: PathBuf,
}

/// The shim.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShimProgram {
    /// Its version.
    pub version: String,
    /// The program.
    pub program: Digest,
}
