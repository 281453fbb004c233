//! The manifests of a training job for a cluster: a Job whose pod has three containers. `stage-in` downloads, `algorithm` is isolated, and
//! `stage-out` uploads however `algorithm` ends. What of a request cannot be had in a pod is refused by its path. Nothing of this
//! process's environment is in them.

mod pod;

use serde_json::{Value, json};

use crate::plan::{Direction, steps_of_training};
use crate::request::{Document, Refusals, Refused, TrainingJob};
use crate::settings::{Addressing, Settings};

/// What is not in the request or the settings.
#[derive(Debug)]
pub struct Options<'a> {
    /// Where the job is created.
    pub namespace: &'a str,
    /// The image of isolate-job.
    pub image: &'a str,
    /// The Secret whose keys become variables of the containers that transfer data.
    pub secret: Option<&'a str>,
    /// A ServiceAccount of the namespace, which may get and watch pods; without it the job gets one of its own.
    pub service_account: Option<&'a str>,
    /// For the job's ARN.
    pub region: &'a str,
}

/// The most bytes of a ConfigMap: `kubectl apply` keeps it whole in an annotation, which has at most 256 KiB.
const MOST_OF_CONFIG_MAP: usize = 255 << 10;

/// How the names of variables that are credentials end. The shim would take such variables away; they would still be in the manifests.
const CREDENTIALS: [&str; 4] = ["ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "SESSION_TOKEN", "SECURITY_TOKEN"];

/// The manifests, as one List.
///
/// # Errors
/// Every reason why the request cannot be run in a pod.
pub fn render(
    document: &Document<TrainingJob>,
    settings: &Settings,
    options: &Options,
) -> Result<Value, Refusals> {
    let job = &document.data;
    let name = &belonging(&job.training_job_name);
    let labels = labels(&job.training_job_name);
    let metadata = json!({ "name": name, "namespace": options.namespace, "labels": labels });
    let mut of_job = metadata.clone();
    of_job["name"] = json!(job.training_job_name);
    let request = format!("{:#}\n", Value::Object(document.given.clone()));
    let config_map = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata,
        "data": { "request.json": request, "job.toml": settings_of_transfers(settings) },
    });
    let mut refused = refused(job, settings)?;
    if config_map.to_string().len() > MOST_OF_CONFIG_MAP {
        let why = "the document is too large for a ConfigMap; put hyperparameters into a file of a channel";
        refused.push(Refused::new("", why));
    }
    let Options { namespace, secret, service_account, .. } = options;
    for (flag, name) in
        [("--namespace", &Some(*namespace)), ("--secret", secret), ("--service-account", service_account)]
    {
        if name.is_some_and(|name| !is_label(name)) {
            refused.push(Refused::new("", format!("{flag}: is not a name of Kubernetes")));
        }
    }
    if service_account.is_some() && secret.is_none() && !settings.role.assume {
        let why = "--service-account: with assume = false the data would be transferred by the role of that ServiceAccount instead of \
                   RoleArn; set assume = true, or leave --service-account out";
        refused.push(Refused::new("", why.to_owned()));
    }
    if !refused.is_empty() {
        return Err(Refusals(refused));
    }
    let mut items = match service_account {
        Some(_) => Vec::new(),
        None => account(job, settings, &metadata),
    };
    items.extend([
        config_map,
        json!({
            "apiVersion": "batch/v1", "kind": "Job", "metadata": of_job,
            "spec": { "backoffLimit": 0, "template": pod::template(job, settings, options) },
        }),
    ]);
    Ok(json!({ "apiVersion": "v1", "kind": "List", "items": items }))
}

/// A ServiceAccount that may read the pods of its namespace, for this job only.
fn account(job: &TrainingJob, settings: &Settings, metadata: &Value) -> Vec<Value> {
    let (name, namespace) = (&metadata["name"], &metadata["namespace"]);
    let subject = json!({ "kind": "ServiceAccount", "name": name, "namespace": namespace });
    let mut account = metadata.clone();
    if !settings.role.assume {
        // Amazon EKS gives the pod this role: it is the base identity.
        account["annotations"] = json!({ "eks.amazonaws.com/role-arn": job.role_arn });
    }
    let rbac = "rbac.authorization.k8s.io";
    // The pod's name is not known before the Job makes it.
    let rule = json!({ "apiGroups": [""], "resources": ["pods"], "verbs": ["get", "watch"] });
    vec![
        json!({ "apiVersion": "v1", "kind": "ServiceAccount", "metadata": account, "automountServiceAccountToken": false }),
        json!({ "apiVersion": format!("{rbac}/v1"), "kind": "Role", "metadata": metadata, "rules": [rule] }),
        json!({
            "apiVersion": format!("{rbac}/v1"), "kind": "RoleBinding", "metadata": metadata, "subjects": [subject],
            "roleRef": { "apiGroup": rbac, "kind": "Role", "name": name },
        }),
    ]
}

