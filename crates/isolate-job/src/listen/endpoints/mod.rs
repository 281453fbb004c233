//! Endpoints: each is a model that `isolate-job deploy` serves in a process of its own, which outlives the listener. The endpoint's document
//! names its configuration; the state is that of the deployment, a directory of the endpoint's name beside those of jobs.

pub(super) mod config;

use std::fs::File;
use std::io::Read;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::Context;
use config::Variant;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Platform;
use super::models::{created, found, model, reported, status};
use super::page::{Item, Listing, Order, Page};
use super::server::note;
use super::wire::Failure;
use crate::deploy;
use crate::request::read_as;
use crate::settings::Settings;
use crate::status::{Deployment, EndpointStatus, Scope, Time, arn};
use crate::store::Job;
use crate::train::now;

/// The model that an endpoint serves, as it was when the endpoint was created.
const MODEL: &str = "model.json";

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
    let document = created(&platform.endpoints, &name, body, &endpoint)?;
    model.given.insert("ModelName".to_owned(), json!(name));
    let started = document
        .replace(MODEL, json!(model.given).to_string().as_bytes())
        .and_then(|()| start(platform, &document, &endpoint.variant));
    if let Err(error) = started {
        document.remove()?;
        return Err(error.into());
    }
    Ok(json!({ "EndpointArn": endpoint.endpoint_arn }))
}

/// Starts `isolate-job deploy` of the model under the endpoint's name.
fn start(platform: &Platform, document: &Job, variant: &Variant) -> anyhow::Result<()> {
    let model = File::open(document.path(MODEL)).context("cannot read the model of the endpoint")?;
    let mut command = Command::new(&platform.program);
    command.args(["deploy", "--listen", "127.0.0.1:0"]);
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
    command.arg("-").process_group(0).stdin(model).stdout(Stdio::null()).stderr(Stdio::piped());
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
        (Ok(_), Ok(_)) => refuse(document, &reported(&stderr)),
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
fn served(platform: &Platform, name: &str) -> Option<(Job, Deployment)> {
    let job = platform.jobs.job(name).ok()?;
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
    if let Some((job, status)) = served(platform, &endpoint.endpoint_name) {
        deployment = status;
        let is_over = deployment.endpoint_status == EndpointStatus::Failed;
        if !is_over && !endpoint.is_deleted && !job.is_supervised()? {
            deployment
                .fail("the process that served it has ended; delete the endpoint and create it again", now());
        }
    } else if let Some(why) = &endpoint.failure_reason {
        deployment.fail(why, endpoint.creation_time);
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

pub(super) fn delete(platform: &Platform, body: &[u8]) -> Result<Value, Failure> {
    let Named { endpoint_name: name } = read_as("DeleteEndpoint", body)?.data;
    let document = found(&platform.endpoints, "endpoint", &name)?;
    let mut endpoint: Endpoint = document.status()?;
    if endpoint.is_deleted {
        return Err(Failure::validation(format!("Cannot update endpoint {name:?}: it is being deleted.")));
    }
    endpoint.is_deleted = true;
    document.set_status(&endpoint)?;
    remove(platform, document);
    Ok(Value::Null)
}

/// Stops a deployment, and removes it and its document when it has ended.
fn remove(platform: &Platform, document: Job) {
    let (served, settings) = (served(platform, &document.name), platform.settings.clone());
    thread::spawn(move || {
        let ended = served.map_or(Ok(()), |(deployment, _)| end(deployment, &settings));
        if let Err(error) = ended.and_then(|()| document.clone().remove()) {
            note(&format!("cannot delete endpoint {}: {error:#}", document.name));
        }
    });
}

/// Ends a deployment. One that is served removes itself.
fn end(deployment: Job, settings: &Settings) -> anyhow::Result<()> {
    let is_there = || deployment.path("request.json").exists();
    if let Err(error) = deployment.request_stop()
        && is_there()
    {
        return Err(error);
    }
    loop {
        match deployment.is_supervised() {
            Ok(true) => thread::sleep(Duration::from_millis(100)),
            Ok(false) => break,
            Err(_) if !is_there() => break,
            Err(error) => return Err(error),
        }
    }
    if is_there() { deploy::remove(deployment, settings) } else { Ok(()) }
}

/// What was under way when the listener ended: endpoints that are not served any more are deployed again, those that were being deleted are removed.
pub(super) fn resume(platform: &Platform) -> anyhow::Result<()> {
    for document in platform.endpoints.list()? {
        let endpoint: Endpoint = document.status()?;
        if endpoint.is_deleted {
            remove(platform, document);
            continue;
        }
        if let Some((job, status)) = served(platform, &document.name) {
            if status.endpoint_status == EndpointStatus::Failed || job.is_supervised()? {
                continue;
            }
            deploy::remove(job, &platform.settings)?;
        }
        if endpoint.failure_reason.is_none() {
            note(&format!("endpoint {} is deployed again", document.name));
            start(platform, &document, &endpoint.variant)?;
        }
    }
    Ok(())
}
