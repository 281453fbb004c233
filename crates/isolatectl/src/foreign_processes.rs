//! Finds processes in a container's namespaces that are not in the container: a process placed there from
//! outside, or another container that is not isolated and joined.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context, Result};

use super::broken_promise::BrokenPromise;
use super::members::members;
use super::survey::Survey;
use oci_isolate::job::processes_in_netns;
use oci_isolate::proc::Dir;
use oci_isolate::record::Slot;
use oci_isolate::seal::Netns;

/// The rule that a foreign process in a namespace of a kind violates.
const RULES: [(&str, &str); 5] = [
    ("network-namespace", "net"),
    ("host-pid", "pid"),
    ("host-ipc", "ipc"),
    ("namespaces", "mnt"),
    ("namespaces", "user"),
];

/// A runtime entering a container is briefly in its namespaces before it is in its control groups.
const TRIES: u32 = 5;
const BETWEEN: Duration = Duration::from_millis(20);

/// Searches the namespaces of a container, whose processes are `own`.
pub(super) fn find(
    survey: &Survey,
    slot: &Slot,
    init: u32,
    netns: Netns,
    own: &BTreeSet<u32>,
) -> Result<Vec<BrokenPromise>> {
    let mut found = Vec::new();
    for (rule, kind) in RULES {
        if kind == "user" && is_inherited(init, kind)? {
            continue;
        }
        found.extend(survey.processes.beside(init, kind)?.difference(own).map(|pid| (rule, kind, *pid)));
    }
    for nth in 0..TRIES {
        // Reading the other containers of a pod takes time, and most containers have their namespaces for
        // themselves.
        if found.is_empty() {
            return Ok(Vec::new());
        }
        if nth > 0 {
            std::thread::sleep(BETWEEN);
        }
        let mut known = members(init, &survey.processes)?;
        for other in survey.beside(slot, netns)? {
            let others = members(other, &survey.processes);
            known.extend(others.context("cannot inspect the other containers of its pod")?);
        }
        found.retain(|(_, kind, pid)| !known.contains(pid) && is_beside(*pid, init, kind));
    }
    if found.iter().any(|(_, kind, _)| *kind == "net") {
        // An engine's own processes, of which only a thread is there, are left out.
        let inside = processes_in_netns(netns)?;
        found.retain(|(_, kind, pid)| *kind != "net" || inside.contains(pid));
    }
    let broken = |(rule, kind, pid)| {
        BrokenPromise::new(rule, format!("process {pid} is in its {kind} namespace and not in the container"))
    };
    Ok(found.into_iter().map(broken).collect())
}

/// Whether the namespace is also its parent's: rootless engines have all their containers in one user
/// namespace.
fn is_inherited(init: u32, kind: &str) -> Result<bool> {
    Ok(Dir::of(init).parent()?.is_some_and(|parent| is_beside(parent, init, kind)))
}

/// Whether a process has not ended and is in the same namespace as another one.
fn is_beside(pid: u32, other: u32, kind: &str) -> bool {
    let of = |pid| Dir::of(pid).ns(kind).ok();
    of(pid).is_some_and(|it| of(other) == Some(it)) && !Dir::of(pid).has_ended()
}
