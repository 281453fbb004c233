//! Reads and renews the lease of an allow-list ([`crate::nft`]), in the network namespace of the calling thread.

use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use nix::errno::Errno;

use super::firewall;
use crate::netlink::{Socket, Sockets};
use crate::nft::{Keys, LEASES, LeaseElement, lease_elements, lease_keys, messages};

/// For how long it runs from now.
pub(super) fn left(sockets: &mut Sockets) -> Result<Duration> {
    let socket = sockets.firewall.as_mut().context("this kernel has no nf_tables")?;
    Ok(LeaseSets::read(socket).map_err(unreadable)?.left())
}

/// Lets it run for that long from now, if that is more than it has.
pub(super) fn renew(sockets: &mut Sockets, wanted: Duration) -> Result<()> {
    let socket = sockets.firewall.as_mut().context("this kernel has no nf_tables")?;
    for _ in 0..ATTEMPTS {
        let generation = firewall::generation(socket).map_err(unreadable)?;
        let sets = LeaseSets::read(socket).map_err(unreadable)?;
        if wanted < sets.left() + STEP {
            return Ok(());
        }
        match sets.renew(socket, generation, wanted) {
            Ok(()) => return Ok(()),
            // It was changed meanwhile, or an element has run out.
            Err(Errno::ERESTART | Errno::ENOENT) => (),
            Err(errno) => return Err(anyhow!(errno).context("the kernel does not renew it")),
        }
    }
    bail!("the firewall of the namespace does not come to rest")
}

fn unreadable(errno: Errno) -> anyhow::Error {
    anyhow!(errno).context("cannot read table inet oci_isolate")
}

/// What both sets of the lease hold.
struct LeaseSets([Vec<LeaseElement>; 2]);

impl LeaseSets {
    fn read(socket: &mut Socket) -> Result<Self, Errno> {
        let mut read = |set| {
            let parts =
                socket.query(&messages::dump_elements(set), |(_, part)| Some(lease_elements(&part)))?;
            Ok(parts.concat())
        };
        let [one, other] = LEASES;
        Ok(Self([read(one)?, read(other)?]))
    }

    fn left(&self) -> Duration {
        self.0.iter().map(|set| left_of(set)).max().unwrap_or_default()
    }

    /// The one that ends sooner, in one transaction.
    fn renew(&self, socket: &mut Socket, generation: u32, wanted: Duration) -> Result<(), Errno> {
        let sooner = usize::from(left_of(&self.0[1]) < left_of(&self.0[0]));
        let (set, there) = (LEASES[sooner], Keys::new(1, self.0[sooner].iter().map(|element| &element.key)));
        let timeout = u64::try_from(wanted.as_millis()).unwrap_or(u64::MAX);
        let done = firewall::transaction(socket, Some(generation), |batch| {
            firewall::add_all(batch, &messages::delete_elements(set, &there, &Keys::none(1)));
            batch.add(&messages::new_timed_elements(set, &lease_keys(), timeout));
        });
        done.map_err(|(_, errno)| errno)
    }
}

fn left_of(set: &[LeaseElement]) -> Duration {
    set.iter().map(|element| element.left).max().unwrap_or_default()
}

/// What is no reason to renew it: the kernel's clock is coarser than what was wanted.
const STEP: Duration = Duration::from_secs(1);

/// How often another process may be faster.
const ATTEMPTS: usize = 64;
