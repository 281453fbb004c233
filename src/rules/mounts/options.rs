//! `mount-options`: every option of a mount is known for its type. Runtimes pass unknown words to the kernel
//! joined by commas, so that one option may contain several; `remount` changes the existing mount at the
//! destination, for example the machine's own sysfs.
//!
//! A mount on which runtimes differ is refused as well: a bind mount without a source (runc uses the bundle),
//! `..` in a path (resolved by some as text, by others by the kernel), mapped ids on a mount that is not a
//! bind mount (crun makes it again, without its options).

use std::borrow::Cow;

use super::known_options::{KNOWN_OPTIONS, is_known, is_label};
use super::{is_bind, is_kept, mounts, options};
use crate::config::{Mount, View};
use crate::rules::{RefusedBy, Rule, RuleContext, Violation, no_edits};
use crate::settings::Answer;

pub(in crate::rules) const RULE: Rule = Rule {
    name: "mount-options",
    promise: "every option of a mount is known for its type, and is a single option",
    reference: "runtime-spec, config.md, \"Linux mount options\"; mount(2); Linux, Documentation/filesystems/",
    process: false,
    answers: &[Answer::Refuse, Answer::Allow],
    refused_by: RefusedBy::Holds,
    plan: no_edits,
    holds,
};

fn holds(view: &View, context: &RuleContext) -> Result<(), Violation> {
    let label = view.linux.as_ref().and_then(|linux| linux.mount_label.as_deref()).unwrap_or_default();
    if !label.is_empty() && !is_label(label) {
        // Runtimes put it between double quotes.
        return Err(violation("linux.mountLabel is not an SELinux label"));
    }
    let kept = |(_, mount)| violation_of(mount).filter(|_| is_kept(view, mount, context));
    mounts(view).find_map(kept).map_or(Ok(()), |why| Err(violation(&why)))
}

fn violation(why: &str) -> Violation {
    Violation::of(&RULE, format!("{why}; drop it, or set [rules] mount-options = \"allow\""))
}

fn violation_of(mount: &Mount) -> Option<String> {
    let destination = &*mount.destination;
    let kind = if is_bind(mount) { "bind" } else { mount.kind.as_deref().unwrap_or_default() };
    let leads_up = |path: &str| path.split('/').any(|component| component == "..");
    if leads_up(destination) {
        return Some(format!("the destination {destination} leads through .."));
    }
    if kind == "bind" {
        match mount.source.as_deref() {
            None | Some("") => return Some(format!("the bind mount at {destination} has no source")),
            // An absolute one is the kernel's alone to resolve.
            Some(source) if !source.starts_with('/') && leads_up(source) => {
                return Some(format!("the source {source} of {destination} leads through .."));
            }
            Some(_) => {}
        }
    } else if mount.uid_mappings.is_some() || mount.gid_mappings.is_some() {
        return Some(format!("ids are mapped for {destination}, which is not a bind mount"));
    }
    let unknown = words(mount).into_iter().find(|option| !is_known(kind, option))?;
    // The value may be a secret.
    let name = unknown.split('=').next().unwrap_or_default();
    let is_named = KNOWN_OPTIONS.iter().any(|known| known.names.contains(&name));
    let value = if is_named && unknown.contains('=') { " with this value" } else { "" };
    Some(format!("option {name:?}{value} is not known for the {kind} mount at {destination}"))
}

/// The options, each whole: Podman splits the options of an overlay at every comma, also a label with two
/// categories (`context="a:b:c:s0:c1` and `c2"`).
fn words<'m>(mount: &'m Mount) -> Vec<Cow<'m, str>> {
    let mut words: Vec<Cow<str>> = Vec::new();
    for option in options(mount) {
        match words.last_mut() {
            Some(last) if is_open(last) && is_category(option) => {
                let whole = format!("{last},{option}");
                *last = whole.into();
            }
            _ => words.push(option.into()),
        }
    }
    words
}

/// Whether it is a label whose closing quote is missing.
fn is_open(option: &str) -> bool {
    option.split_once("context=\"").is_some_and(|(_, label)| !label.contains('"'))
}

/// Whether it is the last category of a label, `c2"` or `c2.c5"`: to a runtime not an option of its own.
fn is_category(option: &str) -> bool {
    let category = option.strip_suffix('"').and_then(|option| option.strip_prefix('c'));
    category.is_some_and(|text| text.chars().all(|c| c.is_ascii_digit() || matches!(c, '.' | 'c')))
}
