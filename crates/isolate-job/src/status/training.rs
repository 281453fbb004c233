//! The states of a training job, and DescribeTrainingJob.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{Exit, NoTransition, Reason, Scope, Time, arn, echo, plain};
use crate::request::{Document, OutputCompression, S3Uri, TrainingJob};

/// TrainingJobStatus, and that of transform jobs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names are the API's")]
pub enum JobStatus {
    InProgress,
    Completed,
    Failed,
    Stopping,
    Stopped,
}

/// SecondaryStatus.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names are the API's")]
pub enum Secondary {
    Starting,
    Downloading,
    Training,
    Uploading,
    Stopping,
    Completed,
    Failed,
    Stopped,
    MaxRuntimeExceeded,
}

use Secondary as S;

impl Secondary {
    /// Whether a state may follow. Results are uploaded however the program ended; only after a failed download there are none.
    fn next(self) -> &'static [Self] {
        match self {
            S::Starting => &[S::Downloading, S::Training, S::Stopping, S::Failed],
            S::Downloading => &[S::Training, S::Stopping, S::Failed],
            S::Training => &[S::Uploading, S::Stopping, S::Failed],
            S::Stopping => &[S::Uploading, S::Stopped, S::MaxRuntimeExceeded, S::Failed],
            S::Uploading => &[S::Completed, S::Stopping, S::Stopped, S::MaxRuntimeExceeded, S::Failed],
            // Results that were kept are uploaded by `resume`.
            S::Failed => &[S::Uploading],
            S::Completed | S::Stopped | S::MaxRuntimeExceeded => &[],
        }
    }

    /// Whether the job has ended.
    #[must_use]
    pub fn is_final(self) -> bool {
        matches!(self, S::Completed | S::Failed | S::Stopped | S::MaxRuntimeExceeded)
    }
}

/// One of SecondaryStatusTransitions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[allow(missing_docs, reason = "the names are the API's")]
pub struct Transition {
    pub status: Secondary,
    pub start_time: Time,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end_time: Option<Time>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status_message: Option<String>,
}

/// Where the model went.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Artifacts {
    /// An archive, or the prefix of a tree.
    #[serde(rename = "S3ModelArtifacts")]
    pub s3_model_artifacts: String,
}

/// The last value of a metric.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[allow(missing_docs, reason = "the names are the API's")]
pub struct MetricData {
    pub metric_name: String,
    pub value: f64,
    pub timestamp: Time,
}

/// What DescribeTrainingJob answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[allow(missing_docs, reason = "the names are the API's")]
pub struct TrainingStatus {
    pub training_job_arn: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tuning_job_arn: Option<String>,
    pub model_artifacts: Artifacts,
    pub training_job_status: JobStatus,
    pub secondary_status: Secondary,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure_reason: Option<String>,
    pub creation_time: Time,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub training_start_time: Option<Time>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub training_end_time: Option<Time>,
    pub last_modified_time: Time,
    pub secondary_status_transitions: Vec<Transition>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub final_metric_data_list: Vec<MetricData>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub training_time_in_seconds: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub billable_time_in_seconds: Option<u64>,
    /// The request's members.
    #[serde(flatten)]
    pub given: Map<String, Value>,
}

/// Members of the request that `Describe` repeats. Tags have an operation of their own.
const ECHOED: &[&str] = &[
    "TrainingJobName",
    "HyperParameters",
    "AlgorithmSpecification",
    "RoleArn",
    "InputDataConfig",
    "OutputDataConfig",
    "ResourceConfig",
    "VpcConfig",
    "StoppingCondition",
    "EnableNetworkIsolation",
    "EnableInterContainerTrafficEncryption",
    "EnableManagedSpotTraining",
    "CheckpointConfig",
    "DebugHookConfig",
    "ExperimentConfig",
    "ProfilerConfig",
    "Environment",
    "RetryStrategy",
    "RemoteDebugConfig",
    "InfraCheckConfig",
];

/// The most characters of a StatusMessage are not documented; it is one line.
const MOST_OF_MESSAGE: usize = 1024;

