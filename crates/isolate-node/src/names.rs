//! The names by which the members of a job find each other. Pure.

use std::collections::BTreeMap;

use crate::pod::Candidate;

/// The most names of a member; `isolatectl jobs` takes no more. Its own come first, so that only names of Services are left
/// out.
const NAMES: usize = 64;

/// A Service's name and whom it selects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selector {
    /// Its name.
    pub name: String,
    /// The labels of the pods behind it.
    pub labels: BTreeMap<String, String>,
}

/// The names that DNS would have for a pod, the longest first, and those of the Services that select it; [`NAMES`] at most.
pub(crate) fn names<'s>(
    pod: &Candidate,
    domain: &str,
    services: impl Iterator<Item = &'s Selector>,
) -> Vec<String> {
    let namespace = &pod.scope.namespace;
    let forms = |name: &str| {
        [
            format!("{name}.{namespace}.svc.{domain}"),
            format!("{name}.{namespace}.svc"),
            format!("{name}.{namespace}"),
            name.to_owned(),
        ]
    };
    let of_host = pod.subdomain.iter().flat_map(|subdomain| forms(&format!("{}.{subdomain}", pod.host)));
    let mut names: Vec<String> = of_host.chain([pod.host.clone()]).collect();
    names.extend((pod.pod != pod.host).then(|| pod.pod.clone()));
    let selects = |service: &&Selector| {
        !service.labels.is_empty()
            && service.labels.iter().all(|(key, value)| pod.labels.get(key) == Some(value))
    };
    for service in services.filter(selects) {
        let new = forms(&service.name).into_iter().filter(|name| !names.contains(name)).collect::<Vec<_>>();
        names.extend(new);
    }
    names.truncate(NAMES);
    names
}
