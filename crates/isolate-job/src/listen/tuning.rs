//! Tuning jobs: `isolate-job tune --detach` runs them, and their status is what it keeps.

use serde::Deserialize;
use serde_json::{Value, json};

use super::Platform;
use super::models::{found, items, status};
use super::page::{Item, Listing, Order, Page};
use super::training::{request_stop, start};
use super::wire::Failure;
use crate::request::{Request, read, read_as};
use crate::status::{Described, TunedJob, TuningStatus};
use crate::tune::trials;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Named {
    hyper_parameter_tuning_job_name: String,
}

const KIND: &str = "tuning job";

pub(super) fn create(platform: &Platform, body: &[u8]) -> Result<Value, Failure> {
    let job = match read(body)? {
        Request::Tuning(job) => job.data,
        _ => return Err(Failure::validation("HyperParameterTuningJobName: is missing")),
    };
    if !job.training_job_definition.enable_network_isolation {
        return Err(Failure::not_isolated("CreateHyperParameterTuningJob"));
    }
    let name = &job.hyper_parameter_tuning_job_name;
    start(platform, "tune", body, name)?;
    Ok(json!({ "HyperParameterTuningJobArn": tuning(platform, name)?.hyper_parameter_tuning_job_arn }))
}

fn tuning(platform: &Platform, name: &str) -> Result<TuningStatus, Failure> {
    let missing = || Failure::not_found(format!("there is no {KIND} {name:?}"));
    match platform.jobs.job(name).map_err(|_| missing())?.status()? {
        Described::Tuning(status) => Ok(*status),
        _ => Err(missing()),
    }
}

pub(super) fn describe(platform: &Platform, body: &[u8]) -> Result<Value, Failure> {
    let Named { hyper_parameter_tuning_job_name: name } =
        read_as("DescribeHyperParameterTuningJob", body)?.data;
    Ok(json!(tuning(platform, &name)?))
}

pub(super) fn stop(platform: &Platform, body: &[u8]) -> Result<Value, Failure> {
    let Named { hyper_parameter_tuning_job_name: name } = read_as("StopHyperParameterTuningJob", body)?.data;
    let status = tuning(platform, &name)?.hyper_parameter_tuning_job_status;
    request_stop(platform, KIND, &name, status)
}

pub(super) fn list(platform: &Platform, body: &[u8]) -> Result<Value, Failure> {
    let page: Page = read_as("ListHyperParameterTuningJobs", body)?.data;
    let mut all = items(&platform.jobs)?;
    all.retain(|item| item.described["HyperParameterTuningJobArn"].is_string());
    for item in &mut all {
        let config = &item.described["HyperParameterTuningJobConfig"];
        let (strategy, limits) = (config["Strategy"].clone(), config["ResourceLimits"].clone());
        item.described["Strategy"] = strategy;
        item.described["ResourceLimits"] = limits;
    }
    let summary = &[
        "HyperParameterTuningJobName",
        "HyperParameterTuningJobArn",
        "HyperParameterTuningJobStatus",
        "Strategy",
        "CreationTime",
        "HyperParameterTuningEndTime",
        "LastModifiedTime",
        "TrainingJobStatusCounters",
        "ObjectiveStatusCounters",
        "ResourceLimits",
    ];
    let (member, status) = ("HyperParameterTuningJobSummaries", "HyperParameterTuningJobStatus");
    page.of(all, Listing { member, summary, status, order: Order::Ascending })
}

/// Its training jobs that exist.
pub(super) fn training_jobs(platform: &Platform, body: &[u8]) -> Result<Value, Failure> {
    const OPERATION: &str = "ListTrainingJobsForHyperParameterTuningJob";
    let Named { hyper_parameter_tuning_job_name: name } = read_as(OPERATION, body)?.data;
    let mut page: Page = read_as(OPERATION, body)?.data;
    let tuning = tuning(platform, &name)?;
    let Request::Tuning(document) = read(&found(&platform.jobs, KIND, &name)?.request()?)? else {
        return Err(Failure::validation(format!("{name} is not a {KIND}")));
    };
    let objective = &document.data.hyper_parameter_tuning_job_config.hyper_parameter_tuning_job_objective;
    let mut all = Vec::new();
    for trial in trials(&document.data, &tuning) {
        let Ok(job) = platform.jobs.job(&trial.name) else { continue };
        let Some(training) = status(&job)? else { continue };
        let tuned = TunedJob::new(&training, &trial.chosen, objective);
        let value = tuned.metric.as_ref().map(|metric| metric.value);
        all.push((value, Item { name: job.name, described: json!(tuned) }));
    }
    if page.takes_order("FinalObjectiveMetricValue") {
        // Those without a value are not sorted by it, and left out, as in SageMaker.
        all.retain(|(value, _)| value.is_some());
        all.sort_by(|(one, _), (other, _)| one.unwrap_or_default().total_cmp(&other.unwrap_or_default()));
    }
    let summary = &[
        "TrainingJobName",
        "TrainingJobArn",
        "CreationTime",
        "TrainingStartTime",
        "TrainingEndTime",
        "TrainingJobStatus",
        "TunedHyperParameters",
        "FailureReason",
        "FinalHyperParameterTuningJobObjectiveMetric",
        "ObjectiveStatus",
    ];
    let (member, status) = ("TrainingJobSummaries", "TrainingJobStatus");
    let items = all.into_iter().map(|(_, item)| item).collect();
    page.of(items, Listing { member, summary, status, order: Order::Ascending })
}
