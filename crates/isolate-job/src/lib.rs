//! `isolate-job`: SageMaker's jobs and models on isolated containers of this host. It moves the data; the container
//! has no network and no credential.
//!
//! The rooms stand in the order in which data flows; each may use only what stands above it. The first group is
//! pure: no file, no environment, no process, no system call (`tests/architecture.rs`). Nothing in here opens a
//! socket.

pub mod request;
pub mod status;

pub mod plan;

pub mod engine;

pub mod tree;

pub mod check;
pub mod cli;
