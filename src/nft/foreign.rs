//! Foreign sockets: those that exist in a namespace before any program of the container has run.

use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

/// Where a foreign socket listens.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ForeignSocket {
    /// At a port, of one address or of all.
    Port {
        /// As in the IP header: 6 TCP, 17 UDP.
        protocol: u8,
        /// None when it is bound to every address.
        address: Option<IpAddr>,
        /// In host order.
        port: u16,
    },
    /// To a whole protocol: raw and ping sockets, and protocols whose sockets the kernel does not list in one
    /// way.
    Protocol(u8),
    /// To the frames of the loopback device, or of every device (packet(7)).
    Packet,
}

impl ForeignSocket {
    /// At a port of one address, or of all where that is the unspecified one.
    #[must_use]
    pub fn at(protocol: u8, address: IpAddr, port: u16) -> Self {
        Self::Port { protocol, address: (!address.is_unspecified()).then_some(address), port }
    }
}

impl fmt::Display for ForeignSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = |f: &mut fmt::Formatter<'_>, protocol| match protocol {
            6 => f.write_str("tcp"),
            17 => f.write_str("udp"),
            other => write!(f, "protocol {other}"),
        };
        match self {
            Self::Port { protocol, address, port } => {
                name(f, *protocol)?;
                match address {
                    Some(IpAddr::V6(address)) => write!(f, " [{address}]:{port}"),
                    Some(address) => write!(f, " {address}:{port}"),
                    None => write!(f, " *:{port}"),
                }
            }
            Self::Protocol(protocol) => {
                f.write_str("raw ")?;
                name(f, *protocol)
            }
            Self::Packet => f.write_str("packet"),
        }
    }
}
