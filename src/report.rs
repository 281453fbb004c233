//! What was done to a container's documents, in words: it stands in the record. It never holds the value of an
//! environment variable.

use std::borrow::Cow;

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

/// Text in which control characters are written out, but for those in `kept`. What containers choose (names of variables,
/// files, processes) must not steer the terminal of whoever reads of it, nor begin a line of its own.
#[must_use]
pub fn plain<'t>(text: &'t str, kept: &[char]) -> Cow<'t, str> {
    let is_plain = |c: char| !c.is_control() || kept.contains(&c);
    if text.chars().all(is_plain) {
        return text.into();
    }
    let written = |c: char| if is_plain(c) { c.to_string() } else { c.escape_default().to_string() };
    text.chars().map(written).collect()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_written_out() {
        assert_eq!(plain("\u{1b}]0;a\u{7}\n\u{9b}2J\u{7f}", &[]), r"\u{1b}]0;a\u{7}\n\u{9b}2J\u{7f}");
        assert_eq!(plain("a\r\nb\tc", &['\n', '\t']), "a\\r\nb\tc");
        assert!(matches!(plain("/home/zoë", &[]), Cow::Borrowed(_)));
    }
}
