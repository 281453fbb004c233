//! `host-pid` and `host-ipc`: the container shares processes, System V IPC and POSIX queues only with members
//! of its own isolated pod. From a foreign pid namespace `/proc/PID/root` and `/proc/PID/fd`, ptrace(2) and
//! pidfd_getfd(2) lead to processes that have a network (docs/threats.md: `host-pid-root`,
//! `host-pid-ptrace`, `host-pid-descriptor`); a foreign IPC namespace is a
//! channel to all other processes in it (`host-ipc`). A user namespace does not help: processes of the same user
//! stay in reach.

use oci_spec::runtime::LinuxNamespaceType;
use serde_json::json;

use super::{RefusedBy, Rule, Shared, Violation};
use crate::config::{Edit, EditOp, Pointer, View};
use crate::settings::Answer;

pub(super) const HOST_PID: Rule = Rule {
    name: "host-pid",
    promise: "the pid namespace is the container's own, or shared within its isolated pod",
    reference: "pid_namespaces(7); ptrace(2), \"Ptrace access mode checking\"; proc_pid_root(5)",
    process: false,
    answers: &[Answer::Refuse, Answer::Strip, Answer::Allow],
    refused_by: RefusedBy::Holds,
    plan: |view, context| Ok(plan(LinuxNamespaceType::Pid, context.host.pid, view)),
    holds: |view, context| holds(&HOST_PID, LinuxNamespaceType::Pid, context.host.pid, view),
};

pub(super) const HOST_IPC: Rule = Rule {
    name: "host-ipc",
    promise: "the IPC namespace is the container's own, or shared within its isolated pod",
    reference: "ipc_namespaces(7)",
    process: false,
    answers: &[Answer::Refuse, Answer::Strip, Answer::Allow],
    refused_by: RefusedBy::Holds,
    plan: |view, context| Ok(plan(LinuxNamespaceType::Ipc, context.host.ipc, view)),
    holds: |view, context| holds(&HOST_IPC, LinuxNamespaceType::Ipc, context.host.ipc, view),
};

const NAMESPACES: [&str; 2] = ["linux", "namespaces"];

/// The violation of the promise, and the edit that removes it.
fn violation_of(view: &View, kind: LinuxNamespaceType, shared: Shared) -> Option<(String, Pointer, EditOp)> {
    let list = view.linux.as_ref().and_then(|linux| linux.namespaces.as_deref()).unwrap_or_default();
    let entry = list.iter().enumerate().find(|(_, entry)| entry.typ() == kind);
    let path = entry.and_then(|(i, e)| Some((i, e.path().as_ref().filter(|p| !p.as_os_str().is_empty())?)));
    let (word, flag, field) = match kind {
        LinuxNamespaceType::Pid => ("pid", "--pid", "hostPID"),
        _ => ("ipc", "--ipc", "hostIPC"),
    };
    let leads = match kind {
        LinuxNamespaceType::Pid => "from which /proc/<pid>/root leads out",
        _ => "through which others are reached",
    };
    let instead = match kind {
        LinuxNamespaceType::Pid => "",
        _ => {
            "; for more shared memory use --shm-size=8g, in Kubernetes an emptyDir with medium: Memory at /dev/shm"
        }
    };
    let hosts = || {
        format!(
            "the {word} namespace is the host's, {leads}; drop {flag}=host, {field}: true in Kubernetes{instead}"
        )
    };
    let Some((index, path)) = path else {
        let added = || (hosts(), Pointer::to(&NAMESPACES), EditOp::Append(json!({"type": word})));
        return entry.is_none().then(added);
    };
    let why = match shared {
        Shared::WithinPod => return None,
        Shared::Hosts => hosts(),
        Shared::Foreign => format!(
            "the {word} namespace {} is not that of a member of an isolated pod, {leads}; drop {flag}, in Kubernetes \
             annotate the pod and not a container of it",
            path.display()
        ),
    };
    Some((why, Pointer::to(&NAMESPACES).item(index).member("path"), EditOp::Remove))
}

fn plan(kind: LinuxNamespaceType, shared: Shared, view: &View) -> Vec<Edit> {
    let edit = |(_, at, op)| Edit {
        at,
        op,
        description: format!("gave the container a {kind} namespace of its own"),
    };
    violation_of(view, kind, shared).map(edit).into_iter().collect()
}

fn holds(rule: &Rule, kind: LinuxNamespaceType, shared: Shared, view: &View) -> Result<(), Violation> {
    violation_of(view, kind, shared).map_or(Ok(()), |(why, ..)| Err(Violation::of(rule, why)))
}
