//! How much of each rule `verify` can check on a running container, as data: how, and what it cannot check.
//! docs/verify.md has the same rows, and a test fails for a rule without one.

/// How much of a rule's promise is seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Coverage {
    /// All of it.
    Yes,
    /// A part.
    Partly,
    /// Nothing: the promise is about the configuration, of which nothing is left in the container.
    No,
}

/// A row: a rule or another name in the output of `verify`, how much is checked, how, and what is not.
#[derive(Debug)]
pub struct CoverageRow {
    /// The name before the colon.
    pub rule: &'static str,
    /// How much is seen.
    pub seen: Coverage,
    /// How.
    pub how: &'static str,
    /// What is not.
    pub not: &'static str,
}

const fn row(rule: &'static str, seen: Coverage, how: &'static str, not: &'static str) -> CoverageRow {
    CoverageRow { rule, seen, how, not }
}

use Coverage::{No, Partly, Yes};

/// Every rule, then what is not one.
pub const TABLE: [CoverageRow; 34] = [
    row("unknown-members", No, "", "what the member made the runtime do"),
    row(
        "network-namespace",
        Yes,
        "every process is in the namespace that was sealed, and no other process is in it",
        "threads in another namespace than their process'",
    ),
    row("net-devices", Yes, "as `seal`: a link other than `lo` that is up", ""),
    row(
        "host-pid",
        Yes,
        "the pid namespace of every process is not the host's; no other process is in it; no mount is the host's proc",
        "",
    ),
    row(
        "host-ipc",
        Yes,
        "the IPC namespace of every process is not the host's; no other process is in it; no mount is the host's mqueue",
        "",
    ),
    row(
        "namespaces",
        Partly,
        "no other process is in the mount namespace, nor in a user namespace that is the container's own",
        "UTS, cgroup and time namespaces; a namespace that is kept by a mount or a descriptor only",
    ),
    row(
        "network-capabilities",
        Yes,
        "the five sets of every process",
        "threads with other sets than their process'",
    ),
    row(
        "host-capabilities",
        Yes,
        "the five sets of every process, by the table of the rule; the maps of a user namespace that confines, which must not \
         have the machine's root",
        "threads with other sets than their process'; ids of a user namespace around our own",
    ),
    row(
        "devices",
        Yes,
        "the nodes in `/dev` and below, by number and driver",
        "nodes elsewhere, which the device control group refuses to open",
    ),
    row(
        "device-access",
        Partly,
        "`devices.list` of the container's control group of version 1",
        "the program that decides with version 2 (bpf(2) only)",
    ),
    row(
        "mount-sockets",
        Partly,
        "mounts that are sockets; sockets to which processes in the host's network namespace are bound and that are found \
         below a mount, also later ones",
        "sockets bound in other network namespaces or below other roots; those behind an overlay of the host",
    ),
    row(
        "mount-options",
        Partly,
        "what options led to: rules `masked-paths`, `mount-system`, `mount-propagation`",
        "options",
    ),
    row(
        "mount-system",
        Partly,
        "file systems that are interfaces of the kernel, or of the host's namespaces; layers of overlays that are \
         directories of the system; those directories themselves; terminals of another devpts, the console, devices and \
         namespaces at mount points",
        "what is in those directories, bound by itself; layers by a relative path",
    ),
    row(
        "mount-unknown-fs",
        Partly,
        "file systems of a kind that is on no list, at mount points but `/`",
        "those below an overlay",
    ),
    row("mount-network-fs", Partly, "network file systems at mount points but `/`", "those below an overlay"),
    row(
        "mount-readonly-overlay",
        No,
        "",
        "whether a read-only mount was a directory that could be a layer; its sockets are seen as `mount-sockets`",
    ),
    row(
        "mount-propagation",
        Partly,
        "peer groups of directories that the host's mounts have as well",
        "groups of other mount namespaces",
    ),
    row("pod-files", No, "", "whether the pod's files are read-only"),
    row("data-channels", No, "", "FIFOs, and files that others write to"),
    row(
        "seccomp",
        Partly,
        "every process has a filter, and more of them than the process that init was started by (Linux 5.9)",
        "what a filter contains (ptrace(2) only); threads without one",
    ),
    row(
        "masked-paths",
        Yes,
        "the masked and read-only paths of the rule in each mount namespace; sysfs and the host's control groups are not \
         writable",
        "",
    ),
    row(
        "core-dumps",
        Yes,
        "both limits of every process are 1 while core_pattern names a program or a socket",
        "",
    ),
    row("sysctl", No, "", "which values the container was given"),
    row("path-names", No, "", "names in the configuration"),
    row(
        "runtime-annotations",
        Yes,
        "the annotations that runc, crun or youki keeps of the container",
        "what the runtime did because of one; annotations that another runtime keeps",
    ),
    row(
        "credentials-env",
        Yes,
        "the environment that each process was started with",
        "variables that a program has set itself since",
    ),
    row(
        "credential-mounts",
        Partly,
        "mounts at the places of platforms' tokens, and of directories in which users keep credentials",
        "tokens at other places, which only a variable named",
    ),
    row(
        "credential-files",
        Partly,
        "the paths that were masked at `create`, in each mount namespace; `HOME` of each process is absolute",
        "files that appeared later or were copied elsewhere; homes that another engine's configuration masked",
    ),
    row("credential-args", No, "", "arguments change with every program"),
    row("seal-hook", No, "", "hooks; what they do is seen as `seal` and `record`"),
    row(
        "seal",
        Yes,
        "links, addresses and the firewall table, expression by expression; peers that are of another job, or are the host's \
         or a name server by now",
        "frames that a program of the kernel (XDP, tc) would send",
    ),
    row(
        "descriptors",
        Partly,
        "sockets of another network namespace, namespaces, devices; a terminal of the host is what its operator attached",
        "of which namespace an unbound socket is; files that were opened before they were masked",
    ),
    row(
        "record",
        Yes,
        "there is one, it can be read, and its init process is the runtime's own; with `--all`, running containers that were \
         created isolated and have none, below the default roots of runtimes and engines and those of other records",
        "containers below other roots; those of users whose directories may not be looked at",
    ),
    row("verify", Yes, "something could not be looked at, which counts as not holding", ""),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use oci_isolate::rules::RULES;

    use super::{CoverageRow, TABLE};

    /// A new rule must state whether `isolatectl verify` checks it.
    #[test]
    fn every_rule_is_in_the_table_of_what_verify_sees_and_its_rows_are_those_of_the_page() {
        let names: Vec<_> = TABLE.iter().map(|row| row.rule).collect();
        assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len(), "{names:?}");
        for rule in RULES {
            assert!(names.contains(&rule.name), "{} is not in crates/isolatectl/src/coverage.rs", rule.name);
        }
        let row = |row: &CoverageRow| {
            let seen = format!("{:?}", row.seen).to_lowercase();
            // What is not seen at all has nothing but that to say.
            assert_eq!(row.how.is_empty(), seen == "no", "{}", row.rule);
            format!("| `{}` | {seen} | {} | {} |", row.rule, row.how, row.not)
        };
        let rows: Vec<_> = TABLE.iter().map(row).collect();
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/verify.md");
        let text = std::fs::read_to_string(&path).unwrap();
        let (head, rest) = text.split_once("<!-- table -->\n").unwrap();
        let (found, tail) = rest.split_once("<!-- end of the table -->").unwrap();
        let wanted = format!("| rule | seen | how | not seen |\n|---|---|---|---|\n{}\n", rows.join("\n"));
        if std::env::var_os("OCI_ISOLATE_TEST_BLESS").is_some() {
            let text = format!("{head}<!-- table -->\n{wanted}<!-- end of the table -->{tail}");
            std::fs::write(&path, text).unwrap();
        } else {
            assert_eq!(found, wanted, "{} is not the table any more", path.display());
        }
    }
}
