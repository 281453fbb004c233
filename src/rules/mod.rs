//! The policy of the product: one file per promise, and [`RULES`], the list of all of them. Reading the list is
//! reading the policy.
//!
//! A rule looks at a document and says which edits make its promise true (`plan`), and it looks at any document and
//! says whether the promise is true there (`holds`). It mustn't do anything else: no file, no system call. What it
//! has to know of the world is in [`Subject`]. To add a rule: one file, one line in the list, its section in
//! docs/rules.md; tests/rules.rs walks the list and refuses a rule without documentation.

pub mod capabilities;
pub mod credentials;
mod namespace;
mod seal_hook;

use std::fmt;

use crate::config::{Edit, View};
use crate::policy::Policy;

pub use namespace::{Network, network};
pub use seal_hook::{FORGET_FLAG, SEAL_FLAG, SealHook};

/// One promise.
#[derive(Debug, Clone, Copy)]
pub struct Rule {
    /// What errors, reports and settings call it.
    pub name: &'static str,
    /// The promise, in a sentence.
    pub promise: &'static str,
    /// Where that is from: a section of a specification, a kernel document, a CVE.
    pub reference: &'static str,
    /// Whether the rule is about the process, and so about `exec` too.
    pub process: bool,
    /// The edits that make the promise true; none where it is.
    pub plan: fn(&View, &Subject) -> Result<Vec<Edit>, Violation>,
    /// Whether the promise is true.
    pub holds: fn(&View, &Subject) -> Result<(), Violation>,
}

/// All rules, in the order in which they are applied and reported.
pub const RULES: [Rule; 4] = [namespace::RULE, capabilities::RULE, credentials::RULE, seal_hook::RULE];

/// What rules are applied to, besides the document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    /// What was asked for.
    pub policy: Policy,
    /// Whether the network namespace that the document names by path is one that was sealed: then it is kept.
    pub joins_sealed: bool,
    /// For `run` and `restore`, which leave no room between create and start: the hooks that seal and forget.
    pub hook: Option<SealHook>,
}

/// A promise that a document cannot keep, or does not: which rule says so, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    rule: &'static str,
    why: String,
}

impl Violation {
    fn of(rule: &Rule, why: impl Into<String>) -> Self {
        Self { rule: rule.name, why: why.into() }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.rule, self.why)
    }
}

impl std::error::Error for Violation {}
