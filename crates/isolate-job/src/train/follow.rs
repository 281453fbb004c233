//! What is read of a container while it runs: all that it writes goes into its log, byte for byte, and line by line to the supervisor.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::mpsc::SyncSender;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};

use super::Event;
use crate::client;
use crate::engine::exit_code;

/// A longer line is taken for several, in bytes.
const LONGEST_LINE: u64 = 64 << 10;

/// More than a job may take: the client waits as long as the container runs.
const YEARS: Duration = Duration::from_secs(100 * 365 * 86_400);

/// Copies the engine's log of a container from its beginning into a file.
pub(super) fn log(argv: &[String], path: &Path, host: usize, tell: SyncSender<Event>) -> Result<()> {
    let cannot = || format!("cannot write {}", path.display());
    let file = OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(path);
    let mut file = file.with_context(cannot)?;
    let (output, input) = io::pipe().context("cannot make a pipe")?;
    let mut command = client::command(argv);
    command.stdout(input.try_clone().context("cannot duplicate a pipe")?).stderr(input);
    let mut child = command.spawn().with_context(|| format!("cannot run {}", argv[0]))?;
    // With it goes this process's end of the pipe.
    drop(command);
    thread::spawn(move || {
        let _ = copy(&mut BufReader::new(output), &mut file, host, &tell);
        let _ = child.wait();
        let _ = tell.send(Event::LogEnded);
    });
    Ok(())
}

fn copy(output: &mut impl BufRead, file: &mut File, host: usize, tell: &SyncSender<Event>) -> io::Result<()> {
    loop {
        let mut line = Vec::new();
        if output.by_ref().take(LONGEST_LINE).read_until(b'\n', &mut line)? == 0 {
            return Ok(());
        }
        // A full disk costs the log, not the job.
        let _ = file.write_all(&line);
        if tell.send(Event::Line(host, line)).is_err() {
            return Ok(());
        }
    }
}

/// Waits for the end of a container.
pub(super) fn end(argv: Vec<String>, host: usize, tell: SyncSender<Event>) {
    thread::spawn(move || {
        let answer = client::run(&argv, YEARS).map_err(|error| error.to_string());
        let ended = answer.and_then(|answer| exit_code(&answer).map_err(|error| error.to_string()));
        let _ = tell.send(Event::Ended(host, ended));
    });
}

/// Ends a container: SIGTERM, and SIGKILL after its time. Its end is noticed by [`end`].
pub(super) fn stop(argv: Vec<String>, seconds: u32) {
    let deadline = client::DEADLINE + Duration::from_secs(seconds.into());
    thread::spawn(move || client::run(&argv, deadline));
}
