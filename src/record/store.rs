//! All records of a state directory, and queries over them.
//!
//! The container of an unreadable record is neither started nor entered, and what it owns is unknown. So an
//! unreadable record never supports a claim, and never frees what may belong to it:
//!
//! | question | an unreadable record |
//! |---|---|
//! | which container owns a namespace, runs in it, has joined it ([`owner_of`], [`tenant_of`], [`successor_of`]) | is none of them |
//! | which are the members of a job ([`members_of`]) | is no member |
//! | which processes are of isolated containers, which namespaces are theirs ([`readable`]) | has none that are known |
//! | whether another container may have a namespace ([`may_be_of_another`]) | may have it |
//! | what containers there are ([`iter`]) | is listed, with the reason |
//! | whether a container that is not isolated would join its namespaces ([`Slot::remains`]) | has those of the process that it names, or may have any |
//!
//! [`owner_of`]: Store::owner_of
//! [`tenant_of`]: Store::tenant_of
//! [`successor_of`]: Store::successor_of
//! [`members_of`]: Store::members_of
//! [`readable`]: Store::readable
//! [`may_be_of_another`]: Store::may_be_of_another
//! [`iter`]: Store::iter

use std::ffi::OsString;
use std::fs::File;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use nix::fcntl::Flock;

use super::directory::state_dir;
use super::slot::{Slot, lock_peers, records_of};
use super::{InitProcess, Record};
use crate::policy::Job;
use crate::proc::Inode;
use crate::seal::{Netns, OpenNetns};

/// The records below one state directory.
#[derive(Debug, Clone)]
pub struct Store {
    state: PathBuf,
}

/// A record and its slot.
pub type Recorded = (Slot, Record);

impl Store {
    /// The caller's store: root's, or a user's own.
    #[must_use]
    pub fn ours() -> Self {
        Self { state: state_dir() }
    }

    /// The store of a slot: a hook, whose environment is not the engine's, is given a slot.
    #[must_use]
    pub fn of(slot: &Slot) -> Self {
        Self { state: slot.state().to_owned() }
    }

    /// Whether there may be any record: the directory is removed with the last one.
    #[must_use]
    pub fn may_have_records(&self) -> bool {
        self.state.join("containers").exists()
    }

    /// The file for what was found of the tables of jobs' members.
    #[must_use]
    pub fn settled(&self) -> PathBuf {
        self.state.join("peers.settled")
    }

    /// As [`Slot::lock_peers`].
    ///
    /// # Errors
    /// The state directory cannot be written, or another process holds the lock for too long.
    pub fn lock_peers(&self) -> Result<Flock<File>> {
        lock_peers(&self.state)
    }

