//! Compares the runtime's own state of a container with its record: the init process, and annotations that
//! the runtime has acted on.

use super::broken_promise::BrokenPromise;
use super::id_of;
use oci_isolate::record::{Record, Slot};
use oci_isolate::rules::runtime_annotations;
use oci_isolate::runtime::{RuntimeState, dialect_of};

/// `init` is the sealed init process. A runtime without a known state file has nothing to compare.
pub(super) fn inspect(slot: &Slot, record: &Record, init: u32) -> Vec<BrokenPromise> {
    let container = slot.root().join(id_of(slot));
    let looked = RuntimeState::read(dialect_of(&record.runtime), &container).and_then(|kept| {
        let Some(kept) = kept else { return Ok(Vec::new()) };
        let mut found = Vec::new();
        let started = kept.init()?.pid;
        if started != init {
            let why = format!("the runtime's init process is {started}, and process {init} was sealed");
            found.push(BrokenPromise::new("record", why));
        }
        for annotation in kept.annotations()? {
            if runtime_annotations::is_against(
                &annotation.name,
                annotation.value.as_deref().unwrap_or_default(),
            ) {
                let why = format!("the runtime has been given annotation {:?}", annotation.name);
                found.push(BrokenPromise::new("runtime-annotations", why));
            }
        }
        Ok(found)
    });
    looked.unwrap_or_else(|error| vec![BrokenPromise::new("record", format!("{error:#}"))])
}
