//! The recorded openings of an isolated container.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::pod::{Pod, RemoteMember};
use crate::policy::{Openings, PackedPrefixes, Prefixes};
use crate::proc::Inode;
use crate::settings::{JobSettings, PeerBounds};

/// What stays open.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct GrantedOpenings {
    /// What its annotations asked for.
    pub asked: Openings,
    /// Its peers by address since `isolatectl peers` has changed them.
    pub changed_peers: Option<PackedPrefixes>,
    /// The peers by address that `isolatectl peers` has given it at any time, for the statement about it. Records of earlier
    /// versions lack it, and they can read those without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub added_peers: Option<PackedPrefixes>,
    /// The bounds within which other members of its job become its peers.
    pub bounds: PeerBounds,
    /// What members of its job on other nodes are given time for. Records of earlier versions lack it.
    #[serde(default, skip_serializing_if = "is_default")]
    pub job: JobSettings,
    /// Addresses that are never peers, as of sealing, with the reason.
    pub never: BTreeMap<IpAddr, Excluded>,
    /// The host name by which other members of its job reach it.
    pub host_name: Option<String>,
    /// The name that SageMaker's contract gives it (`resourceconfig.json`), beside that. Records of earlier versions lack
    /// it, and they can read those without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current_host: Option<String>,
    /// Its pod, if it is a member of a pod's job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod: Option<Pod>,
    /// The names that Kubernetes gives its pod, if there are others than the host name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<String>,
    /// The members of its job on other nodes, by `isolatectl jobs`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub remote: Vec<RemoteMember>,
    /// Where it finds the names of the other members.
    pub hosts: Hosts,
}

/// Why an address is never a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Excluded {
    /// It is the host's.
    Host,
    /// A name server of the host: it would forward queries to the internet.
    HostNameServer,
    /// A name server that the container's own `/etc/resolv.conf` names.
    OwnNameServer,
}

impl fmt::Display for Excluded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Host => "the host's own address",
            Self::HostNameServer => "a name server of the host",
            Self::OwnNameServer => "a name server of the container (its /etc/resolv.conf)",
        })
    }
}

impl GrantedOpenings {
    /// Its peers by address: those of the annotation, until `isolatectl peers` changes them.
    #[must_use]
    pub fn peers(&self) -> &Prefixes {
        self.changed_peers.as_ref().map_or(&self.asked.peers, |PackedPrefixes(peers)| peers)
    }

    /// The same openings with other peers by address.
    #[must_use]
    pub fn with_peers(&self, peers: Prefixes) -> Self {
        let added = self.added_peers.iter().flat_map(|PackedPrefixes(added)| added).chain(&peers).copied();
        let added_peers = Some(PackedPrefixes(added.collect()));
        Self { added_peers, changed_peers: Some(PackedPrefixes(peers)), ..self.clone() }
    }

    /// Each peer by address that it has had.
    #[must_use]
    pub fn peers_at_any_time(&self) -> Prefixes {
        let added = self.added_peers.iter().flat_map(|PackedPrefixes(added)| added);
        self.asked.peers.iter().chain(added).chain(self.peers()).copied().collect()
    }

    /// For how long its address is to stay its own when it leaves, if other nodes may have it as a member.
    #[must_use]
    pub fn hold(&self) -> Option<Duration> {
        self.job.hold.filter(|_| self.is_of_cluster())
    }

    /// For how long members of its job on other nodes are peers without being confirmed, if that has a limit.
    #[must_use]
    pub fn lease(&self) -> Option<Duration> {
        self.job.lease.filter(|_| self.is_of_cluster())
    }

    /// Whether members of its job may be on other nodes.
    fn is_of_cluster(&self) -> bool {
        self.asked.job.as_ref().is_some_and(|job| job.namespace.is_some())
    }

    /// The addresses that are never peers.
    #[must_use]
    pub fn excluded(&self) -> BTreeSet<IpAddr> {
        self.never.keys().copied().collect()
    }

    /// The first of these peers that is a single address and never a peer, and why. A prefix that contains
    /// such an address is a peer without it.
    #[must_use]
    pub fn excludes<'a>(&self, mut peers: impl Iterator<Item = &'a IpNet>) -> Option<(IpAddr, Excluded)> {
        peers.find_map(|peer| {
            let address = (*peer == IpNet::from(peer.addr())).then(|| peer.addr())?;
            Some((address, *self.never.get(&address.to_canonical())?))
        })
    }
}

fn is_default(settings: &JobSettings) -> bool {
    *settings == JobSettings::default()
}

/// The file that is a container's `/etc/hosts`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub enum Hosts {
    /// The engine wrote it for this container alone.
    Written {
        /// On the host.
        path: PathBuf,
        /// Identifies the file: the container does not see a replacement.
        inode: Inode,
    },
    /// Names are not written into it, for this reason.
    Left(String),
}
