//! Ordinary programs of Debian in isolated containers, with Docker's defaults and with default settings: they work as
//! without isolation, and SDKs find no credential. `hack/workloads` makes the tree.
//!
//! Every test runs its container both ways, so that a failure without isolation is not attributed to isolation.

#![allow(clippy::unwrap_used, reason = "all of this crate is test code")]
#![allow(clippy::print_stdout, reason = "how long an SDK took is asked for")]

mod attempts;
mod container;
mod foretold;
mod ordinary;
mod sdks;
