//! What a container tried to reach, as it is stated.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::Time;
use crate::seal;

/// What is known of its attempts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Tried {
    /// They were not counted, for this reason.
    NotCounted(String),
    /// They were counted, and the figures could not be read, for this reason.
    Lost(String),
    /// What was counted.
    Counted(Counted),
}

/// Figures of a network namespace (docs/attempts.md).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Counted {
    /// In the order of their first times.
    pub destinations: Vec<TriedDestination>,
    /// Packets of destinations for which there was no room.
    pub not_kept: NotKept,
    /// Why attempts may be missing.
    pub missing: Vec<String>,
}

/// One destination of which packets were refused; a source with `in`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs, reason = "the words of docs/attempts.md")]
pub struct TriedDestination {
    pub direction: String,
    pub protocol: String,
    /// Called as in in-toto's Runtime Trace v0.2 (`monitorLog.network`).
    pub ip: IpAddr,
    pub port: Option<u16>,
    pub count: u64,
    pub first: Time,
    pub last: Time,
}

/// Packets of other destinations than those that are listed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs, reason = "the words of docs/attempts.md")]
pub struct NotKept {
    pub out: u64,
    pub r#in: u64,
}

impl From<seal::Attempts> for Counted {
    fn from(counted: seal::Attempts) -> Self {
        let destinations = counted.destinations.into_iter().map(|attempt| TriedDestination {
            direction: attempt.direction.word().to_owned(),
            protocol: attempt.destination.protocol_name(),
            ip: attempt.destination.address,
            port: attempt.destination.port,
            count: attempt.packets,
            first: attempt.first.into(),
            last: attempt.last.into(),
        });
        Self {
            destinations: destinations.collect(),
            not_kept: NotKept { out: counted.not_kept, r#in: counted.arrivals_not_kept },
            missing: counted.missing,
        }
    }
}
