//! `data-channels`: changes nothing; the report names what is shared with the machine and can carry data with
//! the help of a process outside, also through a socket that is bound in it later. Single files are what
//! every engine mounts (`resolv.conf`, `hosts`), and are named only if they lie on a network file system.

use super::{FileKind, MountSource, binds, is_kept, is_readonly, mount_at, network_fs, overlay, root};
use crate::config::{Edit, EditOp, Mount, View};
use crate::rules::{RefusedBy, Rule, RuleContext};
use crate::settings::Answer;

pub(in crate::rules) const RULE: Rule = Rule {
    name: "data-channels",
    promise: "the report names every directory that is shared with the machine",
    reference: "docs/rules.md, \"data-channels\"",
    process: false,
    answers: &[Answer::Set],
    refused_by: RefusedBy::Plan,
    plan: |view: &View, context| {
        let channel = |(index, mount, source): (usize, &Mount, &MountSource)| {
            let description = format!(
                "{} is a data channel: {}",
                &*mount.destination,
                describe(view, mount, source, context)?
            );
            is_kept(view, mount, context).then_some(Edit {
                at: mount_at(index),
                op: EditOp::Note,
                description,
            })
        };
        let root = context.host.root.as_ref().and_then(of_root).map(root::note);
        Ok(root.into_iter().chain(binds(view, context).filter_map(channel)).collect())
    },
    holds: |_, _| Ok(()),
};

const TOO_LARGE: &str = " (too large to be searched for sockets)";

/// How others may share the root file system. An overlay of the host is made for one container; others that
/// share it are not known.
fn of_root(root: &MountSource) -> Option<String> {
    let shown = root.real.display();
    if let Some(name) = network_fs::network(root) {
        return Some(format!("/ is a data channel: {shown} lies on {name}"));
    }
    if root.searched && !root.layers.is_empty() {
        return None;
    }
    let searched = if root.searched { "" } else { TOO_LARGE };
    let fifo = root.fifos.first().map(|fifo| format!(", with the FIFO {}", fifo.display()));
    Some(format!("/ may be a data channel: others may use {shown}{}{searched}", fifo.unwrap_or_default()))
}

fn describe(view: &View, mount: &Mount, source: &MountSource, context: &RuleContext) -> Option<String> {
    let shown = source.real.display();
    if let Some(name) = network_fs::network(source) {
        return Some(format!("{shown} lies on {name}"));
    }
    if source.kind != FileKind::Directory {
        return None;
    }
    let searched = if source.searched { "" } else { TOO_LARGE };
    if !is_readonly(mount) {
        let fifo = source.fifos.first().map(|fifo| format!(", with the FIFO {}", fifo.display()));
        return Some(format!("{shown} is shared and writable{}{searched}", fifo.unwrap_or_default()));
    }
    let overlaid = overlay::RULE.answer(&context.policy) == Answer::Set;
    match overlay::obstacle(view, mount, source, context) {
        Some(why) => Some(format!("{shown} stays a bind mount, since {why}{searched}")),
        None if !overlaid => Some(format!("{shown} stays a bind mount{searched}")),
        None => None,
    }
}