impl TrainingStatus {
    /// A job that was just accepted.
    #[must_use]
    pub fn new(job: &Document<TrainingJob>, scope: &Scope, now: Time) -> Self {
        let mut given = echo(&job.given, ECHOED);
        let stopping =
            serde_json::json!({ "MaxRuntimeInSeconds": job.data.stopping_condition.max_runtime_in_seconds });
        given.entry("StoppingCondition").or_insert(stopping);
        let output = &job.data.output_data_config;
        let artifacts = S3Uri::read(&output.s3_output_path).map(|path| {
            let name = match output.compression_type.unwrap_or_default() {
                OutputCompression::Gzip => "output/model.tar.gz",
                OutputCompression::None => "output/model/",
            };
            path.below(&format!("{}/{name}", job.data.training_job_name)).to_string()
        });
        Self {
            training_job_arn: arn(scope, "training-job", &job.data.training_job_name),
            tuning_job_arn: None,
            model_artifacts: Artifacts { s3_model_artifacts: artifacts.unwrap_or_default() },
            training_job_status: JobStatus::InProgress,
            secondary_status: S::Starting,
            failure_reason: None,
            creation_time: now,
            training_start_time: None,
            training_end_time: None,
            last_modified_time: now,
            secondary_status_transitions: vec![Transition {
                status: S::Starting,
                start_time: now,
                end_time: None,
                status_message: Some("Preparing the containers for training".to_owned()),
            }],
            final_metric_data_list: Vec::new(),
            training_time_in_seconds: None,
            billable_time_in_seconds: None,
            given,
        }
    }

    /// Moves to another state.
    ///
    /// # Errors
    /// The state cannot follow the present one. Nothing is changed then.
    pub fn to(&mut self, next: Secondary, message: &str, now: Time) -> Result<(), NoTransition> {
        if !self.secondary_status.next().contains(&next) {
            let (from, to) = (format!("{:?}", self.secondary_status), format!("{next:?}"));
            return Err(NoTransition { from, to });
        }
        if let Some(last) = self.secondary_status_transitions.last_mut() {
            last.end_time = Some(now);
        }
        let message: String = plain(message).chars().take(MOST_OF_MESSAGE).collect();
        self.secondary_status_transitions.push(Transition {
            status: next,
            start_time: now,
            end_time: next.is_final().then_some(now),
            status_message: Some(message).filter(|message| !message.is_empty()),
        });
        self.secondary_status = next;
        self.last_modified_time = now;
        self.training_job_status = match next {
            S::Completed => JobStatus::Completed,
            S::Failed => JobStatus::Failed,
            S::Stopped | S::MaxRuntimeExceeded => JobStatus::Stopped,
            S::Stopping => JobStatus::Stopping,
            // A stopped job uploads its results while its status stays Stopping.
            S::Uploading if self.training_job_status == JobStatus::Stopping => JobStatus::Stopping,
            _ => JobStatus::InProgress,
        };
        if next == S::Training {
            self.training_start_time = Some(now);
        }
        if next.is_final() {
            self.training_end_time = Some(now);
            if let Some(start) = self.training_start_time {
                // The API knows no job that took less.
                let seconds = now.seconds_since(start).max(1);
                (self.training_time_in_seconds, self.billable_time_in_seconds) =
                    (Some(seconds), Some(seconds));
            }
        } else {
            (self.training_end_time, self.failure_reason) = (None, None);
        }
        Ok(())
    }

    /// Ends with a failure.
    ///
    /// # Errors
    /// The job has ended already.
    pub fn fail(&mut self, reason: &Reason, now: Time) -> Result<(), NoTransition> {
        let text = reason.text();
        self.to(S::Failed, &text, now)?;
        self.failure_reason = Some(text);
        Ok(())
    }

    /// The exit status of a process that waited for the end of the job. `uploaded` is whether its results are in Amazon S3.
    #[must_use]
    pub fn exit(&self, uploaded: bool) -> Option<Exit> {
        match self.secondary_status {
            S::Completed => Some(Exit::Completed),
            S::Stopped | S::MaxRuntimeExceeded => Some(Exit::Stopped),
            S::Failed if !uploaded => Some(Exit::NotUploaded),
            S::Failed => Some(Exit::Failed),
            _ => None,
        }
    }
}
