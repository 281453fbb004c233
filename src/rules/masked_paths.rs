//! `masked-paths` and `core-dumps`: kernel files about the whole machine cannot be read, those that configure
//! it cannot be written, and a crash starts no program on the host. Without a user namespace a container's
//! root is the machine's root, and file permissions do not keep it from `/proc/sys/kernel/core_pattern`.

use serde_json::json;

use super::{CoreDumps, RefusedBy, Rule, RuleContext, Violation};
use crate::config::{Edit, EditOp, Mount, Pointer, View};
use crate::settings::Answer;
use oci_spec::runtime::LinuxNamespaceType;

pub(super) const RULE: Rule = Rule {
    name: "masked-paths",
    promise: "the kernel's files about the whole machine are masked or read-only, as runtimes have them by default",
    reference: "runtime-spec, config-linux.md, \"Masked Paths\", \"Readonly Paths\"; proc(5); cgroups(7); CVE-2022-0492",
    process: false,
    answers: &[Answer::Set, Answer::Allow],
    refused_by: RefusedBy::Plan,
    plan,
    holds: |view, context| match plan(view, context)?.first() {
        None => Ok(()),
        Some(edit) => Err(Violation::of(&RULE, format!("not so yet: {}", edit.description))),
    },
};

pub(super) const CORE_DUMPS: Rule = Rule {
    name: "core-dumps",
    promise: "no program of the host is started with the container's memory when a process crashes",
    reference: "core(5), \"Piping core dumps to a program\"; getrlimit(2)",
    process: true,
    answers: &[Answer::Set, Answer::Allow],
    refused_by: RefusedBy::Plan,
    plan: plan_core_dumps,
    holds: |view, context| match plan_core_dumps(view, context)?.first() {
        None => Ok(()),
        Some(_) => Err(Violation::of(&CORE_DUMPS, "a program of the host gets core dumps")),
    },
};

/// Paths that cannot be read, as in `runc spec` and moby (oci/defaults.go).
pub const MASKED: [&str; 10] = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/firmware",
];

/// Paths that cannot be written.
pub const READONLY: [&str; 5] = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

fn plan(view: &View, context: &RuleContext) -> Result<Vec<Edit>, Violation> {
    let linux = view.linux.as_ref();
    let masked = linux.and_then(|linux| linux.masked_paths.as_deref()).unwrap_or_default();
    let readonly = linux.and_then(|linux| linux.readonly_paths.as_deref()).unwrap_or_default();
    let among = |list: &[String], path: &str| list.iter().any(|item| item == path);
    let append = |member, path: &str, description| Edit {
        at: Pointer::to(&["linux", member]),
        op: EditOp::Append(json!(path)),
        description,
    };
    let mut edits = Vec::new();
    for path in MASKED.into_iter().filter(|path| !among(masked, path)) {
        edits.push(append("maskedPaths", path, format!("masked {path}")));
    }
    for path in READONLY.into_iter().filter(|path| !among(readonly, path) && !among(masked, path)) {
        edits.push(append("readonlyPaths", path, format!("made {path} read-only")));
    }
    for (index, mount) in view.mounts.iter().flatten().enumerate().filter(|(_, mount)| is_writable(mount)) {
        if !reaches_the_machine(mount, view, context) {
            continue;
        }
        edits.push(Edit {
            at: Pointer::to(&["mounts"]).item(index).member("options"),
            op: EditOp::Append(json!("ro")),
            description: format!("made {} read-only", &*mount.destination),
        });
    }
    Ok(edits)
}

/// To runtimes the last of `ro` and `rw` counts.
fn is_writable(mount: &Mount) -> bool {
    let mut words = mount.options.iter().flatten().map(|option| &**option);
    words.rfind(|word| matches!(*word, "ro" | "rw")) != Some("ro")
}

/// In a confining user namespace these files have no owner in the namespace; in a cgroup namespace the
/// container sees only its own groups.
fn reaches_the_machine(mount: &Mount, view: &View, context: &RuleContext) -> bool {
    let own_cgroups = || {
        let namespaces =
            view.linux.as_ref().and_then(|linux| linux.namespaces.as_deref()).unwrap_or_default();
        namespaces.iter().any(|n| n.typ() == LinuxNamespaceType::Cgroup && n.path().is_none())
    };
    match mount.kind.as_deref() {
        Some("sysfs") => !context.host.confined,
        Some("cgroup" | "cgroup2") => !context.host.confined && !own_cgroups(),
        _ => false,
    }
}

/// core(5): a program in core_pattern is started with any limit but that of 1 byte (fs/coredump.c).
pub const LIMIT: u64 = 1;

/// No limit keeps the kernel from sending the memory to a socket (fs/coredump.c, since Linux 6.16).
///
/// # Errors
/// The machine's core_pattern is a socket.
pub fn check_core_dumps(context: &RuleContext) -> Result<(), Violation> {
    if context.host.core_dumps != CoreDumps::Socket || CORE_DUMPS.answer(&context.policy) == Answer::Allow {
        return Ok(());
    }
    Err(Violation::of(
        &CORE_DUMPS,
        "/proc/sys/kernel/core_pattern names a socket of the host, which gets the memory of what crashes whatever the \
         limit; put a program or a file there, or set [rules] core-dumps = \"allow\"",
    ))
}

fn plan_core_dumps(view: &View, context: &RuleContext) -> Result<Vec<Edit>, Violation> {
    check_core_dumps(context)?;
    let to_program = context.host.core_dumps == CoreDumps::Program;
    let Some(process) = view.process.as_ref().filter(|_| to_program) else {
        return Ok(Vec::new());
    };
    let limits = process.rlimits.as_deref().unwrap_or_default();
    // Without limits of its own, the process of `exec` (a document without `linux`) has those of the container.
    if limits.is_empty() && view.linux.is_none() {
        return Ok(Vec::new());
    }
    let of_core: Vec<_> =
        limits.iter().enumerate().filter(|(_, limit)| &*limit.kind == "RLIMIT_CORE").collect();
    if matches!(of_core[..], [(_, limit)] if limit.hard == LIMIT && limit.soft == LIMIT) {
        return Ok(Vec::new());
    }
    let list = || Pointer::to(&["process", "rlimits"]);
    let remove = |(index, _): &(usize, _)| Edit {
        at: list().item(*index),
        op: EditOp::Remove,
        description: "removed the limit for core dumps".into(),
    };
    let mut edits: Vec<Edit> = of_core.iter().map(remove).collect();
    edits.push(Edit {
        at: list(),
        op: EditOp::Append(json!({"type": "RLIMIT_CORE", "hard": LIMIT, "soft": LIMIT})),
        description: "set the limit for core dumps to 1, which keeps the host's program from being started"
            .into(),
    });
    Ok(edits)
}
