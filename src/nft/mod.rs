//! The table `inet oci_isolate` of nftables as data: which one a namespace gets, how two of them differ, and
//! the messages that load and list it.
//!
//! A namespace is in one of four states: *absent* (no table), *lockdown* (before an engine plumbs: loopback
//! and address announcements), *sealed* (loopback only), *allow-list* (ports and peers). Pure: sends and
//! receives nothing, and knows nothing of containers.

mod additions;
mod allow_list;
mod attempts;
mod codec;
pub(crate) mod counted;
mod difference;
mod dynset;
mod expr;
mod family;
mod foreign;
mod ingress;
mod intended;
mod intervals;
mod keys;
mod lease;
mod lockdown;
pub(crate) mod messages;
mod peer_sets;
mod sealed;
mod table;

pub(crate) use additions::{AddedRule, Additions, ElementChange};
pub use allow_list::AllowList;
pub(crate) use attempts::{ARRIVALS, ATTEMPTS, Tally};
pub use attempts::{Destination, Direction};
pub use difference::Difference;
pub use expr::{Compare, Expr};
pub use foreign::ForeignSocket;
pub use keys::Keys;
pub(crate) use lease::{LEASES, LeaseElement, lease_elements, lease_keys};
pub(crate) use sealed::ENGINE_DNS;
pub use table::{Base, Chain, Loaded, Set, Table};
