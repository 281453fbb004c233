//! What the API server has of a pod, as far as it matters: whether the container has ended and how, and whether the pod is being ended.
//! Pure.

use serde::Deserialize;

use crate::status::Time;

/// A pod of the API.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Pod {
    metadata: Metadata,
    spec: Spec,
    status: Status,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Metadata {
    resource_version: String,
    deletion_timestamp: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Spec {
    active_deadline_seconds: Option<u64>,
    containers: Vec<Named>,
}

#[derive(Debug, Deserialize)]
struct Named {
    name: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Status {
    start_time: Option<String>,
    reason: String,
    message: String,
    conditions: Vec<Condition>,
    container_statuses: Vec<ContainerStatus>,
}

#[derive(Debug, Deserialize)]
struct Condition {
    #[serde(rename = "type")]
    kind: String,
    status: String,
    #[serde(default)]
    message: String,
}

#[derive(Debug, Deserialize)]
struct ContainerStatus {
    name: String,
    #[serde(default)]
    state: State,
}

#[derive(Debug, Default, Deserialize)]
struct State {
    waiting: Option<Waiting>,
    terminated: Option<Terminated>,
}

#[derive(Debug, Deserialize)]
struct Waiting {
    #[serde(default)]
    reason: String,
    #[serde(default)]
    message: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Terminated {
    exit_code: i64,
    #[serde(default)]
    reason: String,
    #[serde(default)]
    message: String,
    started_at: Option<String>,
    finished_at: Option<String>,
}

/// What matters of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Seen {
    /// From which a watch continues.
    pub(super) version: String,
    /// How the container ended, if it did.
    pub(super) ended: Option<Ended>,
    /// Why it cannot be started, if so.
    pub(super) stuck: Option<Stuck>,
    ending: Option<Ending>,
    /// When the pod exceeds its time.
    deadline: Option<Time>,
}

/// How a container ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Ended {
    pub(super) how: How,
    pub(super) started: Option<Time>,
    pub(super) finished: Option<Time>,
}

/// Why kubelet could not start a container the last time. It tries again for ever.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stuck {
    reason: String,
    message: String,
}

/// The reasons of kubelet, of its packages `images` and `kuberuntime` and of k8s.io/cri-api.
const STUCK: [&str; 9] = [
    INVALID,
    BACK_OFF,
    "ErrImagePull",
    "ErrImageNeverPull",
    "ImageInspectError",
    "RegistryUnavailable",
    "SignatureValidationFailed",
    "CreateContainerConfigError",
    "CreateContainerError",
];

/// Of an image whose name cannot be one.
const INVALID: &str = "InvalidImageName";

/// Between two attempts to pull; its message does not have the cause.
const BACK_OFF: &str = "ImagePullBackOff";

impl Stuck {
    /// Whether no attempt can succeed.
    pub(super) fn is_final(&self) -> bool {
        self.reason == INVALID
    }

    /// Whether it names the cause.
    pub(super) fn names_cause(&self) -> bool {
        self.reason != BACK_OFF
    }
}

impl std::fmt::Display for Stuck {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.reason, self.message)
    }
}

/// By itself, or not even begun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum How {
    Exited { code: i64, oom_killed: bool },
    NotStarted(String),
}

/// Why a pod is being ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Ending {
    /// Somebody deleted it, or its job.
    Deleted,
    /// activeDeadlineSeconds.
    Deadline,
    /// The node, or the cluster, needs its place.
    Evicted(String),
}

