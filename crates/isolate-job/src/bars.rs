//! How transfers go on, on a terminal: a bar for each step that is under way, with bytes, rate and time left, and a line for each that is
//! complete. They are the last lines on stderr; what else is written goes above them ([`Bars::above`]). In the background nothing is drawn.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use indicatif::{BinaryBytes, MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::foreground::{ShellGroup, unstopped};
use crate::progress::{Amount, Event, Line};

/// Fits into 80 columns.
const FORM: &str = "{msg:20!} {wide_bar} {bytes:>11}/{total_bytes} {bytes_per_sec:>13} {eta:>3} left";

/// The bars of the steps that are under way.
#[derive(Debug)]
pub struct Bars {
    group: ShellGroup,
    all: MultiProgress,
    steps: BTreeMap<String, ProgressBar>,
}

impl Bars {
    /// None if stderr is not a terminal. What the shell has started is this process, or its parent.
    #[must_use]
    pub fn of_stderr(group: ShellGroup) -> Option<Self> {
        io::stderr().is_terminal().then(|| Self { group, all: MultiProgress::new(), steps: BTreeMap::new() })
    }

    /// Shows what a step reports, of a container if there are several.
    pub fn line(&mut self, host: Option<&str>, line: &Line) {
        unstopped(|| self.show(host, line));
    }

    fn show(&mut self, host: Option<&str>, line: &Line) {
        self.follow();
        let name = host.map_or_else(|| line.step.clone(), |host| format!("{host} {}", line.step));
        match &line.event {
            Event::Total(total) => self.begin(name, *total),
            Event::Transferred(amount) => {
                if let Some(bar) = self.steps.get(&name) {
                    bar.set_position(amount.bytes);
                }
            }
            Event::Skipped(skip) => {
                self.say(&format!("{name}: {:?} is not transferred: it is {}", skip.path, skip.why))
            }
            Event::Complete(amount) => {
                let elapsed = self.steps.remove(&name).map_or(Duration::ZERO, |bar| bar.elapsed());
                // Checkpoints are looked at every minute.
                if amount.files > 0 {
                    self.say(&format!("{name}: {}", summary(*amount, elapsed)));
                }
            }
            // The reason is told with the end of the job.
            Event::Failed(_) => drop(self.steps.remove(&name)),
        }
    }

    /// Removes the bars of steps that were ended from outside.
    pub fn clear(&mut self) {
        self.follow();
        unstopped(|| self.steps.clear());
    }

    /// Writes something else to the terminal, whole lines.
    pub fn above<T>(&self, write: impl FnOnce() -> T) -> T {
        self.follow();
        unstopped(|| self.all.suspend(write))
    }

    /// Writes a line that only a terminal gets, unless its user wants nothing of what is in the background.
    pub fn say(&self, text: &str) {
        if self.group.may_write(io::stderr()) {
            // A terminal that has gone away is no reason to end.
            let _ = self.above(|| writeln!(io::stderr(), "{text}"));
        }
    }

    /// Before everything that may draw: bars are drawn in the foreground only, which a shell may change at any time.
    fn follow(&self) {
        let is_foreground = self.group.is_foreground(io::stderr());
        if is_foreground == self.all.is_hidden() {
            let target =
                if is_foreground { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
            unstopped(|| self.all.set_draw_target(target));
        }
    }

    fn begin(&mut self, name: String, total: Amount) {
        if total.bytes == 0 {
            return;
        }
        let style = ProgressStyle::with_template(FORM).unwrap_or_else(|_| ProgressStyle::default_bar());
        let bar = ProgressBar::new(total.bytes).with_style(style).with_message(name.clone());
        let bar = self.all.add(bar);
        bar.tick();
        self.steps.insert(name, bar);
    }
}

/// The bars that are left are removed from the terminal, which is drawing, too.
impl Drop for Bars {
    fn drop(&mut self) {
        self.clear();
    }
}

/// What was transferred, and how fast if that can be told.
fn summary(amount: Amount, elapsed: Duration) -> String {
    let Amount { files, bytes } = amount;
    let plural = if files == 1 { "" } else { "s" };
    let whole = format!("{files} file{plural}, {}", BinaryBytes(bytes));
    match bytes.saturating_mul(1000).checked_div(u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX)) {
        Some(rate) if elapsed >= Duration::from_secs(1) => {
            format!("{whole} in {} s, {}/s", elapsed.as_secs(), BinaryBytes(rate))
        }
        _ => whole,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_told_of_what_took_a_second() {
        let of = |files, bytes, millis| summary(Amount { files, bytes }, Duration::from_millis(millis));
        assert_eq!(of(1, 6, 0), "1 file, 6 B");
        assert_eq!(of(1000, 64 << 20, 999), "1000 files, 64.00 MiB");
        assert_eq!(of(2, 64 << 20, 2000), "2 files, 64.00 MiB in 2 s, 32.00 MiB/s");
    }
}
