//! The annotations in which a container asks for openings, and whether the settings allow them.
//!
//! ```text
//! io.oci-isolate.ingress   8080/tcp, 9000-9010/udp, 8443 from 10.0.0.0/24
//! io.oci-isolate.peers     10.0.1.5, 10.0.2.0/24, fd00:1::/64
//! io.oci-isolate.job       train-7
//! ```
//!
//! An invalid value is an error that names the annotation, the item and why; nothing is guessed and nothing is
//! left out.

use ipnet::IpNet;

use super::environment::{values, variable};
use super::openings::{Ingress, Openings, Protocol};
use super::prefixes::Prefixes;
use super::reserved::ReservedRanges;
use super::{Annotation, Job, job, only, shown};
use crate::settings::{PeerBounds, Settings};

/// The annotation that asks for ports that are answered.
pub const INGRESS: &str = "io.oci-isolate.ingress";
/// The annotation that asks for peers by address.
pub const PEERS: &str = "io.oci-isolate.peers";
/// The annotation that asks for the containers with the same value as peers: those of the same Kubernetes
/// namespace, or of this host.
pub const JOB: &str = "io.oci-isolate.job";

/// The most items that `ingress` takes.
const INGRESS_LIMIT: usize = 64;
/// The most peers of one container, as written; a kernel's set holds as many.
pub const PEERS_LIMIT: usize = 16384;

/// The openings of an isolated container: those of its annotations, and for each annotation that it does not
/// have those of the settings.
///
/// # Errors
/// An annotation is invalid, or the settings do not allow it.
pub fn openings(
    settings: &Settings,
    annotations: &[Annotation],
    environment: &[String],
) -> Result<Openings, String> {
    let job_by_annotation = only(annotations, JOB)?;
    // A variable does not matter besides the annotation.
    let mut asked = default_openings(settings, if job_by_annotation.is_some() { &[] } else { environment })?;
    let named = |key| move |why| format!("annotation {key}: {why}");
    if let Some(value) = only(annotations, INGRESS)? {
        if !settings.ingress.allowed {
            return Err(named(INGRESS)("the settings do not allow it (ingress.allowed = false)".to_owned()));
        }
        asked.ingress = ingress(value).map_err(named(INGRESS))?;
    }
    if let Some(value) = only(annotations, PEERS)? {
        asked.peers = peers(value, &settings.peers).map_err(named(PEERS))?;
    }
    if let Some(value) = job_by_annotation {
        asked.job = Some(job::name(value).map_err(named(JOB))?);
    }
    asked.job = asked.job.map(|job| job::of_tenant(job, annotations)).transpose().map_err(named(JOB))?;
    Ok(asked)
}

/// The openings that the settings give by default to a container whose process has this environment.
///
/// # Errors
/// A value is invalid, or not within the bounds of the settings; the message names the key.
pub fn default_openings(settings: &Settings, environment: &[String]) -> Result<Openings, String> {
    let given = &settings.openings;
    let named = |key| move |why| format!("openings.{key}: {why}");
    Ok(Openings {
        ingress: given.ingress.as_deref().map_or(Ok(vec![]), ingress).map_err(named("ingress"))?,
        peers: given
            .peers
            .as_deref()
            .map_or(Ok(Prefixes::default()), |list| peers(list, &settings.peers))
            .map_err(named("peers"))?,
        job: match &given.job {
            Some(job) => default_job(job, environment).map_err(named("job"))?,
            None => None,
        },
    })
}

/// The job of the settings: a name, or the value of a variable; none if that is not set.
fn default_job(given: &str, environment: &[String]) -> Result<Option<Job>, String> {
    let Some(variable) = variable(given) else { return job::name(given).map(Some) };
    let mut values = values(environment, variable);
    let Some(value) = values.next() else { return Ok(None) };
    if values.any(|other| other != value) {
        return Err(format!("{variable} is in the container's environment twice, with different values"));
    }
    job::name(value).map(Some).map_err(|why| format!("{variable} of the container's environment: {why}"))
}

/// Parses a comma-separated list of peers and checks their bounds.
///
/// # Errors
/// An item is invalid or out of bounds; the list is empty or too long.
pub fn peers(list: &str, bounds: &PeerBounds) -> Result<Prefixes, String> {
    let reserved = ReservedRanges::all();
    items(list, PEERS_LIMIT)?.into_iter().map(|item| peer(item, bounds, reserved)).collect()
}

fn peer(item: &str, bounds: &PeerBounds, reserved: &ReservedRanges) -> Result<IpNet, String> {
    let prefix = prefix(item, reserved)?;
    check_bounds(&prefix, bounds).map_err(|why| format!("{} {why}", shown(item)))?;
    Ok(prefix)
}

