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
    pub best_training_job: Option<TunedJob>,
    /// The request's members.
    #[serde(flatten)]
    pub given: Map<String, Value>,
}

/// The number of training jobs in each state.
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

/// The number of training jobs by the state of their objective.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[allow(missing_docs, reason = "the names are the API's")]
pub struct ObjectiveCounters {
    pub succeeded: u32,
    pub pending: u32,
    pub failed: u32,
}

/// A training job of a tuning job, as BestTrainingJob and ListTrainingJobsForHyperParameterTuningJob have it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[allow(missing_docs, reason = "the names are the API's")]
pub struct TunedJob {
    pub training_job_name: String,
    pub training_job_arn: String,
    pub creation_time: Time,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub training_start_time: Option<Time>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub training_end_time: Option<Time>,
    pub training_job_status: JobStatus,
    pub tuned_hyper_parameters: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure_reason: Option<String>,
    #[serde(rename = "FinalHyperParameterTuningJobObjectiveMetric", skip_serializing_if = "Option::is_none")]
    pub metric: Option<FinalMetric>,
    pub objective_status: ObjectiveStatus,
}

/// Whether the objective of a training job is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names are the API's")]
pub enum ObjectiveStatus {
    Succeeded,
    Pending,
    Failed,
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
        let mut best: Option<TunedJob> = None;
        for (status, chosen) in jobs {
            match status.training_job_status {
                JobStatus::InProgress | JobStatus::Stopping => counters.in_progress += 1,
                JobStatus::Completed => counters.completed += 1,
                JobStatus::Failed => counters.non_retryable_error += 1,
                JobStatus::Stopped => counters.stopped += 1,
            }
            let tuned = TunedJob::new(status, chosen, objective);
            match tuned.objective_status {
                ObjectiveStatus::Pending => objectives.pending += 1,
                ObjectiveStatus::Failed => objectives.failed += 1,
                ObjectiveStatus::Succeeded => {
                    objectives.succeeded += 1;
                    if best.as_ref().is_none_or(|best| tuned.is_better(best)) {
                        best = Some(tuned);
                    }
                }
            }
        }
        self.training_job_status_counters = counters;
        self.objective_status_counters = objectives;
        self.best_training_job = best;
        self.last_modified_time = now;
    }

    /// Moves to another state.
    ///
    /// # Errors
    /// The state cannot follow the present one.
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

    /// Ends when all training jobs have, of which at least one has the objective.
    ///
    /// # Errors
    /// The job has ended already.
    pub fn finish(&mut self, now: Time) -> Result<(), NoTransition> {
        let (completed, known) =
            (self.training_job_status_counters.completed, self.objective_status_counters.succeeded);
        match (self.hyper_parameter_tuning_job_status, completed, known) {
            (JobStatus::Stopping, ..) => self.to(JobStatus::Stopped, now),
            (_, 0, _) => {
                self.fail(&Reason::Client("no training job is completed; see their FailureReason"), now)
            }
            (_, count, 0) => {
                let why = format!(
                    "no objective metric was found in the logs of {count} training jobs; correct its Regex in MetricDefinitions"
                );
                self.fail(&Reason::Client(&why), now)
            }
            _ => self.to(JobStatus::Completed, now),
        }
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

impl TunedJob {
    /// A training job with its hyperparameters. Only the objective of a completed one counts.
    #[must_use]
    pub fn new(status: &TrainingStatus, chosen: &BTreeMap<String, String>, objective: &Objective) -> Self {
        let name = status.given.get("TrainingJobName").and_then(Value::as_str).unwrap_or_default();
        let all = &status.final_metric_data_list;
        let found = all.iter().find(|metric| metric.metric_name == objective.metric_name);
        let metric = found.map(|metric| FinalMetric {
            kind: objective.kind,
            metric_name: metric.metric_name.clone(),
            value: metric.value,
        });
        Self {
            training_job_name: name.to_owned(),
            training_job_arn: status.training_job_arn.clone(),
            creation_time: status.creation_time,
            training_start_time: status.training_start_time,
            training_end_time: status.training_end_time,
            training_job_status: status.training_job_status,
            tuned_hyper_parameters: chosen.clone(),
            failure_reason: status.failure_reason.clone(),
            objective_status: match (status.training_job_status, &metric) {
                (JobStatus::InProgress | JobStatus::Stopping, _) => ObjectiveStatus::Pending,
                (JobStatus::Completed, Some(_)) => ObjectiveStatus::Succeeded,
                _ => ObjectiveStatus::Failed,
            },
            metric,
        }
    }

    /// The first of equal ones is the best.
    fn is_better(&self, best: &Self) -> bool {
        match (&self.metric, &best.metric) {
            (Some(own), Some(best)) => match own.kind {
                ObjectiveType::Maximize => own.value > best.value,
                ObjectiveType::Minimize => own.value < best.value,
            },
            (own, _) => own.is_some(),
        }
    }
}
