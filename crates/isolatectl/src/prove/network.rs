//! Ways over the network, and by sockets that are not the network namespace's.

use std::net::{IpAddr, Ipv4Addr};

use super::deed::{Deed, PORT, SocketKind};
use super::site::Site;
use super::way::{Ask, WAY, Way, When, find, later};

/// In the order of the page.
pub(super) const NETWORK: &[Way] = &[
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
        deed: |_, peer| Ok(Deed::Resolve((peer.server.clone()?, 53).into(), peer.name.clone())),
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
        deed: |_, _| Ok(Deed::Socket(SocketKind::Packet)),
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
        deed: |_, _| Ok(Deed::Socket(SocketKind::Alg)),
        ..WAY
    },
    Way {
        name: "uevents",
        threat: "uevents",
        closed_by: "seccomp",
        asks: unfiltered,
        deed: |_, _| Ok(Deed::Socket(SocketKind::Uevents)),
        ..WAY
    },
    Way {
        name: "audit",
        threat: "NETLINK_AUDIT",
        closed_by: "seccomp",
        asks: unfiltered,
        deed: |_, _| Ok(Deed::Socket(SocketKind::Audit)),
        ..WAY
    },
];

fn at(address: [u8; 4]) -> Deed {
    Deed::Connect((Ipv4Addr::from(address), 80).into())
}

fn unfiltered(_: &Site) -> Vec<Ask> {
    vec![Ask::NoProfile]
}
