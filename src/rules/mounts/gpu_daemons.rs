//! Sockets of the daemons of GPU drivers, which the platform mounts into every container with a GPU. Programs
//! run without them.

use super::{FileKind, MountSource};

/// The last components of the path, and the daemon.
const SOCKETS: [(&str, &str); 2] = [
    // NVIDIA Container Toolkit, internal/discover/ipc.go, also below the root of a driver container.
    ("nvidia-fabricmanager/socket", "NVIDIA's fabric manager"),
    ("nvidia-persistenced/socket", "NVIDIA's persistence daemon"),
];

/// The same for a directory of sockets and FIFOs.
const DIRECTORIES: [(&str, &str); 1] = [
    // The same file; `CUDA_MPS_PIPE_DIRECTORY` by default (NVIDIA, "Multi-Process Service").
    ("tmp/nvidia-mps", "CUDA's Multi-Process Service"),
];

/// The daemon to which a source leads.
pub(super) fn daemon_behind(source: &MountSource) -> Option<&'static str> {
    let table: &[(&str, &'static str)] = match source.kind {
        FileKind::Socket => &SOCKETS,
        FileKind::Directory if source.sockets.len() + source.fifos.len() > 0 => &DIRECTORIES,
        _ => return None,
    };
    table.iter().find(|(path, _)| source.real.ends_with(path)).map(|(_, daemon)| *daemon)
}
