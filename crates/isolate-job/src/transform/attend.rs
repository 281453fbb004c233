//! The process with the credentials. It runs one child after the other: the transfers with its own environment, and the one that sends
//! objects to the container without the AWS variables.

use std::io::{self, Read, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use super::{MODEL, OBJECTS};
use crate::bars::Bars;
use crate::client::{self, one_line};
use crate::deploy::{Transferred, clear, flags, run};
use crate::foreground::ShellGroup;
use crate::plan::steps_of_model;
use crate::request::read_model;
use crate::settings::Settings;
use crate::shutdown;
use crate::stager;
use crate::status::{Exit, JobStatus, TransformStatus};
use crate::store::{End, Job, Lock, Outcome};
use crate::train::{now, stop_on_signals};

/// The most bytes of what a child reports.
const MOST: u64 = 64 << 10;

/// How often it is looked whether the job is to be stopped.
const TICK: Duration = Duration::from_millis(100);

struct Attended<'a> {
    job: &'a Job,
    settings: &'a Settings,
    config: Option<&'a Path>,
    json: bool,
    status: TransformStatus,
    lock: Lock,
}

/// How far an act came.
enum Act {
    Done,
    Stopped,
    /// A FailureReason.
    Failed(String),
}

/// Runs a transform job from wherever it is to its end.
///
/// # Errors
/// It is not supervised any more, although it has not ended.
pub fn attend(job: &Job, settings: &Settings, config: Option<&Path>, json: bool) -> Result<Exit> {
    stager::protect().context("cannot protect the credentials in this process")?;
    let lock = job.lock()?;
    stop_on_signals(job.clone())?;
    let mut attended = Attended { job, settings, config, json, status: job.status()?, lock };
    let name = &job.name;
    let done = attended.run();
    done.with_context(|| {
        format!("{name} is not supervised any more; `isolate-job resume {name}` continues")
    })?;
    if let Some(reason) = &attended.status.failure_reason {
        let _ = writeln!(io::stderr(), "{}", reason.replace(['\n', '\t'], " "));
    }
    Ok(match attended.status.transform_job_status {
        JobStatus::Completed => Exit::Completed,
        JobStatus::Stopped => Exit::Stopped,
        _ if is_kept(job)? => Exit::NotUploaded,
        _ => Exit::Failed,
    })
}

/// Whether all answers are there and not uploaded.
fn is_kept(job: &Job) -> Result<bool> {
    Ok(job.outcome()?.is_some_and(|outcome| !outcome.uploaded))
}

