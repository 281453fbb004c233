//! The transfer of a model's data, by `isolate-job stage in` with the environment of this process.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};

use super::flags;
use super::stop::Stop;
use crate::bars::Bars;
use crate::client::one_line;
use crate::plan::steps_of_model;
use crate::progress::{Event, Fault, Line};
use crate::request::read_model;
use crate::store::Job;

/// How the transfer ended.
pub(crate) enum Transferred {
    Complete,
    Stopped,
    /// A FailureReason.
    Failed(String),
}

/// How often it is looked whether the model is to be stopped.
const TICK: Duration = Duration::from_millis(50);

/// The most bytes of its error output.
const MOST: u64 = 64 << 10;

pub(super) fn transfer(
    job: &Job,
    program: &Path,
    config: Option<&Path>,
    bars: Option<Bars>,
) -> Result<Transferred> {
    let document = read_model(&job.request()?).map_err(|refusals| anyhow::anyhow!("{refusals}"))?;
    if steps_of_model(&document.data).map_err(anyhow::Error::msg)?.is_empty() {
        return Ok(Transferred::Complete);
    }
    let mut command = Command::new(program);
    command.args(flags(config)).args(["--json", "stage", "in", "--attended"]);
    command.arg("--request").arg(job.path("request.json")).arg("--root").arg(job.path("opt-ml"));
    let stop = Stop::new(job)?;
    run(command, "Data download failed", bars, || stop.is_requested())
}

/// Runs `isolate-job --json stage`, until it ends or the job is to be stopped. A failure begins with `what`.
pub(crate) fn run(
    mut command: Command,
    what: &'static str,
    bars: Option<Bars>,
    is_stopped: impl Fn() -> bool,
) -> Result<Transferred> {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().context("cannot start a transfer")?;
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let lines = thread::spawn(move || {
        failed(what, bars, stdout.into_iter().flat_map(|stdout| BufReader::new(stdout).lines()))
    });
    let errors = thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = stderr.map(|stderr| stderr.take(MOST).read_to_end(&mut bytes));
        one_line(&String::from_utf8_lossy(&bytes))
    });
    let status = loop {
        if is_stopped() {
            let _ = child.kill();
            child.wait().context("cannot wait for the transfer")?;
            return Ok(Transferred::Stopped);
        }
        if let Some(status) = child.try_wait().context("cannot wait for the transfer")? {
            break status;
        }
        thread::sleep(TICK);
    };
    let failure = lines.join().unwrap_or_default();
    let error = errors.join().unwrap_or_default();
    Ok(match failure {
        None if status.success() => Transferred::Complete,
        Some(failure) => Transferred::Failed(failure),
        None => Transferred::Failed(format!("InternalServerError: {what}: {status}: {error}")),
    })
}

/// Why a step failed, of what a transfer reports and is shown.
fn failed(
    what: &str,
    mut bars: Option<Bars>,
    lines: impl Iterator<Item = std::io::Result<String>>,
) -> Option<String> {
    let lines = lines.map_while(Result::ok).filter_map(|line| serde_json::from_str::<Line>(&line).ok());
    let lines = lines.inspect(|line| {
        if let Some(bars) = &mut bars {
            bars.line(None, line);
        }
    });
    // To its end: a transfer whose pipe is full waits.
    let failures = lines.filter_map(|line| match line.event {
        Event::Failed(failure) => {
            let party = match failure.fault {
                Fault::Client => "ClientError",
                Fault::Internal => "InternalServerError",
            };
            Some(format!("{party}: {what}: {}: {}", line.step, failure.message))
        }
        _ => None,
    });
    failures.last()
}
