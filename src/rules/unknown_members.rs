//! `unknown-members`: a member that is in no table of [`crate::config::members`] has not been reviewed. A
//! runtime newer than the tables may act on it.

use super::{RefusedBy, Rule, RuleContext, Violation, no_edits};
use crate::config::View;
use crate::settings::Answer;

pub(super) const RULE: Rule = Rule {
    name: "unknown-members",
    promise: "every member is one that a rule judges, or that is known not to lead out",
    reference: "runtime-spec 1.3, config.md; docs/members.md",
    process: true,
    answers: &[Answer::Refuse, Answer::Allow],
    refused_by: RefusedBy::Holds,
    plan: no_edits,
    holds,
};

fn holds(view: &View, _: &RuleContext) -> Result<(), Violation> {
    let known = match view.unknown.as_slice() {
        [] => return Ok(()),
        [one] => format!("member {one} is not known; drop it"),
        several => format!("members {} are not known; drop them", several.join(", ")),
    };
    Err(Violation::of(
        &RULE,
        format!("{known}, or set [rules] unknown-members = \"allow\" if no runtime here reads it"),
    ))
}
