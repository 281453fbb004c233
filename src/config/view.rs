//! Narrow lenses: the few members of a `config.json` that rules look at, with runtime-spec's types for exactly those.
//! oci-spec's small types serve where they do not lose anything; lists whose positions matter are lists here.

use std::collections::BTreeMap;
use std::path::PathBuf;

use oci_spec::runtime::{Hook, LinuxNamespace};
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::{Seccomp, Text};

/// What rules see of a document.
#[derive(Debug, Default, Deserialize)]
pub struct View<'a> {
    /// config.md, "Process".
    #[serde(borrow)]
    pub process: Option<Process<'a>>,
    /// config.md, "Hostname".
    #[serde(borrow)]
    pub hostname: Option<Text<'a>>,
    /// config.md, "Root".
    pub root: Option<Root>,
    /// config-linux.md.
    #[serde(borrow)]
    pub linux: Option<Linux<'a>>,
    /// config.md, "POSIX-platform Hooks".
    pub hooks: Option<Hooks>,
    /// config.md, "Mounts".
    #[serde(borrow)]
    pub mounts: Option<Vec<Mount<'a>>>,
    /// config.md, "Annotations".
    #[serde(borrow)]
    pub annotations: Option<BTreeMap<Text<'a>, Text<'a>>>,
}

/// The `process` member.
#[derive(Debug, Default, Deserialize)]
pub struct Process<'a> {
    /// Environment, `NAME=VALUE` each.
    #[serde(borrow)]
    pub env: Option<Vec<Text<'a>>>,
    /// Capability sets.
    #[serde(borrow)]
    pub capabilities: Option<Capabilities<'a>>,
    /// Program and arguments.
    #[serde(borrow)]
    pub args: Option<Vec<Text<'a>>>,
    /// Working directory.
    #[serde(borrow)]
    pub cwd: Option<Text<'a>>,
    /// Limits (getrlimit(2)).
    #[serde(borrow)]
    pub rlimits: Option<Vec<Rlimit<'a>>>,
}

/// One of `process.rlimits`.
#[derive(Debug, Deserialize)]
pub struct Rlimit<'a> {
    /// `RLIMIT_CORE` and its kind.
    #[serde(rename = "type", borrow)]
    pub kind: Text<'a>,
    /// The ceiling.
    pub hard: u64,
    /// What counts.
    pub soft: u64,
}

/// One of `mounts`. oci-spec's type copies, and does not know what runtimes add.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Mount<'a> {
    /// Where in the container.
    #[serde(borrow)]
    pub destination: Text<'a>,
    /// A file system, or `bind`; a bind mount may have any.
    #[serde(rename = "type", borrow)]
    pub kind: Option<Text<'a>>,
    /// A path of the host for a bind mount, relative to the bundle.
    #[serde(borrow)]
    pub source: Option<Text<'a>>,
    /// mount(8)'s words.
    #[serde(borrow)]
    pub options: Option<Vec<Text<'a>>>,
    /// Only its presence matters: ids are mapped.
    pub uid_mappings: Option<IgnoredAny>,
    /// Only its presence matters: ids are mapped.
    pub gid_mappings: Option<IgnoredAny>,
}

/// The five capability sets, in the order written: oci-spec's sets would lose it.
#[derive(Debug, Default, Deserialize)]
#[allow(missing_docs, reason = "the names are capabilities(7)'s")]
pub struct Capabilities<'a> {
    #[serde(borrow)]
    pub bounding: Option<Vec<Text<'a>>>,
    #[serde(borrow)]
    pub effective: Option<Vec<Text<'a>>>,
    #[serde(borrow)]
    pub inheritable: Option<Vec<Text<'a>>>,
    #[serde(borrow)]
    pub permitted: Option<Vec<Text<'a>>>,
    #[serde(borrow)]
    pub ambient: Option<Vec<Text<'a>>>,
}

impl<'a> Capabilities<'a> {
    /// The sets by the name of their member.
    pub fn sets(&self) -> impl Iterator<Item = (&'static str, &[Text<'a>])> {
        [
            ("bounding", &self.bounding),
            ("effective", &self.effective),
            ("inheritable", &self.inheritable),
            ("permitted", &self.permitted),
            ("ambient", &self.ambient),
        ]
        .into_iter()
        .filter_map(|(name, set)| Some((name, set.as_deref()?)))
    }
}

/// The `root` member.
#[derive(Debug, Default, Deserialize)]
pub struct Root {
    /// The root file system; relative to the bundle unless absolute.
    pub path: PathBuf,
}

/// The `linux` member.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Linux<'a> {
    /// Namespaces that the container gets or joins.
    pub namespaces: Option<Vec<LinuxNamespace>>,
    /// Device nodes that the runtime makes.
    pub devices: Option<Vec<Device>>,
    /// What the control groups allow.
    pub resources: Option<Resources>,
    /// Mount propagation of the root file system.
    pub rootfs_propagation: Option<String>,
    /// The SELinux label of mounts, which runtimes put among their options.
    pub mount_label: Option<String>,
    /// Paths that cannot be read in the container.
    pub masked_paths: Option<Vec<String>>,
    /// Paths that cannot be written in the container.
    pub readonly_paths: Option<Vec<String>>,
    /// Host interfaces that the runtime moves into the container (runtime-spec 1.3).
    pub net_devices: Option<BTreeMap<String, IgnoredAny>>,
    /// Which system calls the container can make.
    #[serde(borrow)]
    pub seccomp: Option<Seccomp<'a>>,
}

/// One of `linux.devices`. oci-spec's type has numbers that are not optional.
#[derive(Debug, Default, Deserialize)]
pub struct Device {
    /// `c`, `u`, `b` or `p`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Where in the container.
    pub path: PathBuf,
    /// Device number.
    pub major: Option<i64>,
    /// Device number.
    pub minor: Option<i64>,
}

/// The part of `linux.resources` that rules look at.
#[derive(Debug, Default, Deserialize)]
pub struct Resources {
    /// The device control group's list, later entries over earlier ones.
    pub devices: Option<Vec<DeviceAccess>>,
}

/// One of `linux.resources.devices`.
#[derive(Debug, Default, Deserialize)]
pub struct DeviceAccess {
    /// Allowed or denied.
    pub allow: bool,
    /// `a` (also when left out), `c` or `b`.
    #[serde(rename = "type")]
    pub kind: Option<String>,
    /// Device number; left out or negative for all.
    pub major: Option<i64>,
    /// Device number; left out or negative for all.
    pub minor: Option<i64>,
    /// Some of `r`, `w`, `m`; left out for all.
    pub access: Option<String>,
}

/// The hooks that concern us; oci-spec's `Hooks` copies all six lists.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Hooks {
    /// Run by the runtime in its own namespaces after the container's were made, before the next list.
    pub prestart: Option<Vec<Hook>>,
    /// Run by the runtime in its own namespaces after the container's were made.
    pub create_runtime: Option<Vec<Hook>>,
    /// Run by the runtime in its own namespaces after the container was deleted.
    pub poststop: Option<Vec<Hook>>,
}