/// Whether the settings let this prefix be a peer; the error says why not.
pub fn check_bounds(prefix: &IpNet, bounds: &PeerBounds) -> Result<(), String> {
    let widest = bounds.widest_like(prefix);
    if prefix.prefix_len() < widest {
        return Err(format!("is wider than /{widest}, the widest that the settings allow (peers.widest)"));
    }
    if !bounds.within.iter().any(|bound| bound.contains(prefix)) {
        return Err("is not within what the settings allow (peers.within)".into());
    }
    Ok(())
}

fn ingress(list: &str) -> Result<Vec<Ingress>, String> {
    let reserved = ReservedRanges::all();
    let found = items(list, INGRESS_LIMIT)?.into_iter().map(|item| port(item, reserved));
    let mut found = found.collect::<Result<Vec<_>, _>>()?;
    found.sort_by_key(|ports| (ports.protocol, ports.from, ports.first, ports.last));
    // Ranges that overlap or meet become one.
    found.dedup_by(|next, kept| {
        let same = (next.protocol, next.from) == (kept.protocol, kept.from);
        let meets = same && next.first <= kept.last.saturating_add(1);
        if meets {
            kept.last = kept.last.max(next.last);
        }
        meets
    });
    Ok(found)
}

/// `PORT[-PORT][/tcp|/udp] [from PREFIX]`
fn port(item: &str, reserved: &ReservedRanges) -> Result<Ingress, String> {
    let quoted = shown(item);
    let mut words = item.split_ascii_whitespace();
    let ports = words.next().unwrap_or_default();
    let from = match (words.next(), words.next(), words.next()) {
        (None, ..) => None,
        (Some("from"), Some(from), None) => Some(prefix(from, reserved)?),
        _ => return Err(format!("{quoted} is not PORT[-PORT][/tcp|/udp] [from PREFIX]")),
    };
    let (ports, protocol) = match ports.split_once('/') {
        None | Some((_, "tcp")) => (ports.split('/').next().unwrap_or_default(), Protocol::Tcp),
        Some((ports, "udp")) => (ports, Protocol::Udp),
        Some((_, other)) => return Err(format!("{quoted}: {} is neither tcp nor udp", shown(other))),
    };
    let (first, last) = ports.split_once('-').unwrap_or((ports, ports));
    let number = |text: &str| match decimal::<u16>(text).filter(|port| *port > 0) {
        Some(port) => Ok(port),
        None => Err(format!("{quoted}: {} is not a valid port; ports go from 1 to 65535", shown(text))),
    };
    let (first, last) = (number(first)?, number(last)?);
    if first > last {
        return Err(format!("{quoted}: the range ends before it begins; write {last}-{first}"));
    }
    Ok(Ingress { protocol, first, last, from })
}

/// An address or a prefix that a host on a network can have.
fn prefix(item: &str, reserved: &ReservedRanges) -> Result<IpNet, String> {
    let quoted = shown(item);
    let (address, length) = match item.split_once('/') {
        Some((address, length)) => (address, Some(length)),
        None => (item, None),
    };
    let Ok(address) = address.parse::<std::net::IpAddr>() else {
        return Err(format!("{quoted} is neither an address nor a prefix"));
    };
    let longest = if address.is_ipv4() { 32 } else { 128 };
    let length = length.map_or(Some(longest), decimal);
    let Some(prefix) = length.and_then(|length| IpNet::new(address, length).ok()) else {
        return Err(format!("{quoted}: a prefix length goes from 1 to {longest}"));
    };
    if prefix.prefix_len() == 0 {
        return Err(format!("{quoted} is every address"));
    }
    if prefix.trunc() != prefix {
        return Err(format!("{quoted} has host bits set; write {} or {address}", prefix.trunc()));
    }
    match reserved.overlaps(&prefix) {
        None => Ok(prefix),
        Some((never, what)) if never.contains(&prefix) => Err(format!("{quoted} is {what}")),
        Some((never, what)) => Err(format!("{quoted} contains {never}, {what}; name smaller prefixes")),
    }
}

/// The items of a comma-separated list, without the blanks around them.
fn items(list: &str, limit: usize) -> Result<Vec<&str>, String> {
    if list.trim_ascii().is_empty() {
        return Err("it is empty; leave it away".into());
    }
    let count = list.split(',').count();
    if count > limit {
        return Err(format!("it has {count} items; at most {limit} are taken"));
    }
    let items: Vec<_> = list.split(',').map(str::trim_ascii).collect();
    match items.iter().position(|item| item.is_empty()) {
        Some(at) => Err(format!("item {} is empty", at + 1)),
        None => Ok(items),
    }
}

/// A number in digits, and nothing else: no sign, no leading zero.
fn decimal<T: std::str::FromStr>(text: &str) -> Option<T> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    digits.then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests;
