//! A process that `verify` inspects, and the broken promises found.

use std::fmt::Display;

use anyhow::Result;

use super::broken_promise::BrokenPromise;
use oci_isolate::proc::Dir;

/// A process, and the broken promises found.
pub(super) struct ProcessReport {
    pid: u32,
    /// Its directory in /proc.
    pub(super) process: Dir,
    /// The broken promises.
    pub(super) broken: Vec<BrokenPromise>,
}

impl ProcessReport {
    pub(super) fn of(pid: u32) -> Self {
        Self { pid, process: Dir::of(pid), broken: Vec::new() }
    }

    /// As `process 7 is elsewhere`.
    pub(super) fn process(&mut self, rule: &'static str, is: impl Display) {
        self.broken.push(BrokenPromise::new(rule, format!("process {} {is}", self.pid)));
    }

    /// As `/dev/mem of process 7 is a device`.
    pub(super) fn thing(&mut self, rule: &'static str, thing: impl Display, is: impl Display) {
        self.broken.push(BrokenPromise::new(rule, format!("{thing} of process {} {is}", self.pid)));
    }

    /// Whether it is in our own namespace of a kind.
    pub(super) fn is_in_ours(&self, kind: &str) -> Result<bool> {
        Ok(self.process.ns(kind)? == Dir::ours().ns(kind)?)
    }
}
