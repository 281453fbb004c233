//! Anything on no list does not reach an isolated container. Each hole is shown open with the bare runtime and closed
//! behind the shim, with runc and crun of Debian 12 and of the second Debian.
//!
//! Needs root and what `hack/engines` installs.

#![allow(clippy::unwrap_used, reason = "all of this crate is test code")]
#![allow(clippy::print_stderr, reason = "what a daemon said is wanted when its test fails")]

mod capabilities;
mod contract;
mod credentials;
mod jobs;
mod lifecycle;
mod mounts;
mod namespaces;
mod ordinary;
mod reading;
mod roots;
mod seccomp;
mod sending;
mod uevents;
