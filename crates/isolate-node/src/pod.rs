//! The part of a pod, and of a Service, that decides who is a member of a job. Pure.
//!
//! Only these members are decoded: a pod is several kilobytes, most of which a node does not need to know. What is missing
//! counts as not there, so an API server of any version is understood.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use kube::core::{NotUsed, Object};
use serde::Deserialize;

/// The annotation, and the label, that names the job.
pub const JOB: &str = "io.oci-isolate.job";

/// The annotation that isolates the pod.
const ISOLATION: &str = "io.oci-isolate.network-isolation";

/// The annotation of a pod that a node has made from a file of its own, whatever that says.
const MIRROR: &str = "kubernetes.io/config.mirror";

/// A pod as the API has it.
pub type Pod = Object<PodSpec, PodStatus>;

/// A Service as the API has it.
pub type Service = Object<ServiceSpec, NotUsed>;

/// `spec` of a pod.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PodSpec {
    node_name: Option<String>,
    runtime_class_name: Option<String>,
    host_network: bool,
    hostname: Option<String>,
    subdomain: Option<String>,
    restart_policy: Option<String>,
}

/// `status` of a pod.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PodStatus {
    phase: Option<String>,
    start_time: Option<String>,
    #[serde(rename = "podIPs")]
    pod_ips: Vec<PodIp>,
    conditions: Vec<Condition>,
    container_statuses: Vec<ContainerStatus>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct PodIp {
    ip: String,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct Condition {
    r#type: String,
    status: String,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct ContainerStatus {
    state: ContainerState,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct ContainerState {
    terminated: Option<Terminated>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Terminated {
    exit_code: i64,
}

/// `spec` of a Service.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct ServiceSpec {
    /// The labels of the pods behind it; none: it selects no pod.
    pub selector: BTreeMap<String, String>,
}

/// A job: the Kubernetes namespace and the name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Scope {
    /// `metadata.namespace` of its pods.
    pub namespace: String,
    /// The value of [`JOB`].
    pub job: String,
}

/// What a pod is to its job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// Its uid.
    pub uid: String,
    /// Its name.
    pub pod: String,
    /// Its job, as its label names it.
    pub scope: Scope,
    /// The node that it is bound to.
    pub node: String,
    /// Its host name.
    pub host: String,
    /// The headless Service that gives it a name.
    pub subdomain: Option<String>,
    /// What Services select.
    pub labels: BTreeMap<String, String>,
    /// When kubelet took it, in RFC 3339, which sorts by time.
    pub started: String,
    /// Its addresses.
    pub addresses: BTreeSet<IpAddr>,
    /// Whether it is a member.
    pub standing: Standing,
}

/// Whether a pod is a member of its job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It is.
    Member,
    /// It has no address yet.
    Coming,
    /// Its address is about to be freed, or has been.
    Leaving,
    /// It has ended.
    Ended,
    /// It never is, for this reason.
    Refused(&'static str),
}

impl Candidate {
    /// What a pod is to its job. `None`: it has no such label, or no identity.
    #[must_use]
    pub fn of(pod: &Pod, runtime_classes: &[String]) -> Option<Self> {
        let meta = &pod.metadata;
        let labels = meta.labels.clone().unwrap_or_default();
        let scope = Scope { namespace: meta.namespace.clone()?, job: labels.get(JOB)?.clone() };
        let (uid, name) = (meta.uid.clone()?, meta.name.clone()?);
        let status = pod.status.clone().unwrap_or_default();
        let addresses = status.pod_ips.iter().filter_map(|of| of.ip.parse().ok()).collect();
        let host = pod.spec.hostname.clone().unwrap_or_else(|| host_name(&name));
        let standing = standing(pod, &status, &scope, runtime_classes);
        Some(Self {
            uid,
            pod: name,
            scope,
            node: pod.spec.node_name.clone().unwrap_or_default(),
            host,
            subdomain: pod.spec.subdomain.clone().filter(|subdomain| !subdomain.is_empty()),
            labels,
            started: status.start_time.clone().unwrap_or_default(),
            addresses,
            standing,
        })
    }
}

/// The host name that kubelet makes of a pod's name.
fn host_name(pod: &str) -> String {
    match pod.get(..63) {
        Some(start) => start.trim_end_matches(['-', '.']).to_owned(),
        None => pod.to_owned(),
    }
}

fn standing(pod: &Pod, status: &PodStatus, scope: &Scope, runtime_classes: &[String]) -> Standing {
    let annotation = |key| pod.metadata.annotations.as_ref().and_then(|all| all.get(key)).map(String::as_str);
    let isolated =
        annotation(ISOLATION).is_some_and(|value| value.is_empty() || value.eq_ignore_ascii_case("true"));
    let class = pod.spec.runtime_class_name.as_ref();
    if annotation(MIRROR).is_some() {
        Standing::Refused("mirror-pod")
    } else if annotation(JOB) != Some(&scope.job) {
        Standing::Refused("label")
    } else if !isolated {
        Standing::Refused("not-isolated")
    } else if !class.is_some_and(|class| runtime_classes.contains(class)) {
        Standing::Refused("runtime-class")
    } else if pod.spec.host_network {
        Standing::Refused("host-network")
    } else if matches!(status.phase.as_deref(), Some("Succeeded" | "Failed")) {
        Standing::Ended
    } else if pod.metadata.deletion_timestamp.is_some() || is_leaving(pod, status) {
        Standing::Leaving
    } else if status.pod_ips.is_empty() || pod.spec.node_name.is_none() {
        Standing::Coming
    } else if status.pod_ips.iter().any(|of| of.ip.parse::<IpAddr>().is_err()) {
        Standing::Refused("address")
    } else {
        Standing::Member
    }
}

/// Whether its address is about to be freed: its sandbox is not there, or every container has ended and none comes back.
/// Mostly both show before CNI frees the address (docs/kubernetes.md, "When members are out"); the phase shows after that.
fn is_leaving(pod: &Pod, status: &PodStatus) -> bool {
    // Before Kubernetes 1.29 there is no such condition.
    let without_sandbox =
        |condition: &Condition| condition.r#type == "PodReadyToStartContainers" && condition.status != "True";
    if status.conditions.iter().any(without_sandbox) {
        return true;
    }
    let ended: Option<Vec<i64>> =
        status.container_statuses.iter().map(|of| Some(of.state.terminated.as_ref()?.exit_code)).collect();
    let Some(ended) = ended.filter(|ended| !ended.is_empty()) else { return false };
    match pod.spec.restart_policy.as_deref() {
        Some("Never") => true,
        Some("OnFailure") => ended.iter().all(|code| *code == 0),
        _ => false,
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// A member as kubelet reports it.
    pub(crate) fn member() -> Value {
        json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": "two-1-x7", "namespace": "team-a", "uid": "u1", "labels": {JOB: "train"},
                "annotations": {JOB: "train", ISOLATION: "true"}},
            "spec": {"nodeName": "node2", "runtimeClassName": "oci-isolate", "hostname": "two-1", "subdomain": "svc",
                "restartPolicy": "Never", "containers": [{"name": "c"}]},
            "status": {"phase": "Running", "startTime": "2026-11-29T14:00:00Z", "podIP": "10.88.2.5",
                "podIPs": [{"ip": "10.88.2.5"}, {"ip": "fd00::5"}],
                "conditions": [{"type": "PodReadyToStartContainers", "status": "True"}],
                "containerStatuses": [{"name": "c", "state": {"running": {}}}]},
        })
    }

    pub(crate) fn candidate(pod: &Value) -> Option<Candidate> {
        Candidate::of(&serde_json::from_value(pod.clone()).unwrap(), &["oci-isolate".to_owned()])
    }

    #[test]
    fn who_is_a_member_is_decided_by_the_pod_alone() {
        use Standing::{Coming, Ended, Leaving, Member, Refused};
        let ended = |code: i64| json!([{"state": {"terminated": {"exitCode": code}}}]);
        let ended = [ended(0), ended(1)];
        let null = Value::Null;
        let condition = |status: &str| json!([{"type": "PodReadyToStartContainers", "status": status}]);
        for (changes, standing) in [
            (&[][..], Member),
            (&[("/metadata/annotations/io.oci-isolate.network-isolation", json!(""))], Member),
            (&[("/status/conditions", json!([]))], Member),
            (&[("/status/containerStatuses", null.clone())], Member),
            (&[("/metadata/annotations/io.oci-isolate.job", json!("other"))], Refused("label")),
            (&[("/metadata/annotations", null.clone())], Refused("label")),
            (
                &[("/metadata/annotations/io.oci-isolate.network-isolation", json!("false"))],
                Refused("not-isolated"),
            ),
            (
                &[("/metadata/annotations/io.oci-isolate.network-isolation", null.clone())],
                Refused("not-isolated"),
            ),
            (&[("/metadata/annotations/kubernetes.io~1config.mirror", json!(""))], Refused("mirror-pod")),
            (&[("/spec/runtimeClassName", json!("runc"))], Refused("runtime-class")),
            (&[("/spec/runtimeClassName", null.clone())], Refused("runtime-class")),
            (&[("/spec/hostNetwork", json!(true))], Refused("host-network")),
            (&[("/status/podIPs", json!([{"ip": "10.88.2.5"}, {"ip": "evil"}]))], Refused("address")),
            (&[("/status/podIPs", json!([]))], Coming),
            (&[("/status", null.clone())], Coming),
            (&[("/spec/nodeName", null.clone())], Coming),
            (&[("/status/phase", json!("Succeeded"))], Ended),
            (&[("/status/phase", json!("Failed"))], Ended),
            (&[("/metadata/deletionTimestamp", json!("2026-11-29T14:00:00Z"))], Leaving),
            (&[("/status/conditions", condition("False"))], Leaving),
            (&[("/status/conditions", condition("Unknown"))], Leaving),
            (&[("/status/containerStatuses", ended[0].clone())], Leaving),
            (&[("/status/containerStatuses", ended[1].clone())], Leaving),
            (
                &[
                    ("/status/containerStatuses", ended[0].clone()),
                    ("/spec/restartPolicy", json!("OnFailure")),
                ],
                Leaving,
            ),
            (
                &[
                    ("/status/containerStatuses", ended[1].clone()),
                    ("/spec/restartPolicy", json!("OnFailure")),
                ],
                Member,
            ),
            (
                &[("/status/containerStatuses", ended[1].clone()), ("/spec/restartPolicy", json!("Always"))],
                Member,
            ),
        ] {
            let mut pod = member();
            for (at, value) in changes {
                let (parent, key) = at.rsplit_once('/').unwrap();
                let key = &*key.replace("~1", "/");
                match value {
                    Value::Null => {
                        drop(pod.pointer_mut(parent).unwrap().as_object_mut().unwrap().remove(key))
                    }
                    value => pod.pointer_mut(parent).unwrap()[key] = value.clone(),
                }
            }
            assert_eq!(candidate(&pod).unwrap().standing, standing, "{changes:?}");
        }
    }

    #[test]
    fn a_long_name_makes_the_host_name_that_kubelet_makes() {
        let (short, long) = ("a".repeat(63), "a".repeat(62));
        for (pod, host) in [
            ("a", "a"),
            (&*short, &*short),
            (&format!("{long}-.b"), &*long),
            (&format!("{short}-b"), &*short),
        ] {
            assert_eq!(host_name(pod), host);
        }
    }

    #[test]
    fn a_pod_without_the_label_is_none() {
        let mut pod = member();
        pod["metadata"]["labels"] = json!({});
        assert_eq!(candidate(&pod), None);
    }
}
