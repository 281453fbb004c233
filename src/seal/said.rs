//! What is observed when somebody else than the kernel answers: for fuzzing (`fuzz/properties.rs`), and for nothing that
//! goes into a container.

use std::collections::BTreeSet;
use std::os::fd::OwnedFd;

use anyhow::Result;

use super::observe::{Observation, Wires, observe};
use super::wire::Wire;
use super::{Foreign, Sockets, sockets};

/// Links, addresses, routes and namespace ids as `route` answers, the table as `firewall` answers. Sockets that carry
/// datagrams, with the answers in their queues already; requests are sent into them too.
///
/// # Errors
/// Those of [`super::look`].
pub fn namespace(route: OwnedFd, firewall: OwnedFd) -> Result<Observation> {
    let mut wires = Wires {
        route: Wire::over(route),
        firewall: Some(Wire::over(firewall)),
        sockets: sockets::Looks::default(),
    };
    observe(&mut wires, Sockets::Own)
}

/// The inet sockets as the files below `/proc/net` list them, and TCP's as `diag` answers.
///
/// # Errors
/// An answer cannot be understood, or is missing.
pub fn sockets(files: impl Fn(&str) -> String, diag: OwnedFd) -> Result<BTreeSet<Foreign>> {
    sockets::listed(|name| Ok(files(name)), &mut sockets::Looks::over(Wire::over(diag)))
}
