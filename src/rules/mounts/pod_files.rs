//! `pod-files`: beside platform containers, an isolated one cannot write the files that the engine mounts into all
//! containers of a pod: in `/etc/hosts` and `/etc/resolv.conf` it could tell the platform's where to send data.

use serde_json::json;

use super::{is_bind, mount_at, mounts, options};
use crate::config::{Edit, EditOp, Mount, View};
use crate::rules::{RefusedBy, Rule, RuleContext, Violation};
use crate::settings::Answer;

pub(in crate::rules) const RULE: Rule = Rule {
    name: "pod-files",
    promise: "beside platform containers, the files that all containers of a pod share are read-only",
    reference: "Kubernetes, \"Adding entries to Pod /etc/hosts with HostAliases\"; containerd, linuxContainerMounts",
    process: false,
    answers: &[Answer::Set],
    refused_by: RefusedBy::Plan,
    plan: |view, context| {
        let edit = |(index, mount): (usize, &Mount)| Edit {
            at: mount_at(index).member("options"),
            op: EditOp::Append(json!("ro")),
            description: format!("made {} read-only", &*mount.destination),
        };
        Ok(writable(view, context).map(edit).collect())
    },
    holds: |view, context| match writable(view, context).next() {
        None => Ok(()),
        Some((_, mount)) => {
            let why = format!("{} is writable, and platform containers read it", &*mount.destination);
            Err(Violation::of(&RULE, why))
        }
    },
};

const FILES: [&str; 3] = ["/etc/hostname", "/etc/hosts", "/etc/resolv.conf"];

fn writable<'v>(view: &'v View<'v>, context: &RuleContext) -> impl Iterator<Item = (usize, &'v Mount<'v>)> {
    let concerned = context.policy.beside.is_some();
    mounts(view).filter(move |(_, mount)| {
        concerned && is_bind(mount) && FILES.contains(&&*mount.destination) && !is_readonly(mount)
    })
}

/// The last of several options counts.
fn is_readonly(mount: &Mount) -> bool {
    let access = options(mount).filter(|option| matches!(*option, "ro" | "rw" | "rro"));
    access.last().is_some_and(|option| option != "rw")
}