    /// All slots with a record, in the order of their paths.
    ///
    /// # Errors
    /// A directory cannot be listed.
    pub fn slots(&self) -> Result<Vec<Slot>> {
        let mut found = Vec::new();
        let mut directories = vec![self.state.join("containers")];
        while let Some(directory) = directories.pop() {
            let entries = match std::fs::read_dir(&directory) {
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                entries => entries.with_context(|| format!("cannot list {}", directory.display()))?,
            };
            for entry in entries {
                let entry = entry.with_context(|| format!("cannot list {}", directory.display()))?;
                let path = entry.path();
                if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                    directories.push(path);
                } else if path.extension().is_some_and(|extension| extension == "json") {
                    found.push(Slot::at(&path)?);
                }
            }
        }
        found.sort_by(|a, b| a.record().cmp(b.record()));
        Ok(found)
    }

    /// The slots with a record below a runtime's `root`.
    #[must_use]
    pub fn slots_of(&self, root: &Path) -> Vec<Slot> {
        let entries = std::fs::read_dir(records_of(&self.state, root)).into_iter().flatten().flatten();
        let id = |name: OsString| name.to_str().and_then(|name| Some(name.strip_suffix(".json")?.to_owned()));
        entries.filter_map(|entry| Slot::of(root, &id(entry.file_name())?)).collect()
    }

    /// The slot of the same container below another path of the same root (a bind mount).
    ///
    /// # Errors
    /// A directory cannot be listed.
    pub fn by_another_path(&self, slot: &Slot) -> Result<Option<Slot>> {
        let Ok(root) = Inode::of(slot.root()) else { return Ok(None) };
        let is_same = |other: &Slot| {
            other.id() == slot.id() && Inode::of(other.root()).is_ok_and(|others| others == root)
        };
        Ok(self.slots()?.into_iter().find(is_same))
    }

    /// All records, an unreadable one with the reason. One that is removed meanwhile is left out.
    ///
    /// # Errors
    /// A directory cannot be listed.
    pub fn iter(&self) -> Result<impl Iterator<Item = (Slot, Result<Record>)> + use<>> {
        let load = |slot: Slot| slot.load().transpose().map(|record| (slot, record));
        Ok(self.slots()?.into_iter().filter_map(load))
    }

    /// The readable records.
    ///
    /// # Errors
    /// A directory cannot be listed.
    pub fn readable(&self) -> Result<impl Iterator<Item = Recorded> + use<>> {
        Ok(self.iter()?.filter_map(|(slot, record)| Some((slot, record.ok()?))))
    }

    /// The container for which a namespace was sealed; of several, preferably a running one.
    ///
    /// # Errors
    /// A directory cannot be listed.
    pub fn owner_of(&self, netns: Netns) -> Result<Option<Recorded>> {
        let owners = self.readable()?.filter(|(_, record)| record.owns(netns));
        Ok(owners.max_by_key(|(_, record)| record.lives()))
    }

    /// The running container in a namespace: the one for which it was sealed, or else one that joined it.
    ///
    /// # Errors
    /// A directory cannot be listed.
    pub fn tenant_of(&self, netns: Netns) -> Result<Option<Record>> {
        let tenants = self.readable()?.map(|(_, record)| record);
        let tenants = tenants.filter(|record| record.live_in(netns).is_some());
        Ok(tenants.max_by_key(|record| record.sealed.is_some()))
    }

    /// The containers, running or not, that have joined a namespace with openings.
    ///
    /// # Errors
    /// A directory cannot be listed.
    pub fn joined(&self) -> Result<impl Iterator<Item = Recorded> + use<>> {
        Ok(self.readable()?.filter(|(_, record)| record.network.is_joined() && record.opened.is_some()))
    }

    /// A running container that has joined a namespace with openings.
    ///
    /// # Errors
    /// A directory cannot be listed.
    pub fn successor_of(&self, netns: Netns) -> Result<Option<(Recorded, InitProcess)>> {
        let mut joined = self.joined()?;
        Ok(joined.find_map(|(slot, record)| record.live_in(netns).map(|init| ((slot, record), init))))
    }

    /// The containers of the job of the one at `of`, including itself, running or not, with or without a
    /// namespace of their own.
    ///
    /// A pod's job is also limited to its engine: a namespace that an annotation claims for a container of
    /// another engine is not a namespace of this cluster. Engines are distinguished by their runtime roots
    /// (`/run/containerd/runc/k8s.io`, `/var/run/docker/runtime-runc/moby`).
    ///
    /// # Errors
    /// A directory cannot be listed.
    pub fn members_of(&self, job: &Job, of: &Slot) -> Result<Vec<Recorded>> {
        let is_of_engine = |slot: &Slot| job.namespace.is_none() || slot.root() == of.root();
        let members =
            self.readable()?.filter(|(slot, record)| is_of_engine(slot) && record.job() == Some(job));
        Ok(members.collect())
    }

    /// Whether a namespace is, or may be, that of a container other than the one at `this`.
    ///
    /// # Errors
    /// A directory cannot be listed.
    pub fn may_be_of_another(&self, netns: Netns, this: &Slot) -> Result<bool> {
        let may_have = |record: Result<Record>| {
            let Ok(record) = record else { return true };
            let given = || OpenNetns::at(record.given_namespace()?).ok();
            record.owns(netns) || given().is_some_and(|given| given.id() == netns)
        };
        Ok(self.iter()?.any(|(slot, record)| slot.record() != this.record() && may_have(record)))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::record::VERSION;

    const NETNS: Netns = Netns { dev: 4, ino: 7 };

    fn record(id: &str) -> Value {
        json!({
            "version": VERSION, "id": id, "runtime": "/usr/bin/runc", "bundle": "/b", "rootfs": {"dev": 1, "ino": 2},
            "pinned": [], "pid_file": null, "creator": {"pid": 1, "start": u64::MAX}, "why": "test",
            "firewall": "required", "links": "down", "network": "new", "confined": false, "opened": null, "applied": [], "waived": [],
            "audit": {"file": null, "required": false, "passed-through": false}, "init": null, "sealed": null,
        })
    }

    fn sealed(mut record: Value) -> Value {
        record["sealed"] = json!({
            "netns": NETNS, "links-removed": [], "links-kept": [], "own": [], "gateways": [], "links-down": [],
            "addresses-kept": [], "addresses-skipped": [], "foreign-blocked": [], "nsids-left": [], "firewall": true,
        });
        record
    }

    fn of_job(mut record: Value, namespace: Option<&str>) -> Value {
        record["opened"] = json!({
            "asked": {"ingress": [], "peers": [], "job": {"namespace": namespace, "name": "train"}}, "changed-peers": null,
            "bounds": {"within": [], "widest": [24, 64]}, "never": {}, "host-name": null, "hosts": {"left": "test"},
        });
        record
    }

    /// A store with these texts as records, by root and id.
    fn store(texts: &[(&str, &str, String)]) -> (tempfile::TempDir, Store, Vec<Slot>) {
        let dir = tempfile::tempdir().unwrap();
        let state = dir.path().join("oci-isolate");
        let slot = |(root, id, text): &(&str, &str, String)| {
            let below = state.join("containers").join(root);
            std::fs::create_dir_all(&below).unwrap();
            let path = below.join(format!("{id}.json"));
            std::fs::write(&path, text).unwrap();
            Slot::at(&path).unwrap()
        };
        let slots: Vec<Slot> = texts.iter().map(slot).collect();
        let store = Store::of(&slots[0]);
        (dir, store, slots)
    }

    fn ids<'r>(records: impl IntoIterator<Item = &'r Recorded>) -> Vec<&'r str> {
        records.into_iter().map(|(_, record)| &*record.id).collect()
    }

    #[test]
    fn a_record_that_cannot_be_read_is_there_and_makes_no_claim_good() {
        let good = sealed(record("a")).to_string();
        let (_dir, store, slots) =
            store(&[("run/runc", "a", good), ("run/runc", "b", "{\"version\":2}".into())]);
        let all: Vec<_> = store.iter().unwrap().map(|(_, record)| record.map(|record| record.id)).collect();
        assert_eq!(all[0].as_ref().unwrap(), "a");
        let why = all[1].as_ref().unwrap_err().to_string();
        assert!(why.ends_with("is of version 2, not 6; delete the container and create it again"), "{why}");
        assert_eq!(ids(&store.readable().unwrap().collect::<Vec<_>>()), ["a"]);
        assert_eq!(ids(&store.owner_of(NETNS).unwrap()), ["a"]);
        let other = Netns { ino: 8, ..NETNS };
        assert!(store.owner_of(other).unwrap().is_none());
        // Its init process does not run.
        assert!(store.tenant_of(NETNS).unwrap().is_none() && store.successor_of(NETNS).unwrap().is_none());
        // An unreadable record may own any namespace.
        assert!(store.may_be_of_another(other, &slots[0]).unwrap());
        std::fs::remove_file(slots[1].record()).unwrap();
        assert!(!store.may_be_of_another(other, &slots[0]).unwrap());
        assert!(!store.may_be_of_another(NETNS, &slots[0]).unwrap());
        assert!(store.may_be_of_another(NETNS, &slots[1]).unwrap());
    }

    #[test]
    fn the_job_of_a_pod_is_one_of_its_own_engine() {
        let of = |id, namespace| of_job(record(id), namespace).to_string();
        let (_dir, store, slots) = store(&[
            ("run/runc", "a", of("a", Some("team"))),
            ("run/runc", "b", of("b", Some("team"))),
            ("run/runc", "c", of("c", Some("other"))),
            ("run/crun", "d", of("d", Some("team"))),
            ("run/runc", "e", of("e", None)),
            ("run/crun", "f", of("f", None)),
            ("run/crun", "g", record("g").to_string()),
            ("run/runc", "h", "{".into()),
        ]);
        let members = |slot: &Slot| {
            let record = slot.load().unwrap().unwrap();
            ids(&store.members_of(record.job().unwrap(), slot).unwrap()).join(" ")
        };
        assert_eq!(members(&slots[0]), "a b");
        assert_eq!(members(&slots[2]), "c");
        assert_eq!(members(&slots[4]), "f e");
    }
}
