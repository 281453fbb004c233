//! Without usable settings nothing is decided, so nothing is created, started or entered. Running containers
//! still have to be inspected and stopped: a call about a container with a record that starts nothing
//! (`state`, `kill`, `delete` ...) is passed to the runtime that created it. And engines query a runtime's
//! version and features once, when they start: this is answered, or the engine would do without them until
//! its next start.

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;

use super::{RuntimeCall, answer};
use crate::invocation::{self, Dialect, Reach, Reading, Verb};
use crate::record::{Record, Slot};
use crate::runtime::{self, Runtime};
use crate::settings::Settings;

/// Handles such a call. `None`: it is not one, or the records do not determine the runtime with certainty.
///
/// # Errors
/// The runtime cannot be run, or the record cannot be removed.
pub(super) fn answer_by_record(args: &[OsString]) -> Result<Option<ExitCode>> {
    let Some(record) = named(args) else { return Ok(None) };
    // It was found before, but the shim may have replaced it since.
    let Ok(runtime) = Runtime::find(&[record.runtime]) else { return Ok(None) };
    match invocation::read(runtime.dialect(), args) {
        Reading::PassThrough(_) => match invocation::reach(runtime.dialect(), args) {
            Reach::Harmless => match runtime.exec(args, &[])? {},
            Reach::Recorded | Reach::Refused => Ok(None),
        },
        Reading::Understood(invocation) if invocation.verb == Verb::Delete => {
            let settings = Settings { audit: record.audit, ..Settings::default() };
            let (settings, runtime, invocation) = (&settings, &runtime, &invocation);
            let call = RuntimeCall { settings, settings_file: None, runtime, args, invocation };
            answer(&call).map(Some)
        }
        Reading::Understood(_) | Reading::Ambiguous(_) => Ok(None),
    }
}

/// Calls about the runtime itself.
const ABOUT_ITSELF: [&str; 5] = ["features", "--version", "-v", "--help", "-h"];

/// Handles such a call by the default runtime: the configured one is unknown. Returns for another call, or if
/// there is no runtime.
///
/// # Errors
/// The runtime cannot be run.
pub(super) fn answer_about_runtime(args: &[OsString]) -> Result<()> {
    let [word] = args else { return Ok(()) };
    if ABOUT_ITSELF.iter().any(|known| word == known)
        && let Ok(runtime) = Runtime::find(&Settings::default().runtime)
    {
        match runtime.exec(args, &[])? {}
    }
    Ok(())
}

/// The record of the container whose id is among these words, whatever the verb. The record determines which
/// runtime's words they are; with several records, of containers that different runtimes created, it would
/// not.
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
