//! `start`: the engine has set up the network, the program has not started. Now the namespace is sealed, and
//! the runtime continues only if everything holds. A program that has started is left alone.

use std::convert::Infallible;
use std::path::Path;

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::unistd::geteuid;
use serde_json::Value;

use super::existing_container::Existing;
use super::{RuntimeCall, existing_container, platform, sealing};
use crate::bundle::PathFd;
use crate::job;
use crate::proc::ProcessId;
use crate::record::{InitProcess, Record};
use crate::rules::Network;
use crate::rules::mounts::Pinned;
use crate::runtime::RuntimeState;

pub(super) fn start(call: &RuntimeCall) -> Result<Infallible> {
    let (slot, record) = match existing_container::find(call)? {
        Existing::Isolated(slot, record) => (slot, record),
        Existing::Platform(container, state) => {
            platform::check_start(call, &container, &state)?;
            return call.runtime.exec(call.args, &[]);
        }
        Existing::Open => return call.runtime.exec(call.args, &[]),
    };
    if record.init.is_some() && has_started(call)? {
        return call.runtime.exec(call.args, &[]);
    }
    let pid = record.created_pid()?;
    let init = ProcessId::of(pid).with_context(|| format!("its init process {pid} is gone"))?;
    check_pid(call, &record, init)?;
    check_rootfs(&record, init)?;
    check_pinned(&record, init)?;
    let init = InitProcess::open(init)?;
    check_no_foreign_process(&record, &init)?;
    sealing::seal_at_start(&slot, *record, &init)?;
    call.runtime.exec(call.args, &[])
}

/// Whether a container that was sealed already runs its program, so that the runtime will refuse to start it:
/// its sockets are no longer foreign and must not be blocked. If the runtime does not report it as running,
/// it is sealed again.
fn has_started(call: &RuntimeCall) -> Result<bool> {
    let root = call.root()?;
    let id = &call.invocation.id;
    let state = call.runtime.stdout_of(&["--root".into(), root.into(), "state".into(), id.clone()])?;
    let state: Option<Value> = serde_json::from_slice(&state).ok();
    let status = state.as_ref().and_then(|state| state.get("status")?.as_str());
    Ok(matches!(status, Some("running" | "paused" | "stopped")))
}

/// A pid file can be given to two containers, so the sealed process must be the one that the runtime starts:
/// the one in its own state.
fn check_pid(call: &RuntimeCall, record: &Record, process: ProcessId) -> Result<()> {
    let root = call.root()?;
    let kept = RuntimeState::read(
        call.runtime.dialect(),
        &existing_container::directory(&root, &call.invocation.id),
    );
    let init = kept.and_then(|kept| kept.context("the runtime has no state of it")?.init());
    let ask = |_| RuntimeState::ask(call.runtime, &root, &call.invocation.id)?.init();
    let init = init.or_else(ask).context("cannot determine its init process")?;
    if init.pid != process.pid {
        let file = record.pid_file.as_deref().unwrap_or(Path::new(""));
        bail!(
            "{} names process {}, and its init process is {}; give each container a pid file of its own",
            file.display(),
            process.pid,
            init.pid
        );
    }
    if init.start.is_some_and(|start| process.start != start) {
        bail!("its init process {} is gone (another process has its pid)", process.pid);
    }
    Ok(())
}

/// The pid may have been reused by a process whose namespace must not be touched. The container's init
/// process is already in the container's root file system.
fn check_rootfs(record: &Record, init: ProcessId) -> Result<()> {
    let pid = init.pid;
    match init.dir().root() {
        Ok(root) if root == record.rootfs => Ok(()),
        Ok(_) => bail!("process {pid} is not its init process (its root is another file system)"),
        Err(error) => {
            let gone = || format!("its init process {pid} is gone or out of reach (/proc/{pid}/root/)");
            Err(error).with_context(gone)
        }
    }
}

/// A checked source may have been replaced before the runtime mounted it: another container that can write a
/// directory above it may replace it by a link.
fn check_pinned(record: &Record, init: ProcessId) -> Result<()> {
    if record.pinned.is_empty() {
        return Ok(());
    }
    let root = PathFd::root_of(&init.dir()).context("cannot open its root directory")?;
    for Pinned { destination, source, dev, ino } in &record.pinned {
        let found = root.within(destination, OFlag::O_PATH).and_then(|opened| opened.stat());
        match found {
            Ok(stat) if (stat.st_dev, stat.st_ino) == (*dev, *ino) => {}
            // A user who is not root may not search directories owned by ids that he maps.
            Err(Errno::EACCES) if !geteuid().is_root() => {}
            Ok(_) => bail!(
                "mount-system: {destination} is not what was at {source} when it was created; another process has \
                 replaced that meanwhile, create the container again"
            ),
            Err(errno) => {
                return Err(errno).with_context(|| format!("mount-system: cannot inspect {destination}"));
            }
        }
    }
    Ok(())
}

/// No other process may be in a namespace that is about to be opened, or is a pod's and not sealed yet: it
/// was checked when the container was created, and another process may have joined since.
fn check_no_foreign_process(record: &Record, init: &InitProcess) -> Result<()> {
    let must_be_alone = match record.network {
        Network::New | Network::Replaced { .. } => record.opened.is_some(),
        Network::SealedInPlace { .. } => true,
        // Other isolated containers are in it; `sealing` checks for any other process.
        Network::Joined { .. } => false,
    };
    if !must_be_alone {
        return Ok(());
    }
    match job::foreign_process(init.netns.id(), Some(init.process.pid))? {
        None => Ok(()),
        Some(foreign) => bail!(
            "{foreign} is in its network namespace, and nothing is {} for it",
            if record.opened.is_some() { "opened" } else { "sealed" }
        ),
    }
}
