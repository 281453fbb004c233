//! Endpoints: each is a model that `isolate-job deploy` serves in a process of its own, which outlives the listener. The endpoint's document
//! names its configuration; the state is that of the deployment, a directory of the endpoint's name beside those of jobs.

pub(super) mod config;
mod delete;

use std::io::Read;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::thread;

use anyhow::Context;
use config::Variant;
pub(super) use delete::delete;
use delete::remove;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Platform;
use super::models::{created_with, found, model, reported, status};
use super::page::{Item, Listing, Order, Page};
use super::server::note;
use super::wire::Failure;
use crate::deploy;
use crate::request::read_as;
use crate::status::{Deployment, EndpointStatus, Scope, Time, arn};
use crate::store::{Job, Lock, Store};
use crate::train::now;

/// The model that an endpoint serves, as it was when the endpoint was created.
const MODEL: &str = "model.json";

/// The file that a request to stop leaves.
const STOP: &str = "stop";

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Request {
    endpoint_name: String,
    endpoint_config_name: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Named {
    endpoint_name: String,
}

/// The document of an endpoint: what does not change while it is served.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Endpoint {
    endpoint_name: String,
    endpoint_arn: String,
    endpoint_config_name: String,
    creation_time: Time,
    pub(super) variant: Variant,
    image: String,
    /// Why it could not be deployed at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    failure_reason: Option<String>,
    #[serde(default)]
    is_deleted: bool,
}

pub(super) fn create(platform: &Platform, body: &[u8]) -> Result<Value, Failure> {
    let Request { endpoint_name: name, endpoint_config_name } = read_as("CreateEndpoint", body)?.data;
    let variant = config::variant(platform, &endpoint_config_name)?;
    let mut model = model(platform, &variant.model_name)?;
    let configuration: Value =
        found(&platform.configs, "endpoint configuration", &endpoint_config_name)?.status()?;
    let scope = Scope::of_arn(configuration["EndpointConfigArn"].as_str().unwrap_or_default());
    if platform.jobs.job(&name).is_ok() {
        let why = format!("{name} is a job or an endpoint of this host; choose another EndpointName");
        return Err(Failure::in_use(why));
    }
    let endpoint = Endpoint {
        endpoint_arn: arn(&scope, "endpoint", &name),
        endpoint_name: name.clone(),
        endpoint_config_name,
        creation_time: now(),
        variant,
        image: model.data.primary_container.image,
        failure_reason: None,
        is_deleted: false,
    };
    model.given.insert("ModelName".to_owned(), json!(name));
    let filled = |document: &Job| document.replace(MODEL, json!(model.given).to_string().as_bytes());
    let (document, lock) = created_with(&platform.endpoints, &name, body, &endpoint, filled)?;
    if let Err(error) = start(platform, &document, lock, &endpoint.variant) {
        document.remove()?;
        return Err(error.into());
    }
    Ok(json!({ "EndpointArn": endpoint.endpoint_arn }))
}

/// Starts `isolate-job deploy` of the model under the endpoint's name. It has the document's lock until it serves the model.
fn start(platform: &Platform, document: &Job, lock: Lock, variant: &Variant) -> anyhow::Result<()> {
    let mut command = Command::new(&platform.program);
    command.args(["deploy", "--listen", "127.0.0.1:0", "--until"]).arg(document.path(STOP));
    if let Some(seconds) = variant.startup_timeout {
        command.args(["--startup-timeout", &seconds.to_string()]);
    }
    if let Some(instance_type) = &variant.instance_type {
        command.args(["--instance-type", instance_type]);
    }
    if let Some(config) = &platform.config {
        command.arg("--config").arg(config);
    }
    // A signal for the listener's terminal is not for it.
    command.arg(document.path(MODEL)).process_group(0);
    command.stdin(Stdio::from(lock)).stdout(Stdio::null()).stderr(Stdio::piped());
    let child = command.spawn().context("cannot start `isolate-job deploy`")?;
    let document = document.clone();
    thread::spawn(move || supervise(child, &document));
    Ok(())
}

/// Waits for a deployment, and keeps why it was refused.
fn supervise(mut child: Child, document: &Job) {
    let mut stderr = Vec::new();
    // It writes a line or two.
    let read = child.stderr.take().map(|pipe| pipe.take(1 << 20).read_to_end(&mut stderr));
    let ended = child.wait();
    let kept = match (read.transpose(), ended) {
        // By DeleteEndpoint, it is marked as deleted.
        (Ok(_), Ok(status)) if status.success() => refuse(
            document,
            "the process that served it was stopped; delete the endpoint and create it again",
        ),
        (Ok(_), Ok(_)) => {
            let path = format!("{}: ", document.path(MODEL).display());
            refuse(document, &reported(&stderr).replace(&path, ""))
        }
        (Err(error), _) | (_, Err(error)) => refuse(document, &error.to_string()),
    };
    if let Err(error) = kept {
        note(&format!("cannot keep why endpoint {} failed: {error:#}", document.name));
    }
}

