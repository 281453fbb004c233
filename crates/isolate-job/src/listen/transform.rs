//! Transform jobs: `isolate-job transform --detach` runs them, and their status is what it keeps.

use serde::Deserialize;
use serde_json::{Value, json};

use super::Platform;
use super::models::{items, model};
use super::page::{Listing, Order, Page};
use super::training::{request_stop, start};
use super::wire::Failure;
use crate::request::{Request, read, read_as};
use crate::status::{Described, TransformStatus};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Named {
    transform_job_name: String,
}

const KIND: &str = "transform job";

pub(super) fn create(platform: &Platform, body: &[u8]) -> Result<Value, Failure> {
    let Request::Transform(job) = read(body)? else {
        return Err(Failure::validation("TransformJobName: is missing"));
    };
    model(platform, &job.data.model_name)?;
    let name = &job.data.transform_job_name;
    start(platform, "transform", body, name)?;
    Ok(json!({ "TransformJobArn": transform(platform, name)?.transform_job_arn }))
}

fn transform(platform: &Platform, name: &str) -> Result<TransformStatus, Failure> {
    let missing = || Failure::not_found(format!("there is no {KIND} {name:?}"));
    match platform.jobs.job(name).map_err(|_| missing())?.status()? {
        Described::Transform(status) => Ok(*status),
        _ => Err(missing()),
    }
}

pub(super) fn describe(platform: &Platform, body: &[u8]) -> Result<Value, Failure> {
    let Named { transform_job_name: name } = read_as("DescribeTransformJob", body)?.data;
    Ok(json!(transform(platform, &name)?))
}

pub(super) fn stop(platform: &Platform, body: &[u8]) -> Result<Value, Failure> {
    let Named { transform_job_name: name } = read_as("StopTransformJob", body)?.data;
    let status = transform(platform, &name)?.transform_job_status;
    request_stop(platform, KIND, &name, status)
}

pub(super) fn list(platform: &Platform, body: &[u8]) -> Result<Value, Failure> {
    let page: Page = read_as("ListTransformJobs", body)?.data;
    let mut all = items(&platform.jobs)?;
    all.retain(|item| item.described["TransformJobArn"].is_string());
    let summary = &[
        "TransformJobName",
        "TransformJobArn",
        "CreationTime",
        "TransformEndTime",
        "TransformJobStatus",
        "FailureReason",
    ];
    let (member, status) = ("TransformJobSummaries", "TransformJobStatus");
    page.of(all, Listing { member, summary, status, order: Order::Descending })
}
