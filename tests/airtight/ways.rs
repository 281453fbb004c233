//! The ways out of docs/threats.md that a container's configuration, or the runtime's caller, opens. Each is gone to
//! its end (`reach.c`): what comes back is a word that only the other side knows. How a way is tried: `tried`.

use serde_json::{Value, json};

/// One way out.
pub(crate) struct Way {
    /// Its name, here and in docs/threats.md.
    pub(crate) name: &'static str,
    /// The section of docs/rules.md that is about what closes it.
    pub(crate) closed_by: &'static str,
    /// The options of `docker run`; none when Docker cannot ask for it, and why.
    pub(crate) docker: Result<&'static [&'static str], &'static str>,
    /// The same in runc's example of a config.json, whose network is one with a way out.
    pub(crate) runc: fn(&mut Value, &str),
    /// How runc is called: the runtime is the first argument.
    pub(crate) call: &'static str,
    /// Options of `docker exec` and of `runc exec`, for a way that `exec` opens.
    pub(crate) exec: Option<[&'static [&'static str]; 2]>,
    /// What the program in the container does.
    pub(crate) script: &'static str,
    /// What else happens on the host.
    pub(crate) host: Deed,
    /// What is said when it is refused; a way that is not refused has to lead nowhere.
    pub(crate) refused: Option<&'static str>,
    /// Where the way may not be open without the shim either, so that nothing is shown, and why.
    pub(crate) shut: &'static [(Under, &'static str)],
}

/// What happens on the host while the container runs.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Deed {
    Nothing,
    /// The kernel is made to tell of a device, over and over.
    Uevents,
    /// A socket is bound in a shared directory when the container is up.
    BindsLate,
    /// A file system is mounted below a shared directory when the container is up.
    MountsLate,
    /// A process of the host writes to a FIFO.
    Writes,
    /// An agent answers seccomp notifications.
    Agent,
    /// A program of the host's handles core dumps.
    CoreHandler,
    /// The machine has a `/sbin/request-key`.
    KeyHandler,
}

/// Who runs the container.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Under {
    Runc,
    DockerDefault,
    DockerUnconfined,
}

const PLAIN: &str = r#"exec "$@""#;

/// What is the same for most.
const WAY: Way = Way {
    name: "",
    closed_by: "",
    docker: Ok(&[]),
    runc: |_, _| (),
    call: PLAIN,
    exec: None,
    script: "",
    host: Deed::Nothing,
    refused: None,
    shut: &[],
};

const NO_OPTION: &str = "Docker has no option for it";
const RESOURCE: &str =
    "`docker exec --privileged` wants all capabilities, and this machine lacks CAP_SYS_RESOURCE";
const DOCKERS_PROFILE: &str = "Docker's profile denies the call";

fn namespace(spec: &mut Value, kind: &str, path: Option<&str>) {
    let list = spec["linux"]["namespaces"].as_array_mut().unwrap();
    list.retain(|namespace| namespace["type"] != kind);
    if let Some(path) = path {
        list.push(json!({"type": kind, "path": path}));
    }
}

fn capabilities(spec: &mut Value, names: &[&str]) {
    for set in ["bounding", "effective", "permitted"] {
        let list = spec["process"]["capabilities"][set].as_array_mut().unwrap();
        list.extend(names.iter().map(|name| json!(format!("CAP_{name}"))));
    }
}

fn bind(spec: &mut Value, source: &str, destination: &str, options: &[&str]) {
    let mount = json!({"destination": destination, "type": "bind", "source": source, "options": options});
    spec["mounts"].as_array_mut().unwrap().push(mount);
}

/// Major and minor number of a device of the machine's.
pub(crate) fn number(device: &str) -> (u64, u64) {
    let found = std::fs::metadata(device).unwrap_or_else(|error| panic!("{device}: {error}"));
    let number = std::os::unix::fs::MetadataExt::rdev(&found);
    (nix::sys::stat::major(number), nix::sys::stat::minor(number))
}

