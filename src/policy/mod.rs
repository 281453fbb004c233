//! What an isolated container gets (`Policy`), the annotations that ask for it (`Annotation`), and the
//! verdict on one container (`Decision`).

mod annotations;
mod decide;
mod environment;
mod image;
mod job;
mod misspelt;
mod nonce;
mod openings;
mod packed_prefixes;
mod platform;
mod pod_engine;
mod prefixes;
mod reserved;
mod workload;

use std::borrow::Cow;
use std::collections::BTreeMap;

pub use annotations::{INGRESS, JOB, PEERS, PEERS_LIMIT, check_bounds, default_openings, openings, peers};
pub use decide::{Decision, Observed, decide};
pub use environment::{reads_environment, requires_by_environment};
pub use image::Image;
pub use job::{Job, NAMESPACE};
pub use misspelt::ANNOTATIONS;
pub(crate) use misspelt::{misspelt, without_switch};
pub use nonce::NONCE;
pub use openings::{Ingress, Openings, Protocol};
pub use packed_prefixes::PackedPrefixes;
pub use platform::{Beside, Demand, PLATFORM, PlatformContainer, PodSandbox};
pub use pod_engine::PodEngine;
pub use prefixes::Prefixes;
pub use reserved::ReservedRanges;
pub use workload::Workload;

use crate::settings::{Answer, Credentials, Firewall, Links, SeccompSettings};

/// The annotation that switches isolation on (`true` or empty) and, without a stricter setting, off
/// (`false`), or lets the container run open and writes down what isolation would do (`observe`).
pub const SWITCH: &str = "io.oci-isolate.network-isolation";

/// One annotation of `config.json`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Annotation<'a> {
    /// Its name, as written.
    pub name: Cow<'a, str>,
    /// Its value; `None` when that is not a string, which runtime-spec (config.md, "Annotations") forbids.
    pub value: Option<Cow<'a, str>>,
}

/// What an isolated container gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// What asked for isolation, for the report.
    pub why: String,
    /// Whether the firewall table may be missing.
    pub firewall: Firewall,
    /// What becomes of its network devices.
    pub links: Links,
    /// How many destinations are counted that it tries to reach; `None`: they are not.
    pub attempts: Option<u32>,
    /// The host's additions to the list of credential variables.
    pub credentials: Credentials,
    /// The host's settings for system calls.
    pub seccomp: SeccompSettings,
    /// What stays open for it.
    pub openings: Openings,
    /// The platform's containers of its pod, if it has any.
    pub beside: Option<Beside>,
    /// The setting that demands its isolation, if one does.
    pub demanded: Option<Demand>,
    /// The answers of the settings that differ from the rules' defaults.
    pub answers: BTreeMap<String, Answer>,
    /// What the statement about it repeats, if its relying party has asked for that.
    pub nonce: Option<String>,
}

/// The value of the one annotation of that name. Decoders differ on which of two wins, and on whether a name
/// ends at a NUL, so two are an error, and so is a NUL.
pub(crate) fn only<'a>(annotations: &'a [Annotation], name: &str) -> Result<Option<&'a str>, String> {
    let is_it = |a: &&Annotation| {
        a.name.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('\0'))
    };
    let mut found = annotations.iter().filter(is_it);
    let Some(first) = found.next() else { return Ok(None) };
    if first.name != name {
        return Err(format!("annotation {:?} is {name} to some decoders and unknown to others", first.name));
    }
    if found.next().is_some() {
        return Err(format!("annotation {name} is given twice"));
    }
    match &first.value {
        Some(value) => Ok(Some(value)),
        None => Err(format!("annotation {name} is not a string")),
    }
}

/// Quoted, and shortened to fit a line.
fn shown(item: &str) -> String {
    match item.char_indices().nth(64) {
        Some((end, _)) => format!("{:?}...", &item[..end]),
        None => format!("{item:?}"),
    }
}

/// Whether the whole text matches the pattern, in which `*` matches any number of characters.
#[must_use]
pub fn glob(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    let Some(last) = parts.next_back() else { return rest.is_empty() };
    for part in parts {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs_match_the_whole_value() {
        for (pattern, text, yes) in [
            ("*", "", true),
            ("", "", true),
            ("", "a", false),
            ("a", "a", true),
            ("a", "ab", false),
            ("a*", "ab", true),
            ("*b", "ab", true),
            ("a*a", "a", false),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-c-b", false),
            ("*x*", "axb", true),
            ("**", "anything", true),
        ] {
            assert_eq!(glob(pattern, text), yes, "{pattern:?} {text:?}");
        }
    }
}
