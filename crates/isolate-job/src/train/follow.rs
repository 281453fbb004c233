//! What is read of a container while it runs: all that it writes goes into its log, byte for byte, and line by line to the supervisor.
//! An engine's client that does not notice the end of its container is not waited for: the engine is asked what it knows.

use std::cell::Cell;
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::Child;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::Event;
use super::start::{Place, place};
use crate::client;
use crate::engine::{Argv, Engine, exit_code, inspected};

/// A longer line is taken for several, in bytes.
const LONGEST_LINE: u64 = 64 << 10;

/// More than a job may take: the client waits as long as the container runs.
const YEARS: Duration = Duration::from_secs(100 * 365 * 86_400);

/// How often the engine is asked whether a container has ended although its client still waits, and how long the log of one that has
/// ended may bring nothing before it counts as complete.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

/// The engine's client that follows a log.
pub(super) struct Followed {
    client: Arc<Mutex<Child>>,
    /// Counts what it brings; odd while that is passed on.
    turns: Arc<AtomicU64>,
}

impl Followed {
    /// Waits until the log of a container that has ended is complete, and ends it if it does not end.
    pub(super) fn drain(&self, patience: Duration) {
        loop {
            let before = self.turns.load(Ordering::Relaxed);
            thread::sleep(patience);
            let mut client = self.client.lock().unwrap_or_else(PoisonError::into_inner);
            if !matches!(client.try_wait(), Ok(None)) {
                return;
            }
            if before.is_multiple_of(2) && before == self.turns.load(Ordering::Relaxed) {
                let _ = client.kill();
                return;
            }
        }
    }
}

/// Copies the engine's log of a container from its beginning into a file.
pub(super) fn log(argv: &[String], path: &Path, host: usize, tell: SyncSender<Event>) -> Result<Followed> {
    let cannot = || format!("cannot write {}", path.display());
    let file = OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(path);
    let mut file = file.with_context(cannot)?;
    let (output, input) = io::pipe().context("cannot make a pipe")?;
    let mut command = client::command(argv);
    command.stdout(input.try_clone().context("cannot duplicate a pipe")?).stderr(input);
    let child = command.spawn().with_context(|| format!("cannot run {}", argv[0]))?;
    // With it goes this process's end of the pipe.
    drop(command);
    let followed = Followed { client: Arc::new(Mutex::new(child)), turns: Arc::default() };
    let (client, turns) = (Arc::clone(&followed.client), Arc::clone(&followed.turns));
    thread::spawn(move || {
        let _ = copy(&mut BufReader::new(output), &mut file, host, &tell, &turns);
        let ended = client.lock().unwrap_or_else(PoisonError::into_inner).wait();
        let is_complete = ended.is_ok_and(|status| status.code().is_some());
        let _ = tell.send(Event::LogEnded { host, is_complete });
    });
    Ok(followed)
}

fn copy(
    output: &mut impl BufRead,
    file: &mut File,
    host: usize,
    tell: &SyncSender<Event>,
    turns: &AtomicU64,
) -> io::Result<()> {
    loop {
        let mut line = Vec::new();
        if output.by_ref().take(LONGEST_LINE).read_until(b'\n', &mut line)? == 0 {
            return Ok(());
        }
        turns.fetch_add(1, Ordering::Relaxed);
        // A full disk costs the log, not the job.
        let _ = file.write_all(&line);
        if tell.send(Event::Line(host, line)).is_err() {
            return Ok(());
        }
        turns.fetch_add(1, Ordering::Relaxed);
    }
}

/// Waits for the end of a container, and then for that of its log.
pub(super) fn end(engine: &Engine, name: &str, host: usize, log: Followed, tell: SyncSender<Event>) {
    let (wait, inspect) = (engine.wait(name), engine.inspect(name));
    thread::spawn(move || {
        let _ = tell.send(Event::Ended(host, ended(&wait, &inspect, PATIENCE)));
        drop(tell);
        log.drain(PATIENCE);
    });
}

/// The exit status of a container that has ended: the answer of `wait`, or what `inspect` knows while `wait` does not answer.
fn ended(wait: &Argv, inspect: &Argv, patience: Duration) -> Result<i64, String> {
    let (found, last) = (Cell::new(None), Cell::new(Instant::now()));
    let is_over = || {
        if last.get().elapsed() >= patience {
            let answer = client::run(inspect, client::DEADLINE).ok();
            let container = answer.and_then(|answer| inspected(&answer).ok());
            let over = container.filter(|container| place(&container.state.status) == Place::Ended);
            found.set(over.map(|container| container.state.exit_code));
            last.set(Instant::now());
        }
        found.get().is_some()
    };
    let answer = client::run_unless(wait, YEARS, is_over);
    match found.get() {
        Some(exit_code) => Ok(exit_code),
        None => exit_code(&answer.map_err(|error| error.to_string())?).map_err(|error| error.to_string()),
    }
}

/// Ends a container: SIGTERM, and SIGKILL after its time. Its end is noticed by [`end`].
pub(super) fn stop(argv: Vec<String>, seconds: u32) {
    let deadline = client::DEADLINE + Duration::from_secs(seconds.into());
    thread::spawn(move || client::run(&argv, deadline));
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_millis(50);

    fn sh(script: &str) -> Argv {
        ["sh", "-c", script].map(str::to_owned).to_vec()
    }

    /// The end of a container whose `wait` never answers.
    fn of_hanging(state: &str) -> Result<i64, String> {
        let text = include_str!("../engine/answers/docker-28.ended").replace("exited", state);
        ended(&sh("exec sleep 1000"), &vec!["printf".to_owned(), "%s".to_owned(), text], SOON)
    }

    #[test]
    fn a_container_has_ended_when_wait_answers_or_the_engine_knows_it() {
        assert_eq!(ended(&sh("echo 7"), &sh("exit 1"), SOON), Ok(7));
        assert_eq!(of_hanging("exited"), Ok(3));
        // One that runs is waited for, whatever `inspect` answers meanwhile.
        for inspect in ["exit 1", "echo []", "echo '[{\"State\":{}}]'"] {
            assert_eq!(ended(&sh("sleep 0.5; echo 9"), &sh(inspect), SOON), Ok(9), "{inspect}");
        }
    }

    #[test]
    fn a_log_that_does_not_end_with_its_container_is_ended_and_reported() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("algo-1.log");
        let ends_of = |script: &str| {
            let (tell, events) = std::sync::mpsc::sync_channel(16);
            let followed = log(&sh(script), &path, 0, tell).unwrap();
            followed.drain(SOON * 30);
            events.iter().find_map(|event| match event {
                Event::LogEnded { host, is_complete } => Some((host, is_complete)),
                _ => None,
            })
        };
        assert_eq!(ends_of("echo one; exec sleep 1000"), Some((0, false)));
        assert_eq!(std::fs::read(&path).unwrap(), b"one\n");
        assert_eq!(ends_of("echo two; exit 1"), Some((0, true)));
        // Slow, but not silent.
        assert_eq!(ends_of("for n in 1 2 3 4 5 6; do sleep 0.2; echo $n; done"), Some((0, true)));
        assert_eq!(std::fs::read(&path).unwrap(), b"1\n2\n3\n4\n5\n6\n");
    }
}
