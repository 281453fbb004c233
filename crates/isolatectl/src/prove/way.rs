//! What a way is, and what a container is asked for to try it.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use super::deed::{Deed, PORT};
use super::site::Site;

/// One way out of a container, or into it for a credential.
pub(super) struct Way {
    /// Its name in the table.
    pub(super) name: &'static str,
    /// Its row of docs/threats.md: the name there, or the beginning of a row without one.
    #[cfg_attr(not(test), allow(dead_code, reason = "compared with the page by a test"))]
    pub(super) threat: &'static str,
    /// The rule that closes it, `seal`, or `verify` for what that finds.
    pub(super) closed_by: &'static str,
    /// Another rule that may refuse the container instead, or nothing.
    pub(super) or_by: &'static str,
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
    /// A network beside which another can be connected: the default one, but with Podman, whose default for a user is none.
    Connectable,
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
    /// A variable of a process that is added.
    VariableOfExec(&'static str, String),
    /// One more argument of the program.
    Argument(String),
}

/// The container that answers.
#[derive(Debug)]
pub(super) struct Peer {
    /// Its addresses on the throw-away network, or why there is none.
    pub(super) addresses: Result<Vec<IpAddr>, String>,
    /// Those on the network that containers are connected to while they run, or why there is none.
    pub(super) later: Result<Vec<IpAddr>, String>,
    /// A name of it that the engine's name server knows.
    pub(super) name: String,
    /// That server on the throw-away network, or why there is none. Others of /etc/resolv.conf are the host's, and may be other
    /// hosts.
    pub(super) server: Result<IpAddr, String>,
}

impl Peer {
    /// Before anything is known of it.
    pub(super) fn of(site: &Site) -> Self {
        let unknown = || "the engine did not tell".to_owned();
        Self { addresses: Err(unknown()), later: Err(unknown()), name: site.peer(), server: Err(unknown()) }
    }

    /// Of the throw-away network.
    pub(super) fn v4(&self) -> Result<SocketAddr, String> {
        find(&self.addresses, IpAddr::is_ipv4)
    }
}

/// The server of the peer at an address of a kind.
pub(super) fn find(
    addresses: &Result<Vec<IpAddr>, String>,
    is_wanted: fn(&IpAddr) -> bool,
) -> Result<SocketAddr, String> {
    let address = addresses.as_ref().map_err(Clone::clone)?.iter().copied().find(is_wanted);
    Ok((address.ok_or("the engine gives its networks no address of that kind")?, PORT).into())
}

/// A network with the capability that Docker gives by default, credentials, and a directory with a socket.
pub(super) fn plain(site: &Site) -> Vec<Ask> {
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
pub(super) const TOKEN: &str = "/var/run/secrets/eks.amazonaws.com/serviceaccount/token";

/// What is the same for most.
pub(super) const WAY: Way = Way {
    name: "",
    threat: "",
    closed_by: "network-namespace",
    or_by: "",
    asks: plain,
    deed: |_, _| Err(String::new()),
    when: When::Start,
    refused: false,
};

/// Where a network can be connected later.
pub(super) fn later(site: &Site) -> Vec<Ask> {
    vec![Ask::Connectable, Ask::VariableOfExec("AWS_SECRET_ACCESS_KEY", site.word.clone())]
}
