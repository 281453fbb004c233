//! Without settings that can be used nothing is decided, so nothing is created, started or entered. What runs
//! has to be looked at and ended all the same: a call about a container that has a record and by which
//! nothing starts (`state`, `kill`, `delete` ...) goes to the runtime that made it. And engines ask a runtime
//! for its version and features when they start, once: it is answered, or the engine would go without them
//! until its next start.

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;

use super::{Call, answer};
use crate::invocation::{self, Dialect, Reach, Reading, Verb};
use crate::record::{Record, Slot};
use crate::runtime::{self, Runtime};
use crate::settings::Settings;

/// Answers such a call. `None`: it is none, or records do not say with certainty which runtime it is for.
///
/// # Errors
/// The runtime cannot be run, or the record cannot be dropped.
pub(super) fn answer_without_settings(args: &[OsString]) -> Result<Option<ExitCode>> {
    let Some(record) = named(args) else { return Ok(None) };
    // It was found before; but the shim may have been put in its place since.
    let Ok(runtime) = Runtime::find(&[record.runtime]) else { return Ok(None) };
    match invocation::read(runtime.dialect(), args) {
        Reading::PassThrough(_) => match invocation::reach(runtime.dialect(), args) {
            Reach::Harmless => match runtime.exec(args, &[])? {},
            Reach::Recorded | Reach::Refused => Ok(None),
        },
        Reading::Understood(invocation) if invocation.verb == Verb::Delete => {
            let settings = Settings { audit: record.audit, ..Settings::default() };
            let call = Call { settings: &settings, runtime: &runtime, args, invocation: &invocation };
            answer(&call).map(Some)
        }
        Reading::Understood(_) | Reading::Ambiguous(_) => Ok(None),
    }
}

/// Calls that are about the runtime itself.
const ABOUT_ITSELF: [&str; 5] = ["features", "--version", "-v", "--help", "-h"];

/// Answers such a call by the runtime that is used where the settings name none: which they name is not
/// known. Comes back when it is another call, or there is none.
///
/// # Errors
/// The runtime cannot be run.
pub(super) fn describe_without_settings(args: &[OsString]) -> Result<()> {
    let [word] = args else { return Ok(()) };
    if ABOUT_ITSELF.iter().any(|known| word == known)
        && let Ok(runtime) = Runtime::find(&Settings::default().runtime)
    {
        match runtime.exec(args, &[])? {}
    }
    Ok(())
}

/// The record of the container that is among these words, whatever the verb. Which runtime's words they are says the
/// record; were there several, of containers that two runtimes made, it would say nothing.
fn named(args: &[OsString]) -> Option<Record> {
    let mut found: Vec<Record> = Vec::new();
    for dialect in [Dialect::Runc, Dialect::Crun, Dialect::Youki] {
        let given = invocation::globals(dialect, args).root;
        let Ok(root) = runtime::state_root(dialect, given.as_deref().map(Path::new)) else { continue };
        let slots = args.iter().filter_map(|word| Slot::of(&root, word.to_str()?));
        let records = slots.filter_map(|slot| slot.load().ok().flatten());
        found.extend(records.filter(|record| runtime::dialect_of(&record.runtime) == dialect));
    }
    let record = found.pop()?;
    found.iter().all(|other| other.runtime == record.runtime).then_some(record)
}
