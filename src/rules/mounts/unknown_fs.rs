//! `mount-unknown-fs`: a source lies on a file system that is known to hold data. What another one exposes (a
//! new kernel interface, a vendor's network file system) is unknown.

use super::{
    Class, FileKind, MountSource, binds, describe_source, is_kept, layer_sources, mounts, refuse_first,
    removals, root,
};
use crate::config::{Mount, View};
use crate::rules::{RefusedBy, Rule, RuleContext, Violation};
use crate::settings::Answer;

pub(in crate::rules) const RULE: Rule = Rule {
    name: "mount-unknown-fs",
    promise: "every mount lies on file systems that are known",
    reference: "statfs(2); Linux, include/uapi/linux/magic.h",
    process: false,
    answers: &[Answer::Refuse, Answer::Strip, Answer::Allow],
    refused_by: RefusedBy::Holds,
    plan: |view, context| {
        root(context)?;
        Ok(removals(violations(view, context)))
    },
    holds: |view, context| {
        root(context)?;
        refuse_first(&RULE, &violations(view, context))
    },
};

const SETTING: &str = "[rules] mount-unknown-fs = \"allow\"";

fn root(context: &RuleContext) -> Result<(), Violation> {
    let against = |root: &MountSource| Some(format!("{}; use another, or set {SETTING}", lies_on(root)?));
    root::judge(&RULE, context, against)
}

fn violations(view: &View, context: &RuleContext) -> Vec<(usize, String)> {
    let of_bind = |(index, mount, source): (usize, &Mount, &MountSource)| {
        let lies = lies_on(source).filter(|_| is_kept(view, mount, context))?;
        Some((index, format!("{} {lies}; drop it, or set {SETTING}", describe_source(mount, source))))
    };
    let of_overlay = |(index, mount)| {
        let lies = layer_sources(mount, context).find_map(lies_on);
        Some((index, format!("a layer of {} {}; drop it, or set {SETTING}", &*mount.destination, lies?)))
    };
    binds(view, context).filter_map(of_bind).chain(mounts(view).filter_map(of_overlay)).collect()
}

fn lies_on(source: &MountSource) -> Option<String> {
    if matches!(source.kind, FileKind::Missing | FileKind::Inaccessible(_)) {
        return None;
    }
    let (path, file_system) = source.file_systems().find(|(_, fs)| fs.class == Class::Unknown)?;
    Some(format!("lies on a file system that is not known, {} at {}", file_system.name, path.display()))
}
