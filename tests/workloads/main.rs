//! Ordinary programs of Debian in isolated containers, with what Docker gives to any container and with default
//! settings: they work as they do without isolation, and SDKs find no credential. `hack/workloads` makes the tree.
//!
//! Every test runs its container both ways, so that what fails without isolation is not taken for isolation's doing.

#![allow(clippy::unwrap_used, reason = "all of this crate is test code")]
#![allow(clippy::print_stdout, reason = "how long an SDK took is asked for")]

mod container;
mod ordinary;
mod sdks;
