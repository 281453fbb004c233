//! What can be told of a container whose record is not understood. Records of other versions name its process as this
//! one does. It serves to refuse and to clean up: the container is neither started nor entered.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::Value;

use super::created_pid;
use crate::proc::{Dir, Inode, ProcessId};
use crate::rules::Network;

/// Members of a record of any version since 3, the one of oci-isolate 0.2.0.
#[derive(Debug, Deserialize)]
pub struct Remains {
    rootfs: Inode,
    // A member that is missing is not `null`.
    #[serde(deserialize_with = "Option::deserialize")]
    pid_file: Option<PathBuf>,
    #[serde(deserialize_with = "Option::deserialize")]
    init: Option<ProcessId>,
    // Since version 4.
    #[serde(default)]
    network: Value,
    #[serde(default)]
    opened: Value,
}

impl Remains {
    /// As [`Record::init_dir`](super::Record::init_dir).
    #[must_use]
    pub fn init_dir(&self) -> Option<Dir> {
        init_dir(self.init, self.pid_file.as_deref(), self.rootfs)
    }

    /// As [`Record::given_namespace`](super::Record::given_namespace).
    #[must_use]
    pub fn given_namespace(&self) -> Option<PathBuf> {
        let network: Network = serde_json::from_value(self.network.clone()).ok()?;
        network.given().filter(|_| !self.opened.is_null()).map(Path::to_owned)
    }
}

/// The process that was sealed, or before that the one in the runtime's pid file, provided it is in the container's root
/// file system.
pub(super) fn init_dir(init: Option<ProcessId>, pid_file: Option<&Path>, rootfs: Inode) -> Option<Dir> {
    if let Some(init) = init {
        return init.runs().then(|| init.dir());
    }
    let init = Dir::of(created_pid(pid_file).ok()?);
    (init.root().ok()? == rootfs).then_some(init)
}
