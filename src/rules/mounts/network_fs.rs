//! `mount-network-fs`: a mounted network file system uses the network in which it was mounted, so what is
//! written to it leaves the machine (reading a FUSE file made a program of the host dial out). Data
//! usually gets into and out of an isolated container this way, so the default is to keep it and to report it
//! (`data-channels`).

use super::{
    Class, FileKind, MountSource, binds, describe_source, is_kept, layer_sources, mounts, refuse_first,
    removals, root,
};
use crate::config::{Mount, View};
use crate::rules::{RefusedBy, Rule, RuleContext, Violation};
use crate::settings::Answer;

const OVERLAY: &str = "overlay";

pub(in crate::rules) const RULE: Rule = Rule {
    name: "mount-network-fs",
    promise: "no mount lies on a network file system or one that a program serves",
    reference: "statfs(2); network_namespaces(7)",
    process: false,
    answers: &[Answer::Allow, Answer::Refuse, Answer::Strip],
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

fn root(context: &RuleContext) -> Result<(), Violation> {
    let against =
        |root: &MountSource| Some(format!("lies on {}, which is not this machine's", network(root)?));
    root::judge(&RULE, context, against)
}

fn violations(view: &View, context: &RuleContext) -> Vec<(usize, String)> {
    let against = |(index, mount, source): (usize, &Mount, &MountSource)| {
        let name = network(source).filter(|_| is_kept(view, mount, context))?;
        Some((
            index,
            format!("{} lies on {name}, which is not this machine's", describe_source(mount, source)),
        ))
    };
    let of_overlay = |(index, mount): (usize, &Mount)| {
        let name = layer_sources(mount, context).find_map(network)?;
        Some((
            index,
            format!("a layer of {} lies on {name}, which is not this machine's", &*mount.destination),
        ))
    };
    binds(view, context).filter_map(against).chain(mounts(view).filter_map(of_overlay)).collect()
}

/// Whether it cannot be told where some of it lies: the layers of an overlay were not examined, as those of the one that is the machine's
/// own root. The rule itself takes such an overlay for what it is called.
pub(in crate::rules) fn is_unknown(view: &View, context: &RuleContext) -> bool {
    let bound = binds(view, context).filter(|(_, mount, _)| is_kept(view, mount, context));
    let sources = context.host.root.iter().chain(bound.map(|(_, _, source)| source));
    sources.chain(mounts(view).flat_map(|(_, mount)| layer_sources(mount, context))).any(has_hidden_layers)
}

fn has_hidden_layers(source: &MountSource) -> bool {
    let is_hidden =
        |layer: &MountSource| matches!(layer.kind, FileKind::Inaccessible(_)) || has_hidden_layers(layer);
    source.file_system.name == OVERLAY && source.layers.is_empty()
        || source.layers.iter().any(is_hidden)
        || source.below.iter().any(|(_, file_system)| file_system.name == OVERLAY)
}

/// The network file system on which a source lies, or that is mounted below it.
pub(super) fn network(source: &MountSource) -> Option<&str> {
    let mut all = source.file_systems().map(|(_, file_system)| file_system);
    all.find(|file_system| file_system.class == Class::Network).map(|file_system| file_system.name.as_str())
}
