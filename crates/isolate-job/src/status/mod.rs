//! States of jobs and models, serialised as the `Describe` operations answer them; timestamps are seconds since 1970, as on the
//! wire. An invalid transition is an error, and text from containers is bounded.

mod deployment;
mod described;
mod model;
mod reason;
mod training;
mod transform;
mod tuning;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

pub use deployment::{Deployment, EndpointStatus};
pub use described::Described;
pub use model::ModelStatus;
pub use reason::{Container, Reason};
pub use training::{Artifacts, JobStatus, MetricData, Secondary, TrainingStatus, Transition};
pub use transform::TransformStatus;
pub use tuning::{Counters, FinalMetric, ObjectiveCounters, ObjectiveStatus, TunedJob, TuningStatus};

/// A point in time, to the millisecond. Written as seconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time {
    millis: u64,
}

impl Time {
    /// From milliseconds since 1970.
    #[must_use]
    pub fn from_millis(millis: u64) -> Self {
        Self { millis }
    }

    /// Milliseconds since 1970.
    #[must_use]
    pub fn millis(self) -> u64 {
        self.millis
    }

    /// Whole seconds from an earlier point to this one; 0 when a clock went backwards.
    #[must_use]
    pub fn seconds_since(self, earlier: Self) -> u64 {
        self.millis.saturating_sub(earlier.millis) / 1000
    }
}

impl Serialize for Time {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(self.millis as f64 / 1000.0)
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // Rounded: a number that was written and read may differ in its last digit.
        f64::deserialize(deserializer).map(|seconds| Self { millis: (seconds * 1000.0).round() as u64 })
    }
}

/// An invalid change of state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoTransition {
    /// The state before.
    pub from: String,
    /// The state that was asked for.
    pub to: String,
}

impl std::fmt::Display for NoTransition {
    fn fmt(&self, formatter: &mut std::fmt::Formatter) -> std::fmt::Result {
        write!(formatter, "a job that is {} does not become {}", self.from, self.to)
    }
}

impl std::error::Error for NoTransition {}

/// The exit statuses of `isolate-job`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// The job is Completed.
    Completed = 0,
    /// The job is Failed; its FailureReason is the last line on stderr.
    Failed = 1,
    /// The command line or the document is refused; nothing was started.
    Refused = 2,
    /// The job is Stopped, on request or by its time limit.
    Stopped = 3,
    /// The container has completed, its results are not uploaded; they are kept.
    NotUploaded = 4,
}

/// A text without control characters, which have no use in a status and an effect on a terminal.
fn plain(text: &str) -> String {
    let shown = |c: char| if c.is_control() && c != '\n' && c != '\t' { '\u{fffd}' } else { c };
    text.chars().map(shown).collect()
}

/// Those members of the request that `Describe` repeats.
fn echo(given: &Map<String, Value>, members: &[&str]) -> Map<String, Value> {
    given
        .iter()
        .filter(|(name, _)| members.contains(&name.as_str()))
        .map(|(n, v)| (n.clone(), v.clone()))
        .collect()
}

/// An Amazon resource name: of a `training-job`, a `model`, an `endpoint-config`, an `endpoint`.
#[must_use]
pub fn arn(scope: &Scope, kind: &str, name: &str) -> String {
    // Names in ARNs of SageMaker are lower case.
    let Scope { partition, region, account } = scope;
    format!("arn:{partition}:sagemaker:{region}:{account}:{kind}/{}", name.to_lowercase())
}

/// Whose a job is, for its ARN.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope {
    /// `aws`, `aws-cn`, ...
    pub partition: String,
    /// `eu-west-1`.
    pub region: String,
    /// Twelve digits.
    pub account: String,
}

impl Scope {
    /// The account, partition and region of another resource.
    #[must_use]
    pub fn of_arn(arn: &str) -> Self {
        Self::of_role(arn, arn.split(':').nth(3).unwrap_or_default())
    }

    /// The account and partition of a role, in a region.
    #[must_use]
    pub fn of_role(role: &str, region: &str) -> Self {
        let mut parts = role.split(':').skip(1);
        let mut next = |skip: usize| parts.nth(skip).unwrap_or_default().to_owned();
        let (partition, account) = (next(0), next(2));
        Self { partition, region: region.to_owned(), account }
    }
}

#[cfg(test)]
mod tests;
