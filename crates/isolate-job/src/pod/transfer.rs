//! One transfer: `isolate-job stage` as a child, which is confined before it reads a credential. What it reports goes to stdout, too.

use std::io::{self, BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result};

use super::Arguments;
use crate::plan::{Direction, Step};
use crate::progress::{Event, Line};
use crate::stager::{Ended, read_error};
use crate::train::{Transferred, ended_with};

/// A transfer that runs.
#[derive(Clone)]
pub(super) struct Running {
    child: Arc<Mutex<Child>>,
    killed: Arc<AtomicBool>,
}

impl Running {
    /// Waits for its end.
    pub(super) fn finish(&self) -> Transferred {
        self.end().unwrap_or_else(|error| Transferred::Internal(format!("{error:#}")))
    }

    /// Ends it. When this returns it does nothing more.
    pub(super) fn kill(&self) {
        self.killed.store(true, Ordering::Relaxed);
        let mut child = self.child();
        let _ = child.kill();
        let _ = child.wait();
    }

    pub(super) fn was_killed(&self) -> bool {
        self.killed.load(Ordering::Relaxed)
    }

    fn child(&self) -> MutexGuard<'_, Child> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn end(&self) -> Result<Transferred> {
        let (stdout, stderr) = {
            let mut child = self.child();
            (child.stdout.take(), child.stderr.take())
        };
        let errors = read_error(stderr);
        let mut failure = None;
        for line in stdout.into_iter().flat_map(|out| BufReader::new(out).lines()) {
            let line = line.context("cannot read what the transfer reports")?;
            // Its reader may have gone away.
            let _ = writeln!(io::stdout(), "{line}");
            if let Ok(Line { event: Event::Failed(failed), .. }) = serde_json::from_str(&line) {
                failure = Some(failed);
            }
        }
        let error = errors.join().unwrap_or_default();
        let status = self.child().wait().context("cannot wait for the transfer")?.code();
        Ok(ended_with(Ended { status, error }, failure))
    }
}

impl Arguments {
    /// Runs a step to its end.
    pub(super) fn transfer(&self, step: &Step) -> Transferred {
        match self.start(step) {
            Ok(running) => running.finish(),
            Err(error) => Transferred::Internal(format!("{error:#}")),
        }
    }

    /// Begins a step.
    pub(super) fn start(&self, step: &Step) -> Result<Running> {
        let child = self.command(step)?.spawn().context("cannot start the transfer")?;
        Ok(Running { child: Arc::new(Mutex::new(child)), killed: Arc::default() })
    }

    fn command(&self, step: &Step) -> Result<Command> {
        let program = std::env::current_exe().context("cannot find this program")?;
        let direction = if step.direction == Direction::In { "in" } else { "out" };
        let mut command = Command::new(program);
        command.args(["--json", "stage", direction, "--attended", "--step", &step.name]);
        command.arg("--request").arg(&self.request).arg("--root").arg(self.data.join("opt-ml"));
        if let Some(config) = &self.config {
            command.arg("--config").arg(config);
        }
        let checkpoints = self.data.join("checkpoints");
        if checkpoints.is_dir() {
            command.arg("--checkpoints").arg(checkpoints);
        }
        if step.name == "checkpoints" && step.direction == Direction::Out {
            // Not in a directory that the isolated container has.
            command.arg("--record").arg(self.data.join("checkpoints.sent"));
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Ok(command)
    }
}
