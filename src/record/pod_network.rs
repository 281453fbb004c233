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
    /// Why a platform container that was created is the pod author's own: the first that no setting admits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub own: Option<String>,
    /// The first container of the pod whose isolation a setting demands. It shares volumes with all others, so
    /// none of them may be the author's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub demanded: Option<String>,
}

impl PodNetwork {
    /// Notes a platform container, or a program in one, that is the author's own.
    ///
    /// # Errors
    /// A setting demands the isolation of another container of the pod.
    pub fn admit_own(&mut self, own: String) -> Result<()> {
        if let Some(demanded) = &self.demanded {
            bail!("{own}, and {demanded} of the same pod must be isolated");
        }
        self.own.get_or_insert(own);
        Ok(())
    }

    /// Notes a container whose isolation a setting demands.
    ///
    /// # Errors
    /// The pod has had a platform container of its author's own.
    pub fn demand(&mut self, demanded: String) -> Result<()> {
        if let Some(own) = &self.own {
            bail!(
                "{demanded} must be isolated, also from platform containers of the pod's author: {own}; create the pod again without"
            );
        }
        self.demanded.get_or_insert(demanded);
        Ok(())
    }

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
