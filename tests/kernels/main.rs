//! Isolation on the kernel of the machine: closed where the kernel has what it takes, refused with the remedy where it has not.
//! `hack/kernels` runs it in virtual machines and says what theirs lacks. By hand on any other: nothing lacks there.

#![allow(clippy::unwrap_used, reason = "all of this crate is test code")]
#![allow(clippy::print_stderr, reason = "what was said on a kernel is the proof")]

mod doctor;
mod lacks;
mod unprivileged;
mod way_out;
