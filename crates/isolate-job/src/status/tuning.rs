//! The states and counters of a tuning job, and DescribeHyperParameterTuningJob.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{JobStatus, NoTransition, Reason, Scope, Time, TrainingStatus, arn, echo};
use crate::request::{Document, Objective, ObjectiveType, TuningJob};

/// What DescribeHyperParameterTuningJob answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[allow(missing_docs, reason = "the names are the API's")]
pub struct TuningStatus {
    pub hyper_parameter_tuning_job_arn: String,
    pub hyper_parameter_tuning_job_status: JobStatus,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure_reason: Option<String>,
    pub creation_time: Time,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hyper_parameter_tuning_end_time: Option<Time>,
    pub last_modified_time: Time,
    pub training_job_status_counters: Counters,
    pub objective_status_counters: ObjectiveCounters,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub best_training_job: Option<BestJob>,
    /// The request's members.
    #[serde(flatten)]
    pub given: Map<String, Value>,
}

/// How many training jobs are in which state.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[allow(missing_docs, reason = "the names are the API's")]
pub struct Counters {
    pub completed: u32,
    pub in_progress: u32,
    pub retryable_error: u32,
    pub non_retryable_error: u32,
    pub stopped: u32,
}

/// Of how many training jobs the objective is known.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[allow(missing_docs, reason = "the names are the API's")]
pub struct ObjectiveCounters {
    pub succeeded: u32,
    pub pending: u32,
    pub failed: u32,
}

/// The best of the training jobs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[allow(missing_docs, reason = "the names are the API's")]
pub struct BestJob {
    pub training_job_name: String,
    pub training_job_arn: String,
    pub creation_time: Time,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub training_start_time: Option<Time>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub training_end_time: Option<Time>,
    pub training_job_status: JobStatus,
    pub tuned_hyper_parameters: BTreeMap<String, String>,
    #[serde(rename = "FinalHyperParameterTuningJobObjectiveMetric")]
    pub metric: FinalMetric,
    pub objective_status: String,
}

/// The objective's last value.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[allow(missing_docs, reason = "the names are the API's")]
pub struct FinalMetric {
    #[serde(rename = "Type")]
    pub kind: ObjectiveType,
    pub metric_name: String,
    pub value: f64,
}

const ECHOED: &[&str] =
    &["HyperParameterTuningJobName", "HyperParameterTuningJobConfig", "TrainingJobDefinition"];

impl TuningStatus {
    /// A job that was just accepted.
    #[must_use]
    pub fn new(job: &Document<TuningJob>, scope: &Scope, now: Time) -> Self {
        let name = &job.data.hyper_parameter_tuning_job_name;
        Self {
            hyper_parameter_tuning_job_arn: arn(scope, "hyper-parameter-tuning-job", name),
            hyper_parameter_tuning_job_status: JobStatus::InProgress,
            failure_reason: None,
            creation_time: now,
            hyper_parameter_tuning_end_time: None,
            last_modified_time: now,
            training_job_status_counters: Counters::default(),
            objective_status_counters: ObjectiveCounters::default(),
            best_training_job: None,
            given: echo(&job.given, ECHOED),
        }
    }

    /// Counts the training jobs anew, and finds the best; each with its own hyperparameters. A job that ended without the
    /// objective's metric has failed as to the objective, as SageMaker has it.
    pub fn count<'a>(
        &mut self,
        objective: &Objective,
        jobs: impl IntoIterator<Item = (&'a TrainingStatus, &'a BTreeMap<String, String>)>,
        now: Time,
    ) {
        let (mut counters, mut objectives) = (Counters::default(), ObjectiveCounters::default());
        let mut best: Option<BestJob> = None;
        for (status, chosen) in jobs {
            match status.training_job_status {
                JobStatus::InProgress | JobStatus::Stopping => counters.in_progress += 1,
                JobStatus::Completed => counters.completed += 1,
                JobStatus::Failed => counters.non_retryable_error += 1,
                JobStatus::Stopped => counters.stopped += 1,
            }
            let value = metric(status, &objective.metric_name);
            match (status.training_job_status, value) {
                (JobStatus::InProgress | JobStatus::Stopping, _) => objectives.pending += 1,
                (JobStatus::Completed, Some(value)) => {
                    objectives.succeeded += 1;
                    let is_better = best.as_ref().is_none_or(|best| match objective.kind {
                        ObjectiveType::Maximize => value > best.metric.value,
                        ObjectiveType::Minimize => value < best.metric.value,
                    });
                    if is_better {
                        best = Some(BestJob::new(status, chosen, objective, value));
                    }
                }
                _ => objectives.failed += 1,
            }
        }
        self.training_job_status_counters = counters;
        self.objective_status_counters = objectives;
        self.best_training_job = best;
        self.last_modified_time = now;
    }

    /// Goes on.
    ///
    /// # Errors
    /// What does not follow from where the job is.
    pub fn to(&mut self, next: JobStatus, now: Time) -> Result<(), NoTransition> {
        use JobStatus::{Completed, Failed, InProgress, Stopped, Stopping};
        let may = match self.hyper_parameter_tuning_job_status {
            InProgress => matches!(next, Completed | Failed | Stopping),
            Stopping => matches!(next, Stopped | Failed),
            Completed | Failed | Stopped => false,
        };
        if !may {
            let (from, to) = (format!("{:?}", self.hyper_parameter_tuning_job_status), format!("{next:?}"));
            return Err(NoTransition { from, to });
        }
        (self.hyper_parameter_tuning_job_status, self.last_modified_time) = (next, now);
        if next != Stopping {
            self.hyper_parameter_tuning_end_time = Some(now);
        }
        Ok(())
    }

    /// Ends with a failure.
    ///
    /// # Errors
    /// The job has ended already.
    pub fn fail(&mut self, reason: &Reason, now: Time) -> Result<(), NoTransition> {
        self.to(JobStatus::Failed, now)?;
        self.failure_reason = Some(reason.text());
        Ok(())
    }
}

impl BestJob {
    fn new(
        status: &TrainingStatus,
        chosen: &BTreeMap<String, String>,
        objective: &Objective,
        value: f64,
    ) -> Self {
        let name = status.given.get("TrainingJobName").and_then(Value::as_str).unwrap_or_default();
        Self {
            training_job_name: name.to_owned(),
            training_job_arn: status.training_job_arn.clone(),
            creation_time: status.creation_time,
            training_start_time: status.training_start_time,
            training_end_time: status.training_end_time,
            training_job_status: status.training_job_status,
            tuned_hyper_parameters: chosen.clone(),
            metric: FinalMetric { kind: objective.kind, metric_name: objective.metric_name.clone(), value },
            objective_status: "Succeeded".to_owned(),
        }
    }
}

fn metric(status: &TrainingStatus, name: &str) -> Option<f64> {
    status.final_metric_data_list.iter().find(|metric| metric.metric_name == name).map(|metric| metric.value)
}
