//! The ways of docs/threats.md that an engine's ordinary options open, and how each is tried. docs/prove.md has the same
//! rows, and a test fails for a way of docs/threats.md that is in neither list.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use super::deed::{Deed, Family, PORT};
use super::site::{Site, disk};

/// One way out of a container, or into it for a credential.
pub(super) struct Way {
    /// Its name in the table.
    pub(super) name: &'static str,
    /// Its row of docs/threats.md: the name there, or the beginning of a row without one.
    #[cfg_attr(not(test), allow(dead_code, reason = "compared with the page by a test"))]
    pub(super) threat: &'static str,
    /// The rule that closes it, `seal`, or `verify` for what that finds.
    pub(super) closed_by: &'static str,
    /// What the engine is asked for.
    pub(super) asks: fn(&Site) -> Vec<Ask>,
    /// What is tried, or why it cannot be on this host.
    pub(super) deed: fn(&Site, &Peer) -> Result<Deed, String>,
    /// When.
    pub(super) when: When,
    /// Whether an isolated container does not even start.
    pub(super) refused: bool,
}

/// When a deed is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum When {
    /// By the container's program.
    Start,
    /// By `exec`, after a network was connected.
    Later,
}

/// An option of an engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Ask {
    /// The throw-away network.
    Network,
    HostNetwork,
    NetworkOfPeer,
    HostPid,
    PidOfPeer,
    HostIpc,
    Capability(&'static str),
    Device(&'static str),
    /// Access to all block devices.
    AllDisks,
    /// A file of the host, read-only.
    Mount(PathBuf, &'static str),
    /// No seccomp profile of the engine's.
    NoProfile,
    /// The kernel's files neither masked nor read-only.
    Unmasked,
    /// A variable.
    Variable(&'static str, String),
    /// One more argument of the program.
    Argument(String),
}

/// The container that answers.
#[derive(Debug)]
pub(super) struct Peer {
    /// Its addresses on the throw-away network.
    pub(super) addresses: Vec<IpAddr>,
    /// Those on the network that containers are connected to while they run.
    pub(super) later: Vec<IpAddr>,
    /// A name of it that the engine's name server knows.
    pub(super) name: String,
}

impl Peer {
    fn v4(&self) -> Result<SocketAddr, String> {
        find(&self.addresses, IpAddr::is_ipv4)
    }
}

fn find(addresses: &[IpAddr], is_wanted: fn(&IpAddr) -> bool) -> Result<SocketAddr, String> {
    let address = addresses.iter().copied().find(is_wanted);
    Ok((address.ok_or("the engine gives its networks no address of that kind")?, PORT).into())
}

/// A network with the capability that Docker gives by default, credentials, and a directory with a socket.
fn plain(site: &Site) -> Vec<Ask> {
    vec![
        Ask::Network,
        Ask::Capability("NET_RAW"),
        Ask::Mount(site.dir.join("sockets"), "/sockets"),
        Ask::Mount(site.dir.join("credentials"), TOKEN),
        Ask::Variable("AWS_SECRET_ACCESS_KEY", site.word.clone()),
        Ask::Variable("AWS_CONTAINER_CREDENTIALS_FULL_URI", site.word.clone()),
    ]
}

/// Where EKS mounts the token of a role.
const TOKEN: &str = "/var/run/secrets/eks.amazonaws.com/serviceaccount/token";

const WAY: Way = Way {
    name: "",
    threat: "",
    closed_by: "network-namespace",
    asks: plain,
    deed: |_, _| Err(String::new()),
    when: When::Start,
    refused: false,
};

fn at(address: [u8; 4]) -> Deed {
    Deed::Connect((Ipv4Addr::from(address), 80).into())
}

fn device(path: &'static str) -> Result<Deed, String> {
    if Path::new(path).exists() {
        Ok(Deed::Open(path.into()))
    } else {
        Err(format!("this host has no {path}"))
    }
}

/// In the order of the page.
pub(super) const WAYS: &[Way] = &[
    Way { name: "tcp", threat: "tcp", deed: |_, peer| peer.v4().map(Deed::Tcp), ..WAY },
    Way {
        name: "tcp6",
        threat: "tcp",
        deed: |_, peer| find(&peer.addresses, IpAddr::is_ipv6).map(Deed::Tcp),
        ..WAY
    },
    Way { name: "udp", threat: "udp", deed: |_, peer| peer.v4().map(Deed::Udp), ..WAY },
    Way {
        name: "ping",
        threat: "what the kernel sends for a program",
        closed_by: "seal",
        deed: |_, peer| peer.v4().map(|address| Deed::Ping(address.ip())),
        ..WAY
    },
    Way { name: "metadata", threat: "metadata", deed: |_, _| Ok(at([169, 254, 169, 254])), ..WAY },
    Way {
        name: "task-credentials",
        threat: "task-credentials",
        deed: |_, _| Ok(at([169, 254, 170, 2])),
        ..WAY
    },
    Way {
        name: "dns",
        threat: "DNS through a server in the namespace",
        closed_by: "seal",
        deed: |_, peer| Ok(Deed::Resolve(peer.name.clone())),
        ..WAY
    },
    Way {
        name: "network-connected-later",
        threat: "a network connected to a running container",
        closed_by: "seal",
        asks: later,
        deed: |_, peer| find(&peer.later, IpAddr::is_ipv4).map(Deed::Tcp),
        when: When::Later,
        ..WAY
    },
    Way {
        name: "record",
        threat: "a record that is missing or is not found",
        closed_by: "verify",
        asks: later,
        deed: |_, _| Ok(Deed::Unverified),
        when: When::Later,
        ..WAY
    },
    Way {
        name: "host-network",
        threat: "host-network",
        asks: |_| vec![Ask::HostNetwork],
        deed: |site, _| Ok(Deed::Tcp(site.loopback)),
        ..WAY
    },
    Way {
        name: "abstract-socket",
        threat: "abstract-socket",
        asks: |_| vec![Ask::HostNetwork],
        deed: |site, _| Ok(Deed::AbstractSocket(site.name.clone())),
        ..WAY
    },
    Way {
        name: "network-of-another",
        threat: "network-of-another",
        asks: |_| vec![Ask::NetworkOfPeer],
        deed: |_, _| Ok(Deed::Tcp((Ipv4Addr::LOCALHOST, PORT).into())),
        ..WAY
    },
    Way {
        name: "packet-socket",
        threat: "packet-socket",
        closed_by: "network-capabilities",
        deed: |_, _| Ok(Deed::Socket(Family::Packet)),
        ..WAY
    },
    Way {
        name: "vsock",
        threat: "vsock",
        closed_by: "seccomp",
        asks: unfiltered,
        deed: |site, _| site.vsock.as_ref().map(|(_, port)| Deed::Vsock(*port)).map_err(Clone::clone),
        ..WAY
    },
    Way {
        name: "alg",
        threat: "vsock by high bits",
        closed_by: "seccomp",
        asks: unfiltered,
        deed: |_, _| Ok(Deed::Socket(Family::Alg)),
        ..WAY
    },
    Way {
        name: "uevents",
        threat: "uevents",
        closed_by: "seccomp",
        asks: unfiltered,
        deed: |_, _| Ok(Deed::Socket(Family::Uevents)),
        ..WAY
    },
    Way {
        name: "audit",
        threat: "NETLINK_AUDIT",
        closed_by: "seccomp",
        asks: unfiltered,
        deed: |_, _| Ok(Deed::Socket(Family::Audit)),
        ..WAY
    },
    Way {
        name: "host-pid-root",
        threat: "host-pid-root",
        closed_by: "host-pid",
        asks: |_| vec![Ask::HostPid],
        deed: |site, _| {
            let root = format!("/proc/{}/root{}/secret", site.process.clone()?, site.dir.display());
            Ok(Deed::ReadAsNobody(root.into()))
        },
        refused: true,
        ..WAY
    },
    Way {
        name: "pid-of-another",
        threat: "pid-of-another",
        closed_by: "host-pid",
        asks: |_| vec![Ask::PidOfPeer],
        deed: |_, _| Ok(Deed::Read("/proc/1/cmdline".into())),
        refused: true,
        ..WAY
    },
    Way {
        name: "host-ipc",
        threat: "host-ipc",
        closed_by: "host-ipc",
        asks: |_| vec![Ask::HostIpc],
        deed: |site, _| Ok(Deed::Read(site.shared.clone())),
        refused: true,
        ..WAY
    },
    Way {
        name: "mount-by-sys-admin",
        threat: "mount-by-sys-admin",
        closed_by: "host-capabilities",
        asks: |_| vec![Ask::Capability("SYS_ADMIN")],
        deed: |_, _| Ok(Deed::MountProc),
        refused: true,
        ..WAY
    },
    Way {
        name: "kernel-log",
        threat: "kernel-log",
        closed_by: "host-capabilities",
        asks: |_| vec![Ask::Capability("SYSLOG")],
        deed: |_, _| Ok(Deed::Open("/proc/kmsg".into())),
        refused: true,
        ..WAY
    },
    Way {
        name: "vsock-device",
        threat: "vsock-device",
        closed_by: "devices",
        asks: |_| vec![Ask::Device("/dev/vsock")],
        deed: |_, _| device("/dev/vsock"),
        refused: true,
        ..WAY
    },
    Way {
        name: "tun-device",
        threat: "vsock-device",
        closed_by: "devices",
        asks: |_| vec![Ask::Device("/dev/net/tun")],
        deed: |_, _| device("/dev/net/tun"),
        refused: true,
        ..WAY
    },
    Way {
        name: "disk",
        threat: "disk",
        closed_by: "device-access",
        asks: |_| vec![Ask::AllDisks, Ask::Capability("MKNOD")],
        deed: |_, _| disk().map(Deed::OpenDisk),
        refused: true,
        ..WAY
    },
    Way {
        name: "socket",
        threat: "socket",
        closed_by: "mount-sockets",
        asks: |site| vec![Ask::Mount(site.dir.join("sockets/engine"), "/var/run/engine.sock")],
        deed: |_, _| Ok(Deed::UnixSocket("/var/run/engine.sock".into())),
        refused: true,
        ..WAY
    },
    Way {
        name: "socket-in-a-directory",
        threat: "socket-in-a-directory",
        closed_by: "mount-sockets",
        deed: |_, _| Ok(Deed::UnixSocket("/sockets/engine".into())),
        ..WAY
    },
    Way {
        name: "fifo",
        threat: "fifo",
        closed_by: "mount-sockets",
        asks: |site| vec![Ask::Mount(site.dir.join("fifo"), "/fifo")],
        deed: |_, _| Ok(Deed::Read("/fifo".into())),
        refused: true,
        ..WAY
    },
    Way {
        name: "hosts-root",
        threat: "hosts-root",
        closed_by: "mount-system",
        asks: |_| vec![Ask::Mount("/".into(), "/host")],
        deed: |site, _| Ok(Deed::Read(format!("/host{}/secret", site.dir.display()).into())),
        refused: true,
        ..WAY
    },
    Way {
        name: "kernel-settings",
        threat: "kernel-settings",
        closed_by: "masked-paths",
        asks: |_| vec![Ask::Unmasked],
        deed: |_, _| Ok(Deed::OpenForWriting("/proc/sys/kernel/core_pattern".into())),
        ..WAY
    },
    Way {
        name: "environment",
        threat: "environment, at start",
        closed_by: "credentials-env",
        deed: |_, _| Ok(Deed::Variable("AWS_SECRET_ACCESS_KEY".into())),
        ..WAY
    },
    Way {
        name: "credentials-endpoint",
        threat: "environment, at start",
        closed_by: "credentials-env",
        deed: |_, _| Ok(Deed::Variable("AWS_CONTAINER_CREDENTIALS_FULL_URI".into())),
        ..WAY
    },
    Way {
        name: "environment-by-exec",
        threat: "environment, by `exec`",
        closed_by: "credentials-env",
        asks: later,
        deed: |_, _| Ok(Deed::Variable("AWS_SECRET_ACCESS_KEY".into())),
        when: When::Later,
        ..WAY
    },
    Way {
        name: "credential-file",
        threat: "files in the image",
        closed_by: "credential-files",
        deed: |_, _| Ok(Deed::Read("/root/.aws/credentials".into())),
        ..WAY
    },
    Way {
        name: "token",
        threat: "files in the image",
        closed_by: "credential-mounts",
        deed: |_, _| Ok(Deed::Read(TOKEN.into())),
        ..WAY
    },
    Way {
        name: "arguments",
        threat: "arguments",
        closed_by: "credential-args",
        asks: |site| vec![Ask::Argument(format!("AWS_SECRET_ACCESS_KEY={}", secret(site)))],
        deed: |_, _| Ok(Deed::Argument("AWS_SECRET_ACCESS_KEY".into())),
        refused: true,
        ..WAY
    },
];

/// With the engine's default network.
fn later(_: &Site) -> Vec<Ask> {
    Vec::new()
}

fn unfiltered(_: &Site) -> Vec<Ask> {
    vec![Ask::NoProfile]
}

/// Looks like a secret access key, which a hexadecimal number does not.
fn secret(site: &Site) -> String {
    format!("wJalrXUtnFEMI/K7MDENG/bP{}", site.word)
}

/// The ways of docs/threats.md that are not here, and why.
#[cfg(test)]
pub(super) const LEFT_OUT: &[(&str, &str)] = &[
    ("link-by-known-nsid", "makes a link on the host's network device"),
    ("link-by-pid", "makes a link on the host's network device"),
    ("request-key-upcall", "needs a `/sbin/request-key` of its own on the host"),
    ("seccomp-agent", "no option of these engines"),
    ("host-pid-ptrace", "stops a process of the host; `host-pid-root` is refused by the same rule"),
    (
        "host-pid-descriptor",
        "needs a system call that this program does not make; `host-pid-root` is refused by the same rule",
    ),
    ("namespace-by-handle", "needs a system call that this program does not make"),
    ("file-by-handle", "needs a system call that this program does not make"),
    ("bpf-programs", "needs a system call that this program does not make"),
    ("socket-bound-later", "not tried yet"),
    ("mount-made-later", "mounts a file system on the host"),
    ("hosts-proc", "refused by the same rule as `hosts-root`"),
    ("core-dump-handler", "changes the host's core_pattern"),
    ("preserved-socket", "an option of Podman only, which is not tried yet"),
    ("namespace-of-a-socket", "an option of Podman only, which is not tried yet"),
    ("preserved-directory", "an option of Podman only, which is not tried yet"),
    ("activated-socket", "no option of these engines"),
    ("stdin-socket", "no option of these engines"),
    ("exec-with-capabilities", "not tried yet"),
];

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use super::{LEFT_OUT, WAYS};

    fn page(name: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs").join(name)
    }

    #[test]
    fn each_way_of_the_threats_is_tried_or_left_out_with_a_reason() {
        let text = std::fs::read_to_string(page("threats.md")).unwrap();
        let firsts: Vec<&str> =
            text.lines().filter_map(|line| line.strip_prefix("| ")?.split(" | ").next()).collect();
        // The names of the first table.
        let named: Vec<&str> = text
            .lines()
            .skip_while(|line| !line.starts_with("| name | way |"))
            .take_while(|line| line.starts_with('|'))
            .filter_map(|line| Some(line.strip_prefix("| `")?.split_once('`')?.0))
            .collect();
        assert!(named.len() > 30, "{named:?}");
        for name in &named {
            let (tried, left_out) =
                (WAYS.iter().any(|way| way.threat == *name), LEFT_OUT.iter().any(|(out, _)| out == name));
            assert!(tried != left_out, "{name} of docs/threats.md is tried: {tried}, left out: {left_out}");
        }
        for way in WAYS {
            let is_row =
                |first: &&str| first.trim_matches('`') == way.threat || first.starts_with(way.threat);
            assert!(firsts.iter().any(is_row), "{}: docs/threats.md has no row {}", way.name, way.threat);
        }
        for (name, _) in LEFT_OUT {
            assert!(named.contains(name), "docs/threats.md has no {name}");
        }
    }

    #[test]
    fn the_page_has_the_ways_and_what_is_left_out() {
        let ways: Vec<_> = WAYS
            .iter()
            .map(|way| format!("| `{}` | {} | {} |", way.name, way.threat, way.closed_by))
            .collect();
        let out: Vec<_> = LEFT_OUT.iter().map(|(name, why)| format!("| `{name}` | {why} |")).collect();
        let wanted = format!(
            "| way | of docs/threats.md | closed by |\n|---|---|---|\n{}\n\nLeft out:\n\n| way | why |\n|---|---|\n{}\n",
            ways.join("\n"),
            out.join("\n")
        );
        let path = page("prove.md");
        let text = std::fs::read_to_string(&path).unwrap();
        let (head, rest) = text.split_once("<!-- table -->\n").unwrap();
        let (found, tail) = rest.split_once("<!-- end of the table -->").unwrap();
        if std::env::var_os("OCI_ISOLATE_TEST_BLESS").is_some() {
            let text = format!("{head}<!-- table -->\n{wanted}<!-- end of the table -->{tail}");
            std::fs::write(&path, text).unwrap();
        } else {
            assert_eq!(found, wanted, "{} is not the table any more", path.display());
        }
    }
}