/// The name of what belongs to a job: none that a namespace has by itself, such as the ServiceAccount `default`.
fn belonging(job: &str) -> String {
    format!("isolate-job-{job}")
}

fn labels(name: &str) -> Value {
    json!({ "app.kubernetes.io/name": "isolate-job", "app.kubernetes.io/instance": name })
}

/// What is wrong with a job for a pod.
fn refused(job: &TrainingJob, settings: &Settings) -> Result<Vec<Refused>, Refusals> {
    let mut refused = Vec::new();
    let mut no = |path: &str, why: &str| refused.push(Refused::new(path, why));
    if !is_label(&job.training_job_name) {
        no("TrainingJobName", "is not a name of Kubernetes; give lower-case letters, digits and - only");
    }
    if job.resource_config.instance_count > 1 {
        let why = "several containers are not rendered: a pod with containers that transfer data has no peers; give 1, or \
                   write the manifests as docs/jobs.md has them (In a cluster, Several instances)";
        no("ResourceConfig.InstanceCount", why);
    }
    if job.vpc_config.is_some() {
        let why = "a pod's network is the cluster's; leave it out, and limit stage-in and stage-out by a NetworkPolicy";
        no("VpcConfig", why);
    }
    if !job.algorithm_specification.metric_definitions.is_empty() {
        let why = "in a pod nothing reads the container's log; leave it out, and read metrics from the cluster's logs";
        no("AlgorithmSpecification.MetricDefinitions", why);
    }
    let is_credential = |name: &str| CREDENTIALS.iter().any(|end| name.to_ascii_uppercase().ends_with(end));
    for name in job.environment.keys().filter(|name| is_credential(name)) {
        let why = "is a credential, which an isolated container does not get and a manifest must not have; leave it out";
        no(&format!("Environment[{name:?}]"), why);
    }
    if settings.s3.ca_bundle.is_some() {
        let why = "s3.ca-bundle: is a file of this host; leave it out of the settings, and build the image of isolate-job \
                   with that bundle (hack/kubernetes/job-image)";
        no("", why);
    }
    let steps = steps_of_training(job).map_err(|why| Refusals::from(Refused::new("", why)))?;
    for step in steps.iter().filter(|step| step.direction == Direction::Stream) {
        let why = "Pipe mode needs a process of the host that writes into the container's FIFO; give File or FastFile";
        no(&step.member, why);
    }
    Ok(refused)
}

/// Whether a text is a label of DNS (RFC 1123), which each of these names may be.
fn is_label(text: &str) -> bool {
    let is_plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    (1..=63).contains(&text.len())
        && text.bytes().all(is_plain)
        && !text.starts_with('-')
        && !text.ends_with('-')
}

/// The settings that a transfer reads, as job.toml.
fn settings_of_transfers(settings: &Settings) -> String {
    let Settings { parallel, part_size, checkpoint_interval, s3, role, .. } = settings;
    // What JSON escapes in a string, TOML does so, too.
    let optional = |key: &str, value: Option<&String>| {
        value.map(|value| format!("{key} = {}\n", json!(value))).unwrap_or_default()
    };
    let addressing = match s3.addressing {
        Addressing::Virtual => "virtual",
        Addressing::Path => "path",
    };
    format!(
        "parallel = {parallel}\npart-size = {part_size}\ncheckpoint-interval = {checkpoint_interval}\n\
         [s3]\naddressing = \"{addressing}\"\n{}{}[role]\nassume = {}\n{}{}",
        optional("endpoint", s3.endpoint.as_ref()),
        optional("region", s3.region.as_ref()),
        role.assume,
        optional("external-id", role.external_id.as_ref()),
        optional("endpoint", role.endpoint.as_ref()),
    )
}

#[cfg(test)]
mod tests;
