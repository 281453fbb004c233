//! What is remembered of a container that is isolated and not closed altogether.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::PathBuf;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::Inode;
use crate::policy::Openings;
use crate::settings::PeerBounds;

/// What stays open.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Opened {
    /// What its annotations asked for.
    pub asked: Openings,
    /// Its peers by address: those of the annotation, until `isolatectl peers` says otherwise.
    pub peers: BTreeSet<IpNet>,
    /// Within what others of its job become its peers.
    pub bounds: PeerBounds,
    /// Nobody's peers: the addresses that the host had when it was sealed.
    pub never: BTreeSet<IpAddr>,
    /// The namespace that it was given by path and that is not its own.
    pub namespace: Option<PathBuf>,
    /// By what the others of its job call it.
    pub host_name: Option<String>,
    /// Where it finds the others of its job by name.
    pub hosts: Hosts,
}

/// The file that is a container's `/etc/hosts`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub enum Hosts {
    /// The engine wrote it for this container alone.
    Written {
        /// On the host.
        path: PathBuf,
        /// Another file in its place is not what the container sees.
        inode: Inode,
    },
    /// Names are not written into it; why.
    Left(String),
}
