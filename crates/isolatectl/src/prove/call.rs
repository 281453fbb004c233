//! Calls of an engine's client, with a deadline. After an interrupt none is begun, and those that run are let to their end:
//! what an engine makes for a client that was killed would come after everything was removed.

use std::fs::File;
use std::io::Read;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

/// For one call; an engine that takes longer is of no use for this.
const DEADLINE: Duration = Duration::from_secs(20);

/// How much longer a client is let run: while it does, its engine may still make what is to be removed.
const GRACE: Duration = Duration::from_secs(60);

/// For all that is made at an engine before the first way is tried.
const PREPARATION: Duration = Duration::from_secs(120);

/// The most that is read of what a client prints, in bytes.
const LIMIT: u64 = 1 << 20;

/// Whether prove was told to end.
#[derive(Debug, Clone)]
pub(super) struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// # Errors
    /// The signals cannot be handled.
    pub(super) fn new() -> Result<Self> {
        let flag = Arc::new(AtomicBool::new(false));
        for signal in [SIGHUP, SIGINT, SIGTERM] {
            signal_hook::flag::register(signal, Arc::clone(&flag)).context("cannot handle signals")?;
        }
        Ok(Self(flag))
    }

    fn has_come(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// An engine's turn: nothing more is begun for it after a time, or after an interrupt. The time is that of the ways; another one is for
/// the preparation.
#[derive(Debug)]
pub(super) struct Turn<'i> {
    interrupt: &'i Interrupt,
    limit: Duration,
    began: Instant,
    /// Of the ways.
    trial: OnceLock<Instant>,
}

impl<'i> Turn<'i> {
    pub(super) fn begin(interrupt: &'i Interrupt, limit: Duration) -> Self {
        Self { interrupt, limit, began: Instant::now(), trial: OnceLock::new() }
    }

    /// The engine is prepared.
    pub(super) fn begin_trial(&self) {
        self.trial.get_or_init(Instant::now);
    }

    /// No call of a client lasts longer than until then, counted from the beginning.
    pub(super) fn longest(&self) -> Duration {
        PREPARATION + self.limit + DEADLINE + GRACE
    }

    /// # Errors
    /// It is over; with what there is to say of what is not begun.
    pub(super) fn must_last(&self) -> Result<()> {
        ensure!(!self.interrupt.has_come(), "interrupted");
        match self.trial.get() {
            Some(trial) => ensure!(
                trial.elapsed() < self.limit,
                "not tried: the {} seconds for this engine are over; --seconds gives it more",
                self.limit.as_secs()
            ),
            None => ensure!(
                self.began.elapsed() < PREPARATION,
                "the engine is not prepared within {} seconds; look at what keeps it busy",
                PREPARATION.as_secs()
            ),
        }
        Ok(())
    }

    pub(super) fn is_interrupted(&self) -> bool {
        self.interrupt.has_come()
    }
}

/// What a client printed.
#[derive(Debug)]
pub(super) struct Called {
    status: ExitStatus,
    /// Standard output.
    pub(super) out: String,
    /// Standard error.
    pub(super) err: String,
}

impl Called {
    pub(super) fn is_well(&self) -> bool {
        self.status.success()
    }

    /// Its output, without the last newline.
    ///
    /// # Errors
    /// It failed; with what it printed.
    pub(super) fn must(self) -> Result<String> {
        ensure!(self.is_well(), "{}", self.why());
        Ok(self.out.trim_end().to_owned())
    }

    /// Why it failed, in its own words.
    pub(super) fn why(&self) -> String {
        let said = if self.err.trim().is_empty() { self.out.trim() } else { self.err.trim() };
        format!("{} ({})", said.replace('\n', " "), self.status)
    }
}

/// Runs a client to its end. Without a turn it makes nothing that would have to be removed, and is not let run longer.
///
/// # Errors
/// It cannot be started or takes too long, or the turn is over.
pub(super) fn call(program: &str, words: &[&str], turn: Option<&Turn<'_>>) -> Result<Called> {
    turn.map_or(Ok(()), Turn::must_last)?;
    let limit = if turn.is_some() { DEADLINE + GRACE } else { DEADLINE };
    let mut command = Command::new(program);
    // Of a group of its own, which the terminal's Ctrl-C does not reach.
    command.args(words).process_group(0).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().with_context(|| format!("cannot start {program}"))?;
    let (out, err) = (collect(child.stdout.take()), collect(child.stderr.take()));
    let began = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().with_context(|| format!("cannot wait for {program}"))? {
            break status;
        }
        if began.elapsed() > limit {
            let _ = child.kill();
            let _ = child.wait();
            bail!("{program} did not end within {} seconds", limit.as_secs());
        }
        thread::sleep(Duration::from_millis(10));
    };
    let took = began.elapsed();
    ensure!(
        took <= DEADLINE,
        "{program} took {} seconds, at most {} count",
        took.as_secs(),
        DEADLINE.as_secs()
    );
    Ok(Called { status, out: out.join().unwrap_or_default(), err: err.join().unwrap_or_default() })
}

/// Starts a client that stays. What it says of itself is written to a file.
///
/// # Errors
/// It cannot be started.
pub(super) fn start(program: &str, words: &[&str], errors: &Path) -> Result<Child> {
    let file = File::create(errors).with_context(|| format!("cannot write {}", errors.display()))?;
    let mut command = Command::new(program);
    command.args(words).process_group(0).stdin(Stdio::null()).stdout(Stdio::null()).stderr(file);
    command.spawn().with_context(|| format!("cannot start {program}"))
}

fn collect(pipe: Option<impl Read + Send + 'static>) -> thread::JoinHandle<String> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(pipe) = pipe {
            let _ = pipe.take(LIMIT).read_to_end(&mut bytes);
        }
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_of_the_ways_begins_after_the_preparation() {
        let interrupt = Interrupt(Arc::default());
        let turn = Turn::begin(&interrupt, Duration::ZERO);
        turn.must_last().unwrap();
        turn.begin_trial();
        assert!(turn.must_last().unwrap_err().to_string().starts_with("not tried: the 0 seconds"));
    }
}