fn refuse(document: &Job, why: &str) -> anyhow::Result<()> {
    // It may be deleted already.
    let Ok(mut endpoint) = document.status::<Endpoint>() else { return Ok(()) };
    if endpoint.is_deleted {
        return Ok(());
    }
    endpoint.failure_reason = Some(why.to_owned());
    document.set_status(&endpoint)
}

/// The deployment of an endpoint. A job may have got the name while there was none.
fn served(jobs: &Store, name: &str) -> Option<(Job, Deployment)> {
    let job = jobs.job(name).ok()?;
    let status = job.status().ok()?;
    Some((job, status))
}

/// The name of an endpoint's variant; of a model that was deployed by the command line, the one that SageMaker's SDK gives.
pub(super) fn variant(platform: &Platform, name: &str) -> String {
    let endpoint = platform.endpoints.job(name).and_then(|document| document.status::<Endpoint>());
    endpoint.map_or_else(|_| "AllTraffic".to_owned(), |endpoint| endpoint.variant.variant_name)
}

/// Where an endpoint is.
pub(super) fn deployment(platform: &Platform, endpoint: &Endpoint) -> Result<Deployment, Failure> {
    let mut deployment = Deployment::new(endpoint.creation_time);
    let name = &endpoint.endpoint_name;
    // Before it ends, there is what it has deployed.
    let is_deploying =
        platform.endpoints.job(name).is_ok_and(|document| document.is_supervised().unwrap_or(true));
    if let Some((job, status)) = served(&platform.jobs, name) {
        deployment = status;
        let is_over = deployment.endpoint_status == EndpointStatus::Failed;
        if !is_over && !endpoint.is_deleted && !job.is_supervised()? {
            deployment
                .fail("the process that served it has ended; delete the endpoint and create it again", now());
        }
    } else if let Some(why) = &endpoint.failure_reason {
        deployment.fail(why, endpoint.creation_time);
    } else if !endpoint.is_deleted && !is_deploying {
        deployment
            .fail("the process that deployed it has ended; delete the endpoint and create it again", now());
    }
    if endpoint.is_deleted {
        deployment.deleting(deployment.last_modified_time);
    }
    Ok(deployment)
}

fn described(platform: &Platform, endpoint: &Endpoint) -> Result<Value, Failure> {
    let deployment = deployment(platform, endpoint)?;
    let count = u32::from(deployment.endpoint_status == EndpointStatus::InService);
    let mut answer = json!({
        "EndpointName": endpoint.endpoint_name,
        "EndpointArn": endpoint.endpoint_arn,
        "EndpointConfigName": endpoint.endpoint_config_name,
        "ProductionVariants": [{
            "VariantName": endpoint.variant.variant_name,
            "DeployedImages": [{ "SpecifiedImage": endpoint.image }],
            "CurrentWeight": 1.0,
            "DesiredWeight": 1.0,
            "CurrentInstanceCount": count,
            "DesiredInstanceCount": 1,
        }],
        "EndpointStatus": deployment.endpoint_status,
        "CreationTime": endpoint.creation_time,
        "LastModifiedTime": deployment.last_modified_time,
    });
    if let Some(why) = deployment.failure_reason {
        answer["FailureReason"] = json!(why);
    }
    Ok(answer)
}

pub(super) fn describe(platform: &Platform, body: &[u8]) -> Result<Value, Failure> {
    let Named { endpoint_name: name } = read_as("DescribeEndpoint", body)?.data;
    described(platform, &found(&platform.endpoints, "endpoint", &name)?.status()?)
}

pub(super) fn list(platform: &Platform, body: &[u8]) -> Result<Value, Failure> {
    let page: Page = read_as("ListEndpoints", body)?.data;
    let mut items = Vec::new();
    for document in platform.endpoints.list()? {
        // Others may have been deleted meanwhile.
        if let Some(endpoint) = status(&document)? {
            items.push(Item { described: described(platform, &endpoint)?, name: document.name });
        }
    }
    let summary = &["EndpointName", "EndpointArn", "CreationTime", "LastModifiedTime", "EndpointStatus"];
    page.of(
        items,
        Listing { member: "Endpoints", summary, status: "EndpointStatus", order: Order::Descending },
    )
}

/// What was under way when the listener ended: endpoints that are not served any more are deployed again, those that were being deleted are removed.
pub(super) fn resume(platform: &Platform) -> anyhow::Result<()> {
    for document in platform.endpoints.list()? {
        let endpoint: Endpoint = document.status()?;
        if endpoint.is_deleted {
            remove(platform, document);
            continue;
        }
        if let Some((job, status)) = served(&platform.jobs, &document.name) {
            if status.endpoint_status == EndpointStatus::Failed || job.is_supervised()? {
                continue;
            }
            deploy::remove(job, &platform.settings)?;
        }
        // One that an earlier listener has started goes on.
        if endpoint.failure_reason.is_none()
            && let Some(lock) = document.lock_if_free()?
        {
            note(&format!("endpoint {} is deployed again", document.name));
            start(platform, &document, lock, &endpoint.variant)?;
        }
    }
    Ok(())
}
