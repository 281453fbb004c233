//! What platform containers need to know of their pod: the network that they keep, which the engine made for the pod (the
//! sandbox and all isolated containers are in another namespace), and the memory that they must not share.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Result, bail};
use serde::{Deserialize, Serialize};

use crate::proc::Inode;
use crate::seal::{Netns, OpenNetns};

/// The namespace, and the containers that may have it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PodNetwork {
    /// The path in the sandbox's configuration.
    pub at: PathBuf,
    /// The namespace that was there when the sandbox was created.
    pub netns: Netns,
    /// The `/dev/shm` that the engine made for the pod.
    pub shm: Inode,
    /// The platform's containers by name, each with the id of the last one that was created.
    pub containers: BTreeMap<String, Option<String>>,
}

impl PodNetwork {
    /// Opens the namespace.
    ///
    /// # Errors
    /// Another one is at the path by now, or none.
    pub fn open(&self) -> Result<OpenNetns> {
        let netns = OpenNetns::at(&self.at)?;
        if netns.id() != self.netns {
            bail!("{} is not the network namespace of its pod any more", self.at.display());
        }
        Ok(netns)
    }
}
