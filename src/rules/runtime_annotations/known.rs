//! The annotations that runtimes read: runc 1.5 (`PotentiallyUnsafeConfigAnnotations` of its features.go),
//! crun 1.8 to 1.29 (`find_annotation`, and the list of the same name), youki (its wasm executors), gVisor
//! (runsc/specutils), Kata (virtcontainers/pkg/annotations).

use std::fmt;

/// Names, and beginnings that end with a dot, that runtimes act on.
pub const PREFIXES: [&str; 9] = [
    // To runc it is the bundle's directory, and `exec` reads the process of its config.json.
    "bundle",
    "dev.gvisor.",
    "io.katacontainers.",
    // crun's handler for virtual machines.
    "krun.",
    // WebAssembly in crun and youki.
    "module.wasm.",
    "org.criu.",
    "org.opencontainers.runc.",
    // runc and crun pass them to systemd as properties of the container's scope.
    "org.systemd.property.",
    "run.oci.",
];

/// An annotation under one of [`PREFIXES`] that may stay.
#[derive(Debug)]
pub struct Harmless {
    /// Its name, or the beginning of names that ends with a dot.
    pub name: &'static str,
    /// Its harmless values.
    pub value: AnnotationValue,
    /// What sets it.
    pub by: &'static str,
    /// Why it cannot lead out of the container.
    pub why: &'static str,
}

/// Which values are harmless.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AnnotationValue {
    /// Any value.
    Any,
    /// One of these.
    OneOf(&'static [&'static str]),
    /// Nothing, or a single path component.
    Name,
}

impl AnnotationValue {
    pub(super) fn accepts(self, value: &str) -> bool {
        match self {
            Self::Any => true,
            Self::OneOf(values) => values.contains(&value),
            Self::Name => {
                let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
                value.bytes().all(is_plain) && !value.starts_with('.')
            }
        }
    }
}

impl fmt::Display for AnnotationValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("any"),
            Self::OneOf(values) => f.write_str(&values.join(", ")),
            Self::Name => f.write_str("a plain name"),
        }
    }
}

/// Sorted by name. Properties of systemd have their D-Bus names.
pub const HARMLESS: [Harmless; 32] = [
    known("org.criu.checkpoint.", "Podman, CRI-O", ORIGIN),
    known("org.systemd.property.After", "CRI-O", ORDER),
    known("org.systemd.property.AllowedCPUs", "users", LIMIT),
    known("org.systemd.property.AllowedMemoryNodes", "users", LIMIT),
    known("org.systemd.property.Before", "users", ORDER),
    known("org.systemd.property.CPUQuotaPerSecUSec", "users", LIMIT),
    known("org.systemd.property.CPUQuotaPeriodUSec", "users", LIMIT),
    known("org.systemd.property.CPUWeight", "users", LIMIT),
    known("org.systemd.property.CollectMode", "CRI-O", END),
    known("org.systemd.property.DefaultDependencies", "CRI-O", ORDER),
    known("org.systemd.property.Description", "users", WORDS),
    known("org.systemd.property.Documentation", "users", WORDS),
    known("org.systemd.property.IOWeight", "users", LIMIT),
    known("org.systemd.property.KillMode", "users", END),
    known("org.systemd.property.KillSignal", "Podman", END),
    known("org.systemd.property.MemoryHigh", "users", LIMIT),
    known("org.systemd.property.MemoryLow", "users", LIMIT),
    known("org.systemd.property.MemoryMax", "users", LIMIT),
    known("org.systemd.property.MemoryMin", "users", LIMIT),
    known("org.systemd.property.MemorySwapMax", "users", LIMIT),
    known("org.systemd.property.RuntimeMaxSec", "users", END),
    known("org.systemd.property.RuntimeMaxUSec", "users", END),
    known("org.systemd.property.SendSIGHUP", "users", END),
    known("org.systemd.property.SendSIGKILL", "users", END),
    known("org.systemd.property.TasksMax", "users", LIMIT),
    known("org.systemd.property.TimeoutStopSec", "users", END),
    known("org.systemd.property.TimeoutStopUSec", "Podman, CRI-O", END),
    known("run.oci.keep_original_groups", "Podman, Buildah", GROUPS),
    Harmless { value: CONTEXTS, ..known("run.oci.mount_context_type", "Podman", LABELS) },
    known("run.oci.seccomp_fail_unknown_syscall", "users", STRICTER),
    Harmless { value: AnnotationValue::Name, ..known("run.oci.systemd.subgroup", "CRI-O", SUBGROUP) },
    known("run.oci.timens_offset", "users", CLOCKS),
];

const fn known(name: &'static str, by: &'static str, why: &'static str) -> Harmless {
    Harmless { name, value: AnnotationValue::Any, by, why }
}

const CONTEXTS: AnnotationValue =
    AnnotationValue::OneOf(&["context", "defcontext", "fscontext", "rootcontext"]);

const CLOCKS: &str = "clocks of a time namespace of the container's own";
const END: &str = "how and when the container is stopped and forgotten";
const GROUPS: &str = "groups of the caller, by which only what is mounted can be opened";
const LABELS: &str = "which option gives SELinux the label of a mount";
const LIMIT: &str = "a share or a limit of the container's control group";
const ORDER: &str = "an order of units, which starts none";
const ORIGIN: &str = "where a checkpoint is from; no runtime reads it";
const STRICTER: &str = "an error in place of a filter with a gap";
const SUBGROUP: &str = "a control group below the container's own";
const WORDS: &str = "words for people";
