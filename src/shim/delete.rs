//! `delete`: the record is removed if the runtime has deleted the container, and kept if it has not. Before
//! that, the container is removed from its job. `delete` of a member whose address the engine frees afterwards returns later,
//! if the settings say so (`job.hold`): until the agents of other nodes have learned that it has left. Nothing tells when they
//! have, so it waits for a fixed time, which is the last act: killed before its end, or called again, it misses nothing else,
//! and a container that is gone is not waited for again. With crun's `--regex`, the records of all deleted containers
//! are removed.

use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Result;

use super::{RuntimeCall, facts, release_netns, tried};
use crate::audit::{Line, Outcome};
use crate::job;
use crate::record::{Record, Slot, Store};

pub(super) fn delete(call: &RuntimeCall) -> Result<ExitCode> {
    let slots = if call.invocation.regex {
        Store::ours().slots_of(&call.root()?)
    } else {
        call.slot()?.filter(Slot::is_there).into_iter().collect()
    };
    if slots.is_empty() {
        match call.runtime.exec(call.args, &[])? {}
    }
    // Another container may take the id as soon as the runtime has finished.
    let read = |slot: Slot| {
        let record = slot.load().ok().flatten();
        let given = match &record {
            Some(record) => record.given_namespace().map(Path::to_owned),
            None => slot.remains().and_then(|remains| remains.given_namespace()),
        };
        (record, given, slot)
    };
    let slots: Vec<(Option<Record>, Option<PathBuf>, Slot)> = slots.into_iter().map(read).collect();
    let held = slots.iter().map(|(record, _, slot)| tried::hold(slot, record.as_ref()?));
    let mut held: Vec<_> = held.collect();
    let status = call.runtime.run(call.args)?;
    let mut hold = None;
    if status.success() {
        let deleted = |slot: &Slot| !call.invocation.regex || !slot.has_container();
        let all = slots.iter().zip(&mut held);
        for ((record, given, slot), held) in all.filter(|((_, _, slot), _)| deleted(slot)) {
            // The hook of `run` may already have removed it.
            let was_there = slot.is_there();
            if let Some(record) = record {
                record.sweep();
            }
            let tried = held.take().filter(|_| was_there).map(tried::Held::count);
            if let Some(record) = record.as_ref().filter(|_| was_there) {
                facts::write(slot, record, tried.as_ref().map(|tried| &tried.attempts));
            }
            hold = hold.max(job::leave(slot, record.as_ref())?);
            if let Some(tried) = tried {
                tried.write();
            }
            if was_there && !call.invocation.regex {
                // The container is gone whether or not it can be logged.
                let line = record.as_ref().map(|record| record.line_of_call(Outcome::Deleted));
                let _ = call.audit(line.unwrap_or(Line::of(Outcome::Deleted)));
            }
            release_netns::release(slot, given.as_deref())?;
        }
    }
    hold.into_iter().for_each(std::thread::sleep);
    // The shell's convention for a runtime that was killed.
    let code = status.code().or(status.signal().map(|signal| 128 + signal)).unwrap_or(1);
    Ok(ExitCode::from(u8::try_from(code).unwrap_or(1)))
}
