//! Faults of the machine: no memory, no descriptors, no disk space, no /proc, signals at any moment, engines that are
//! killed. An isolated container works or does not start, its config.json is the old or the new one, and leftovers do not
//! block later containers.
//!
//! `kill -9` at each system call of the shim is in `tests/shim/crash.rs`, a state directory that cannot be written in
//! `tests/shim/state.rs`. Needs root and what `hack/engines` installs.

#![allow(clippy::unwrap_used, reason = "all of this crate is test code")]
#![allow(clippy::print_stderr, reason = "what a daemon said is wanted when its test fails")]

mod clock;
mod engines;
mod leftovers;
mod limits;
mod room;
mod signals;
