//! Every known capability (capabilities(7), linux/capability.h), what becomes of it, and why. An unknown one
//! is refused. docs/rules.md has the same table; a test compares them.

use super::Fate::{self, Refused, Removed, Stays};

/// A capability.
#[derive(Debug)]
pub struct Capability {
    /// Its name without `CAP_`.
    pub name: &'static str,
    /// What becomes of it if it counts on the machine.
    pub plain: Fate,
    /// What becomes of it in a confining user namespace.
    pub confined: Fate,
    /// Why, as the second half of a sentence that begins with its name.
    pub why: &'static str,
}

const fn known(name: &'static str, plain: Fate, confined: Fate, why: &'static str) -> Capability {
    Capability { name, plain, confined, why }
}

/// Indexed by their bits in the sets of /proc/PID/status.
pub const TABLE: [Capability; 41] = [
    known("CHOWN", Stays, Stays, "is about files that the container reaches anyway"),
    known("DAC_OVERRIDE", Stays, Stays, "is about files that the container reaches anyway"),
    known("DAC_READ_SEARCH", Refused, Stays, "opens any file of the host by handle"),
    known("FOWNER", Stays, Stays, "is about files that the container reaches anyway"),
    known("FSETID", Stays, Stays, "is about files that the container reaches anyway"),
    known("KILL", Stays, Stays, "signals processes of the container's pid namespace only"),
    known("SETGID", Stays, Stays, "is about the container's own processes"),
    known("SETUID", Stays, Stays, "is about the container's own processes"),
    known("SETPCAP", Stays, Stays, "gives nothing that is not in the bounding set"),
    known("LINUX_IMMUTABLE", Refused, Stays, "makes files of a volume that not even the host can delete"),
    known("NET_BIND_SERVICE", Stays, Stays, "is about the container's network namespace, which is closed"),
    known("NET_BROADCAST", Refused, Refused, "hears netlink messages of other network namespaces"),
    known("NET_ADMIN", Removed, Removed, "configures the network and flushes the firewall"),
    known("NET_RAW", Removed, Removed, "sends packets that pass below the firewall"),
    known("IPC_LOCK", Stays, Stays, "locks memory, within the container's limits"),
    known("IPC_OWNER", Stays, Stays, "is about the container's IPC namespace"),
    known("SYS_MODULE", Refused, Stays, "loads kernel modules"),
    known("SYS_RAWIO", Refused, Stays, "reaches hardware ports and kernel memory"),
    known("SYS_CHROOT", Stays, Stays, "enters directories and namespaces that the container has already"),
    known(
        "SYS_PTRACE",
        Removed,
        Removed,
        "traces the runtime while it enters the container for `exec` with all privileges",
    ),
    known("SYS_PACCT", Refused, Stays, "turns process accounting on and off"),
    known("SYS_ADMIN", Refused, Refused, "mounts and unmounts, and with that takes away what covers files"),
    known("SYS_BOOT", Refused, Stays, "reboots the machine and loads another kernel"),
    known("SYS_NICE", Stays, Stays, "sets priorities and affinity of the container's processes"),
    known("SYS_RESOURCE", Stays, Stays, "raises limits; that of core dumps is closed by seccomp"),
    known("SYS_TIME", Refused, Stays, "sets the machine's clock"),
    known("SYS_TTY_CONFIG", Refused, Stays, "hangs up and configures the machine's terminals"),
    known(
        "MKNOD",
        Removed,
        Removed,
        "makes a node of the machine's console, which crun lets every container open",
    ),
    known("LEASE", Stays, Stays, "is about files that the container reaches anyway"),
    known("AUDIT_WRITE", Stays, Stays, "writes to the audit log by a socket that seccomp takes away"),
    known("AUDIT_CONTROL", Refused, Stays, "configures the machine's audit"),
    known("SETFCAP", Stays, Stays, "gives files nothing that is not in the bounding set"),
    known("MAC_OVERRIDE", Refused, Stays, "overrides the machine's access control"),
    known("MAC_ADMIN", Refused, Refused, "changes the machine's access control"),
    known("SYSLOG", Refused, Stays, "reads the kernel's log and addresses"),
    known("WAKE_ALARM", Refused, Stays, "wakes the machine up"),
    known("BLOCK_SUSPEND", Refused, Stays, "keeps the machine from being suspended"),
    known("AUDIT_READ", Refused, Stays, "reads the machine's audit log"),
    known("PERFMON", Refused, Stays, "observes the whole machine"),
    known("BPF", Refused, Refused, "loads programs into the kernel"),
    known("CHECKPOINT_RESTORE", Refused, Refused, "opens what other processes have mapped"),
];
