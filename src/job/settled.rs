//! What was found of the members' tables: in which state of its firewall a member's table was the one that its peers make.
//!
//! The kernel numbers the states of a namespace's firewall and takes a new number for each change, so while the number
//! is the same, the table does not have to be read again. But it takes the number first, and changes what is listed after
//! that (`nf_tables_commit` in net/netfilter/nf_tables_api.c): one listing may have the new number and the old table. So a
//! table counts as found only once two updates, one after the other, have read it with the same number; one change would have to
//! be under way in both. The file is an aid only: without it, or with another one, tables are read.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{JobMember, PeersOfMember};
use crate::files;
use crate::nft::{AllowList, ForeignSocket, Table};
use crate::policy::{Ingress, Protocol};
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
    /// The digest of the peers, of what is never one, and of how tables are made.
    wanted: String,
    /// Whether an earlier update has found the same; before that it tells nothing.
    twice: bool,
}

impl SettledTable {
    /// What is to be found, if it is as it should be. `None`: it is not known in which state the firewall is,
    /// or which routes there are.
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
        // Another build may make another table of the same peers, or look for more.
        digest.update(env!("CARGO_PKG_VERSION"));
        digest.update(*SAMPLES);
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
        Some(Self { creator, netns, generation: state.generation?, wanted, twice: false })
    }

    /// The same in another state of the firewall.
    pub(super) fn at(self, generation: u32) -> Self {
        Self { generation, ..self }
    }
}

/// The digest of how this build makes tables.
static SAMPLES: LazyLock<[u8; 32]> = LazyLock::new(|| Sha256::digest(samples()).into());

/// Tables with everything that one can have.
fn samples() -> String {
    let address = |text: &str| text.parse::<IpAddr>().ok();
    let addresses = |texts: [&str; 2]| texts.into_iter().filter_map(address).collect::<BTreeSet<_>>();
    let prefixes = ["10.0.0.1/32", "10.1.0.0/16", "fd00::1/128", "fd01::/64"];
    let ingress = |protocol, from: Option<&str>| Ingress {
        protocol,
        first: 1,
        last: 2,
        from: from.and_then(|prefix| prefix.parse().ok()),
    };
    let allow = AllowList {
        ingress: vec![
            ingress(Protocol::Tcp, None),
            ingress(Protocol::Udp, Some(prefixes[1])),
            ingress(Protocol::Tcp, Some(prefixes[3])),
        ],
        peers: prefixes.iter().filter_map(|prefix| prefix.parse().ok()).collect(),
        leased: Some(addresses(["10.0.0.2", "fd00::2"])),
        never: addresses(["10.1.0.1", "fd01::1"]),
    };
    let at = |protocol, text| address(text).map(|address| ForeignSocket::at(protocol, address, 1));
    let mut foreign = vec![ForeignSocket::Protocol(1), ForeignSocket::Packet];
    foreign.extend([at(6, "0.0.0.0"), at(17, "10.0.0.9"), at(6, "fd00::9")].into_iter().flatten());
    let unlimited = AllowList { leased: None, ..allow.clone() };
    let tables = [(&allow, Some(1)), (&unlimited, None)]
        .map(|(allow, counting)| Table::default().blocking_also(&foreign, Some(allow), counting));
    format!("{tables:?}")
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

    /// Whether this was found before, twice.
    pub(super) fn has(&self, record: &Path, expected: &SettledTable) -> bool {
        self.0.get(record) == Some(&SettledTable { twice: true, ..expected.clone() })
    }

    /// Notes what was found, and whether that is what was found `before`.
    pub(super) fn note(&mut self, record: &Path, found: SettledTable, before: &Self) {
        let seen = before.0.get(record);
        let twice = seen.is_some_and(|seen| *seen == SettledTable { twice: seen.twice, ..found.clone() });
        self.0.insert(record.to_owned(), SettledTable { twice, ..found });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_taken_for_granted_once_two_updates_have_found_it_in_one_state() {
        let path = Path::new("/x");
        let creator = ProcessId { pid: 1, start: 1 };
        let at = |generation| SettledTable {
            creator,
            netns: Netns { dev: 1, ino: 1 },
            generation,
            wanted: String::new(),
            twice: false,
        };
        let after = |before: &Settled, generation| {
            let mut now = Settled::default();
            now.note(path, at(generation), before);
            now
        };
        let once = after(&Settled::default(), 1);
        assert!(!once.has(path, &at(1)));
        let twice = after(&once, 1);
        assert!(twice.has(path, &at(1)) && !twice.has(path, &at(2)));
        assert!(after(&twice, 1).has(path, &at(1)));
        // What was found before the last change counts for nothing.
        assert!(!after(&twice, 2).has(path, &at(2)) && !after(&once, 2).has(path, &at(2)));
        assert!(!after(&after(&once, 2), 1).has(path, &at(1)));
    }

    /// A rule, an element or a set that is made in another way is in there, so what an earlier build has found does not count.
    #[test]
    fn the_samples_have_each_kind_of_set_and_rule() {
        let samples = samples();
        for name in ["peers4", "peers6", "lease1", "foreign", "attempts", "SetCt", "Immediate"] {
            assert!(samples.contains(name), "{name}: {samples}");
        }
    }
}
