//! Ways by what a container is given of the host: namespaces, capabilities, devices, mounts.

use std::path::Path;

use super::deed::Deed;
use super::site::disk;
use super::way::{Ask, WAY, Way};

/// In the order of the page.
pub(super) const HOST: &[Way] = &[
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
        // Without root, Podman mounts what it cannot make.
        or_by: "mount-system",
        asks: |_| vec![Ask::Device("/dev/vsock")],
        deed: |_, _| device("/dev/vsock"),
        refused: true,
        ..WAY
    },
    Way {
        name: "tun-device",
        threat: "vsock-device",
        closed_by: "devices",
        // Without root, Podman mounts what it cannot make.
        or_by: "mount-system",
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
];

fn device(path: &'static str) -> Result<Deed, String> {
    if Path::new(path).exists() {
        Ok(Deed::Open(path.into()))
    } else {
        Err(format!("this host has no {path}"))
    }
}
