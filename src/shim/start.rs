//! `start`: the engine has plumbed what it wanted to plumb, the program has not started. Now the namespace is sealed,
//! and the runtime goes on only when everything holds. A program that has started is left alone.

use std::convert::Infallible;
use std::path::Path;

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::unistd::geteuid;
use serde_json::Value;

use super::{RuntimeCall, existing_container, sealing};
use crate::bundle::PathFd;
use crate::job;
use crate::proc::ProcessId;
use crate::record::{InitProcess, Record};
use crate::rules::Network;
use crate::rules::mounts::Pinned;
use crate::runtime::RuntimeState;

pub(super) fn start(call: &RuntimeCall) -> Result<Infallible> {
    let Some((slot, record)) = existing_container::record(call)? else {
        return call.runtime.exec(call.args, &[]);
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
    sealing::seal_at_start(&slot, record, &init)?;
    call.runtime.exec(call.args, &[])
}

/// Whether a container that was sealed before runs its program already, so that the runtime will refuse to start it: its
/// sockets are not somebody else's any more and must not be blocked. Where the runtime does not say so it is sealed again.
fn has_started(call: &RuntimeCall) -> Result<bool> {
    let root = call.root()?;
    let id = &call.invocation.id;
    let state = call.runtime.stdout_of(&["--root".into(), root.into(), "state".into(), id.clone()])?;
    let state: Option<Value> = serde_json::from_slice(&state).ok();
    let status = state.as_ref().and_then(|state| state.get("status")?.as_str());
    Ok(matches!(status, Some("running" | "paused" | "stopped")))
}

/// A file can be given to two containers, so the runtime has to start the same process that is sealed: the one that it keeps
/// itself.
fn check_pid(call: &RuntimeCall, record: &Record, process: ProcessId) -> Result<()> {
    let root = call.root()?;
    let kept = RuntimeState::read(
        call.runtime.dialect(),
        &existing_container::directory(&root, &call.invocation.id),
    );
    let init = kept.and_then(|kept| kept.context("the runtime has no state of it")?.init());
    let ask = |_| RuntimeState::ask(call.runtime, &root, &call.invocation.id)?.init();
    let init = init.or_else(ask).context("cannot tell its init process")?;
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

/// A pid may be another process' by now, whose namespace must not be touched. The container's init stands in the
/// container's root file system already.
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

/// A source that was judged may have been another file when the runtime mounted it: another container that can write a
/// directory above it may exchange it for a link.
fn check_pinned(record: &Record, init: ProcessId) -> Result<()> {
    if record.pinned.is_empty() {
        return Ok(());
    }
    let root = PathFd::root_of(&init.dir()).context("cannot open its root directory")?;
    for Pinned { destination, source, dev, ino } in &record.pinned {
        let found = root.within(destination, OFlag::O_PATH).and_then(|opened| opened.stat());
        match found {
            Ok(stat) if (stat.st_dev, stat.st_ino) == (*dev, *ino) => {}
            // A user who is not root may not look into directories of the ids that he maps.
            Err(Errno::EACCES) if !geteuid().is_root() => {}
            Ok(_) => bail!(
                "mount-system: {destination} is not what was at {source} when it was created; another process has \
                 replaced that meanwhile, create the container again"
            ),
            Err(errno) => {
                return Err(errno).with_context(|| format!("mount-system: cannot look at {destination}"));
            }
        }
    }
    Ok(())
}

/// Nobody else may be in a namespace that is about to be opened, or is a pod's and not sealed yet: it was looked at when the
/// container was created, and another may have joined since.
fn check_no_foreign_process(record: &Record, init: &InitProcess) -> Result<()> {
    let must_be_alone = match record.network {
        Network::New | Network::Replaced { .. } => record.opened.is_some(),
        Network::SealedInPlace { .. } => true,
        // Other isolated containers are in it; `sealing` looks for any other process.
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
