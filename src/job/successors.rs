//! Who is in the namespace of a container whose own processes have ended: a container that has joined it. All records are
//! read once for all members of a job, and only if one has ended.

use std::cell::OnceCell;

use anyhow::Result;

use crate::record::{InitProcess, Record, Store};
use crate::seal::Netns;

/// The containers of a store that have joined namespaces with openings.
#[derive(Debug)]
pub struct Successors {
    store: Store,
    /// Those that were running when they were read, by the namespace that each was in.
    joined: OnceCell<Vec<(Netns, Record)>>,
}

impl Successors {
    /// Reads nothing yet.
    #[must_use]
    pub fn new(store: Store) -> Self {
        Self { store, joined: OnceCell::new() }
    }

    /// The init process of one that runs in a namespace.
    ///
    /// # Errors
    /// Records cannot be listed.
    pub fn live_in(&self, netns: Netns) -> Result<Option<InitProcess>> {
        let joined = match self.joined.get() {
            Some(joined) => joined,
            None => {
                let read = self.read()?;
                self.joined.get_or_init(|| read)
            }
        };
        let mut there = joined.iter().filter(|(its, _)| *its == netns);
        Ok(there.find_map(|(_, record)| record.live_in(netns)))
    }

    fn read(&self) -> Result<Vec<(Netns, Record)>> {
        let netns = |record: &Record| Some(InitProcess::open(record.init?).ok()?.netns.id());
        Ok(self.store.joined()?.filter_map(|(_, record)| Some((netns(&record)?, record))).collect())
    }
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use serde_json::json;

    use super::*;
    use crate::proc::ProcessId;
    use crate::record::{Slot, VERSION};
    use crate::seal::OpenNetns;

    #[test]
    fn records_are_read_once_and_only_if_someone_asks() {
        let mut init = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
        let process = ProcessId::of(init.id()).unwrap();
        let netns = OpenNetns::of(&process.dir()).unwrap().id();
        let record = json!({
            "version": VERSION, "id": "a", "runtime": "/usr/bin/runc", "bundle": "/b", "rootfs": {"dev": 1, "ino": 2},
            "pinned": [], "pid_file": null, "creator": {"pid": 1, "start": u64::MAX}, "why": "test",
            "firewall": "required", "links": "down", "network": {"joined": {"at": "/run/netns/pod"}}, "confined": false,
            "opened": {
                "asked": {"ingress": [], "peers": [], "job": {"namespace": null, "name": "train"}}, "changed-peers": null,
                "bounds": {"within": [], "widest": [24, 64]}, "never": {}, "host-name": null, "hosts": {"left": "test"},
            },
            "applied": [], "waived": [], "audit": {"file": null, "required": false, "passed-through": false},
            "init": process, "sealed": null,
        });
        let directory = tempfile::tempdir().unwrap();
        let at = directory.path().join("oci-isolate/containers/run/runc/a.json");
        std::fs::create_dir_all(at.parent().unwrap()).unwrap();
        let successors = Successors::new(Store::of(&Slot::at(&at).unwrap()));
        // After the store was named, and before it is asked.
        std::fs::write(&at, record.to_string()).unwrap();
        let found = |ino: u64| successors.live_in(Netns { ino, ..netns }).unwrap().map(|init| init.process);
        assert_eq!(found(netns.ino), Some(process));
        std::fs::remove_file(&at).unwrap();
        assert_eq!(found(netns.ino), Some(process));
        assert_eq!(found(netns.ino + 1), None);
        drop(init.stdin.take());
        init.wait().unwrap();
        assert_eq!(found(netns.ino), None);
    }
}
