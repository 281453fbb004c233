//! Training jobs: `isolate-job train --detach` runs them, and their status is what it keeps.

use std::io::Write;
use std::process::{Command, Stdio};

use anyhow::Context;
use serde::Deserialize;
use serde_json::{Value, json};

use super::Platform;
use super::models::found;
use super::page::{Item, Listing, Order, Page};
use super::wire::Failure;
use crate::request::{self, read_as};
use crate::status::{Exit, JobStatus, Secondary, TrainingStatus};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Named {
    training_job_name: String,
}

pub(super) fn create(platform: &Platform, body: &[u8]) -> Result<Value, Failure> {
    let job = request::read_training(body)?;
    let name = &job.data.training_job_name;
    if !job.data.enable_network_isolation {
        return Err(Failure::not_isolated("CreateTrainingJob"));
    }
    start(platform, "train", body, name)?;
    Ok(json!({ "TrainingJobArn": status(platform, name)?.training_job_arn }))
}

/// Runs `isolate-job VERB --detach`, which has created the job when it ends.
pub(super) fn start(platform: &Platform, verb: &str, body: &[u8], name: &str) -> Result<(), Failure> {
    if platform.jobs.job(name).is_ok() {
        return Err(in_use(name));
    }
    let mut command = Command::new(&platform.program);
    command.args([verb, "--detach"]);
    if let Some(config) = &platform.config {
        command.arg("--config").arg(config);
    }
    let command = command.arg("-").stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().with_context(|| format!("cannot start `isolate-job {verb}`"))?;
    // If it ends before it has read the request, its error is the reason.
    let passed = child.stdin.take().map_or(Ok(()), |mut stdin| stdin.write_all(body));
    let output = child.wait_with_output().with_context(|| format!("cannot wait for `isolate-job {verb}`"))?;
    let why = super::models::reported(&output.stderr);
    match output.status.code() {
        Some(0) => Ok(passed.with_context(|| format!("cannot pass the request to `isolate-job {verb}`"))?),
        Some(code) if code == Exit::Refused as i32 && why.contains("ResourceInUse") => Err(in_use(name)),
        Some(code) if code == Exit::Refused as i32 => Err(Failure::validation(why)),
        _ => Err(Failure::new("InternalFailure", why, 500)),
    }
}

fn in_use(name: &str) -> Failure {
    Failure::in_use(format!("{name} exists on this host; choose another name"))
}

fn status(platform: &Platform, name: &str) -> Result<TrainingStatus, Failure> {
    let job = platform.jobs.job(name).map_err(|_| Failure::validation("Requested resource not found."))?;
    Ok(job.status()?)
}

pub(super) fn describe(platform: &Platform, body: &[u8]) -> Result<Value, Failure> {
    let Named { training_job_name: name } = read_as("DescribeTrainingJob", body)?.data;
    Ok(json!(status(platform, &name)?))
}

pub(super) fn stop(platform: &Platform, body: &[u8]) -> Result<Value, Failure> {
    let Named { training_job_name: name } = read_as("StopTrainingJob", body)?.data;
    let status = status(platform, &name)?;
    if status.secondary_status.is_final() {
        let why = format!("the training job is {:?} and cannot be stopped", status.training_job_status);
        return Err(Failure::validation(why));
    }
    if status.secondary_status != Secondary::Stopping {
        platform.jobs.job(&name)?.request_stop()?;
    }
    Ok(Value::Null)
}

/// Stops a job of another kind, unless it is stopping already.
pub(super) fn request_stop(
    platform: &Platform,
    kind: &str,
    name: &str,
    status: JobStatus,
) -> Result<Value, Failure> {
    match status {
        JobStatus::InProgress => found(&platform.jobs, kind, name)?.request_stop()?,
        JobStatus::Stopping => {}
        _ => return Err(Failure::validation(format!("the {kind} is {status:?} and cannot be stopped"))),
    }
    Ok(Value::Null)
}

pub(super) fn list(platform: &Platform, body: &[u8]) -> Result<Value, Failure> {
    let page: Page = read_as("ListTrainingJobs", body)?.data;
    let items = platform.jobs.list()?.into_iter().filter_map(|job| {
        // What serves a model is in the same directory.
        let described = job.status::<TrainingStatus>().ok()?;
        Some(Item { name: job.name, described: json!(described) })
    });
    let summary = &[
        "TrainingJobName",
        "TrainingJobArn",
        "CreationTime",
        "TrainingEndTime",
        "LastModifiedTime",
        "TrainingJobStatus",
        "SecondaryStatus",
    ];
    let (member, status) = ("TrainingJobSummaries", "TrainingJobStatus");
    page.of(items.collect(), Listing { member, summary, status, order: Order::Ascending })
}
