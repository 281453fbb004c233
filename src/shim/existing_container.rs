//! Whether an existing container is isolated: by its record, or else by the runtime's own state of it. A
//! record can be missing: its directory was removed, or the runtime's root is named by another path.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::{NOT_ISOLATED, RuntimeCall};
use crate::invocation::Dialect;
use crate::policy::{Decision, PlatformContainer, decide, requires_by_environment};
use crate::record::{Record, Sandbox, Slot, Store};
use crate::runtime::RuntimeState;
use crate::settings::{Mode, Settings};

/// The container that a call is about.
pub(super) enum Existing {
    /// It has a record.
    Isolated(Slot, Box<Record>),
    /// It keeps the network of a pod in which others are isolated.
    Platform(PlatformContainer, RuntimeState),
    /// It is not isolated.
    Open,
}

/// Finds out what container the call is about.
///
/// # Errors
/// It has no record although it is isolated or the settings isolate all containers, or this cannot be
/// determined.
pub(super) fn find(call: &RuntimeCall) -> Result<Existing> {
    let slot = call.slot()?;
    if let Some(slot) = &slot
        && let Some(record) = slot.load()?
    {
        return Ok(Existing::Isolated(slot.clone(), Box::new(record)));
    }
    let root = call.root()?;
    let kept = RuntimeState::read(call.runtime.dialect(), &directory(&root, &call.invocation.id));
    let of_kept = |kept: Option<RuntimeState>| {
        kept.map_or(Ok(WithoutRecord::Open), |kept| judge(call.settings, kept, &root, &call.invocation.id))
    };
    if call.settings.mode == Mode::Always {
        return match kept.and_then(of_kept) {
            Ok(WithoutRecord::Platform(container, state)) => Ok(Existing::Platform(container, state)),
            _ => bail!("it was not created through oci-isolate, and mode = \"always\"; create it again"),
        };
    }
    let ask =
        |_| RuntimeState::ask(call.runtime, &root, &call.invocation.id).and_then(|kept| of_kept(Some(kept)));
    let judged = kept.and_then(of_kept).or_else(ask);
    let why = match judged.context("cannot determine whether it is isolated")? {
        WithoutRecord::Refused(why) => why,
        WithoutRecord::Platform(container, state) => return Ok(Existing::Platform(container, state)),
        WithoutRecord::Open => {
            call.audit_passed_through(NOT_ISOLATED);
            return Ok(Existing::Open);
        }
    };
    let other = slot.map(|slot| Store::of(&slot).by_another_path(&slot)).transpose()?.flatten();
    if let Some(other) = other
        && let Some(record) = other.load()?
    {
        return Ok(Existing::Isolated(other, Box::new(record)));
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

/// What an existing container without a record is.
enum WithoutRecord {
    Open,
    Platform(PlatformContainer, RuntimeState),
    /// It must not be used, for this reason.
    Refused(String),
}

/// What an existing container without a record is.
///
/// # Errors
/// The runtime's state of it is malformed.
fn judge(settings: &Settings, kept: RuntimeState, root: &Path, id: &OsStr) -> Result<WithoutRecord> {
    let environment = if requires_by_environment(settings) { kept.environment()? } else { Vec::new() };
    Ok(match decide(settings, &kept.annotations()?, &environment) {
        Decision::PassThrough(_) | Decision::Observe(_) => WithoutRecord::Open,
        Decision::Platform(container) => {
            let sandbox = Sandbox::of(root, &container);
            match sandbox.and_then(|sandbox| sandbox.check_created(&container, &id.to_string_lossy())) {
                Ok(()) => WithoutRecord::Platform(container, kept),
                Err(why) => WithoutRecord::Refused(format!("it claims to be the platform's, and {why:#}")),
            }
        }
        Decision::Isolate(policy) => WithoutRecord::Refused(format!(
            "it was created isolated ({}) and its record is gone; delete it and create it again",
            policy.why
        )),
        Decision::Refuse(why) => {
            WithoutRecord::Refused(format!("{why}; it has no record, so delete it and create it again"))
        }
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
    match kept.map(|kept| judge(settings, kept, root, word.as_ref())).transpose()? {
        Some(WithoutRecord::Refused(why)) => bail!("container {word}: {why}"),
        Some(WithoutRecord::Open | WithoutRecord::Platform(..)) | None => Ok(()),
    }
}
