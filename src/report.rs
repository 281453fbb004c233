//! What was done to a container's documents, in words: it stands in the record. It never holds the value of an
//! environment variable.

use serde::{Deserialize, Serialize};

use crate::config::Edit;
use crate::rules::Rule;

/// One change and the rule that made it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Applied {
    /// The rule's name.
    pub rule: String,
    /// Where, as an RFC 6901 pointer into the document as it was.
    pub at: String,
    /// What, in words.
    pub says: String,
}

/// The rules that made changes, each once, in their order.
#[must_use]
pub fn rules(applied: &[Applied]) -> Vec<&str> {
    let mut rules: Vec<&str> = applied.iter().map(|applied| applied.rule.as_str()).collect();
    rules.dedup();
    rules
}

impl Applied {
    /// The line for one edit of a rule.
    #[must_use]
    pub fn new(rule: &Rule, edit: &Edit) -> Self {
        Self { rule: rule.name.to_owned(), at: edit.at.to_string(), says: edit.says.clone() }
    }
}
