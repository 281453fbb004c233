//! The pod of a job. Its three containers share a volume: `opt-ml` below it is /opt/ml of `algorithm`, and `checkpoints` its checkpoints,
//! if they are elsewhere; nothing else of the volume is in `algorithm`.

use serde_json::{Value, json};

use super::Options;
use crate::engine::Container;
use crate::plan::environment;
use crate::request::TrainingJob;
use crate::settings::Settings;
use crate::status::{Scope, arn};

/// The RuntimeClass of the shim (hack/kubernetes/runtimeclass.yaml).
const RUNTIME_CLASS: &str = "oci-isolate";

/// The time between SIGTERM and SIGKILL: `algorithm` has 120 seconds of it, as in SageMaker, and the upload has the rest.
const GRACE: u32 = 120 + 600;

/// What a pod may take beyond MaxRuntimeInSeconds, to download and upload.
const TRANSFERS: u64 = 600;

/// Where a process finds the API server's certificate and its own token.
const CREDENTIALS: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

pub(super) fn template(job: &TrainingJob, settings: &Settings, options: &Options) -> Value {
    let name = &job.training_job_name;
    // As the engine of a host would be given it.
    let all = settings.containers(job);
    let container = all.first().expect("a job has a container");
    json!({
        "metadata": {
            "labels": super::labels(name),
            "annotations": {
                "io.oci-isolate.network-isolation": "true",
                "io.oci-isolate.platform": "stage-in, stage-out",
            },
        },
        "spec": {
            "runtimeClassName": RUNTIME_CLASS,
            "restartPolicy": "Never",
            // It counts from the start of the pod to the end of the upload.
            "activeDeadlineSeconds": u64::from(job.stopping_condition.max_runtime_in_seconds) + TRANSFERS,
            "terminationGracePeriodSeconds": GRACE,
            "hostname": "algo-1",
            "serviceAccountName": options.service_account.map_or_else(|| super::belonging(name), str::to_owned),
            // Only the containers that transfer data have the token, as a volume.
            "automountServiceAccountToken": false,
            "enableServiceLinks": false,
            "initContainers": [transfer("stage-in", "in", options)],
            "containers": [algorithm(job, container, options), transfer("stage-out", "out", options)],
            "volumes": volumes(job, container),
        },
    })
}

/// A container of the platform's: it has the network, and credentials.
fn transfer(name: &str, direction: &str, options: &Options) -> Value {
    let mut container = json!({
        "name": name,
        "image": options.image,
        "args": [
            "--config", "/etc/isolate-job/job.toml", "pod", direction, "--namespace", options.namespace, "--pod", "$(POD_NAME)",
        ],
        "env": [{ "name": "POD_NAME", "valueFrom": { "fieldRef": { "fieldPath": "metadata.name" } } }],
        "volumeMounts": [
            { "name": "data", "mountPath": "/data" },
            { "name": "request", "mountPath": "/etc/isolate-job", "readOnly": true },
            { "name": "api", "mountPath": CREDENTIALS, "readOnly": true },
        ],
        "resources": { "requests": { "cpu": "100m", "memory": "128Mi" } },
        "securityContext": {
            // The program of `algorithm` may run as any user: its files are written and read whatever their permissions.
            "runAsUser": 0,
            "capabilities": { "drop": ["ALL"], "add": ["DAC_OVERRIDE"] },
            "allowPrivilegeEscalation": false,
            "readOnlyRootFilesystem": true,
            "seccompProfile": { "type": "RuntimeDefault" },
        },
    });
    if let Some(secret) = options.secret {
        container["envFrom"] = json!([{ "secretRef": { "name": secret } }]);
    }
    container
}

/// The isolated one.
fn algorithm(job: &TrainingJob, container: &Container, options: &Options) -> Value {
    let specification = &job.algorithm_specification;
    let arn = arn(&Scope::of_role(&job.role_arn, options.region), "training-job", &job.training_job_name);
    let variables = environment(job, &arn);
    let variables = variables.lines().filter_map(|line| line.split_once('='));
    let variables: Vec<_> =
        variables.map(|(name, value)| json!({ "name": name, "value": escaped(value) })).collect();
    let mut mounts = vec![json!({ "name": "data", "mountPath": "/opt/ml", "subPath": "opt-ml" })];
    let checkpoints = job.checkpoint_config.as_ref().map(|config| config.local_path());
    if let Some(path) = checkpoints.filter(|path| !path.starts_with("/opt/ml/")) {
        mounts.push(json!({ "name": "data", "mountPath": path, "subPath": "checkpoints" }));
    }
    if container.shm.is_some() {
        mounts.push(json!({ "name": "shm", "mountPath": "/dev/shm" }));
    }
    let mut bounded = serde_json::Map::new();
    if let Some(cpus) = container.cpus {
        bounded.insert("cpu".to_owned(), json!(format!("{:.0}m", cpus * 1000.0)));
    }
    if let Some(memory) = container.memory {
        bounded.insert("memory".to_owned(), json!(memory.to_string()));
    }
    let mut requests = bounded.clone();
    requests.insert("ephemeral-storage".to_owned(), json!(volume(job)));
    let mut algorithm = json!({
        "name": "algorithm",
        "image": specification.training_image,
        "args": container.arguments.iter().map(|word| escaped(word)).collect::<Vec<_>>(),
        "env": variables,
        "volumeMounts": mounts,
        "resources": { "requests": requests, "limits": bounded },
    });
    if !specification.container_entrypoint.is_empty() {
        let words = specification.container_entrypoint.iter().map(|word| escaped(word));
        algorithm["command"] = words.collect::<Vec<_>>().into();
    }
    algorithm
}

fn volumes(job: &TrainingJob, container: &Container) -> Vec<Value> {
    let token = json!({ "serviceAccountToken": { "path": "token", "expirationSeconds": 3607 } });
    let authority = json!({ "key": "ca.crt", "path": "ca.crt" });
    let authority = json!({ "configMap": { "name": "kube-root-ca.crt", "items": [authority] } });
    let mut volumes = vec![
        json!({ "name": "data", "emptyDir": { "sizeLimit": volume(job) } }),
        json!({ "name": "request", "configMap": { "name": super::belonging(&job.training_job_name) } }),
        json!({ "name": "api", "projected": { "sources": [token, authority] } }),
    ];
    if let Some(shm) = container.shm {
        volumes
            .push(json!({ "name": "shm", "emptyDir": { "medium": "Memory", "sizeLimit": shm.to_string() } }));
    }
    volumes
}

fn volume(job: &TrainingJob) -> String {
    format!("{}Gi", job.resource_config.volume_size_in_gb)
}

/// Kubernetes replaces $(NAME) in arguments and variables, and $$ by $.
fn escaped(text: &str) -> String {
    text.replace('$', "$$")
}
