//! What a transfer reports: JSON lines on stdout, or a progress bar for each step on a terminal.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use crate::progress::{Amount, Event, Failure, Line, Skip};

/// As often is said how far it is.
const EVERY: Duration = Duration::from_millis(500);

/// The report of one step.
#[derive(Debug)]
pub(super) struct Report {
    step: String,
    bar: Option<ProgressBar>,
    done: Amount,
    last: Instant,
    is_closed: bool,
}

impl Report {
    /// Lines, if they are wanted or stdout is no terminal.
    pub(super) fn new(step: &str, json: bool) -> Self {
        let bar = !json && io::stdout().is_terminal() && io::stderr().is_terminal();
        let bar = bar.then(|| {
            let form = "{msg:24} {bar:24} {bytes}/{total_bytes} {bytes_per_sec}, {eta} left";
            let style = ProgressStyle::with_template(form).unwrap_or_else(|_| ProgressStyle::default_bar());
            ProgressBar::new(0).with_style(style).with_message(step.to_owned())
        });
        Self { step: step.to_owned(), bar, done: Amount::default(), last: Instant::now(), is_closed: false }
    }

    pub(super) fn total(&mut self, total: Amount) -> io::Result<()> {
        if let Some(bar) = &self.bar {
            bar.set_length(total.bytes);
        }
        self.line(Event::Total(total))
    }

    pub(super) fn add(&mut self, files: u64, bytes: u64) -> io::Result<()> {
        self.done.files += files;
        self.done.bytes += bytes;
        if let Some(bar) = &self.bar {
            bar.inc(bytes);
        } else if self.last.elapsed() >= EVERY {
            self.last = Instant::now();
            self.line(Event::Transferred(self.done))?;
        }
        Ok(())
    }

    pub(super) fn skipped(&mut self, path: &str, why: &str) -> io::Result<()> {
        if let Some(bar) = &self.bar {
            bar.println(format!("{}: {path:?} is {why} and is not transferred", self.step));
        }
        self.line(Event::Skipped(Skip { path: path.to_owned(), why: why.to_owned() }))
    }

    /// How far it is.
    pub(super) fn done(&self) -> Amount {
        self.done
    }

    /// The last line.
    pub(super) fn complete(&mut self, amount: Amount) -> io::Result<()> {
        if let Some(bar) = &self.bar {
            bar.finish();
        }
        self.line(Event::Complete(amount))?;
        self.is_closed = true;
        Ok(())
    }

    /// The last line.
    pub(super) fn failed(&mut self, failure: &Failure) -> io::Result<()> {
        if let Some(bar) = &self.bar {
            bar.abandon();
        }
        self.line(Event::Failed(failure.clone()))?;
        self.is_closed = true;
        Ok(())
    }

    fn line(&self, event: Event) -> io::Result<()> {
        if self.bar.is_some() || self.is_closed {
            return Ok(());
        }
        let line = Line { step: self.step.clone(), event };
        let mut text = serde_json::to_string(&line)?;
        text.push('\n');
        io::stdout().write_all(text.as_bytes())
    }
}
