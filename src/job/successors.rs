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
