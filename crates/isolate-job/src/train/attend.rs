//! The process with the credentials: it starts the supervisor without them, runs the transfers that the supervisor demands, and
//! passes on an interrupt as a request to stop the job.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;

use anyhow::{Context, Result, bail};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::client;
use crate::plan::Direction;
use crate::shutdown;
use crate::stager::{self, Transfer};
use crate::store::Job;

/// Attends to a job until its supervisor has ended; the answer is that one's exit status.
///
/// # Errors
/// The supervisor could not be started, or was killed.
pub fn attend(job: &Job, config: Option<&Path>, json: bool) -> Result<u8> {
    stager::protect().context("cannot protect the credentials in this process")?;
    let program = std::env::current_exe().context("cannot find this program")?;
    stop_on_signals(job.clone())?;
    let (own, other) = stager::pair().context("cannot make a socket pair")?;
    let mut supervisor = Command::new(&program);
    supervisor.env_clear().envs(client::environment()).stdin(Stdio::from(other)).process_group(0);
    supervisor.args(flags(config)).args(json.then_some("--json")).arg("supervise").arg(&job.name);
    let child = supervisor.spawn();
    // With it goes this process's end of the supervisor's stdin.
    drop(supervisor);
    let mut child = child.with_context(|| format!("cannot run {}", program.display()))?;
    let (transfers, config) = (job.clone(), config.map(Path::to_owned));
    stager::serve(&own, |transfer| command(&program, &transfers, config.as_deref(), transfer))?;
    // A supervisor that still runs is told by it that it is alone.
    drop(own);
    let status = child.wait().context("cannot wait for the supervisor")?;
    match status.code().and_then(|code| u8::try_from(code).ok()) {
        Some(code) => Ok(code),
        None => bail!("the supervisor of {} was killed; `isolate-job resume {0}` continues", job.name),
    }
}

/// Leaves a job to a process in the background.
///
/// # Errors
/// The system's.
pub fn detach(job: &Job, config: Option<&Path>) -> Result<Child> {
    let program = std::env::current_exe().context("cannot find this program")?;
    let log = job.path("log/supervisor.log");
    let open = || OpenOptions::new().create(true).append(true).mode(0o600).open(&log);
    let cannot = || format!("cannot write {}", log.display());
    let (out, err) = (open().with_context(cannot)?, open().with_context(cannot)?);
    let mut command = Command::new(&program);
    command.args(flags(config)).args(["--json", "resume", "--session", &job.name]);
    command.stdin(Stdio::null()).stdout(out).stderr(err);
    command.spawn().with_context(|| format!("cannot run {}", program.display()))
}

fn flags(config: Option<&Path>) -> Vec<PathBuf> {
    config.map(|path| vec![PathBuf::from("--config"), path.to_owned()]).unwrap_or_default()
}

/// The transfer step, with the environment of this process.
fn command(program: &Path, job: &Job, config: Option<&Path>, transfer: &Transfer) -> Command {
    let directory = job.path(&transfer.host);
    let direction = match transfer.direction {
        Direction::In => "in",
        Direction::Out => "out",
        Direction::Stream => "stream",
    };
    let mut command = Command::new(program);
    command.args(["--json", "stage", direction, "--attended"]).args(flags(config));
    command.arg("--request").arg(job.path("request.json"));
    command.arg("--root").arg(directory.join("opt-ml"));
    let checkpoints = directory.join("checkpoints");
    if checkpoints.is_dir() {
        command.arg("--checkpoints").arg(checkpoints);
    }
    command.args(["--host", &transfer.host]);
    let step = transfer.step.as_deref();
    command.args(step.map(|step| ["--step", step]).into_iter().flatten());
    if step == Some("checkpoints") && transfer.direction == Direction::Out {
        command.arg("--record").arg(job.path(&format!("{}.sent", transfer.host)));
    }
    command
}

/// The first signal stops the job, the second one leaves it; so does SIGTERM while the host shuts down.
pub(crate) fn stop_on_signals(job: Job) -> Result<()> {
    let mut signals = Signals::new([SIGHUP, SIGINT, SIGTERM]).context("cannot handle signals")?;
    thread::spawn(move || {
        let mut is_second = false;
        for signal in signals.forever() {
            let is_left = is_second || signal != SIGINT && shutdown::is_under_way();
            if is_left || job.request_stop().is_err() {
                std::process::exit(1);
            }
            is_second = true;
        }
    });
    Ok(())
}
