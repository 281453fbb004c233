//! What no other rule is about: members that are in no table, kernel settings, names that become paths,
//! annotations for the runtime.

use serde_json::json;

use super::Cases;

pub(super) fn cases() -> Vec<Cases> {
    let namespaces = || json!([{"type": "pid"}, {"type": "ipc"}, {"type": "mount"}, {"type": "network"}]);
    vec![
        Cases {
            rule: "unknown-members",
            broken: vec![
                (
                    json!({"linux": {"seccomp": {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"hints": []}]}}}),
                    "member linux.seccomp.syscalls[0].hints is not known; drop it, or set [rules] unknown-members = \"allow\" \
                     if no runtime here reads it",
                ),
                (
                    json!({"process": {"extra": 1, "Extra": {}}}),
                    "members process.Extra, process.extra are not known; drop them, or set [rules] unknown-members = \
                     \"allow\" if no runtime here reads it",
                ),
            ],
            refused: vec![(
                json!({"mounts": [{"destination": "/x", "type": "tmpfs", "extensions": {"y": []}}]}),
                "member mounts[0].extensions is not known; drop it, or set [rules] unknown-members = \"allow\" if no runtime \
                 here reads it",
            )],
            ..Cases::default()
        },
        Cases {
            rule: "sysctl",
            golden: vec![(
                json!({"linux": {"namespaces": namespaces(), "sysctl": {
                    "net.ipv4.ip_unprivileged_port_start": "0", "net/core/somaxconn": "1024", "kernel.shm_rmid_forced": "1",
                    "fs.mqueue.msg_max": "10", "kernel.core_pattern": "|/x", "kernel/core_pattern": "|/x",
                    "net/../kernel/core_pattern": "|/x", "/proc/sys/kernel/core_pattern": "|/x", "user.max_user_namespaces": "1",
                }}}),
                json!({"linux": {"namespaces": namespaces(), "sysctl": {
                    "net.ipv4.ip_unprivileged_port_start": "0", "net/core/somaxconn": "1024", "kernel.shm_rmid_forced": "1",
                    // A path below net, in which no step is two dots.
                    "fs.mqueue.msg_max": "10", "net/../kernel/core_pattern": "|/x",
                }}}),
                "removed sysctl \"kernel.core_pattern\"",
            )],
            broken: vec![(
                json!({"linux": {"namespaces": [{"type": "network"}], "sysctl": {"kernel.sem": "1"}}}),
                "sysctl \"kernel.sem\" is of the ipc namespace, which the container does not have; drop --sysctl",
            )],
            refused: vec![(
                json!({"linux": {"namespaces": namespaces(), "sysctl": {"vm.overcommit_memory": "1"}, "resources":
                    {"devices": [{"allow": false, "access": "rwm"}]}}}),
                "sysctl \"vm.overcommit_memory\" is of no namespace, and so the machine's; drop --sysctl",
            )],
            ..Cases::default()
        },
        Cases {
            rule: "path-names",
            broken: vec![
                (
                    json!({"linux": {"cgroupsPath": "/"}}),
                    "linux.cgroupsPath \"/\" is the control group of the whole machine; drop it",
                ),
                (
                    json!({"linux": {"cgroupsPath": "/docker/../../x"}}),
                    "linux.cgroupsPath \"/docker/../../x\" leads elsewhere; drop it",
                ),
                (
                    json!({"linux": {"mountLabel": "x\",lowerdir=/:/y,z=\""}}),
                    "linux.mountLabel \"x\\\",lowerdir=/:/y,z=\\\"\" is not a valid label; drop it",
                ),
                (
                    json!({"linux": {"intelRdt": {"closID": "../x"}}}),
                    "linux.intelRdt.closID \"../x\" is not a valid name; drop it",
                ),
                (
                    json!({"linux": {"resources": {"hugepageLimits": [{"pageSize": "2MB", "limit": 1}, {"pageSize": "/x"}]}}}),
                    "linux.resources.hugepageLimits \"/x\" is not a valid size; drop it",
                ),
                (
                    json!({"linux": {"resources": {"unified": {"memory.high": "1", "/proc/sys/kernel/core_pattern": "|/x"}}}}),
                    "linux.resources.unified \"/proc/sys/kernel/core_pattern\" is not a limit of a control group; drop it",
                ),
                (
                    json!({"linux": {"resources": {"unified": {"cgroup.max.depth": "1", "cgroup.procs": "1"}}}}),
                    "linux.resources.unified \"cgroup.procs\" is not a limit of a control group; drop it",
                ),
            ],
            refused: vec![(
                json!({"linux": {"cgroupsPath": "..", "namespaces": namespaces()}}),
                "linux.cgroupsPath \"..\" leads elsewhere; drop it",
            )],
            ..Cases::default()
        },
        Cases {
            rule: "runtime-annotations",
            golden: vec![(
                json!({"annotations": {
                    "org.example": "x", "run.oci.handler": "krun", "run.oci.hooks.stderr": "/x", "run.oci.new": "x",
                    "run.oci.keep_original_groups": "1", "org.systemd.property.Wants": "['x']", "krun.cpus": "1",
                    "org.systemd.property.TimeoutStopUSec": "uint64 1", "org.systemd.property.PIDs": "1", "bundle": "/x",
                    "module.wasm.image/variant": "compat", "run.oci.systemd.subgroup": "", "org.criu.config=/x": "",
                    "run.oci.seccomp_bpf_data": "BgAAAAAA/38=", "io.kubernetes.cri.container-type": "container",
                    "org.criu.checkpoint.engine.name": "podman", "run.oci.mount_context_type": "rootcontext",
                    "bundles": "x",
                }}),
                json!({"annotations": {
                    "org.example": "x", "run.oci.keep_original_groups": "1",
                    "org.systemd.property.TimeoutStopUSec": "uint64 1", "run.oci.systemd.subgroup": "",
                    "io.kubernetes.cri.container-type": "container",
                    "org.criu.checkpoint.engine.name": "podman", "run.oci.mount_context_type": "rootcontext",
                    "bundles": "x",
                }}),
                "removed annotation run.oci.hooks.stderr",
            )],
            broken: vec![
                (
                    json!({"annotations": {"dev.gvisor.flag.network": "host"}}),
                    "annotation dev.gvisor.flag.network is for the runtime and not on the list of what is harmless; \
                     drop --annotation dev.gvisor.flag.network, or set [rules] runtime-annotations = \"strip\"",
                ),
                (
                    json!({"annotations": {"run.oci.systemd.subgroup": "../.."}}),
                    "annotation run.oci.systemd.subgroup has another value than a plain name; \
                     drop --annotation run.oci.systemd.subgroup, or set [rules] runtime-annotations = \"strip\"",
                ),
                (
                    json!({"annotations": {"run.oci.mount_context_type": "lowerdir=/:/x,context"}}),
                    "annotation run.oci.mount_context_type has another value than context, defcontext, fscontext, rootcontext; \
                     drop --annotation run.oci.mount_context_type, or set [rules] runtime-annotations = \"strip\"",
                ),
            ],
            refused: vec![
                (
                    json!({"annotations": {"org.criu.config": "/x"}}),
                    "annotation org.criu.config is for the runtime and not on the list of what is harmless; \
                     drop --annotation org.criu.config, or set [rules] runtime-annotations = \"strip\"",
                ),
                (
                    json!({"annotations": {"bundle=/x": "y"}}),
                    "annotation bundle=/x is for the runtime and not on the list of what is harmless; \
                     drop --annotation bundle=/x, or set [rules] runtime-annotations = \"strip\"",
                ),
            ],
            ..Cases::default()
        },
    ]
}
