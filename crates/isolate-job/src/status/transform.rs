//! The states of a transform job, and DescribeTransformJob.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{JobStatus, NoTransition, Reason, Scope, Time, arn, echo};
use crate::request::{Document, TransformJob};

/// What DescribeTransformJob answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[allow(missing_docs, reason = "the names are the API's")]
pub struct TransformStatus {
    pub transform_job_arn: String,
    pub transform_job_status: JobStatus,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure_reason: Option<String>,
    pub creation_time: Time,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transform_start_time: Option<Time>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transform_end_time: Option<Time>,
    /// The request's members.
    #[serde(flatten)]
    pub given: Map<String, Value>,
}

const ECHOED: &[&str] = &[
    "TransformJobName",
    "ModelName",
    "MaxConcurrentTransforms",
    "ModelClientConfig",
    "MaxPayloadInMB",
    "BatchStrategy",
    "Environment",
    "TransformInput",
    "TransformOutput",
    "TransformResources",
    "DataProcessing",
    "ExperimentConfig",
];

impl TransformStatus {
    /// A job that was just accepted.
    #[must_use]
    pub fn new(job: &Document<TransformJob>, scope: &Scope, now: Time) -> Self {
        Self {
            transform_job_arn: arn(scope, "transform-job", &job.data.transform_job_name),
            transform_job_status: JobStatus::InProgress,
            failure_reason: None,
            creation_time: now,
            transform_start_time: None,
            transform_end_time: None,
            given: echo(&job.given, ECHOED),
        }
    }

    /// The first request is sent.
    pub fn start(&mut self, now: Time) {
        self.transform_start_time.get_or_insert(now);
    }

    /// Moves to another state.
    ///
    /// # Errors
    /// The state cannot follow the present one.
    pub fn to(&mut self, next: JobStatus, now: Time) -> Result<(), NoTransition> {
        use JobStatus::{Completed, Failed, InProgress, Stopped, Stopping};
        let may = match self.transform_job_status {
            InProgress => matches!(next, Completed | Failed | Stopping),
            Stopping => matches!(next, Stopped | Failed),
            // Its answers are uploaded once more.
            Failed => next == InProgress,
            Completed | Stopped => false,
        };
        if !may {
            let (from, to) = (format!("{:?}", self.transform_job_status), format!("{next:?}"));
            return Err(NoTransition { from, to });
        }
        self.transform_job_status = next;
        match next {
            InProgress => (self.transform_end_time, self.failure_reason) = (None, None),
            Stopping => {}
            Completed | Failed | Stopped => self.transform_end_time = Some(now),
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