/// `{dir}` is a directory of the host's, `{pid}` a process there, `{link}` the number of its uplink, `{file}` the handle of a
/// file, `{netns}` that of its network namespace, `{disk}` a disk of the machine's.
pub(crate) const WAYS: &[Way] = &[
    Way { name: "tcp", closed_by: "network-namespace", script: "reach tcp 203.0.113.7 80", ..WAY },
    Way { name: "udp", closed_by: "network-namespace", script: "reach udp 203.0.113.7 7", ..WAY },
    Way { name: "metadata", closed_by: "network-namespace", script: "reach tcp 169.254.169.254 80", ..WAY },
    Way {
        name: "task-credentials",
        closed_by: "network-namespace",
        script: "reach tcp 169.254.170.2 80",
        ..WAY
    },
    Way {
        name: "host-network",
        closed_by: "network-namespace",
        docker: Ok(&["--network=host"]),
        runc: |spec, _| namespace(spec, "network", None),
        script: "reach tcp 203.0.113.7 80",
        ..WAY
    },
    Way {
        name: "abstract-socket",
        closed_by: "network-namespace",
        docker: Ok(&["--network=host"]),
        runc: |spec, _| namespace(spec, "network", None),
        script: "reach abstract {name}",
        ..WAY
    },
    Way {
        name: "network-of-another",
        closed_by: "network-namespace",
        docker: Ok(&["--network=container:peer"]),
        script: "reach tcp 203.0.113.7 80",
        ..WAY
    },
    Way { name: "packet-socket", closed_by: "network-capabilities", script: "reach packet", ..WAY },
    Way {
        name: "link-by-known-nsid",
        closed_by: "network-capabilities",
        docker: Ok(&["--cap-add=NET_ADMIN"]),
        runc: |spec, _| capabilities(spec, &["NET_ADMIN"]),
        script: "reach macvlan 0 {link}",
        ..WAY
    },
    Way {
        name: "link-by-pid",
        closed_by: "host-pid",
        docker: Ok(&["--cap-add=NET_ADMIN", "--pid=host", "--network=none"]),
        runc: |spec, _| {
            namespace(spec, "network", Some("/run/netns/empty"));
            capabilities(spec, &["NET_ADMIN"]);
            namespace(spec, "pid", None);
        },
        script: "reach macvlan {pid} {link}",
        refused: Some("host-pid: the pid namespace is the host's"),
        ..WAY
    },
    Way {
        name: "vsock",
        closed_by: "seccomp",
        script: "reach vsock {port}",
        shut: &[(Under::DockerDefault, "Docker's profile since 23.0 denies the plain call")],
        ..WAY
    },
    Way { name: "uevents", closed_by: "seccomp", script: "reach uevent", host: Deed::Uevents, ..WAY },
    Way {
        name: "request-key-upcall",
        closed_by: "seccomp",
        script: "reach upcall",
        host: Deed::KeyHandler,
        shut: &[(Under::DockerDefault, DOCKERS_PROFILE)],
        ..WAY
    },
    Way {
        name: "seccomp-agent",
        closed_by: "seccomp",
        docker: Err("Docker 20.10 takes no listenerPath; Docker 28 has none in its default"),
        runc: |spec, dir| {
            namespace(spec, "network", Some("/run/netns/empty"));
            spec["linux"]["seccomp"] = json!({
                "defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86_64"],
                "listenerPath": format!("{dir}/agent/sock"),
                "syscalls": [{"names": ["socket"], "action": "SCMP_ACT_NOTIFY"}],
            });
        },
        script: "reach tcp 203.0.113.7 80",
        host: Deed::Agent,
        refused: Some("seccomp: "),
        ..WAY
    },
    Way {
        name: "host-pid-root",
        closed_by: "host-pid",
        docker: Ok(&["--pid=host"]),
        runc: |spec, _| namespace(spec, "pid", None),
        script: "cat /proc/{pid}/root{dir}/secret",
        refused: Some("host-pid: the pid namespace is the host's"),
        ..WAY
    },
    Way {
        name: "host-pid-ptrace",
        closed_by: "host-pid",
        docker: Ok(&["--pid=host"]),
        runc: |spec, _| namespace(spec, "pid", None),
        script: "reach trace {pid}",
        refused: Some("host-pid: the pid namespace is the host's"),
        ..WAY
    },
    Way {
        name: "host-pid-descriptor",
        closed_by: "host-pid",
        docker: Ok(&["--pid=host"]),
        runc: |spec, _| namespace(spec, "pid", None),
        script: "reach take-fd {pid} 9 203.0.113.7 80",
        refused: Some("host-pid: the pid namespace is the host's"),
        shut: &[(Under::DockerDefault, DOCKERS_PROFILE)],
        ..WAY
    },
    Way {
        name: "pid-of-another",
        closed_by: "host-pid",
        docker: Ok(&["--pid=container:peer"]),
        runc: |spec, _| namespace(spec, "pid", Some("/run/pidns")),
        script: "reach trace 1",
        refused: Some("is not that of a member of an isolated pod"),
        ..WAY
    },
    Way {
        name: "host-ipc",
        closed_by: "host-ipc",
        docker: Ok(&["--ipc=host"]),
        runc: |spec, _| namespace(spec, "ipc", None),
        script: "reach shm 4711",
        refused: Some("host-ipc: the ipc namespace is the host's"),
        ..WAY
    },
    Way {
        name: "mount-by-sys-admin",
        closed_by: "host-capabilities",
        docker: Ok(&["--cap-add=SYS_ADMIN"]),
        runc: |spec, _| capabilities(spec, &["SYS_ADMIN"]),
        script: "mkdir -p /tmp/p; mount -t proc proc /tmp/p && reach writable /tmp/p/sys/kernel/core_pattern",
        refused: Some("host-capabilities: CAP_SYS_ADMIN is in the bounding set"),
        ..WAY
    },
    Way {
        name: "namespace-by-handle",
        closed_by: "host-capabilities",
        docker: Ok(&["--cap-add=SYS_ADMIN"]),
        runc: |spec, _| capabilities(spec, &["SYS_ADMIN"]),
        script: "reach handle /proc/self/ns/net {netns} 203.0.113.7 80",
        refused: Some("host-capabilities: CAP_SYS_ADMIN is in the bounding set"),
        shut: &[(Under::DockerDefault, DOCKERS_PROFILE)],
        ..WAY
    },
    Way {
        name: "file-by-handle",
        closed_by: "host-capabilities",
        docker: Ok(&["--cap-add=DAC_READ_SEARCH"]),
        runc: |spec, _| capabilities(spec, &["DAC_READ_SEARCH"]),
        script: "reach handle /etc/hosts {file}",
        refused: Some("host-capabilities: CAP_DAC_READ_SEARCH is in the bounding set"),
        ..WAY
    },
    Way {
        name: "kernel-log",
        closed_by: "host-capabilities",
        docker: Ok(&["--cap-add=SYSLOG"]),
        runc: |spec, _| capabilities(spec, &["SYSLOG"]),
        script: "reach kernel-log",
        refused: Some("host-capabilities: CAP_SYSLOG is in the bounding set"),
        ..WAY
    },
    Way {
        name: "bpf-programs",
        closed_by: "host-capabilities",
        docker: Ok(&["--cap-add=SYS_ADMIN"]),
        runc: |spec, _| capabilities(spec, &["SYS_ADMIN", "BPF"]),
        script: "reach bpf",
        refused: Some("host-capabilities: CAP_SYS_ADMIN is in the bounding set"),
        ..WAY
    },
    Way {
        name: "vsock-device",
        closed_by: "devices",
        docker: Ok(&["--device=/dev/vsock"]),
        runc: |spec, _| {
            let (major, minor) = number("/dev/vsock");
            let device = json!({"path": "/dev/vsock", "type": "c", "major": major, "minor": minor});
            spec["linux"]["devices"] = json!([device]);
            let access = json!({"allow": true, "type": "c", "major": major, "minor": minor, "access": "r"});
            spec["linux"]["resources"]["devices"].as_array_mut().unwrap().push(access);
        },
        script: "exec 3</dev/vsock && echo outside",
        refused: Some("devices: /dev/vsock is c 10:"),
        ..WAY
    },
    Way {
        name: "disk",
        closed_by: "device-access",
        docker: Ok(&["--device-cgroup-rule=b *:* rwm"]),
        runc: |spec, _| {
            capabilities(spec, &["MKNOD"]);
            let access = json!({"allow": true, "type": "b", "access": "rwm"});
            spec["linux"]["resources"]["devices"].as_array_mut().unwrap().push(access);
        },
        script: "reach disk {disk}",
        refused: Some("device-access: b *:* rwm is allowed"),
        ..WAY
    },
    Way {
        name: "socket",
        closed_by: "mount-sockets",
        docker: Ok(&["-v={dir}/sockets/engine:/in.sock:ro"]),
        runc: |spec, dir| bind(spec, &format!("{dir}/sockets/engine"), "/in.sock", &["bind", "ro"]),
        script: "reach unix /in.sock",
        refused: Some("of /in.sock is a socket"),
        ..WAY
    },
    Way {
        name: "socket-in-a-directory",
        closed_by: "mount-sockets",
        docker: Ok(&["-v={dir}/sockets:/in"]),
        runc: |spec, dir| bind(spec, &format!("{dir}/sockets"), "/in", &["rbind"]),
        script: "reach unix /in/engine",
        ..WAY
    },
    Way {
        name: "fifo",
        closed_by: "mount-sockets",
        docker: Ok(&["-v={dir}/fifo:/in.fifo"]),
        runc: |spec, dir| bind(spec, &format!("{dir}/fifo"), "/in.fifo", &["bind"]),
        script: "timeout 5 head -n 1 /in.fifo",
        host: Deed::Writes,
        refused: Some("of /in.fifo is a FIFO"),
        ..WAY
    },
    Way {
        name: "socket-bound-later",
        closed_by: "mount-readonly-overlay",
        docker: Ok(&["-v={dir}/late:/in:ro", "-v={dir}/up:/up"]),
        runc: |spec, dir| {
            bind(spec, &format!("{dir}/late"), "/in", &["rbind", "ro"]);
            bind(spec, &format!("{dir}/up"), "/up", &["rbind"]);
        },
        script: "touch /up/ready; for n in $(seq 100); do [ -e /up/done ] && break; sleep 0.1; done; reach unix /in/late",
        host: Deed::BindsLate,
        ..WAY
    },
    Way {
        name: "mount-made-later",
        closed_by: "mount-propagation",
        docker: Ok(&["-v={dir}/shared:/in:rslave", "-v={dir}/up:/up"]),
        runc: |spec, dir| {
            bind(spec, &format!("{dir}/shared"), "/in", &["rbind", "rslave"]);
            bind(spec, &format!("{dir}/up"), "/up", &["rbind"]);
        },
        script: "touch /up/ready; for n in $(seq 100); do [ -e /up/done ] && break; sleep 0.1; done; cat /in/late/f",
        host: Deed::MountsLate,
        ..WAY
    },
    Way {
        name: "hosts-root",
        closed_by: "mount-system",
        docker: Ok(&["-v=/:/in:ro"]),
        runc: |spec, _| bind(spec, "/", "/in", &["rbind", "ro"]),
        script: "cat /in{dir}/secret",
        refused: Some("of /in is the system's /;"),
        ..WAY
    },
    Way {
        name: "hosts-proc",
        closed_by: "mount-system",
        docker: Ok(&["-v=/proc:/in"]),
        runc: |spec, _| bind(spec, "/proc", "/in", &["rbind"]),
        script: "reach writable /in/sys/kernel/core_pattern",
        refused: Some("of /in is the system's /proc"),
        ..WAY
    },
    Way {
        name: "kernel-settings",
        closed_by: "masked-paths",
        docker: Ok(&["--security-opt=systempaths=unconfined"]),
        runc: |spec, _| {
            spec["linux"].as_object_mut().unwrap().remove("readonlyPaths");
        },
        script: "reach writable /proc/sys/kernel/core_pattern",
        ..WAY
    },
    Way {
        name: "core-dump-handler",
        closed_by: "core-dumps",
        script: "reach crash; sleep 0.5",
        host: Deed::CoreHandler,
        ..WAY
    },
    Way {
        name: "preserved-socket",
        closed_by: "descriptors",
        docker: Err(NO_OPTION),
        runc: |spec, _| namespace(spec, "network", Some("/run/netns/empty")),
        call: r#"r=$1; shift 2; exec {dir}/reach host-with tcp 3 "$r" run --preserve-fds 1 "$@""#,
        script: "reach redial 3 203.0.113.7 80",
        refused: Some("descriptor 3 of --preserve-fds is a socket"),
        ..WAY
    },
    Way {
        name: "namespace-of-a-socket",
        closed_by: "descriptors",
        docker: Err(NO_OPTION),
        runc: |spec, _| {
            namespace(spec, "network", Some("/run/netns/empty"));
            capabilities(spec, &["NET_ADMIN"]);
        },
        call: r#"r=$1; shift 2; exec {dir}/reach host-with tcp 3 "$r" run --preserve-fds 1 "$@""#,
        script: "reach namespace-of 3",
        refused: Some("descriptor 3 of --preserve-fds is a socket"),
        ..WAY
    },
    Way {
        name: "preserved-directory",
        closed_by: "descriptors",
        docker: Err(NO_OPTION),
        call: r#"r=$1; shift 2; exec {dir}/reach host-with / 3 "$r" run --preserve-fds 1 "$@""#,
        script: "reach below 3 .{dir}/secret",
        refused: Some("descriptor 3 of --preserve-fds is a directory"),
        ..WAY
    },
    Way {
        name: "activated-socket",
        closed_by: "descriptors",
        docker: Err(NO_OPTION),
        runc: |spec, _| namespace(spec, "network", Some("/run/netns/empty")),
        call: r#"LISTEN_FDS=1 exec {dir}/reach host-with tcp 3 "$@""#,
        script: "reach redial 3 203.0.113.7 80",
        refused: Some("LISTEN_FDS hands over descriptor 3"),
        ..WAY
    },
    Way {
        name: "stdin-socket",
        closed_by: "descriptors",
        docker: Err("dockerd gives pipes and terminals"),
        runc: |spec, _| namespace(spec, "network", Some("/run/netns/empty")),
        call: r#"r=$1 id=${5:-}; shift 2; : >{dir}/said
            {dir}/reach host-with tcp 0 "$r" run --detach "$@" >{dir}/said 2>&1 || { cat {dir}/said >&2; exit 1; }
            for n in $(seq 50); do [ -s {dir}/said ] && break; sleep 0.1; done; cat {dir}/said; "$r" delete --force "$id""#,
        script: "reach redial 0 203.0.113.7 80",
        refused: Some("descriptor 0 is a network socket"),
        ..WAY
    },
    Way {
        name: "exec-with-capabilities",
        closed_by: "host-capabilities",
        exec: Some([&["--privileged"], &["--cap", "CAP_NET_ADMIN", "--cap", "CAP_SYS_ADMIN"]]),
        script: "reach macvlan 0 {link}",
        refused: Some("host-capabilities: CAP_"),
        shut: &[(Under::DockerDefault, RESOURCE), (Under::DockerUnconfined, RESOURCE)],
        ..WAY
    },
];
