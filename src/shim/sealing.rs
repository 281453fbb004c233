//! Seals the container of a record: its namespace, the record, and the line in the audit log.

use std::ffi::OsString;
use std::os::fd::AsFd;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use nix::unistd::geteuid;
use serde_json::json;

use super::{facts, seal_allow_list};
use crate::audit::{self, Line, Outcome};
use crate::job;
use crate::record::{InitProcess, Record, Slot, Store};
use crate::rules::{Network, SEAL_FLAG};
use crate::seal::{self, Desired};

/// The verb in the audit log for sealing a namespace: at `start`, or during `run` and `restore`.
pub(super) const SEAL: Option<&str> = Some("seal");

/// Seals at `start`. A user who is not root may do so only inside the container's user namespace, which
/// cannot be left again: then a child process does it, by the code of the hook.
pub(super) fn seal_at_start(slot: &Slot, record: Record, init: &InitProcess) -> Result<()> {
    if geteuid().is_root() {
        return seal_container(slot, record, init);
    }
    let (id, pid, bundle) = (&record.id, init.process.pid, &record.bundle);
    let state = json!({"ociVersion": "1.0.2", "id": id, "status": "created", "pid": pid, "bundle": bundle});
    let mut flag = OsString::from(SEAL_FLAG);
    flag.push(slot.record());
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

/// Seals the network namespace of an isolated container's init process, and records and audits it.
pub(super) fn seal_container(slot: &Slot, record: Record, init: &InitProcess) -> Result<()> {
    let created = record.clone();
    seal_namespace(slot, record, init)?;
    if created.attempts.is_some() && !created.network.is_joined() {
        slot.keep(&init.netns)?;
    }
    if created.statement.is_some() {
        facts::announce(slot);
    }
    audit::write(&created.audit, &Line { verb: SEAL, ..created.audit_line(slot, Outcome::Sealed) })
}

fn seal_namespace(slot: &Slot, mut record: Record, init: &InitProcess) -> Result<()> {
    match (&record.network, &record.opened) {
        (Network::Joined { .. }, _) => join(slot, record, init),
        (_, Some(opened)) => {
            let opened = opened.clone();
            seal_allow_list::seal(slot, record, opened, init)
        }
        (network, None) => {
            let addresses = network.addresses().to_vec();
            let (firewall, links, attempts) = (record.firewall, record.links, record.attempts);
            let wanted = Desired { addresses, firewall, links, allow_list: None, attempts };
            record.sealed = Some(seal::seal(init.netns.as_fd(), &wanted)?);
            record.init = Some(init.process);
            record.note_seal();
            slot.update(&record)
        }
    }
}

/// Checks the namespace that a container joins, and changes only its job's peers.
fn join(slot: &Slot, mut record: Record, init: &InitProcess) -> Result<()> {
    // From here on the namespace's owner finds this process in it, and leaves the namespace unchanged.
    let _lock = slot.lock_peers()?;
    if init.netns.is_host()? {
        bail!("its network namespace is the host's");
    }
    if let Some(why) = job::why_not_joinable(&Store::of(slot), init.netns.id(), init.process.pid)? {
        bail!("the network namespace that it joins {why}");
    }
    let verified = seal::verify(init.netns.as_fd())?;
    if let Some(broken) = verified.defects.first() {
        bail!("the network namespace that it joins is not sealed any more: {broken}");
    }
    if verified.allow_list.is_some() != record.opened.is_some() {
        bail!("the network namespace that it joins is not as open as it was");
    }
    record.init = Some(init.process);
    record.note_seal();
    slot.update(&record)?;
    match record.job() {
        Some(_) => job::settle(slot, &record).context("cannot join the job"),
        None => Ok(()),
    }
}
