//! What a runtime calls us for in the middle of `run` and `restore`: sealing as the last `createRuntime` hook,
//! forgetting as a `poststop` hook. Hooks get the container's state on stdin (runtime-spec, config.md, "POSIX-platform
//! Hooks").

use std::io::Read;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use oci_spec::runtime::State;

use crate::record::{Place, Record};
use crate::seal::{self, Wanted};

/// The largest state that is read, in bytes: it carries the annotations.
const STATE_LIMIT: u64 = 128 << 20;

/// The `createRuntime` hook.
pub(super) fn seal(record: &Path) -> Result<ExitCode> {
    let place = Place::at(record)?;
    let Some(record) = place.load()? else { bail!("there is no record {}", record.display()) };
    let mut text = Vec::new();
    std::io::stdin().take(STATE_LIMIT).read_to_end(&mut text).context("cannot read the container's state")?;
    let state: State = serde_json::from_slice(&text).context("cannot understand the container's state")?;
    if *state.id() != record.id {
        bail!("the state is container {}'s, the record {}'s", state.id(), record.id);
    }
    let pid = state.pid().and_then(|pid| u32::try_from(pid).ok()).filter(|pid| *pid > 1);
    let pid = pid.context("the container's state has no pid")?;
    let id = record.id.clone();
    seal_container(&place, record, pid).with_context(|| format!("container {id} not sealed"))?;
    Ok(ExitCode::SUCCESS)
}

/// The `poststop` hook.
pub(super) fn forget(record: &Path) -> Result<ExitCode> {
    Place::at(record)?.forget()?;
    Ok(ExitCode::SUCCESS)
}

/// Seals the network namespace of an isolated container's init process, and remembers what that did.
pub(super) fn seal_container(place: &Place, mut record: Record, pid: u32) -> Result<()> {
    let process = PathBuf::from(format!("/proc/{pid}"));
    let netns = seal::netns_of(&process)?;
    if record.joins_sealed {
        if seal::is_host(netns.as_fd())? {
            bail!("its network namespace is the host's");
        }
        if let Some(broken) = seal::verify(netns.as_fd())?.first() {
            bail!("the network namespace that it joins is not sealed any more: {broken}");
        }
        return Ok(());
    }
    let wanted = Wanted { addresses: record.addresses.clone(), firewall: record.firewall };
    record.sealed = Some(seal::seal(netns.as_fd(), &wanted)?);
    place.update(&record)
}
