//! The root file system is judged as if it were the source of a mount, by the rules to which it matters. It cannot be taken
//! away, so that whatever stands against it refuses the container.

use super::MountSource;
use crate::config::{Edit, EditOp, Pointer};
use crate::rules::{Rule, RuleContext, Violation};

/// Refuses a root file system that something stands against.
pub(super) fn judge(
    rule: &Rule,
    context: &RuleContext,
    against: impl Fn(&MountSource) -> Option<String>,
) -> Result<(), Violation> {
    let Some(root) = &context.host.root else { return Ok(()) };
    let why = |what| Violation::of(rule, format!("the root file system {} {what}", root.real.display()));
    against(root).map_or(Ok(()), |what| Err(why(what)))
}

/// What the report says of it.
pub(super) fn note(description: String) -> Edit {
    Edit { at: Pointer::to(&["root"]), op: EditOp::Note, description }
}
