//! The status of a job of any kind, or of a model that is served.

use serde::{Deserialize, Serialize};

use super::{Deployment, JobStatus, Time, TrainingStatus, TransformStatus, TuningStatus};

/// A status; its ARN or its EndpointStatus tells which.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
#[allow(missing_docs, reason = "the names are the API's")]
pub enum Described {
    Training(Box<TrainingStatus>),
    Tuning(Box<TuningStatus>),
    Transform(Box<TransformStatus>),
    Deployment(Deployment),
}

impl Described {
    /// The status of a job; a model has none of this kind.
    #[must_use]
    pub fn status(&self) -> Option<JobStatus> {
        match self {
            Self::Training(status) => Some(status.training_job_status),
            Self::Tuning(status) => Some(status.hyper_parameter_tuning_job_status),
            Self::Transform(status) => Some(status.transform_job_status),
            Self::Deployment(_) => None,
        }
    }

    /// More about it, in a few words.
    #[must_use]
    pub fn detail(&self) -> String {
        match self {
            Self::Training(status) => format!("{:?}", status.secondary_status),
            Self::Tuning(status) => {
                let counters = &status.training_job_status_counters;
                let ended = counters.completed + counters.non_retryable_error + counters.stopped;
                format!("{ended} ended, {} running", counters.in_progress)
            }
            Self::Transform(_) | Self::Deployment(_) => String::new(),
        }
    }

    /// Whether a job has ended.
    #[must_use]
    pub fn is_final(&self) -> bool {
        matches!(self.status(), Some(JobStatus::Completed | JobStatus::Failed | JobStatus::Stopped))
    }

    /// When a job was created.
    #[must_use]
    pub fn creation_time(&self) -> Option<Time> {
        match self {
            Self::Training(status) => Some(status.creation_time),
            Self::Tuning(status) => Some(status.creation_time),
            Self::Transform(status) => Some(status.creation_time),
            Self::Deployment(_) => None,
        }
    }
}
