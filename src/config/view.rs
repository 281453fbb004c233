//! Typed views: the members of a `config.json` that rules check, with runtime-spec's types for exactly those.
//! oci-spec's types are used where they lose nothing; lists in which positions matter are lists here.

use std::collections::BTreeMap;
use std::path::PathBuf;

use oci_spec::runtime::{Hook, LinuxNamespace};
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::{Seccomp, Text, Texts};

/// The part of a document that rules see.
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
    /// Paths of the first few unknown members (docs/members.md has the known ones).
    #[serde(skip)]
    pub unknown: Vec<String>,
}

/// The `process` member.
#[derive(Debug, Default, Deserialize)]
pub struct Process<'a> {
    /// Environment, `NAME=VALUE` each; serde leaves it to [`super::Document::view`].
    #[serde(skip)]
    pub env: Texts<'a>,
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
    /// For example `RLIMIT_CORE`.
    #[serde(rename = "type", borrow)]
    pub kind: Text<'a>,
    /// The hard limit.
    pub hard: u64,
    /// The limit in force.
    pub soft: u64,
}

/// One of `mounts`. oci-spec's type copies, and does not know what runtimes add.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Mount<'a> {
    /// The path in the container.
    #[serde(borrow)]
    pub destination: Text<'a>,
    /// A file system, or `bind`; a bind mount may have any.
    #[serde(rename = "type", borrow)]
    pub kind: Option<Text<'a>>,
    /// A path of the host for a bind mount, relative to the bundle.
    #[serde(borrow)]
    pub source: Option<Text<'a>>,
    /// Options, as in mount(8).
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
    /// Settings of the control group.
    #[serde(borrow)]
    pub resources: Option<Resources<'a>>,
    /// Mount propagation of the root file system.
    pub rootfs_propagation: Option<String>,
    /// Paths that cannot be read in the container.
    pub masked_paths: Option<Vec<String>>,
    /// Paths that cannot be written in the container.
    pub readonly_paths: Option<Vec<String>>,
    /// Kernel settings, by name.
    #[serde(borrow)]
    pub sysctl: Option<BTreeMap<Text<'a>, IgnoredAny>>,
    /// The path of the control group.
    #[serde(borrow)]
    pub cgroups_path: Option<Text<'a>>,
    /// SELinux' label for mounts, which runtimes put among their options.
    #[serde(borrow)]
    pub mount_label: Option<Text<'a>>,
    /// A share of processor caches.
    #[serde(borrow)]
    pub intel_rdt: Option<IntelRdt<'a>>,
    /// Host interfaces that the runtime moves into the container (runtime-spec 1.3).
    pub net_devices: Option<BTreeMap<String, IgnoredAny>>,
    /// Which system calls the container can make.
    #[serde(borrow)]
    pub seccomp: Option<Seccomp<'a>>,
    /// User ids of a new user namespace.
    pub uid_mappings: Option<Vec<IdMapping>>,
    /// Group ids of a new user namespace.
    pub gid_mappings: Option<Vec<IdMapping>>,
}

/// One of `linux.uidMappings` and `linux.gidMappings`.
#[derive(Debug, Default, Deserialize)]
pub struct IdMapping {
    /// The first id in the caller's namespace.
    #[serde(rename = "hostID")]
    pub host: u64,
    /// The number of ids.
    pub size: u64,
}

/// One of `linux.devices`. oci-spec's type has numbers that are not optional.
#[derive(Debug, Default, Deserialize)]
pub struct Device {
    /// `c`, `u`, `b` or `p`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The path in the container.
    pub path: PathBuf,
    /// Device number.
    pub major: Option<i64>,
    /// Device number.
    pub minor: Option<i64>,
}

/// The part of `linux.resources` that rules check.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Resources<'a> {
    /// The list of the device control group; later entries override earlier ones.
    pub devices: Option<Vec<DeviceAccess>>,
    /// Limits for huge pages.
    #[serde(borrow)]
    pub hugepage_limits: Option<Vec<HugepageLimit<'a>>>,
    /// Files of the control group, by name.
    #[serde(borrow)]
    pub unified: Option<BTreeMap<Text<'a>, IgnoredAny>>,
}

/// One of `linux.resources.hugepageLimits`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HugepageLimit<'a> {
    /// For example `2MB`.
    #[serde(borrow)]
    pub page_size: Text<'a>,
}

/// The part of `linux.intelRdt` that rules check.
#[derive(Debug, Deserialize)]
pub struct IntelRdt<'a> {
    /// A directory of resctrl.
    #[serde(rename = "closID", borrow)]
    pub clos_id: Option<Text<'a>>,
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

/// The hooks that matter here.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Hooks {
    /// Run by the runtime in its own namespaces after the container's were made, before the next list.
    pub prestart: Option<Vec<Hook>>,
    /// Run by the runtime in its own namespaces after the container's were made.
    pub create_runtime: Option<Vec<Hook>>,
    /// Run by the runtime in the container's namespaces, before its root file system is entered: a program of the host.
    pub create_container: Option<Vec<Hook>>,
    /// Run by the runtime in the container, before its program.
    pub start_container: Option<Vec<Hook>>,
    /// Run by the runtime in its own namespaces after the container was deleted.
    pub poststop: Option<Vec<Hook>>,
}

impl Hooks {
    /// The hooks whose processes are in the container's namespaces, by the name of their list (runtime-spec, config.md,
    /// "POSIX-platform Hooks").
    pub fn inside(&self) -> impl Iterator<Item = (&'static str, usize, &Hook)> {
        let lists = [("createContainer", &self.create_container), ("startContainer", &self.start_container)];
        lists.into_iter().flat_map(|(list, hooks)| {
            hooks.iter().flatten().enumerate().map(move |(index, hook)| (list, index, hook))
        })
    }
}
