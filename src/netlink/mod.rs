//! Netlink (netlink(7)): the sockets on which links, addresses, routes, sockets and nf_tables are read and
//! changed.
//!
//! Carries messages and knows nothing of what they say. Must not wait for a reply.

mod socket;
mod sockets;

pub(crate) use socket::{Batch, Socket};
pub(crate) use sockets::{Sockets, is_unavailable};
