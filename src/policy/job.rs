//! Jobs: what they are called, and to which tenant they belong.
//!
//! On a Kubernetes node a job belongs to the namespace of its pods, which the CRI engine writes into
//! `config.json`. The namespace is part of the job's type and never of its name, so no name can imitate
//! another tenant's job.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Annotation, only, shown};

/// A job. Containers with equal jobs are each other's peers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Job {
    /// The Kubernetes namespace of its pods; none for containers that are in no pod.
    pub namespace: Option<String>,
    /// What the annotation or the settings call it.
    pub name: String,
}

/// For people: `train`, `train of namespace team-a`.
impl fmt::Display for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        self.namespace.as_ref().map_or(Ok(()), |namespace| write!(f, " of namespace {namespace}"))
    }
}

/// The longest name of a job, in bytes.
const LIMIT: usize = 128;

/// In which annotation a CRI engine writes the namespace of a pod.
///
/// With each engine at least one is out of the pod author's reach. All that are there must agree, because the
/// others are not.
pub const NAMESPACE: [(&str, &str); 3] = [
    (
        "io.kubernetes.cri.sandbox-namespace",
        "containerd, pods and containers; written after what `pod_annotations` passes",
    ),
    (
        "io.kubernetes.pod.namespace",
        "CRI-O, pods and containers; a label of kubelet, written after the pod's annotations",
    ),
    ("io.kubernetes.cri-o.Namespace", "CRI-O, pods only; an annotation of the pod replaces it"),
];

/// Annotations of every pod and container that containerd's CRI plugin or CRI-O makes: name and value. Podman
/// uses CRI-O's other annotations.
const OF_A_POD: [(&str, &[&str]); 2] =
    [("io.kubernetes.cri.container-type", &["sandbox", "container"]), ("io.container.manager", &["cri-o"])];

/// Parses the name of a job.
///
/// # Errors
/// It is not a valid name.
pub(super) fn name(name: &str) -> Result<Job, String> {
    let known = |c: char| c.is_ascii_alphanumeric() || "._/:-".contains(c);
    if name.is_empty() || name.len() > LIMIT || !name.chars().all(known) {
        return Err(format!(
            "{} is not a valid name of a job: 1 to {LIMIT} letters, digits and . _ / : -",
            shown(name)
        ));
    }
    Ok(Job { namespace: None, name: name.to_owned() })
}

/// The job of that name in the Kubernetes namespace of the container's pod, or of the host where it is in
/// none.
///
/// # Errors
/// The namespace is missing, invalid or contradictory; in a pod, the name has a slash.
pub(super) fn of_tenant(job: Job, annotations: &[Annotation]) -> Result<Job, String> {
    let namespace = namespace(annotations)?;
    if namespace.is_some() && job.name.contains('/') {
        return Err(format!(
            "{} has a slash, and a pod's job is one of its own namespace; write the name alone",
            shown(&job.name)
        ));
    }
    Ok(Job { namespace, ..job })
}

/// The Kubernetes namespace that the engine gives a container; `None` when it is in no pod of Kubernetes.
fn namespace(annotations: &[Annotation]) -> Result<Option<String>, String> {
    let mut found: Option<(&str, &str)> = None;
    for (key, _) in NAMESPACE {
        let Some(value) = only(annotations, key)? else { continue };
        let label = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        // RFC 1123, as Kubernetes validates it.
        if value.is_empty() || value.len() > 63 || !value.chars().all(label) {
            return Err(format!("{key} is {}, which is not a Kubernetes namespace", shown(value)));
        }
        match found {
            Some((other, namespace)) if namespace != value => {
                return Err(format!(
                    "{other} is {}, {key} {}; a pod has one namespace, drop what it sets itself",
                    shown(namespace),
                    shown(value)
                ));
            }
            _ => found = Some((key, value)),
        }
    }
    for (key, values) in OF_A_POD {
        if found.is_none() && only(annotations, key)?.is_some_and(|value| values.contains(&value)) {
            return Err(format!(
                "the container is part of a pod ({key}), and no annotation names the pod's namespace ({})",
                NAMESPACE.map(|(key, _)| key).join(", ")
            ));
        }
    }
    Ok(found.map(|(_, namespace)| namespace.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scoped(name: &str, pairs: &[(&str, &str)]) -> Result<Option<String>, String> {
        let note = |(name, value): &(&str, &str)| Annotation {
            name: (*name).to_owned().into(),
            value: Some((*value).to_owned().into()),
        };
        let notes: Vec<_> = pairs.iter().map(note).collect();
        of_tenant(super::name(name)?, &notes).map(|job| job.namespace)
    }

    const CONTAINERD: &str = NAMESPACE[0].0;
    const LABEL: &str = NAMESPACE[1].0;
    const CRIO: &str = NAMESPACE[2].0;

    #[test]
    fn a_job_belongs_to_the_namespace_that_the_engine_gives() {
        let kind = ("io.kubernetes.cri.container-type", "container");
        for (pairs, namespace) in [
            (&[][..], None),
            (&[("io.kubernetes.cri-o.ContainerType", "container")], None),
            (&[("io.container.manager", "libpod")], None),
            (&[kind, (CONTAINERD, "team-a")], Some("team-a")),
            (&[("io.container.manager", "cri-o"), (LABEL, "team-a")], Some("team-a")),
            (&[("io.container.manager", "cri-o"), (LABEL, "team-a"), (CRIO, "team-a")], Some("team-a")),
        ] {
            assert_eq!(scoped("train", pairs).unwrap().as_deref(), namespace, "{pairs:?}");
        }
    }

    #[test]
    fn the_annotations_are_those_of_the_documentation() {
        let text = include_str!("../../docs/ingress-and-peers.md");
        let rows = text.lines().filter_map(|line| line.strip_prefix("| `io.kubernetes.")?.split('`').next());
        let documented: Vec<_> = rows.map(|name| format!("io.kubernetes.{name}")).collect();
        assert_eq!(documented, NAMESPACE.map(|(key, _)| key));
    }

    #[test]
    fn a_pod_cannot_choose_its_namespace() {
        for (pairs, words) in [
            (&[(CONTAINERD, "team-b"), (LABEL, "team-a")][..], "a pod has one namespace"),
            (&[(LABEL, "team-b"), (CRIO, "team-a")], "a pod has one namespace"),
            (&[(LABEL, "team-b"), (CONTAINERD, "team-a")], "a pod has one namespace"),
            (&[(CONTAINERD, "")], "is not a Kubernetes namespace"),
            (&[(CONTAINERD, "a/b")], "is not a Kubernetes namespace"),
            (&[(CONTAINERD, "a"), (CONTAINERD, "b")], "is given twice"),
            (&[("io.kubernetes.cri.container-type", "sandbox")], "no annotation names the pod's namespace"),
            (&[("io.container.manager", "cri-o")], "no annotation names the pod's namespace"),
        ] {
            let why = scoped("train", pairs).unwrap_err();
            assert!(why.contains(words), "{pairs:?}: {why}");
        }
    }

    #[test]
    fn a_name_cannot_imitate_a_namespace() {
        assert_eq!(scoped("team-a/train", &[]), Ok(None));
        let why = scoped("team-a/train", &[(CONTAINERD, "team-b")]).unwrap_err();
        assert!(why.starts_with("\"team-a/train\" has a slash"), "{why}");
        let [host, pod] = [(None, "team-a/train"), (Some("team-a"), "train")]
            .map(|(namespace, name)| Job { namespace: namespace.map(str::to_owned), name: name.to_owned() });
        assert_ne!(host, pod);
        assert_ne!(host.to_string(), pod.to_string());
    }
}
