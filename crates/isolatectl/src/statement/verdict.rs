//! Whether isolation held, computed from the facts. Whatever is not known counts against it. Pure.

use std::collections::HashMap;

use oci_isolate::statement::{Digest, Facts, Tried};

use super::job::{JobFacts, TreeDigest};

/// What a relying party may accept besides rules: that ports or peers were open.
pub(super) const OPENINGS: &str = "openings";

/// And that digests of a job's data are not known.
const DIGESTS: &str = "digests";

/// What statements say of containers.
#[derive(Debug, Clone, Default)]
pub struct JudgedContainers {
    by_id: HashMap<String, Vec<(u64, bool)>>,
}

impl JudgedContainers {
    /// The statement with this number is about the container with this id, and isolation held or not.
    pub fn add(&mut self, id: &str, sequence: u64, held: bool) {
        self.by_id.entry(id.to_owned()).or_default().push((sequence, held));
    }
}

/// Why it cannot be said that isolation held, one line for each reason; none: it held. `accepted` are names of waived
/// rules, or "openings".
#[must_use]
pub fn doubts(facts: &Facts, accepted: &[String]) -> Vec<String> {
    let is_accepted = |name: &str| accepted.iter().any(|accepted| accepted == name);
    let mut doubts = Vec::new();
    let waived = facts.waived.iter().filter(|rule| !is_accepted(rule));
    doubts.extend(waived.map(|rule| format!("{rule} was waived")));
    if !is_accepted(OPENINGS) {
        doubts.extend(facts.openings.iter().map(|opening| format!("it was open: {opening}")));
    }
    if facts.verified.is_empty() {
        doubts.push("it was not verified after it was sealed".to_owned());
    }
    let broken = facts.verified.iter().filter(|look| !look.broken.is_empty());
    doubts.extend(broken.map(|look| format!("at {} it did not hold: {}", look.time, look.broken.join(", "))));
    let mut times = vec![facts.sealed.from];
    times.extend(facts.verified.iter().map(|look| look.time));
    times.push(facts.sealed.to);
    if !times.is_sorted() {
        doubts.push("its times are not in order".to_owned());
    }
    match &facts.attempts {
        Tried::NotCounted(_) => {}
        Tried::Lost(why) => doubts.push(format!("attempts were lost: {why}")),
        Tried::Counted(counted) => {
            let lost = counted.not_kept.out.saturating_add(counted.not_kept.r#in);
            doubts.extend((lost > 0).then(|| format!("attempts were lost: {lost} packets were not kept")));
            doubts.extend(counted.missing.iter().map(|why| format!("attempts were lost: {why}")));
        }
    }
    let digests = [
        ("config.json", &facts.config),
        ("the settings", &facts.host.settings),
        ("the shim", &facts.host.shim.program),
    ];
    doubts.extend(digests.into_iter().filter_map(|(what, digest)| match digest {
        Digest::Sha256(_) => None,
        Digest::Unknown(why) => Some(format!("the digest of {what} is not known: {why}")),
    }));
    doubts
}

/// The same of a job: what speaks against its containers, of which there are statements, and digests that are not known. `accepted`
/// may have "digests".
#[must_use]
pub fn job_doubts(facts: &JobFacts, judged: &JudgedContainers, accepted: &[String]) -> Vec<String> {
    let mut doubts = Vec::new();
    if facts.containers.is_empty() {
        doubts.push("it had no container".to_owned());
    }
    for container in &facts.containers {
        let host = &container.host;
        match judged.by_id.get(&container.id).map_or(&[][..], Vec::as_slice) {
            [(_, true)] => {}
            [(sequence, false)] => {
                doubts.push(format!("its container {host} did not hold: statement {sequence}"));
            }
            [] => doubts.push(format!("there is no statement of its container {host}")),
            [_, _, ..] => doubts.push(format!("there are several statements of its container {host}")),
        }
    }
    if accepted.iter().any(|accepted| accepted == DIGESTS) {
        return doubts;
    }
    if let Digest::Unknown(why) = &facts.request {
        doubts.push(format!("the digest of the request is not known: {why}"));
    }
    doubts.extend(facts.data().filter_map(|(way, data)| match &data.digest {
        TreeDigest::DirHash1(_) => None,
        TreeDigest::Unknown(why) => Some(format!(
            "the digest of {way} {}:{} is not known: {why}",
            data.host,
            data.directory.display()
        )),
    }));
    doubts
}
