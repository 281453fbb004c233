//! The hooks that a runtime runs during `create`, `run` and `restore`: lockdown as the first hook if there
//! are openings, sealing as the last `createRuntime` hook, removing the record as a `poststop` hook. Hooks
//! get the container's state on stdin (runtime-spec, config.md, "POSIX-platform Hooks").

use std::io::Read;
use std::os::fd::AsFd;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use nix::unistd::geteuid;
use oci_spec::runtime::State;

use super::sealing::{self, SEAL};
use super::{facts, release_netns, tried};
use crate::audit::{self, Line, Outcome};
use crate::job;
use crate::proc::ProcessId;
use crate::record::{InitProcess, Record, Slot};
use crate::seal;

/// The largest state that is read, in bytes: it carries the annotations.
const STATE_LIMIT: u64 = 128 << 20;

/// The first hook: lockdown, before any network is set up.
pub(super) fn lock_down(record: &Path) -> Result<ExitCode> {
    let (_, record, init) = called(record)?;
    seal::lock_down(init.netns.as_fd())
        .with_context(|| format!("container {} not in lockdown", record.id))?;
    Ok(ExitCode::SUCCESS)
}

/// The `createRuntime` hook.
pub(super) fn seal(record: &Path) -> Result<ExitCode> {
    let (slot, record, init) = called(record)?;
    let created = record.clone();
    let sealed = sealing::seal_container(&slot, record, &init);
    let sealed = sealed.with_context(|| format!("container {} not sealed", created.id));
    sealed.inspect_err(|error| {
        let (line, why) = (created.audit_line(&slot, Outcome::Refused), format!("{error:#}"));
        // The refusal stands whether or not it can be logged.
        let _ = audit::write(&created.audit, &Line { verb: SEAL, why: Some(&why), ..line });
    })?;
    Ok(ExitCode::SUCCESS)
}

/// The container of a hook, and its init process; a user who is not root is in its user namespace afterwards.
fn called(record: &Path) -> Result<(Slot, Record, InitProcess)> {
    let state = state()?;
    let slot = Slot::at(record)?;
    let Some(record) = slot.load()? else { bail!("there is no record {}", record.display()) };
    if *state.id() != record.id {
        bail!("the state is container {}'s, the record {}'s", state.id(), record.id);
    }
    let pid = state.pid().and_then(|pid| u32::try_from(pid).ok()).filter(|pid| *pid > 1);
    let process = ProcessId::of(pid.context("the container's state has no pid")?)?;
    if !geteuid().is_root() {
        seal::join_user_namespace(process.dir().path())?;
    }
    Ok((slot, record, InitProcess::open(process)?))
}

/// The container's state. It is read to the end before anything else: a hook that does not kills crun
/// (SIGPIPE).
fn state() -> Result<State> {
    let mut text = Vec::new();
    std::io::stdin().take(STATE_LIMIT).read_to_end(&mut text).context("cannot read the container's state")?;
    serde_json::from_slice(&text).context("cannot understand the container's state")
}

/// The `poststop` hook.
pub(super) fn forget(record: &Path) -> Result<ExitCode> {
    state()?;
    let slot = Slot::at(record)?;
    let record = slot.load().ok().flatten();
    let held = record.as_ref().and_then(|record| tried::hold(&slot, record));
    let tried = held.map(tried::Held::count);
    if let Some(record) = &record {
        facts::write(&slot, record, tried.as_ref().map(|tried| &tried.attempts));
    }
    job::leave(&slot, record.as_ref())?;
    if let Some(tried) = tried {
        tried.write();
    }
    if let Some(record) = record {
        let line = record.audit_line(&slot, Outcome::Deleted);
        let line = Line { verb: Some("delete"), why: None, ..line };
        // The container is gone whether or not it can be logged.
        let _ = audit::write(&record.audit, &line);
        release_netns::release(&slot, record.given_namespace())?;
    }
    Ok(ExitCode::SUCCESS)
}
