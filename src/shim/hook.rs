//! What a runtime calls us for in the middle of `create`, `run` and `restore`: closing as the first hook of all where
//! something stays open, sealing as the last `createRuntime` hook, forgetting as a `poststop` hook. Hooks get the
//! container's state on stdin (runtime-spec, config.md, "POSIX-platform Hooks").

use std::ffi::OsString;
use std::io::Read;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, Result, bail};
use nix::unistd::geteuid;
use oci_spec::runtime::State;
use serde_json::json;

use super::{given_back, opened};
use crate::audit::{self, Line};
use crate::peers;
use crate::record::{Place, Process, Record};
use crate::rules::SEAL_FLAG;
use crate::seal::{self, Wanted};

/// The largest state that is read, in bytes: it carries the annotations.
const STATE_LIMIT: u64 = 128 << 20;

/// What the audit log calls the sealing of a namespace: at `start`, or in the middle of `run` and `restore`.
const SEAL: Option<&str> = Some("seal");

/// The first hook: whatever is plumbed from now on meets a closed table.
pub(super) fn close(record: &Path) -> Result<ExitCode> {
    let (_, record, pid) = called(record)?;
    let netns = seal::netns_of(&process(pid))?;
    seal::close(netns.as_fd()).with_context(|| format!("container {} not closed", record.id))?;
    Ok(ExitCode::SUCCESS)
}

/// The `createRuntime` hook.
pub(super) fn seal(record: &Path) -> Result<ExitCode> {
    let (place, record, pid) = called(record)?;
    let (id, audit, bundle) = (record.id.clone(), record.audit.clone(), record.bundle.clone());
    let sealed = seal_container(&place, record, pid).with_context(|| format!("container {id} not sealed"));
    sealed.inspect_err(|error| {
        let (root, bundle, decision, why) =
            (Some(place.root()), Some(&*bundle), "refused", format!("{error:#}"));
        let line = Line { verb: SEAL, id: &id, root, bundle, decision, why: Some(&why), ..Line::default() };
        // It is refused in any case.
        let _ = audit::write(&audit, &line);
    })?;
    Ok(ExitCode::SUCCESS)
}

/// The container for which a hook is called, and its init process; a user who is not root is in its user namespace
/// from then on.
fn called(record: &Path) -> Result<(Place, Record, u32)> {
    let state = state()?;
    let place = Place::at(record)?;
    let Some(record) = place.load()? else { bail!("there is no record {}", record.display()) };
    if *state.id() != record.id {
        bail!("the state is container {}'s, the record {}'s", state.id(), record.id);
    }
    let pid = state.pid().and_then(|pid| u32::try_from(pid).ok()).filter(|pid| *pid > 1);
    let pid = pid.context("the container's state has no pid")?;
    if !geteuid().is_root() {
        seal::join_user_namespace(&process(pid))?;
    }
    Ok((place, record, pid))
}

/// The container's state. It is read to its end before anything else: crun dies of a hook that does not (SIGPIPE).
fn state() -> Result<State> {
    let mut text = Vec::new();
    std::io::stdin().take(STATE_LIMIT).read_to_end(&mut text).context("cannot read the container's state")?;
    serde_json::from_slice(&text).context("cannot understand the container's state")
}

/// Seals at `start`. A user who is not root has the right to do so only inside of the container's user namespace,
/// from which there is no way back: then a child does it, which is the hook by another caller.
pub(super) fn seal_at_start(place: &Place, record: Record, pid: u32) -> Result<()> {
    if geteuid().is_root() {
        return seal_container(place, record, pid);
    }
    let state = json!({"ociVersion": "1.0.2", "id": record.id, "status": "created", "pid": pid, "bundle": record.bundle});
    let mut flag = OsString::from(SEAL_FLAG);
    flag.push(place.record());
    let child = Command::new("/proc/self/exe").arg(flag).stdin(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = child.context("cannot run ourselves")?;
    let stdin = child.stdin.take().context("cannot write to ourselves")?;
    serde_json::to_writer(stdin, &state).context("cannot write to ourselves")?;
    let output = child.wait_with_output().context("cannot wait for ourselves")?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("{}", said.trim().trim_start_matches("oci-isolate: "));
    }
    Ok(())
}

/// The `poststop` hook.
pub(super) fn forget(record: &Path) -> Result<ExitCode> {
    state()?;
    let place = Place::at(record)?;
    let record = place.load().ok().flatten();
    peers::leave(&place, record.as_ref())?;
    if let Some(record) = record {
        let (verb, root, bundle) = (Some("delete"), Some(place.root()), Some(&*record.bundle));
        let line = Line { verb, id: &record.id, root, bundle, decision: "deleted", ..Line::default() };
        // It is gone in any case.
        let _ = audit::write(&record.audit, &line);
        given_back::give_back(&place, &record)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Seals the network namespace of an isolated container's init process, remembers what that did, and writes it down.
fn seal_container(place: &Place, record: Record, pid: u32) -> Result<()> {
    let (id, why) = (record.id.clone(), record.why.clone());
    let (audit, bundle) = (record.audit.clone(), record.bundle.clone());
    seal_namespace(place, record, pid)?;
    let (id, root, bundle, why) = (&*id, Some(place.root()), Some(&*bundle), Some(&*why));
    audit::write(&audit, &Line { verb: SEAL, id, root, bundle, decision: "sealed", why, ..Line::default() })
}

fn seal_namespace(place: &Place, mut record: Record, pid: u32) -> Result<()> {
    let netns = seal::netns_of(&process(pid))?;
    if record.joins_sealed {
        // From here on whoever made the namespace what it is finds this process in it, and leaves it so.
        let _lock = place.lock_peers()?;
        if seal::is_host(netns.as_fd())? {
            bail!("its network namespace is the host's");
        }
        let verified = seal::verify(netns.as_fd())?;
        if let Some(broken) = verified.broken.first() {
            bail!("the network namespace that it joins is not sealed any more: {broken}");
        }
        if verified.allow.is_some() != record.opened.is_some() {
            bail!("the network namespace that it joins is not as open as it was");
        }
        if record.job().is_some() {
            record.init = Some(Process::of(pid)?);
            place.update(&record)?;
            return peers::settle(place, &record).context("cannot join the job");
        }
    } else if let Some(opened) = record.opened.take() {
        return opened::seal(place, record, opened, pid, netns.as_fd());
    } else {
        let wanted = Wanted { addresses: record.addresses.clone(), firewall: record.firewall, allow: None };
        record.sealed = Some(seal::seal(netns.as_fd(), &wanted)?);
    }
    record.init = Some(Process::of(pid)?);
    place.update(&record)
}

fn process(pid: u32) -> PathBuf {
    PathBuf::from(format!("/proc/{pid}"))
}
