//! A broken promise, as `verify` reports it.

use serde::Serialize;

use super::coverage::TABLE;
use oci_isolate::diagnostics::escape_controls;

/// A promise that does not hold.
#[derive(Debug, Serialize, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct BrokenPromise {
    pub(super) rule: &'static str,
    pub(super) why: String,
}

impl BrokenPromise {
    /// `rule` is a name of [`TABLE`].
    pub(super) fn new(rule: &'static str, why: impl Into<String>) -> Self {
        debug_assert!(TABLE.iter().any(|row| row.rule == rule), "{rule} is not in the table");
        Self { rule, why: escape_controls(&why.into(), &[]).into_owned() }
    }
}
