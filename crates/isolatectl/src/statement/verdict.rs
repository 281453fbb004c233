//! Whether isolation held, computed from the facts. Whatever is not known counts against it. Pure.

use oci_isolate::statement::{Digest, Facts, Tried};

/// What a relying party may accept besides rules: that ports or peers were open.
pub(super) const OPENINGS: &str = "openings";

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
