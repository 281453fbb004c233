//! What the user of a job sees: what the containers write on stdout, or with `--json` the job's transitions; on a terminal also the
//! transfers' progress on stderr; at the end the FailureReason on stderr.

use std::io::{self, IsTerminal, Write};

use serde_json::json;

use crate::progress::{Event, Line};
use crate::status::{JobStatus, TrainingStatus};

/// How a job is shown.
#[derive(Debug)]
pub struct View {
    json: bool,
    /// Whether stdout and stderr are terminals.
    out: bool,
    err: bool,
    /// Whether the last line on stderr is one of progress.
    is_pending: bool,
}

/// Of prefixes on a terminal: cyan, yellow, green, magenta, blue.
const COLOURS: [u8; 5] = [36, 33, 32, 35, 34];

impl View {
    /// With transitions in place of what containers write, or not.
    #[must_use]
    pub fn new(json: bool) -> Self {
        Self { json, out: io::stdout().is_terminal(), err: io::stderr().is_terminal(), is_pending: false }
    }

    /// A line of a container's, after its name if there are several.
    pub(super) fn log(&mut self, host: Option<&str>, index: usize, line: &[u8]) {
        if self.json {
            return;
        }
        self.settle();
        let mut bytes = match host {
            None => Vec::new(),
            Some(host) if self.out => {
                format!("\x1b[{}m{host}\x1b[0m ", COLOURS[index % COLOURS.len()]).into_bytes()
            }
            Some(host) => format!("{host} ").into_bytes(),
        };
        bytes.extend_from_slice(line);
        // A reader that has gone away costs the output, not the job.
        let mut out = io::stdout().lock();
        let _ = out.write_all(&bytes).and_then(|()| out.flush());
    }

    /// Where the job is now.
    pub(super) fn transition(&mut self, status: &TrainingStatus) {
        let last = status.secondary_status_transitions.last();
        let message = last.and_then(|last| last.status_message.as_deref()).unwrap_or_default();
        if self.json {
            let line = json!({
                "TrainingJobStatus": status.training_job_status,
                "SecondaryStatus": status.secondary_status,
                "StatusMessage": message,
                "StartTime": last.map(|last| last.start_time),
            });
            let _ = writeln!(io::stdout(), "{line}");
        } else if self.err && status.training_job_status != JobStatus::Failed {
            self.settle();
            let _ = writeln!(io::stderr(), "{:?}: {message}", status.secondary_status);
        }
    }

    /// How far a transfer is.
    pub(super) fn progress(&mut self, host: Option<&str>, line: &Line) {
        let amount = match &line.event {
            Event::Skipped(skip) => {
                self.note(&format!("{}: {:?} is not transferred: it is {}", line.step, skip.path, skip.why));
                return;
            }
            Event::Transferred(amount) | Event::Complete(amount) => amount,
            Event::Total(_) | Event::Failed(_) => return,
        };
        if self.err && !self.json {
            let host = host.map_or_else(String::new, |host| format!("{host} "));
            let (step, mib) = (&line.step, amount.bytes as f64 / f64::from(1 << 20));
            let _ = write!(io::stderr(), "\r\x1b[K{host}{step}: {} files, {mib:.1} MiB", amount.files);
            self.is_pending = true;
            if matches!(line.event, Event::Complete(_)) {
                self.settle();
            }
        }
    }

    /// What the user may want to know.
    pub(super) fn note(&mut self, text: &str) {
        self.settle();
        let _ = writeln!(io::stderr(), "isolate-job: {text}");
    }

    /// The last words.
    pub(super) fn finish(&mut self, status: &TrainingStatus) {
        self.settle();
        if let Some(reason) = &status.failure_reason {
            let _ = writeln!(io::stderr(), "{}", reason.replace(['\n', '\t'], " "));
        }
    }

    /// Ends a line of progress.
    fn settle(&mut self) {
        if self.is_pending {
            let _ = writeln!(io::stderr());
            self.is_pending = false;
        }
    }
}
