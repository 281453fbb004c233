//! What the container may do to the machine, and what the runtime does with it: capabilities, devices, system calls,
//! files of the kernel, hooks.

use oci_isolate::rules::{CoreDumps, HostFacts};
use serde_json::{Value, json};

use super::Cases;

pub(super) fn cases() -> Vec<Cases> {
    let hook = |flag: &str| json!({"path": "/shim", "args": ["oci-isolate", format!("--isolate-{flag}=/record.json")]});
    let other = || json!({"path": "/bin/other"});
    vec![
        Cases {
            rule: "network-capabilities",
            golden: vec![(
                json!({"process": {"capabilities": {"ambient": ["CAP_KILL", "CAP_NET_RAW"], "bounding": ["net_admin"]}}}),
                json!({"process": {"capabilities": {"ambient": ["CAP_KILL"], "bounding": []}}}),
                "removed net_admin from the bounding set",
            )],
            broken: vec![(
                json!({"process": {"capabilities": {"inheritable": ["CAP_NET_ADMIN"]}}}),
                "CAP_NET_ADMIN is in the inheritable set, and it configures the network and flushes the firewall; drop \
                 --cap-add and --privileged, privileged: true in Kubernetes",
            )],
            ..Cases::default()
        },
        Cases {
            rule: "host-capabilities",
            golden: vec![(
                json!({"process": {"capabilities": {"bounding": ["CAP_CHOWN", "CAP_SYS_ADMIN"], "effective": ["sys_ptrace", "CAP_FUTURE"]}}}),
                json!({"process": {"capabilities": {"bounding": ["CAP_CHOWN"], "effective": []}}}),
                "removed CAP_SYS_ADMIN from the bounding set",
            )],
            broken: vec![(
                json!({"process": {"capabilities": {"ambient": ["CAP_BPF"]}}}),
                "CAP_BPF is in the ambient set, and it loads programs into the kernel; drop --cap-add and --privileged, \
                 privileged: true in Kubernetes, or set [rules] host-capabilities = \"strip\" or \"allow\"",
            )],
            refused: vec![
                (
                    json!({"process": {"env": ["AWS_EC2_METADATA_DISABLED=true"], "capabilities": {"permitted": ["CAP_DAC_READ_SEARCH"]}}}),
                    "CAP_DAC_READ_SEARCH is in the permitted set, and it opens any file of the host by handle; drop --cap-add \
                     and --privileged, privileged: true in Kubernetes, or set [rules] host-capabilities = \"strip\" or \"allow\"",
                ),
                (
                    json!({"process": {"env": ["AWS_EC2_METADATA_DISABLED=true"], "capabilities": {"bounding": ["CAP_SYS_PTRACE", "CAP_FUTURE"]}},
                        "annotations": {"io.kubernetes.cri.container-type": "container"}}),
                    "CAP_FUTURE is in the bounding set, and it is not known; drop --cap-add and --privileged, privileged: true \
                     in Kubernetes (kubectl debug: --profile=baseline), or set [rules] host-capabilities = \"strip\" or \"allow\"",
                ),
            ],
            ..Cases::default()
        },
        Cases {
            rule: "devices",
            golden: vec![(
                json!({"linux": {"devices": [
                    {"type": "c", "path": "/dev/null", "major": 1, "minor": 3},
                    {"type": "c", "path": "/dev/net/tun", "major": 10, "minor": 200},
                    {"type": "b", "path": "/dev/null", "major": 1, "minor": 3},
                ]}}),
                json!({"linux": {"devices": [{"type": "c", "path": "/dev/null", "major": 1, "minor": 3}]}}),
                "removed /dev/net/tun is c 10:200 (driver unknown)",
            )],
            broken: vec![(
                json!({"linux": {"devices": [{"type": "u", "path": "/dev/mem", "major": 1, "minor": 1}]}}),
                "/dev/mem is u 1:1 (driver unknown); drop --device, or set [rules] devices = \"allow\"",
            )],
            refused: vec![
                (
                    json!({"linux": {"devices": [{"type": "c", "path": "/dev/vsock", "major": 10, "minor": 258}]}}),
                    "/dev/vsock is c 10:258 (driver unknown); drop --device, or set [rules] devices = \"allow\"",
                ),
                // Whoever makes the node; the container's own is a pseudo terminal.
                (
                    json!({"linux": {"devices": [{"type": "c", "path": "/dev/console", "major": 5, "minor": 1}]}}),
                    "/dev/console is c 5:1 (driver unknown, the machine's console); drop --device, or set [rules] \
                     devices = \"allow\"",
                ),
                (
                    json!({"linux": {"devices": [{"type": "c", "path": "/dev/gdrdrv", "major": 240, "minor": 0}]}}),
                    "/dev/gdrdrv is c 240:0 (driver gdrdrv, GDRCopy, which maps memory of the container's own GPUs); \
                     drop --device, or set [rules] devices = \"allow\"",
                ),
            ],
            host: HostFacts {
                drivers: [(('c', 240, 0), "gdrdrv".to_owned())].into(),
                ..HostFacts::default()
            },
            ..Cases::default()
        },
        Cases {
            rule: "device-access",
            golden: vec![
                (
                    json!({"linux": {"resources": {}}}),
                    json!({"linux": {"resources": {"devices": [{"allow": false, "access": "rwm"}]}}}),
                    "denied all devices that are not allowed by name",
                ),
                (
                    json!({"linux": {"resources": {"devices": [
                        {"allow": false, "access": "rwm"},
                        {"allow": true, "type": "c", "major": 1, "minor": 3, "access": "rwm"},
                        {"allow": true, "type": "c", "access": "m"},
                        {"allow": true, "type": "c", "major": 5, "minor": 1, "access": "rwm"},
                        {"allow": true, "type": "c", "major": 136, "access": "rwm"},
                        {"allow": true, "access": "rwm"},
                        {"allow": true, "type": "c", "major": 10, "access": "rw"},
                        {"allow": true, "type": "b", "major": 8, "minor": 0, "access": "r"},
                    ]}}}),
                    json!({"linux": {"resources": {"devices": [
                        {"allow": false, "access": "rwm"},
                        {"allow": true, "type": "c", "major": 1, "minor": 3, "access": "rwm"},
                        {"allow": true, "type": "c", "access": "m"},
                        {"allow": true, "type": "c", "major": 136, "access": "rwm"},
                    ]}}}),
                    "removed the entry by which a *:* rwm is allowed (driver unknown)",
                ),
            ],
            broken: vec![
                (json!({"linux": {}}), "the list does not begin with denying all devices"),
                (
                    json!({"linux": {"resources": {"devices": [
                        {"allow": false, "access": "rwm"},
                        {"allow": true, "type": "c", "major": 5, "minor": 1, "access": "rw"},
                    ]}}}),
                    "c 5:1 rw is allowed (driver unknown); drop --device, --privileged, or set [rules] \
                     device-access = \"allow\"",
                ),
            ],
            refused: vec![(
                json!({"linux": {"resources": {"devices": [
                    {"allow": false, "access": "rwm"},
                    {"allow": true, "type": "a", "access": "rwm"},
                ]}}}),
                "a *:* rwm is allowed (driver unknown); drop --device, --privileged, or set [rules] device-access = \
                 \"allow\"",
            )],
            ..Cases::default()
        },
        Cases {
            rule: "seccomp",
            golden: vec![(
                json!({"linux": {"seccomp": {"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [
                    {"names": ["read", "io_uring_setup", "write"], "action": "SCMP_ACT_ALLOW"},
                ]}}}),
                json!({"linux": {"seccomp": {"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [
                    {"names": ["read", "write"], "action": "SCMP_ACT_ALLOW"},
                    {"names": ["socketcall", "io_uring_setup"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38},
                ]}}}),
                "removed io_uring_setup from what is SCMP_ACT_ALLOW",
            )],
            broken: vec![(json!({"linux": {}}), "there is no profile")],
            refused: vec![(
                json!({"linux": {"seccomp": {"defaultAction": "SCMP_ACT_NOTIFY"}}}),
                "the profile cannot be narrowed: an agent decides on calls (SCMP_ACT_NOTIFY); it can add sockets of the host",
            )],
            ..Cases::default()
        },
        Cases {
            rule: "masked-paths",
            golden: vec![
                (
                    json!({"linux": {"maskedPaths": ["/proc/mine", "/proc/keys"], "readonlyPaths": ["/proc/bus"]}}),
                    json!({"linux": {
                        "maskedPaths": [
                            "/proc/mine", "/proc/keys", "/proc/acpi", "/proc/asound", "/proc/kcore",
                            "/proc/latency_stats", "/proc/sched_debug", "/proc/scsi", "/proc/timer_list",
                            "/proc/timer_stats", "/sys/firmware",
                        ],
                        "readonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"],
                    }}),
                    "made /proc/sysrq-trigger read-only",
                ),
                (
                    covered(&["rw"], &["nosuid"], &json!([])),
                    covered(&["rw", "ro"], &["nosuid", "ro"], &json!([])),
                    "made /cgroup read-only",
                ),
                // In a cgroup namespace of its own the container sees its own groups only.
                (
                    covered(&["ro", "rw"], &["rw"], &json!([{"type": "cgroup"}])),
                    covered(&["ro", "rw", "ro"], &["rw"], &json!([{"type": "cgroup"}])),
                    "made /sys read-only",
                ),
            ],
            broken: vec![
                (json!({"linux": {}}), "not so yet: masked /proc/acpi"),
                (
                    covered(&["ro"], &[], &json!([{"type": "cgroup", "path": "/x"}])),
                    "not so yet: made /cgroup read-only",
                ),
            ],
            ..Cases::default()
        },
        Cases {
            rule: "core-dumps",
            host: HostFacts { core_dumps: CoreDumps::Program, ..HostFacts::default() },
            golden: vec![(
                json!({"process": {"rlimits": [
                    {"type": "RLIMIT_CORE", "hard": 0, "soft": 0},
                    {"type": "RLIMIT_NOFILE", "hard": 9, "soft": 9},
                ]}}),
                json!({"process": {"rlimits": [
                    {"type": "RLIMIT_NOFILE", "hard": 9, "soft": 9},
                    {"type": "RLIMIT_CORE", "hard": 1, "soft": 1},
                ]}}),
                "set the limit for core dumps to 1, which keeps the host's program from being started",
            )],
            broken: vec![
                (
                    json!({"process": {"rlimits": [{"type": "RLIMIT_CORE", "hard": 1, "soft": 0}]}}),
                    "a program of the host gets core dumps",
                ),
                (json!({"linux": {}, "process": {}}), "a program of the host gets core dumps"),
            ],
            ..Cases::default()
        },
        Cases {
            rule: "seal-hook",
            golden: vec![
                (
                    json!({}),
                    json!({"hooks": {"createRuntime": [hook("seal")], "poststop": [hook("forget")]}}),
                    "added the last createRuntime hook",
                ),
                (
                    json!({"hooks": {"createRuntime": [hook("seal"), other()], "poststop": [other()]}}),
                    json!({"hooks": {"createRuntime": [other(), hook("seal")], "poststop": [other(), hook("forget")]}}),
                    "removed an earlier createRuntime hook of oci-isolate",
                ),
            ],
            broken: vec![
                (json!({}), "the last createRuntime hook is not ours"),
                (
                    json!({"hooks": {"createRuntime": [hook("seal")], "poststop": [hook("forget"), other()]}}),
                    "the last poststop hook is not ours",
                ),
            ],
            ..Cases::default()
        },
    ]
}

/// A document in which all paths are covered, with these options of /sys and /cgroup.
fn covered(sys: &[&str], cgroup: &[&str], namespaces: &Value) -> Value {
    json!({
        "mounts": [
            {"destination": "/sys", "type": "sysfs", "options": sys},
            {"destination": "/cgroup", "type": "cgroup2", "options": cgroup},
            {"destination": "/tmp", "type": "tmpfs", "options": ["rw"]},
        ],
        "linux": {
            "namespaces": namespaces,
            "maskedPaths": [
                "/proc/acpi", "/proc/asound", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/sched_debug",
                "/proc/scsi", "/proc/timer_list", "/proc/timer_stats", "/sys/firmware", "/proc/sys",
            ],
            "readonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sysrq-trigger"],
        },
    })
}
