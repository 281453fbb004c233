//! Whether an existing container is isolated: by its record, or else by the runtime's own state of it. A
//! record can be missing: its directory was removed, or the runtime's root is named by another path.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::{NOT_ISOLATED, RuntimeCall};
use crate::invocation::Dialect;
use crate::policy::{Decision, decide, requires_by_environment};
use crate::record::{Record, Slot, Store};
use crate::runtime::RuntimeState;
use crate::settings::{Mode, Settings};

/// The record of the container that the call is about. `None`: it is not isolated.
///
/// # Errors
/// It has no record although it is isolated or the settings isolate all containers, or this cannot be
/// determined.
pub(super) fn record(call: &RuntimeCall) -> Result<Option<(Slot, Record)>> {
    let slot = call.slot()?;
    if let Some(slot) = &slot
        && let Some(record) = slot.load()?
    {
        return Ok(Some((slot.clone(), record)));
    }
    if call.settings.mode == Mode::Always {
        bail!("it was not created through oci-isolate, and mode = \"always\"; create it again");
    }
    let root = call.root()?;
    let kept = RuntimeState::read(call.runtime.dialect(), &directory(&root, &call.invocation.id));
    let decide =
        |kept: Option<RuntimeState>| kept.map_or(Ok(None), |kept| why_isolated(call.settings, &kept));
    let ask =
        |_| RuntimeState::ask(call.runtime, &root, &call.invocation.id).and_then(|kept| decide(Some(kept)));
    let decided = kept.and_then(decide).or_else(ask);
    let Some(why) = decided.context("cannot determine whether it is isolated")? else {
        call.audit_passed_through(NOT_ISOLATED);
        return Ok(None);
    };
    let other = slot.map(|slot| Store::of(&slot).by_another_path(&slot)).transpose()?.flatten();
    if let Some(other) = other
        && let Some(record) = other.load()?
    {
        return Ok(Some((other, record)));
    }
    bail!("{why}");
}

/// The directory of a container's state. crun before 1.22 accepts a path as an id, and takes one with a
/// leading slash as below its root too.
pub(super) fn directory(root: &Path, id: &OsStr) -> PathBuf {
    let bytes = id.as_bytes();
    let start = bytes.iter().position(|byte| *byte != b'/').unwrap_or(bytes.len());
    root.join(OsStr::from_bytes(&bytes[start..]))
}

/// Why an existing container without a record must not be used, if it must not.
///
/// # Errors
/// The runtime's state of it is malformed.
fn why_isolated(settings: &Settings, kept: &RuntimeState) -> Result<Option<String>> {
    let environment = if requires_by_environment(settings) { kept.environment()? } else { Vec::new() };
    Ok(match decide(settings, &kept.annotations()?, &environment) {
        Decision::PassThrough(_) => None,
        Decision::Isolate(policy) => Some(format!(
            "it was created isolated ({}) and its record is gone; delete it and create it again",
            policy.why
        )),
        Decision::Refuse(why) => Some(format!("{why}; it has no record, so delete it and create it again")),
    })
}

/// The same check for a word that may be the id of a container below a root, for a call that is not parsed
/// further.
///
/// # Errors
/// It is isolated and has no record.
pub(super) fn check_unrecorded(settings: &Settings, dialect: Dialect, root: &Path, word: &str) -> Result<()> {
    let container = directory(root, word.as_ref());
    // Most words are not ids.
    if !container.is_dir() || Slot::of(root, word).is_some_and(|slot| slot.is_there()) {
        return Ok(());
    }
    let kept = RuntimeState::read(dialect, &container).ok().flatten();
    match kept.and_then(|kept| why_isolated(settings, &kept).transpose()) {
        None => Ok(()),
        Some(why) => bail!("container {word}: {}", why?),
    }
}
