//! `isolate-job stage`, run as the supervisor runs it, against moto (`hack/s3`), a recording proxy, and a server that misbehaves.

#![allow(clippy::unwrap_used, reason = "all of this crate is test code")]

mod confined;
mod disk;
mod faults;
mod faulty;
mod pipe;
mod proxy;
mod refused;
mod run;
mod server;
mod sessions;
mod terminal;
mod transfers;
mod vpc;
