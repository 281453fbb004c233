//! What is tried in a container, as data: the host writes it on the command line of the probe, the probe does it.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Port on which the peer answers, by TCP and UDP.
pub(super) const PORT: u16 = 4711;

/// One attempt.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) enum Deed {
    /// Reads what a TCP server sends.
    Tcp(SocketAddr),
    /// Sends a datagram and reads the answer.
    Udp(SocketAddr),
    /// Sends an ICMP echo request.
    Ping(IpAddr),
    /// Connects, sends nothing and reads nothing: a real metadata service is not asked for anything.
    Connect(SocketAddr),
    /// Asks a name server for a name.
    Resolve(SocketAddr, String),
    /// Reads what a server at an abstract Unix socket sends.
    AbstractSocket(String),
    /// Reads what a server at a Unix socket sends.
    UnixSocket(PathBuf),
    /// Finds a port of the machine's virtual sockets taken, of which there is one table; nothing is sent to the hypervisor.
    Vsock(u32),
    /// Opens a socket of a kind.
    Socket(SocketKind),
    /// Reads a file or a FIFO.
    Read(PathBuf),
    /// Reads a file as the user `nobody`.
    ReadAsNobody(PathBuf),
    /// Opens a file, and reads nothing.
    Open(PathBuf),
    /// Opens a file for writing, and writes nothing.
    OpenForWriting(PathBuf),
    /// Makes the node of a disk, opens it and reads nothing.
    OpenDisk(u64),
    /// Mounts proc anew, and opens a kernel setting there for writing.
    MountProc,
    /// Reads a variable of its environment.
    Variable(String),
    /// Is not isolated, as `isolatectl verify` sees it from the host; not for the probe.
    Unverified,
    /// Finds this variable's assignment among its arguments.
    Argument(String),
}

/// A kind of socket.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) enum SocketKind {
    /// Frames of the network, below any firewall.
    Packet,
    /// The kernel's cryptography.
    Alg,
    /// Events of the host's devices.
    Uevents,
    /// The machine's audit log.
    Audit,
}

/// What became of a deed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Reply {
    /// The call that leads out succeeded; with what there is to say of it.
    Done(String),
    /// There is another side; what it sent, which may be nothing.
    Reached(String),
    /// This was read.
    Read(String),
    /// It failed.
    Shut(String),
    /// No answer came in time. A packet that was lost looks the same.
    Late,
    /// It was not tried; why.
    Untried(String),
}