/// Reads a pod.
///
/// # Errors
/// It is not one, or has no container of that name.
pub(super) fn seen(object: &[u8], container: &str) -> Result<Seen, String> {
    let pod: Pod =
        serde_json::from_slice(object).map_err(|error| format!("the answer is not a pod: {error}"))?;
    if !pod.spec.containers.iter().any(|one| one.name == container) {
        return Err(format!("the pod has no container {container:?}"));
    }
    let status = pod.status;
    let own = status.container_statuses.into_iter().find(|one| one.name == container);
    let State { waiting, terminated } = own.map(|own| own.state).unwrap_or_default();
    let stuck = waiting.filter(|waiting| STUCK.contains(&waiting.reason.as_str()));
    let disruption =
        status.conditions.into_iter().find(|one| one.kind == "DisruptionTarget" && one.status == "True");
    let ending = match (disruption, status.reason.as_str(), pod.metadata.deletion_timestamp) {
        (Some(condition), _, _) => Some(Ending::Evicted(condition.message)),
        (None, "DeadlineExceeded", _) => Some(Ending::Deadline),
        (None, "Evicted" | "Preempted" | "Preempting" | "Terminated" | "NodeShutdown" | "Shutdown", _) => {
            Some(Ending::Evicted(status.message))
        }
        (None, _, deleted) => deleted.map(|_| Ending::Deleted),
    };
    let start = status.start_time.as_deref().and_then(time);
    let deadline = start.zip(pod.spec.active_deadline_seconds);
    Ok(Seen {
        version: pod.metadata.resource_version,
        ended: terminated.map(ended),
        stuck: stuck.map(|Waiting { reason, message }| Stuck { reason, message }),
        ending,
        deadline: deadline.map(|(start, seconds)| {
            Time::from_millis(start.millis().saturating_add(seconds.saturating_mul(1000)))
        }),
    })
}

impl Seen {
    /// Why the pod is being ended, when it is. kubelet may write so after the signal.
    pub(super) fn ending(&self, now: Time) -> Option<Ending> {
        let is_over = self.deadline.is_some_and(|deadline| now >= deadline);
        self.ending.clone().or(is_over.then_some(Ending::Deadline))
    }
}

fn ended(terminated: Terminated) -> Ended {
    let how = match terminated.reason.as_str() {
        // Of kubelet, for containers that the runtime or the shim refused, or whose program is not there.
        "StartError" | "ContainerCannotRun" => How::NotStarted(terminated.message),
        reason => How::Exited { code: terminated.exit_code, oom_killed: reason == "OOMKilled" },
    };
    Ended {
        how,
        started: terminated.started_at.as_deref().and_then(time).filter(|time| time.millis() > 0),
        finished: terminated.finished_at.as_deref().and_then(time),
    }
}

