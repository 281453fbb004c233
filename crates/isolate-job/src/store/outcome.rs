//! How the containers of a job ended, as its directory keeps it.

use serde::{Deserialize, Serialize};

/// How the containers of a job ended, and whether their results are uploaded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Outcome {
    /// How they ended.
    pub end: End,
    /// Whether the results are in Amazon S3.
    pub uploaded: bool,
}

/// How the containers of a job ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum End {
    /// Each with status 0.
    Completed,
    /// One did not.
    Failed(Failure),
    /// On request.
    Stopped,
    /// After MaxRuntimeInSeconds.
    TimeLimit,
    /// They were ended by this program, because one was not isolated or could not be started: what they wrote is never uploaded.
    Untrusted(Failure),
}

impl Outcome {
    /// Whether results are still to be uploaded.
    #[must_use]
    pub const fn is_left(&self) -> bool {
        !self.uploaded && !matches!(self.end, End::Untrusted(_))
    }
}

/// Why the containers did not complete.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Failure {
    /// Its program's error.
    Algorithm {
        /// `algo-1`.
        host: String,
        /// Of the program.
        exit_code: i64,
        /// Whether it ran out of memory.
        oom_killed: bool,
    },
    /// An error in what was asked for: data that cannot be streamed.
    Client(String),
    /// An error of the host.
    Internal(String),
}
