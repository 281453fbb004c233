//! The facts about a job of `isolate-job`: which data its containers were given and left, by digest, and which containers they were.
//! Their statements say whether isolation held. Pure.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use oci_isolate::statement::{Digest, Period};

/// What is stated about a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct JobFacts {
    /// Tells it from every other job, also of the same name.
    pub run: String,
    /// Its name and its ARN.
    pub job: JobName,
    /// The request, as it was given.
    pub request: Digest,
    /// From its creation to its end.
    pub ran: Period,
    /// Its containers.
    pub containers: Vec<JobContainer>,
    /// What the containers were given, before they were started.
    pub inputs: Vec<Data>,
    /// What they left, before it was uploaded.
    pub outputs: Vec<Data>,
}

/// A job by its names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs, reason = "the struct's own words")]
pub struct JobName {
    pub name: String,
    pub arn: String,
}

/// One of its containers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JobContainer {
    /// `algo-1`.
    pub host: String,
    /// The runtime's id, as in the statement about it.
    pub id: String,
}

/// The files of a directory of a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Data {
    /// The container's host name.
    pub host: String,
    /// `channel train`, `model`, `output`, `checkpoints`.
    pub name: String,
    /// Where the container has it.
    pub directory: PathBuf,
    /// The digest.
    pub digest: TreeDigest,
}

/// The digest of all files of a directory, or why it is not known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum TreeDigest {
    /// in-toto's `dirHash1`, in hexadecimal: the SHA-256 of what `sha256sum` prints of all files, sorted by their paths.
    DirHash1(String),
    /// Why it is not known.
    Unknown(String),
}

impl JobFacts {
    /// Inputs and outputs, each with the word for it.
    pub fn data(&self) -> impl Iterator<Item = (&'static str, &Data)> {
        let inputs = self.inputs.iter().map(|data| ("input", data));
        inputs.chain(self.outputs.iter().map(|data| ("output", data)))
    }
}
