//! The shim as an engine sees it: its argv, its files, what it execs, what it prints when it refuses.
//!
//! A recording runtime takes the place of runc (`recorder`); `real_runtimes` and `real_isolation` use real runc and crun.
//! Everything happens in throw-away namespaces, so that no test sees another one or the machine's own
//! `/run/oci-isolate`. The tests need root.

#![allow(clippy::unwrap_used, reason = "all of this crate is test code")]

mod bad_config;
mod bad_files;
mod bad_members;
mod bad_settings;
mod crash;
mod credentials;
mod exec;
mod observe;
mod passthrough;
mod platform;
mod properties;
mod real_isolation;
mod real_runtimes;
mod real_verbs;
mod record;
mod rewrite;
mod runtime;
mod start;
mod state;
mod switch;
