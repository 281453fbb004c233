//! What a transfer reports: JSON lines on stdout, or a progress bar for each step on a terminal.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use crate::bars::Bars;
use crate::foreground::ShellGroup;
use crate::progress::{Amount, Event, Failure, Line, Skip};

/// As often is said how far it is.
const EVERY: Duration = Duration::from_millis(500);

/// The report of one step.
#[derive(Debug)]
pub(super) struct Report {
    step: String,
    bars: Option<Bars>,
    done: Amount,
    last: Instant,
    is_closed: bool,
}

impl Report {
    /// Lines, if they are wanted or stdout is no terminal.
    pub(super) fn new(step: &str, json: bool) -> Self {
        let is_shown = !json && io::stdout().is_terminal();
        let bars = is_shown.then(|| Bars::of_stderr(ShellGroup::Own)).flatten();
        Self { step: step.to_owned(), bars, done: Amount::default(), last: Instant::now(), is_closed: false }
    }

    pub(super) fn total(&mut self, total: Amount) -> io::Result<()> {
        self.line(Event::Total(total))
    }

    pub(super) fn add(&mut self, files: u64, bytes: u64) -> io::Result<()> {
        self.done.files += files;
        self.done.bytes += bytes;
        if self.last.elapsed() >= EVERY {
            self.last = Instant::now();
            self.line(Event::Transferred(self.done))?;
        }
        Ok(())
    }

    pub(super) fn skipped(&mut self, path: &str, why: &str) -> io::Result<()> {
        self.line(Event::Skipped(Skip { path: path.to_owned(), why: why.to_owned() }))
    }

    /// How far it is.
    pub(super) fn done(&self) -> Amount {
        self.done
    }

    /// The last line.
    pub(super) fn complete(&mut self, amount: Amount) -> io::Result<()> {
        self.last_line(Event::Complete(amount))
    }

    /// The last line.
    pub(super) fn failed(&mut self, failure: &Failure) -> io::Result<()> {
        self.last_line(Event::Failed(failure.clone()))
    }

    fn last_line(&mut self, event: Event) -> io::Result<()> {
        self.line(event)?;
        self.is_closed = true;
        Ok(())
    }

    fn line(&mut self, event: Event) -> io::Result<()> {
        if self.is_closed {
            return Ok(());
        }
        let line = Line { step: self.step.clone(), event };
        if let Some(bars) = &mut self.bars {
            bars.line(None, &line);
            return Ok(());
        }
        let mut text = serde_json::to_string(&line)?;
        text.push('\n');
        io::stdout().write_all(text.as_bytes())
    }
}
