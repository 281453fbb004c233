//! What the user of a tuning job sees: a line on stdout when a training job begins and when it ends, at the end the best one; on stderr the
//! FailureReason.

use std::io::{self, Write};

use serde_json::json;

use crate::status::{JobStatus, TunedJob, TuningStatus};

/// How a tuning job is shown: as text, or as JSON lines.
#[derive(Debug, Clone, Copy)]
pub(super) struct View {
    pub(super) json: bool,
}

impl View {
    /// A training job has begun or ended.
    pub(super) fn trial(self, tuned: &TunedJob) {
        self.print(if self.json { json!(tuned).to_string() } else { line(tuned) });
    }

    /// The tuning job has ended.
    pub(super) fn finish(self, status: &TuningStatus) {
        if let Some(best) = &status.best_training_job
            && !self.json
        {
            self.print(format!("best: {}", line(best)));
        }
        if status.hyper_parameter_tuning_job_status == JobStatus::Failed {
            let reason = status.failure_reason.as_deref().unwrap_or_default();
            let _ = writeln!(io::stderr(), "{}", reason.replace(['\n', '\t'], " "));
        }
    }

    /// A reader that has gone away costs the output, not the job.
    fn print(self, line: String) {
        let mut out = io::stdout().lock();
        let _ = writeln!(out, "{}", line.replace(['\n', '\t'], " ")).and_then(|()| out.flush());
    }
}

/// Values are the request's, and the reason has no control characters.
fn line(tuned: &TunedJob) -> String {
    let mut words = vec![tuned.training_job_name.clone(), format!("{:?}", tuned.training_job_status)];
    words.extend(tuned.metric.as_ref().map(|metric| format!("{}={}", metric.metric_name, metric.value)));
    words.extend(tuned.tuned_hyper_parameters.iter().map(|(name, value)| format!("{name}={value:?}")));
    words.extend(tuned.failure_reason.clone());
    words.join(" ")
}
