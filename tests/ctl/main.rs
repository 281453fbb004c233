//! `isolatectl` as an operator uses it: real containers of runc behind the shim, sabotaged from outside.
//!
//! Everything happens on throw-away hosts (`test_support::recorded`). The tests need root, runc, `ip` and `nft`.

#![allow(clippy::unwrap_used, reason = "all of this crate is test code")]

mod attempts;
mod audit;
mod check;
mod doctor;
mod events;
mod journal;
mod look;
mod mounted;
mod observe;
mod openings;
mod outside;
mod pod;
mod processes;
mod records;
mod remote;
mod seal;
mod sealed;
mod statement;
mod tree;
mod unrecorded;
