//! Training jobs on real engines (`hack/engines`), started privately. Where a test is not about Amazon S3 itself, the transfer step has a
//! directory in its place (`examples/without-s3.rs`); everything else is the product.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "all of this crate is test code")]

mod collective;
mod doctor;
mod isolation;
mod job;
mod kill;
mod moments;
mod moto;
mod overlay;
mod pipe;
mod reboot;
mod refused;
mod s3;
#[path = "../stage/server.rs"]
#[allow(dead_code, reason = "the tests of stage have more")]
mod server;
mod several;
mod shutdown;
mod site;
mod stated;
mod stop;
mod terminal;
mod tune;
mod unproven;
