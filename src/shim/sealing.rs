//! Seals the container of a record: its namespace, what is remembered of that, and the line in the audit log.

use std::ffi::OsString;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use nix::unistd::geteuid;
use serde_json::json;

use super::opened;
use crate::audit::{self, Line};
use crate::peers;
use crate::record::{Place, Process, Record};
use crate::rules::{Network, SEAL_FLAG};
use crate::seal::{self, Netns, Wanted};

/// What the audit log calls the sealing of a namespace: at `start`, or in the middle of `run` and `restore`.
pub(super) const SEAL: Option<&str> = Some("seal");

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

/// Seals the network namespace of an isolated container's init process, remembers what that did, and writes it down.
pub(super) fn seal_container(place: &Place, record: Record, pid: u32) -> Result<()> {
    let (id, why) = (record.id.clone(), record.why.clone());
    let (audit, bundle) = (record.audit.clone(), record.bundle.clone());
    seal_namespace(place, record, pid)?;
    let (id, root, bundle, why) = (&*id, Some(place.root()), Some(&*bundle), Some(&*why));
    audit::write(&audit, &Line { verb: SEAL, id, root, bundle, decision: "sealed", why, ..Line::default() })
}

fn seal_namespace(place: &Place, mut record: Record, pid: u32) -> Result<()> {
    let netns = seal::netns_of(&process(pid))?;
    match (&record.network, &record.opened) {
        (Network::Joined { .. }, _) => join(place, record, pid, netns.as_fd()),
        (_, Some(opened)) => {
            let opened = opened.clone();
            opened::seal(place, record, opened, pid, netns.as_fd())
        }
        (network, None) => {
            let addresses = network.addresses().to_vec();
            let wanted = Wanted { addresses, firewall: record.firewall, allow: None };
            record.sealed = Some(seal::seal(netns.as_fd(), &wanted)?);
            record.init = Some(Process::of(pid)?);
            place.update(&record)
        }
    }
}

/// Looks at the namespace that a container joins, and changes nothing in it but who is a peer of whom.
fn join(place: &Place, mut record: Record, pid: u32, netns: BorrowedFd<'_>) -> Result<()> {
    // From here on whoever made the namespace what it is finds this process in it, and leaves it so.
    let _lock = place.lock_peers()?;
    if seal::is_host(netns)? {
        bail!("its network namespace is the host's");
    }
    if let Some(why) = peers::against(Netns::of(netns)?, pid)? {
        bail!("the network namespace that it joins {why}");
    }
    let verified = seal::verify(netns)?;
    if let Some(broken) = verified.broken.first() {
        bail!("the network namespace that it joins is not sealed any more: {broken}");
    }
    if verified.allow.is_some() != record.opened.is_some() {
        bail!("the network namespace that it joins is not as open as it was");
    }
    record.init = Some(Process::of(pid)?);
    place.update(&record)?;
    match record.job() {
        Some(_) => peers::settle(place, &record).context("cannot join the job"),
        None => Ok(()),
    }
}

pub(super) fn process(pid: u32) -> PathBuf {
    PathBuf::from(format!("/proc/{pid}"))
}
