//! The names that Kubernetes has for a container, for people. Nothing is decided by them.

use serde::{Deserialize, Serialize};

use super::pod_engine::{PodEngine, PodRole};
use super::{Annotation, only};

/// A container of a pod, as its engine names it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Workload {
    /// The namespace of the pod.
    pub namespace: Option<String>,
    /// The pod.
    pub pod: Option<String>,
    /// The container; none for a sandbox.
    pub container: Option<String>,
}

impl Workload {
    /// The names of the container with these annotations, if an engine has written them and the pod has replaced none.
    #[must_use]
    pub fn of(annotations: &[Annotation]) -> Option<Self> {
        let engine = PodEngine::of(annotations).ok()??;
        let kind = engine.kind(annotations).ok()??;
        let (namespace, pod) = match engine {
            PodEngine::Containerd => {
                ("io.kubernetes.cri.sandbox-namespace", "io.kubernetes.cri.sandbox-name")
            }
            // Labels of kubelet, which CRI-O writes after the pod's annotations.
            PodEngine::Crio => ("io.kubernetes.pod.namespace", "io.kubernetes.pod.name"),
        };
        let value = |key| only(annotations, key).ok().flatten().map(str::to_owned);
        let container = match kind {
            PodRole::Sandbox => None,
            PodRole::Container => engine.name(annotations).ok(),
        };
        Some(Self { namespace: value(namespace), pod: value(pod), container })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(pairs: &[(&str, &str)]) -> Option<[Option<String>; 3]> {
        let notes: Vec<_> = pairs
            .iter()
            .map(|(name, value)| Annotation { name: (*name).into(), value: Some((*value).into()) })
            .collect();
        Workload::of(&notes).map(|it| [it.namespace, it.pod, it.container])
    }

    #[test]
    fn it_is_what_the_engine_writes() {
        let all = |container: Option<&str>| {
            Some([Some("team-a".to_owned()), Some("train-7".to_owned()), container.map(str::to_owned)])
        };
        let containerd = [
            ("io.kubernetes.cri.container-type", "container"),
            ("io.kubernetes.cri.sandbox-namespace", "team-a"),
            ("io.kubernetes.cri.sandbox-name", "train-7"),
            ("io.kubernetes.cri.container-name", "main"),
        ];
        assert_eq!(named(&containerd), all(Some("main")));
        let crio = [
            ("io.container.manager", "cri-o"),
            ("io.kubernetes.cri-o.ContainerType", "container"),
            ("io.kubernetes.pod.namespace", "team-a"),
            ("io.kubernetes.pod.name", "train-7"),
            ("io.kubernetes.cri-o.Metadata", r#"{"name":"main"}"#),
            ("io.kubernetes.cri-o.HostnamePath", "/run/x"),
        ];
        assert_eq!(named(&crio[..5]), all(Some("main")));
        // Forged: a sandbox that claims to be a container.
        assert_eq!(named(&crio), None);
        let mut sandbox = crio;
        sandbox[1].1 = "sandbox";
        assert_eq!(named(&sandbox), all(None));
        assert_eq!(named(&[containerd, [crio[0]; 4]].concat()), None);
        assert_eq!(named(&[("io.container.manager", "libpod")]), None);
        assert_eq!(named(&[]), None);
    }
}
