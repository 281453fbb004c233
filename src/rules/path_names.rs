//! `path-names`: a name that a runtime puts into a path, or among the options of a mount, is a single path
//! component and cannot lead elsewhere. runc checks most of it, crun some, youki little.

use super::{RefusedBy, Rule, RuleContext, Violation, no_edits};
use crate::config::View;
use crate::settings::Answer;

pub(super) const RULE: Rule = Rule {
    name: "path-names",
    promise: "names of control groups, of their files and of labels are plain, and lead nowhere else",
    reference: "runtime-spec, config-linux.md, \"Control groups\", \"Unified\", \"Intel RDT\", \"Mount Label\"; cgroups(7)",
    process: false,
    answers: &[Answer::Refuse, Answer::Allow],
    refused_by: RefusedBy::Holds,
    plan: no_edits,
    holds,
};

/// Files that are not limits or shares: they move processes, or delegate the group.
const OF_THE_GROUP: &str = "cgroup.";

fn holds(view: &View, _: &RuleContext) -> Result<(), Violation> {
    let Some(linux) = &view.linux else { return Ok(()) };
    let refuse = |member: &str, value: &str, why: &str| {
        Err(Violation::of(&RULE, format!("linux.{member} {value:?} {why}; drop it")))
    };
    if let Some(path) = linux.cgroups_path.as_deref().filter(|path| !path.is_empty()) {
        let mut steps = path.split('/').filter(|step| !step.is_empty()).peekable();
        if steps.peek().is_none() {
            return refuse("cgroupsPath", path, "is the control group of the whole machine");
        }
        if steps.any(|step| matches!(step, "." | "..")) {
            return refuse("cgroupsPath", path, "leads elsewhere");
        }
    }
    if let Some(label) = linux.mount_label.as_deref().filter(|label| !is_label(label)) {
        return refuse("mountLabel", label, "is not a valid label");
    }
    let clos_id = linux.intel_rdt.as_ref().and_then(|rdt| rdt.clos_id.as_deref());
    // A slash is the name of the group of all processes.
    if let Some(id) = clos_id.filter(|id| !matches!(*id, "" | "/") && !is_name(id)) {
        return refuse("intelRdt.closID", id, "is not a valid name");
    }
    let Some(resources) = &linux.resources else { return Ok(()) };
    let sizes = resources.hugepage_limits.iter().flatten().map(|limit| &*limit.page_size);
    if let Some(size) = sizes.into_iter().find(|size| !size.bytes().all(|byte| byte.is_ascii_alphanumeric()))
    {
        return refuse("resources.hugepageLimits", size, "is not a valid size");
    }
    let files = resources.unified.iter().flatten().map(|(name, _)| &**name);
    let is_setting =
        |name: &str| is_name(name) && (!name.starts_with(OF_THE_GROUP) || name.starts_with("cgroup.max."));
    match files.into_iter().find(|name| !is_setting(name)) {
        Some(name) => refuse("resources.unified", name, "is not a limit of a control group"),
        None => Ok(()),
    }
}

/// A single path component.
fn is_name(name: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-' | b':');
    !name.is_empty() && name.bytes().all(is_plain) && !name.starts_with('.')
}

/// An SELinux label: user, role, type and level, whose categories are joined by commas and dots. crun puts it
/// between quotation marks unchanged.
fn is_label(label: &str) -> bool {
    label
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b':' | b'_' | b'.' | b',' | b'-' | b'@'))
}
