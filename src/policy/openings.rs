//! Openings: the ports and peers that stay reachable for an isolated container. Data only; the annotations
//! and the bounds of the settings are parsed elsewhere.

use std::fmt;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::Job;
use super::packed_prefixes;
use super::prefixes::Prefixes;

/// The openings of one container; none, for most.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Openings {
    /// Connections to these ports are accepted and answered; the container starts none.
    pub ingress: Vec<Ingress>,
    /// Any protocol, both directions.
    #[serde(with = "packed_prefixes")]
    pub peers: Prefixes,
    /// The containers with the same job are peers too.
    pub job: Option<Job>,
}

/// Ports that are answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ingress {
    /// The protocol.
    pub protocol: Protocol,
    /// The first port, at least 1.
    pub first: u16,
    /// The last port, not below the first.
    pub last: u16,
    /// The only clients; all by default.
    pub from: Option<IpNet>,
}

/// A protocol with ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs, reason = "their own names")]
pub enum Protocol {
    Tcp,
    Udp,
}

impl Openings {
    /// Whether nothing stays open, so that the container gets an empty network namespace.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ingress.is_empty() && !self.has_peers()
    }

    /// Whether the container may start connections.
    #[must_use]
    pub fn has_peers(&self) -> bool {
        !self.peers.is_empty() || self.job.is_some()
    }
}

/// In the syntax of the annotation.
impl fmt::Display for Ingress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.first)?;
        if self.last != self.first {
            write!(f, "-{}", self.last)?;
        }
        f.write_str(if self.protocol == Protocol::Tcp { "/tcp" } else { "/udp" })?;
        self.from.map_or(Ok(()), |from| write!(f, " from {from}"))
    }
}
