//! `isolatectl` as an operator meets it: real containers of runc behind the shim, sabotaged from outside.
//!
//! Everything happens on throw-away hosts (`tests/shim/harness.rs`). The tests need root, runc, `ip` and `nft`.

#![allow(clippy::unwrap_used, reason = "all of this crate is test code")]

#[allow(dead_code, reason = "the shim's tests use the rest")]
#[path = "../shim/harness.rs"]
mod harness;
#[allow(dead_code, reason = "the shim's tests use the rest")]
#[path = "../shim/recorder.rs"]
mod recorder;
#[path = "../shim/said.rs"]
mod said;
#[allow(dead_code, reason = "the shim's tests use the rest")]
#[path = "../shim/spec.rs"]
mod spec;

mod audit;
mod check;
mod doctor;
mod look;
mod mounted;
mod openings;
mod outside;
mod pod;
mod processes;
mod records;
mod seal;
mod sealed;
mod tree;
mod unrecorded;
