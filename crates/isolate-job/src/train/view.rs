//! What the user of a job sees: what the containers write on stdout, or with `--json` the job's transitions; on a terminal also the
//! transfers' progress on stderr; at the end the FailureReason on stderr. What a terminal's user does not want of a job in the background is lost
//! there, and does not stop the job: logs and status have it.

use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;

use serde_json::json;

use crate::bars::Bars;
use crate::foreground::{ShellGroup, unstopped};
use crate::progress::{Event, Line};
use crate::status::{JobStatus, TrainingStatus};

/// How a job is shown.
#[derive(Debug)]
pub struct View {
    json: bool,
    /// Whether stdout is a terminal.
    out: bool,
    /// On stderr, if that is one and there is text.
    bars: Option<Bars>,
}

/// The supervisor has a process group of its own.
const GROUP: ShellGroup = ShellGroup::Parents;

/// Of prefixes on a terminal: cyan, yellow, green, magenta, blue.
const COLOURS: [u8; 5] = [36, 33, 32, 35, 34];

impl View {
    /// With transitions in place of what containers write, or not.
    #[must_use]
    pub fn new(json: bool) -> Self {
        let bars = if json { None } else { Bars::of_stderr(GROUP) };
        Self { json, out: io::stdout().is_terminal(), bars }
    }

    /// A line of a container's, after its name if there are several.
    pub(super) fn log(&self, host: Option<&str>, index: usize, line: &[u8]) {
        if self.json {
            return;
        }
        let mut bytes = match host {
            None => Vec::new(),
            Some(host) if self.out => {
                format!("\x1b[{}m{host}\x1b[0m ", COLOURS[index % COLOURS.len()]).into_bytes()
            }
            Some(host) => format!("{host} ").into_bytes(),
        };
        bytes.extend_from_slice(line);
        if self.out && self.bars.is_some() && !line.ends_with(b"\n") {
            // A bar would be written over it.
            bytes.push(b'\n');
        }
        // A reader that has gone away costs the output, not the job.
        self.above(io::stdout(), || {
            let mut out = io::stdout().lock();
            let _ = out.write_all(&bytes).and_then(|()| out.flush());
        });
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
            self.above(io::stdout(), || drop(writeln!(io::stdout(), "{line}")));
        } else if let Some(bars) = &mut self.bars {
            bars.clear();
            if status.training_job_status != JobStatus::Failed {
                bars.say(&format!("{:?}: {message}", status.secondary_status));
            }
        }
    }

    /// How far a transfer is.
    pub(super) fn progress(&mut self, host: Option<&str>, line: &Line) {
        match (&mut self.bars, &line.event) {
            (Some(bars), _) => bars.line(host, line),
            (None, Event::Skipped(skip)) => {
                self.note(&format!("{}: {:?} is not transferred: it is {}", line.step, skip.path, skip.why));
            }
            (None, _) => {}
        }
    }

    /// What the user may want to know.
    pub(super) fn note(&self, text: &str) {
        self.complain(&format!("isolate-job: {text}"));
    }

    /// The last words.
    pub(super) fn finish(&mut self, status: &TrainingStatus) {
        self.bars = None;
        if let Some(reason) = &status.failure_reason {
            self.complain(&reason.replace(['\n', '\t'], " "));
        }
    }

    fn complain(&self, line: &str) {
        self.above(io::stderr(), || drop(writeln!(io::stderr(), "{line}")));
    }

    /// Writes whole lines, above the bars if there are any.
    fn above(&self, to: impl AsFd, write: impl FnOnce()) {
        match &self.bars {
            _ if !GROUP.may_write(to) => (),
            Some(bars) => bars.above(write),
            None => unstopped(write),
        }
    }
}