impl Attended<'_> {
    fn run(&mut self) -> Result<()> {
        use JobStatus::{Completed, Failed, InProgress, Stopped, Stopping};
        match self.status.transform_job_status {
            InProgress | Stopping => {}
            Failed if is_kept(self.job)? => {
                self.status.to(InProgress, now())?;
                self.job.set_status(&self.status)?;
            }
            Completed | Failed | Stopped => return Ok(()),
        }
        let act = self.acts()?;
        // By the engine, or by a signal for all processes.
        ensure!(matches!(act, Act::Done) || !shutdown::is_under_way(), "the host is shutting down");
        match act {
            Act::Done => self.status.to(Completed, now())?,
            Act::Stopped => {
                if self.status.transform_job_status == InProgress {
                    self.status.to(Stopping, now())?;
                }
                self.status.to(Stopped, now())?;
            }
            Act::Failed(why) => {
                self.status.to(Failed, now())?;
                self.status.failure_reason = Some(why);
            }
        }
        self.job.set_status(&self.status)?;
        if is_kept(self.job)? {
            let (name, directory) = (&self.job.name, self.job.directory().display());
            let note = format!(
                "the answers of {name} are kept in {directory}; `isolate-job resume {name}` uploads them"
            );
            let _ = writeln!(io::stderr(), "isolate-job: {note}");
            return Ok(());
        }
        self.job.remove_data(&["opt-ml".to_owned(), OBJECTS.to_owned()])
    }

    /// Each is done again if it was interrupted; what is complete stays as it is.
    fn acts(&mut self) -> Result<Act> {
        // What an earlier process left, if it was killed.
        clear(&self.job.name, &self.settings.engine())?;
        if self.job.outcome()?.is_none() {
            for stage in [Self::model, Self::objects] {
                match stage(self)? {
                    Act::Done => {}
                    other => return Ok(other),
                }
            }
            self.status.start(now());
            self.job.set_status(&self.status)?;
            match self.infer()? {
                Act::Done => self.job.set_outcome(&Outcome { end: End::Completed, uploaded: false })?,
                other => return Ok(other),
            }
        }
        if is_kept(self.job)?
            && let failed @ (Act::Stopped | Act::Failed(_)) = self.upload()?
        {
            return Ok(failed);
        }
        self.job.set_outcome(&Outcome { end: End::Completed, uploaded: true })?;
        Ok(Act::Done)
    }

    /// It goes on when the job is to be stopped: all objects appear, or those are missing of which an error is reported.
    fn upload(&self) -> Result<Act> {
        let mut command = self.stage("out");
        command.arg("--request").arg(self.job.path("request.json")).arg("--model").arg(self.job.path(MODEL));
        command.arg("--root").arg(self.job.path(OBJECTS));
        self.transfer(command, "Data upload failed", || false)
    }

    fn model(&mut self) -> Result<Act> {
        let path = self.job.path(MODEL);
        let text = std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let model = read_model(&text).map_err(|refusals| anyhow::anyhow!("{refusals}"))?;
        if steps_of_model(&model.data).map_err(anyhow::Error::msg)?.is_empty() {
            return Ok(Act::Done);
        }
        let mut command = self.stage("in");
        command.arg("--request").arg(path).arg("--root").arg(self.job.path("opt-ml"));
        self.transfer(command, "Data download failed", || self.job.is_stop_requested())
    }

    fn objects(&mut self) -> Result<Act> {
        let mut command = self.stage("in");
        command.arg("--request").arg(self.job.path("request.json")).arg("--model").arg(self.job.path(MODEL));
        command.arg("--root").arg(self.job.path(OBJECTS));
        self.transfer(command, "Data download failed", || self.job.is_stop_requested())
    }

    fn stage(&self, direction: &str) -> Command {
        // Found when the first of them is run.
        let mut command = Command::new(std::env::current_exe().unwrap_or_default());
        command.args(flags(self.config)).args(["--json", "stage", direction, "--attended"]);
        command
    }

    fn transfer(
        &self,
        mut command: Command,
        what: &'static str,
        is_stopped: impl Fn() -> bool,
    ) -> Result<Act> {
        // An interrupt at the terminal is for this process.
        command.process_group(0);
        let bars = if self.json { None } else { Bars::of_stderr(ShellGroup::Own) };
        Ok(match run(command, what, bars, is_stopped)? {
            Transferred::Complete => Act::Done,
            Transferred::Stopped => Act::Stopped,
            Transferred::Failed(why) => Act::Failed(why),
        })
    }

    /// The process without credentials. It ends with this one, unless its container may not be isolated: it has the lock, too, so that the
    /// job is not continued before that one is removed. What it notes is for the user.
    fn infer(&self) -> Result<Act> {
        let program = std::env::current_exe().context("cannot find this program")?;
        let mut command = Command::new(&program);
        command.env_clear().envs(client::environment());
        command.args(flags(self.config)).arg("infer").arg(&self.job.name);
        command.stdin(self.lock.share()?).stdout(io::stderr()).stderr(Stdio::piped()).process_group(0);
        let mut child = command.spawn().with_context(|| format!("cannot run {}", program.display()))?;
        let stderr = child.stderr.take();
        let text = thread::spawn(move || {
            let mut text = Vec::new();
            let _ = stderr.map(|stderr| stderr.take(MOST).read_to_end(&mut text));
            String::from_utf8_lossy(&text).into_owned()
        });
        let status = loop {
            if let Some(status) = child.try_wait().context("cannot wait for the process of the container")? {
                break status;
            }
            thread::sleep(TICK);
        };
        let text = text.join().unwrap_or_default();
        let reason = text.strip_prefix("isolate-job: ").unwrap_or(&text);
        match status.code() {
            Some(0) => Ok(Act::Done),
            Some(code) if code == Exit::Stopped as i32 && self.job.is_stop_requested() => Ok(Act::Stopped),
            Some(code) if code == Exit::Stopped as i32 => bail!("the process of the container got a signal"),
            Some(_) => Ok(Act::Failed(one_line(reason))),
            None => bail!("the process of the container was killed"),
        }
    }
}
