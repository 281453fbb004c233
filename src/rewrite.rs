//! Applies the rules to a document, verifies every one of them on the resulting bytes, and reports the
//! changes.
//!
//! There is no [`Rewritten`] in which a rule does not hold. The changes are written to the record, so they
//! never contain the value of an environment variable.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::config::{Document, Edit, EditOp, Kind, Unreadable, View};
use crate::rules::mounts::{Pinned, pinned};
use crate::rules::{RULES, Rule, RuleContext, Violation};
use crate::settings::Answer;

/// A document in which every rule holds.
#[derive(Debug)]
pub struct Rewritten {
    /// Its new text; `None` when nothing had to change.
    pub text: Option<Vec<u8>>,
    /// What was changed.
    pub applied: Vec<AppliedChange>,
    /// The sources that its bind mounts must show once they are made.
    pub pinned: Vec<Pinned>,
}

/// One change and the rule that made it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AppliedChange {
    /// The rule's name.
    pub rule: String,
    /// Where, as an RFC 6901 pointer into the original document.
    pub at: String,
    /// A description.
    #[serde(rename = "says")]
    pub description: String,
}

impl AppliedChange {
    fn new(rule: &Rule, edit: &Edit) -> Self {
        Self { rule: rule.name.to_owned(), at: edit.at.to_string(), description: edit.description.clone() }
    }
}

/// The changes of one rule, as a record keeps them: without their places in a document that is not kept. A
/// configuration may have hundreds of thousands of mounts, each with a change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RuleChanges {
    /// The rule's name.
    pub rule: String,
    /// A description of each.
    #[serde(rename = "says")]
    pub descriptions: Vec<String>,
}

impl RuleChanges {
    /// Changes by rule, each rule once, in their order.
    #[must_use]
    pub fn of(changes: Vec<AppliedChange>) -> Vec<Self> {
        let mut all: Vec<Self> = Vec::new();
        for AppliedChange { rule, description, .. } in changes {
            match all.last_mut().filter(|last| last.rule == rule) {
                Some(last) => last.descriptions.push(description),
                None => all.push(Self { rule, descriptions: vec![description] }),
            }
        }
        all
    }
}

/// Why a document cannot be rewritten.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RewriteError {
    /// It is not valid, or ambiguous.
    Unreadable(Unreadable),
    /// A rule refuses it.
    Violation(Violation),
}

impl fmt::Display for RewriteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(why) => why.fmt(f),
            Self::Violation(why) => why.fmt(f),
        }
    }
}

impl std::error::Error for RewriteError {}

impl From<Unreadable> for RewriteError {
    fn from(why: Unreadable) -> Self {
        Self::Unreadable(why)
    }
}

impl From<Violation> for RewriteError {
    fn from(why: Violation) -> Self {
        Self::Violation(why)
    }
}

/// Makes every rule hold that applies to a document of this kind; `view` is the document's.
///
/// # Errors
/// A rule cannot be made to hold.
pub fn rewrite(document: Document, view: View, context: &RuleContext) -> Result<Rewritten, RewriteError> {
    let planned = plan(document.kind(), &view, context)?;
    let applied = planned.iter().map(|(rule, edit)| AppliedChange::new(rule, edit)).collect();
    let edits: Vec<Edit> = planned.into_iter().map(|(_, edit)| edit).collect();
    if edits.iter().all(|edit| edit.op == EditOp::Note) {
        prove(document.kind(), &view, context)?;
        return Ok(Rewritten { text: None, applied, pinned: pinned(&view, context) });
    }
    let (kind, text) = (document.kind(), document.with(&edits)?);
    // They may be large, and are not needed any more.
    drop((document, view, edits));
    // As a runtime will read it, not as the rules planned it.
    let written = Document::parse(kind, &text)?;
    let view = written.view()?;
    prove(written.kind(), &view, context)?;
    let pinned = pinned(&view, context);
    Ok(Rewritten { text: Some(text), applied, pinned })
}

/// The edits that the rules ask for of a document of this kind, in their order, each with its rule.
///
/// # Errors
/// A rule cannot be made to hold.
pub(crate) fn plan(
    kind: Kind,
    view: &View,
    context: &RuleContext,
) -> Result<Vec<(&'static Rule, Edit)>, Violation> {
    let mut planned = Vec::new();
    for rule in rules_for(kind, context) {
        planned.extend(rule.edits(view, context)?.into_iter().map(|edit| (rule, edit)));
    }
    Ok(planned)
}

/// Checks every rule that applies to a document of this kind.
///
/// # Errors
/// One does not.
pub(crate) fn prove(kind: Kind, view: &View, context: &RuleContext) -> Result<(), Violation> {
    rules_for(kind, context).try_for_each(|rule| (rule.holds)(view, context))
}

/// The rules that apply to a document of this kind and are not waived by the settings.
fn rules_for(kind: Kind, context: &RuleContext) -> impl Iterator<Item = &'static Rule> {
    let concerns = move |rule: &&Rule| kind == Kind::Config || rule.process;
    RULES.iter().filter(concerns).filter(|rule| rule.answer(&context.policy) != Answer::Allow)
}
