//! Applies the rules to a document, verifies every one of them on the resulting bytes, and reports the
//! changes.
//!
//! There is no [`Rewritten`] in which a rule does not hold. The changes are written to the record, so they
//! never contain the value of an environment variable.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::config::{Document, Edit, EditOp, Kind, Unreadable, View};
use crate::rules::mounts::{Pinned, pinned};
use crate::rules::{RULES, Rule, RuleContext, Violation, unused_waivers};
use crate::settings::Answer;

/// A document in which every rule holds.
#[derive(Debug)]
pub struct Rewritten {
    /// Its new text; `None` when nothing had to change.
    pub text: Option<Vec<u8>>,
    /// What was changed.
    pub applied: Vec<AppliedChange>,
    /// What was found in it.
    pub proven: Proven,
}

/// A text in which every rule holds that is not waived.
#[derive(Debug)]
pub struct Proven {
    /// The sources that its bind mounts must show once they are made.
    pub pinned: Vec<Pinned>,
    /// The rules that are waived by default, and that it keeps all the same.
    pub unused_waivers: Vec<&'static str>,
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

/// What the rules change in a document.
#[derive(Debug)]
pub struct Planned {
    /// For the report.
    pub applied: Vec<AppliedChange>,
    edits: Vec<Edit>,
    unused_waivers: Vec<&'static str>,
}

impl Planned {
    /// The changes for a document of this kind.
    ///
    /// # Errors
    /// A rule cannot be made to hold.
    pub fn of(kind: Kind, view: &View, context: &RuleContext) -> Result<Self, Violation> {
        let planned = plan(kind, view, context)?;
        let applied = planned.iter().map(|(rule, edit)| AppliedChange::new(rule, edit)).collect();
        let edits = planned.into_iter().map(|(_, edit)| edit).collect();
        Ok(Self { applied, edits, unused_waivers: unused_waivers(view, context) })
    }

    /// What was found in the resulting text. A waiver is unused only if the document as it was given did not need it either: other rules
    /// may have removed what its rule goes by.
    #[must_use]
    pub fn found(&self, mut proven: Proven) -> Proven {
        proven.unused_waivers.retain(|rule| self.unused_waivers.contains(rule));
        proven
    }

    /// The edits; none if the text stays as it is.
    #[must_use]
    pub fn edits(&self) -> Option<&[Edit]> {
        let is_note = |edit: &Edit| edit.op == EditOp::Note;
        (!self.edits.iter().all(is_note)).then_some(&*self.edits)
    }
}

/// Makes every rule hold that applies to a document of this kind; `view` is the document's.
///
/// # Errors
/// A rule cannot be made to hold.
pub fn rewrite(document: Document, view: View, context: &RuleContext) -> Result<Rewritten, RewriteError> {
    let planned = Planned::of(document.kind(), &view, context)?;
    let Some(edits) = planned.edits() else {
        let proven = planned.found(prove_view(document.kind(), &view, context)?);
        return Ok(Rewritten { text: None, applied: planned.applied, proven });
    };
    let (kind, text) = (document.kind(), document.with(edits)?);
    // They may be large, and are not needed any more.
    drop((document, view));
    let proven = planned.found(prove_text(kind, &text, context)?);
    Ok(Rewritten { text: Some(text), applied: planned.applied, proven })
}

/// Checks every rule that applies to a document of this kind on its text: as a runtime will read it, not as the rules
/// planned it.
///
/// # Errors
/// It is not valid, or a rule does not hold.
pub fn prove_text(kind: Kind, text: &[u8], context: &RuleContext) -> Result<Proven, RewriteError> {
    let document = Document::parse(kind, text)?;
    let view = document.view()?;
    drop(document);
    Ok(prove_view(kind, &view, context)?)
}

/// [`prove_text`] of a text that was not changed.
///
/// # Errors
/// A rule does not hold.
pub fn prove_view(kind: Kind, view: &View, context: &RuleContext) -> Result<Proven, Violation> {
    prove(kind, view, context)?;
    Ok(Proven { pinned: pinned(view, context), unused_waivers: unused_waivers(view, context) })
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
