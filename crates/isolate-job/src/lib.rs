//! `isolate-job`: runs SageMaker's jobs and models in isolated containers of this host. It transfers the data; the
//! container has neither network nor credentials.
//!
//! The modules are listed in the order of data flow; each may use only those above it. The first group is
//! pure: no file, no environment, no process, no system call (`tests/architecture.rs`). Only `s3`, `pod`, `deploy` and `listen` open sockets.

pub mod progress;
pub mod request;
pub mod status;

pub mod plan;

pub mod engine;
pub mod settings;

pub mod check;
pub mod render;

pub mod foreground;

pub mod bars;

pub mod tree;

pub mod s3;

pub mod stage;

pub mod store;

pub mod client;
pub mod shutdown;
pub mod stager;

pub mod train;

pub mod pod;

pub mod tune;

pub mod deploy;

pub mod transform;

pub mod listen;

pub mod doctor;

pub mod cli;
