//! What a record keeps of Kubernetes: the pod of a container, and members of its job on other nodes.

use std::collections::BTreeSet;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

/// A pod, as the CRI engine names it in `config.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pod {
    /// `metadata.name`.
    pub name: String,
    /// `metadata.uid`; containerd before 1.7 does not name it.
    pub uid: Option<String>,
}

/// A member of a job on another node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RemoteMember {
    /// Its pod.
    pub pod: Pod,
    /// The node on which it runs.
    pub node: String,
    /// Its addresses, `status.podIPs`.
    pub addresses: BTreeSet<IpAddr>,
    /// The names by which it is found.
    pub names: Vec<String>,
}
