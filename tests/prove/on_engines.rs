//! `isolatectl prove` on Podman and containerd, on installations that do not isolate, and on an engine that is slow:
//! `hack/test prove_engines`.

#![allow(clippy::unwrap_used, reason = "all of this crate is test code")]
#![allow(clippy::print_stderr, reason = "the tables are the proof")]

mod called;
mod on_containerd;
mod on_podman;
mod scripts;
mod slow;
