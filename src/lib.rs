//! `oci-isolate`: an OCI runtime shim that gives an annotated container an empty network namespace and no AWS
//! credential, then execs the real runtime.
//!
//! The modules are listed in the order of data flow; each may use only those above it. The first group is
//! pure: no file, no environment, no process, no system call (docs/architecture.md, tests/architecture.rs).

pub mod file_version;
pub mod invocation;
pub mod settings;

pub mod policy;

pub mod config;

pub mod rules;

pub mod rewrite;

pub mod files;
pub mod proc;

pub mod nft;

pub mod netlink;
pub mod seal;

pub mod audit;
pub mod diagnostics;
pub mod runtime;
pub mod statement;

pub mod record;

pub mod job;

pub mod bundle;

pub mod shim;
