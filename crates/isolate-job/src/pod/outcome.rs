//! How a job of a pod ended, as DescribeTrainingJob has it: in the termination message of the container, which `kubectl` shows.

use serde_json::{Map, Value};

use super::seen::{Ended, Ending, How};
use crate::status::{Container, Reason, Secondary, TrainingStatus};
use crate::train::now;

/// The most bytes of a termination message; kubelet cuts longer ones.
const MOST: usize = 4096;

/// What of DescribeTrainingJob is in the message.
const MEMBERS: [&str; 8] = [
    "TrainingJobName",
    "TrainingJobStatus",
    "SecondaryStatus",
    "FailureReason",
    "ModelArtifacts",
    "TrainingStartTime",
    "TrainingEndTime",
    "TrainingTimeInSeconds",
];

/// The end of the container, or of its pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum End {
    /// The container ended by itself.
    Container(Ended),
    /// The pod is being ended, as far as it is known why.
    Pod(Option<Ending>),
    /// It is not known, and will not be.
    Lost(String),
}

/// What a status becomes at the end, when the results are uploaded; `failure` is what the program wrote of its failure.
pub(super) fn conclude(status: &mut TrainingStatus, end: &End, failure: Option<&[u8]>) -> anyhow::Result<()> {
    let interrupted;
    let reason = match end {
        End::Container(Ended { how: How::Exited { code: 0, .. }, .. }) => {
            return Ok(status.to(Secondary::Completed, "", now())?);
        }
        End::Pod(Some(Ending::Deleted)) => return Ok(status.to(Secondary::Stopped, "", now())?),
        End::Pod(Some(Ending::Deadline)) => {
            return Ok(status.to(Secondary::MaxRuntimeExceeded, "", now())?);
        }
        End::Container(Ended { how: How::Exited { code, oom_killed }, .. }) => {
            Reason::Algorithm { failure, container: Container { exit_code: *code, oom_killed: *oom_killed } }
        }
        End::Container(Ended { how: How::NotStarted(why), .. }) => Reason::Client(why),
        End::Lost(why) => {
            interrupted =
                format!("the end of the container could not be learnt: {why}; the results may be incomplete");
            Reason::Internal(&interrupted)
        }
        End::Pod(why) => {
            let why = match why {
                Some(Ending::Evicted(why)) if !why.is_empty() => why,
                _ => "its node or the cluster ended it",
            };
            interrupted = format!("the pod was interrupted: {why}; the results may be incomplete");
            Reason::Internal(&interrupted)
        }
    };
    Ok(status.fail(&reason, now())?)
}

/// The termination message.
pub(super) fn message(status: &TrainingStatus) -> String {
    let Ok(Value::Object(all)) = serde_json::to_value(status) else { return String::new() };
    let mut own: Map<_, _> = all.into_iter().filter(|(name, _)| MEMBERS.contains(&name.as_str())).collect();
    loop {
        let text = Value::Object(own.clone()).to_string();
        match own.get_mut("FailureReason") {
            // Characters may have several bytes.
            Some(Value::String(reason)) if text.len() > MOST && !reason.is_empty() => {
                let count = reason.chars().count();
                *reason = reason.chars().take(count - count.div_ceil(16)).collect();
            }
            _ => return text,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::read_training;
    use crate::status::{Exit, Scope};

    fn concluded(end: &End, failure: Option<&[u8]>) -> TrainingStatus {
        let document = read_training(include_bytes!("../request/tests/training.json")).unwrap();
        let mut status = TrainingStatus::new(&document, &Scope::of_role("", ""), now());
        status.to(Secondary::Training, "", now()).unwrap();
        if matches!(end, End::Pod(_)) {
            status.to(Secondary::Stopping, "", now()).unwrap();
        }
        status.to(Secondary::Uploading, "", now()).unwrap();
        conclude(&mut status, end, failure).unwrap();
        status
    }

    fn exited(code: i64, oom_killed: bool) -> End {
        End::Container(Ended { how: How::Exited { code, oom_killed }, started: None, finished: None })
    }

    #[test]
    fn every_end_has_its_state_and_its_exit_status() {
        let refused = How::NotStarted("exec: \"train\": not found".to_owned());
        let refused = End::Container(Ended { how: refused, started: None, finished: None });
        let evicted = End::Pod(Some(Ending::Evicted("preempted".to_owned())));
        let interrupted = |why| {
            format!("InternalServerError: the pod was interrupted: {why}; the results may be incomplete")
        };
        for (end, failure, secondary, reason, exit) in [
            (exited(0, false), Some(&b"ignored"[..]), Secondary::Completed, None, Exit::Completed),
            (
                exited(2, false),
                Some(b"no column"),
                Secondary::Failed,
                Some("AlgorithmError: no column, exit code: 2".to_owned()),
                Exit::Failed,
            ),
            (
                exited(137, true),
                None,
                Secondary::Failed,
                Some("AlgorithmError: exit code: 137, out of memory".to_owned()),
                Exit::Failed,
            ),
            (
                refused,
                None,
                Secondary::Failed,
                Some("ClientError: exec: \"train\": not found".to_owned()),
                Exit::Failed,
            ),
            (End::Pod(Some(Ending::Deleted)), None, Secondary::Stopped, None, Exit::Stopped),
            (End::Pod(Some(Ending::Deadline)), None, Secondary::MaxRuntimeExceeded, None, Exit::Stopped),
            (evicted, None, Secondary::Failed, Some(interrupted("preempted")), Exit::Failed),
            (
                End::Lost("cannot start".to_owned()),
                None,
                Secondary::Failed,
                Some(
                    "InternalServerError: the end of the container could not be learnt: cannot start; the results may be incomplete"
                        .to_owned(),
                ),
                Exit::Failed,
            ),
            (
                End::Pod(None),
                None,
                Secondary::Failed,
                Some(interrupted("its node or the cluster ended it")),
                Exit::Failed,
            ),
        ] {
            let status = concluded(&end, failure);
            assert_eq!(status.secondary_status, secondary, "{end:?}");
            assert_eq!(status.failure_reason, reason, "{end:?}");
            assert_eq!(status.exit(true), Some(exit), "{end:?}");
        }
    }

    #[test]
    fn a_message_fits_whatever_the_program_wrote() {
        let short: Value = serde_json::from_str(&message(&concluded(&exited(1, false), None))).unwrap();
        assert_eq!(short["TrainingJobStatus"], "Failed");
        assert_eq!(short["FailureReason"], "AlgorithmError: exit code: 1");
        assert_eq!(
            short["ModelArtifacts"]["S3ModelArtifacts"],
            "s3://results/boston/boston-2026/output/model.tar.gz"
        );
        assert_eq!(short.get("RoleArn"), None);
        let long = "\u{10348}".repeat(2000);
        let text = message(&concluded(&exited(1, false), Some(long.as_bytes())));
        assert!((3500..=MOST).contains(&text.len()), "{}", text.len());
        serde_json::from_str::<Value>(&text).unwrap();
    }
}
