//! What was found of the members' tables: in which state of its firewall a member's table was the one that its peers make.
//!
//! The kernel numbers the states of a namespace's firewall and takes a new number for each change, so while the number
//! is the same, the table does not have to be read again. The file is an aid only: without it, or with another one, tables
//! are read.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{JobMember, PeersOfMember};
use crate::files;
use crate::proc::ProcessId;
use crate::record::Store;
use crate::seal::{Netns, NetnsState};
use crate::statement::hexadecimal;

/// By the path of the record.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Settled(BTreeMap<PathBuf, SettledTable>);

/// A table that was as it should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SettledTable {
    /// The container: a later one of the same id has another.
    creator: ProcessId,
    netns: Netns,
    /// Of the firewall.
    generation: u32,
    /// The digest of the peers, and of what is never one.
    wanted: String,
}

impl SettledTable {
    /// What is to be found, if it is as it should be. `None`: it is not known in which state the firewall is.
    pub(super) fn expected(
        member: &JobMember,
        state: &NetnsState,
        PeersOfMember { peers, leased }: &PeersOfMember,
    ) -> Option<Self> {
        let never = member.never();
        let is_peer = |gateway: &IpAddr| {
            peers.cover(*gateway) || leased.as_ref().is_some_and(|leased| leased.contains(gateway))
        };
        // Whether that may be, its table says.
        if state.gateways.as_ref()?.iter().any(|gateway| !never.contains(gateway) && is_peer(gateway)) {
            return None;
        }
        let mut digest = Sha256::new();
        // Another version may make another table of the same peers.
        digest.update(env!("CARGO_PKG_VERSION"));
        let mut all = Vec::new();
        peers.iter().for_each(|peer| write(&mut all, peer.addr(), peer.prefix_len()));
        parts(&mut digest, &mut all);
        for addresses in [leased.as_ref(), Some(&never)] {
            all.push(u8::from(addresses.is_some()));
            addresses.into_iter().flatten().for_each(|address| write(&mut all, *address, u8::MAX));
            parts(&mut digest, &mut all);
        }
        let wanted = hexadecimal(&digest.finalize());
        let (creator, netns) = (member.record.creator, member.init.netns.id());
        Some(Self { creator, netns, generation: state.generation?, wanted })
    }

    /// The same in another state of the firewall.
    pub(super) fn at(self, generation: u32) -> Self {
        Self { generation, ..self }
    }
}

fn write(all: &mut Vec<u8>, address: IpAddr, length: u8) {
    match address {
        IpAddr::V4(address) => all.extend([&[4, length], &address.octets()[..]].concat()),
        IpAddr::V6(address) => all.extend([&[6, length], &address.octets()[..]].concat()),
    }
}

/// With its length, so that no byte can be of the next part.
fn parts(digest: &mut Sha256, part: &mut Vec<u8>) {
    digest.update((part.len() as u64).to_le_bytes());
    digest.update(&part);
    part.clear();
}

impl Settled {
    /// What was found before; nothing if that is not known.
    pub(super) fn load(store: &Store) -> Self {
        let read = files::read(&store.settled(), files::SMALL_LIMIT);
        read.ok().and_then(|read| serde_json::from_slice(&read.bytes).ok()).unwrap_or_default()
    }

    /// Keeps this for the next time. The caller holds the lock of the peers.
    pub(super) fn save(&self, store: &Store) {
        // What cannot be kept is read again.
        let _ = serde_json::to_vec(self).map(|text| files::write(&store.settled(), &text, 0o600));
    }

    /// Whether this was found before.
    pub(super) fn has(&self, record: &Path, expected: &SettledTable) -> bool {
        self.0.get(record) == Some(expected)
    }

    /// Notes what was found.
    pub(super) fn note(&mut self, record: &Path, found: SettledTable) {
        self.0.insert(record.to_owned(), found);
    }
}
