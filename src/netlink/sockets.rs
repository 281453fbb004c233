//! The sockets through which a namespace is observed and changed, one for each netlink protocol.

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::sys::socket::SockProtocol;

use super::socket::Socket;

/// They belong to the network namespace of the thread that opened them.
pub(crate) struct Sockets {
    /// NETLINK_ROUTE: links, addresses, routes, namespace ids.
    pub(crate) route: Socket,
    /// NETLINK_NETFILTER; `None` when the kernel has no such socket.
    pub(crate) firewall: Option<Socket>,
    /// NETLINK_SOCK_DIAG; opened when it is needed.
    pub(crate) diag: Option<Socket>,
}

impl Sockets {
    pub(crate) fn open() -> Result<Self> {
        let route = Socket::open(SockProtocol::NetlinkRoute).context("cannot open a socket for links")?;
        let firewall = match Socket::open(SockProtocol::NetlinkNetFilter) {
            Ok(socket) => Some(socket),
            Err(error) if is_unavailable(error) => None,
            Err(error) => return Err(error).context("cannot open a socket for the firewall"),
        };
        Ok(Self { route, firewall, diag: None })
    }
}

/// Whether an error says that this kernel has no nf_tables, as opposed to refusing us its use.
///
/// socket(2) without nfnetlink: `EPROTONOSUPPORT`. nfnetlink without nf_tables: `EINVAL` to a single message,
/// `EOPNOTSUPP` to a transaction (net/netfilter/nfnetlink.c). nf_tables without family inet: `EAFNOSUPPORT`.
/// `EPERM` and everything else is a failure and never an excuse.
pub(crate) fn is_unavailable(error: Errno) -> bool {
    matches!(
        error,
        Errno::EPROTONOSUPPORT
            | Errno::ESOCKTNOSUPPORT
            | Errno::EAFNOSUPPORT
            | Errno::EINVAL
            | Errno::EOPNOTSUPP
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_is_told_apart_from_forbidden() {
        for missing in [Errno::EPROTONOSUPPORT, Errno::EINVAL, Errno::EOPNOTSUPP, Errno::EAFNOSUPPORT] {
            assert!(is_unavailable(missing), "{missing}");
        }
        for failure in
            [Errno::EPERM, Errno::EACCES, Errno::ENOMEM, Errno::ENOBUFS, Errno::EBUSY, Errno::ENOENT]
        {
            assert!(!is_unavailable(failure), "{failure}");
        }
    }
}