/// RFC 3339, as the API writes it. containerd has 1970-01-01T00:00:00Z for the start of a container that it could not start.
fn time(text: &str) -> Option<Time> {
    let since = humantime::parse_rfc3339(text).ok()?.duration_since(std::time::UNIX_EPOCH).ok()?;
    Some(Time::from_millis(u64::try_from(since.as_millis()).ok()?))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn pod(status: Value) -> Value {
        let containers = json!([{ "name": "algorithm" }, { "name": "stage-out" }]);
        json!({
            "metadata": { "resourceVersion": "7" }, "spec": { "containers": containers, "activeDeadlineSeconds": 60 },
            "status": status,
        })
    }

    fn read(pod: &Value) -> Seen {
        seen(pod.to_string().as_bytes(), "algorithm").unwrap()
    }

    fn ended_as(terminated: Value) -> How {
        let other = json!({ "name": "stage-out", "state": { "terminated": { "exitCode": 9 } } });
        let own = json!({ "name": "algorithm", "state": { "terminated": terminated } });
        read(&pod(json!({ "containerStatuses": [other, own] }))).ended.unwrap().how
    }

    #[test]
    fn the_end_of_the_container_is_its_own() {
        let exited = |code, oom_killed| How::Exited { code, oom_killed };
        assert_eq!(ended_as(json!({ "exitCode": 0, "reason": "Completed" })), exited(0, false));
        assert_eq!(ended_as(json!({ "exitCode": 137, "reason": "OOMKilled" })), exited(137, true));
        assert_eq!(ended_as(json!({ "exitCode": 1, "reason": "Error" })), exited(1, false));
        let refused = json!({ "exitCode": 128, "reason": "StartError", "message": "oci-isolate: no" });
        assert_eq!(ended_as(refused), How::NotStarted("oci-isolate: no".to_owned()));
        // As kubelet has it with containerd 1.7.
        let terminated = json!({
            "containerID": "containerd://a2", "exitCode": 128, "reason": "StartError", "startedAt": "1970-01-01T00:00:00Z",
            "finishedAt": "2026-11-30T06:00:07Z", "message": "failed to create containerd task: oci-isolate: no",
        });
        let own = json!([{ "name": "algorithm", "state": { "terminated": terminated } }]);
        let ended = read(&pod(json!({ "containerStatuses": own }))).ended.unwrap();
        assert_eq!((ended.started, ended.finished), (None, time("2026-11-30T06:00:07Z")));
        let running =
            json!([{ "name": "algorithm", "state": { "running": { "startedAt": "2026-11-30T06:00:00Z" } } }]);
        assert_eq!(read(&pod(json!({ "containerStatuses": running }))).ended, None);
        // A container that was restarted runs, whatever its last state was.
        let last =
            json!([{ "name": "algorithm", "state": {}, "lastState": { "terminated": { "exitCode": 0 } } }]);
        assert_eq!(read(&pod(json!({ "containerStatuses": last }))).ended, None);
        assert_eq!(read(&pod(json!({}))).ended, None);
    }

    #[test]
    fn a_container_is_stuck_if_kubelet_tries_again_for_ever() {
        let waiting = |reason: &str| {
            let state = json!({ "waiting": { "reason": reason, "message": "why" } });
            read(&pod(json!({ "containerStatuses": [{ "name": "algorithm", "state": state }] }))).stuck
        };
        assert_eq!(waiting("ContainerCreating"), None);
        assert_eq!(waiting("PodInitializing"), None);
        for (reason, is_final, names_cause) in [
            ("ErrImagePull", false, true),
            ("ImagePullBackOff", false, false),
            ("InvalidImageName", true, true),
            ("CreateContainerError", false, true),
        ] {
            let stuck = waiting(reason).unwrap();
            assert_eq!((stuck.is_final(), stuck.names_cause()), (is_final, names_cause), "{reason}");
            assert_eq!(stuck.to_string(), format!("{reason}: why"));
        }
        assert_eq!(read(&pod(json!({}))).stuck, None);
    }

    #[test]
    fn the_reason_of_the_end_of_a_pod_is_known_or_computed() {
        let now = time("2026-11-30T06:00:59Z").unwrap();
        let later = time("2026-11-30T06:01:00Z").unwrap();
        let started = pod(json!({ "startTime": "2026-11-30T06:00:00Z" }));
        assert_eq!(read(&started).ending(now), None);
        assert_eq!(read(&started).ending(later), Some(Ending::Deadline));
        let mut deleted = started;
        deleted["metadata"]["deletionTimestamp"] = json!("2026-11-30T06:00:00Z");
        assert_eq!(read(&deleted).ending(now), Some(Ending::Deleted));
        let condition = json!([{ "type": "DisruptionTarget", "status": "True", "message": "preempted" }]);
        deleted["status"]["conditions"] = condition;
        assert_eq!(read(&deleted).ending(now), Some(Ending::Evicted("preempted".to_owned())));
        let evicted = json!({ "reason": "Evicted", "message": "disk" });
        assert_eq!(read(&pod(evicted)).ending(now), Some(Ending::Evicted("disk".to_owned())));
        assert_eq!(read(&pod(json!({ "reason": "DeadlineExceeded" }))).ending(now), Some(Ending::Deadline));
    }

    #[test]
    fn what_is_no_pod_or_not_this_one_is_an_error() {
        assert!(seen(b"7", "algorithm").unwrap_err().starts_with("the answer is not a pod: "));
        let error = seen(pod(json!({})).to_string().as_bytes(), "train").unwrap_err();
        assert_eq!(error, "the pod has no container \"train\"");
    }
}
