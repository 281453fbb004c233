//! The root file system is checked as if it were the source of a mount, by the rules that apply to it. It
//! cannot be removed, so a violation refuses the container.

use super::MountSource;
use crate::config::{Edit, EditOp, Pointer};
use crate::rules::{Rule, RuleContext, Violation};

/// Refuses a root file system that violates the rule.
pub(super) fn judge(
    rule: &Rule,
    context: &RuleContext,
    against: impl Fn(&MountSource) -> Option<String>,
) -> Result<(), Violation> {
    let Some(root) = &context.host.root else { return Ok(()) };
    let why = |what| Violation::of(rule, format!("the root file system {} {what}", root.real.display()));
    against(root).map_or(Ok(()), |what| Err(why(what)))
}

/// A note about it for the report.
pub(super) fn note(description: String) -> Edit {
    Edit { at: Pointer::to(&["root"]), op: EditOp::Note, description }
}
