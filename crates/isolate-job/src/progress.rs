//! What a transfer step reports: one JSON object in each line of its stdout. `stage` writes them, the job's supervisor reads them.

use serde::{Deserialize, Serialize};

/// One line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Line {
    /// The step: `channel train`, `model`, `output`, `checkpoints`.
    pub step: String,
    /// What there is to say of it.
    #[serde(flatten)]
    pub event: Event,
}

/// What there is to say of a step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Event {
    /// What it will transfer, known when the objects are listed or the files are counted.
    Total(Amount),
    /// What it has transferred so far.
    Transferred(Amount),
    /// A file that is not transferred, with the reason: a FIFO, a socket, a device node.
    Skipped(Skip),
    /// It is complete; this is its last line.
    Complete(Amount),
    /// It has failed; this is its last line.
    Failed(Failure),
}

/// How much.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Amount {
    /// Files or objects.
    pub files: u64,
    /// Their content.
    pub bytes: u64,
}

/// A file that is not transferred.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Skip {
    /// Its path below the directory.
    pub path: String,
    /// What it is.
    pub why: String,
}

/// Why a step has failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// Whose error it is, for the prefix of FailureReason.
    pub fault: Fault,
    /// The error, with the key or the path.
    pub message: String,
}

/// Whose error it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fault {
    /// An error in the request or its data: a missing bucket, a role without permission, an invalid key.
    Client,
    /// An error of the host or the network.
    Internal,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_flat_objects() {
        let amount = Amount { files: 2, bytes: 70 };
        for (event, text) in [
            (Event::Total(amount), r#"{"step":"model","total":{"files":2,"bytes":70}}"#),
            (
                Event::Failed(Failure { fault: Fault::Client, message: "NoSuchBucket".to_owned() }),
                r#"{"step":"model","failed":{"fault":"client","message":"NoSuchBucket"}}"#,
            ),
        ] {
            let line = Line { step: "model".to_owned(), event };
            assert_eq!(serde_json::to_string(&line).unwrap(), text);
            assert_eq!(serde_json::from_str::<Line>(text).unwrap(), line);
        }
    }
}
