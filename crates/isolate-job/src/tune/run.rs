//! From an accepted tuning job to its end. Nothing is kept but its status: its training jobs are found by their names.

use std::path::Path;
use std::process::Child;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::trials::{Trial, trials};
use super::view::View;
use crate::client::{self, DEADLINE};
use crate::request::{Document, Objective, Request, TuningJob, read};
use crate::settings::Settings;
use crate::stager;
use crate::status::{Described, Exit, JobStatus, Reason, Scope, TrainingStatus, TunedJob, TuningStatus};
use crate::store::{Job, Store};
use crate::train::{self, NotAccepted, now};

/// How often training jobs are looked at.
const TICK: Duration = Duration::from_millis(200);

struct Tuning<'a> {
    job: &'a Job,
    settings: &'a Settings,
    config: Option<&'a Path>,
    store: Store,
    document: Document<TuningJob>,
    trials: Vec<Trial>,
    status: TuningStatus,
    view: View,
    /// The training jobs that exist: the first ones of the trials.
    begun: Vec<Begun>,
    /// How many were refused one after the other because of the host.
    refusals: u32,
}

/// So many in a row fail because the host refuses them.
const REFUSALS: u32 = 3;

/// Why a training job was refused.
enum Refusal {
    Request(String),
    Host(String),
}

impl Refusal {
    fn as_reason(&self) -> Reason<'_> {
        match self {
            Self::Request(why) => Reason::Client(why),
            Self::Host(why) => Reason::Internal(why),
        }
    }
}

/// A training job that exists.
struct Begun {
    job: Job,
    /// The process with its credentials, if this one has started it.
    child: Option<Child>,
    status: TrainingStatus,
    is_over: bool,
}

/// Runs a tuning job from wherever it is to its end.
///
/// # Errors
/// It is not supervised any more, although it has not ended. Its training jobs go on.
pub fn tune(job: &Job, settings: &Settings, config: Option<&Path>, json: bool) -> Result<Exit> {
    stager::protect().context("cannot protect the credentials in this process")?;
    let _lock = job.lock()?;
    train::stop_on_signals(job.clone())?;
    let name = &job.name;
    let mut tuning = Tuning::new(job, settings, config, View { json })?;
    let done = tuning.run();
    done.with_context(|| format!("{name} is not supervised any more; `isolate-job resume {name}` continues"))
}

impl<'a> Tuning<'a> {
    fn new(job: &'a Job, settings: &'a Settings, config: Option<&'a Path>, view: View) -> Result<Self> {
        let Request::Tuning(document) =
            read(&job.request()?).map_err(|refusals| anyhow::anyhow!("{refusals}"))?
        else {
            bail!("{} is not a tuning job", job.name);
        };
        let status = job.status()?;
        Ok(Self {
            trials: trials(&document.data, &status),
            store: Store::new(&settings.state),
            job,
            settings,
            config,
            document,
            status,
            view,
            begun: Vec::new(),
            refusals: 0,
        })
    }

    fn run(&mut self) -> Result<Exit> {
        if !Described::Tuning(Box::new(self.status.clone())).is_final() {
            self.find()?;
            self.supervise()?;
        }
        self.view.finish(&self.status);
        Ok(match self.status.hyper_parameter_tuning_job_status {
            JobStatus::Completed => Exit::Completed,
            JobStatus::Stopped => Exit::Stopped,
            _ => Exit::Failed,
        })
    }

    /// The training jobs of an earlier process; those that are left are continued.
    fn find(&mut self) -> Result<()> {
        for trial in &self.trials {
            let Ok(job) = self.store.job(&trial.name) else { break };
            let status: TrainingStatus = job.status()?;
            if status.tuning_job_arn.as_ref() != Some(&self.status.hyper_parameter_tuning_job_arn) {
                bail!("{} exists and is another's; remove it with `isolate-job remove {0}`", trial.name);
            }
            let is_supervised = job.is_supervised()?;
            let is_over = !is_supervised && status.secondary_status.is_final();
            let child = if is_supervised || is_over { None } else { Some(train::detach(&job, self.config)?) };
            self.begun.push(Begun { job, child, status, is_over });
        }
        self.count()
    }

    fn supervise(&mut self) -> Result<()> {
        let limits = &self.document.data.hyper_parameter_tuning_job_config.resource_limits;
        let most = limits.max_parallel_training_jobs as usize;
        loop {
            self.look()?;
            let running = self.begun.iter().filter(|begun| !begun.is_over).count();
            if self.is_stopping()? || self.begun.len() == self.trials.len() {
                if running == 0 {
                    break;
                }
            } else if running < most {
                self.begin()?;
                continue;
            }
            thread::sleep(TICK);
        }
        self.status.finish(now())?;
        self.job.set_status(&self.status)
    }

    /// Creates the next training job, and leaves it to processes of its own.
    fn begin(&mut self) -> Result<()> {
        let trial = self.trials[self.begun.len()].clone();
        let request = self.document.data.training_job(&self.document.given, &trial.name, &trial.chosen);
        let arn = self.status.hyper_parameter_tuning_job_arn.clone();
        let text = Value::Object(request).to_string();
        let region = Scope::of_arn(&arn).region;
        let job = train::accept_of(text.as_bytes(), self.settings, &region, Some(&arn));
        let cannot = || format!("cannot create {}", trial.name);
        let (job, child) = match job {
            Ok(job) => {
                self.refusals = 0;
                let child = train::detach(&job, self.config)?;
                (job, Some(child))
            }
            // It counts as one that failed, and the others go on.
            Err(refused) => {
                let reason = self.reason(refused).with_context(cannot)?;
                let failed =
                    train::create_refused(text.as_bytes(), self.settings, &region, &arn, &reason.as_reason());
                (failed.map_err(why).with_context(cannot)?, None)
            }
        };
        let status = job.status()?;
        self.view.trial(&TunedJob::new(&status, &trial.chosen, self.objective()));
        self.begun.push(Begun { job, is_over: child.is_none(), child, status });
        self.count()
    }

    /// Why a training job has failed that was refused. That the engine does not answer is none, and neither is what has refused several in
    /// a row: a full disk, for example, would refuse all.
    fn reason(&mut self, refused: NotAccepted) -> Result<Refusal> {
        match refused {
            NotAccepted::Request(refusals) => Ok(Refusal::Request(refusals.to_string())),
            NotAccepted::Host(why) => {
                self.refusals += 1;
                if self.refusals > REFUSALS {
                    bail!("{why}");
                }
                let engine = self.settings.engine();
                client::run(&engine.version(), DEADLINE).context("the engine does not answer")?;
                Ok(Refusal::Host(why))
            }
            NotAccepted::Failed(error) => Err(error),
        }
    }

    /// Looks at the training jobs that run.
    fn look(&mut self) -> Result<()> {
        let mut is_changed = false;
        for index in 0..self.begun.len() {
            let begun = &mut self.begun[index];
            if !begun.is_over && begun.look(self.config)? {
                is_changed = true;
                if begun.is_over {
                    let (status, chosen) = (&self.begun[index].status, &self.trials[index].chosen);
                    self.view.trial(&TunedJob::new(status, chosen, self.objective()));
                }
            }
        }
        if is_changed { self.count() } else { Ok(()) }
    }

    fn count(&mut self) -> Result<()> {
        let config = &self.document.data.hyper_parameter_tuning_job_config;
        let objective = &config.hyper_parameter_tuning_job_objective;
        let chosen = self.trials.iter().map(|trial| &trial.chosen);
        let jobs = self.begun.iter().map(|begun| &begun.status).zip(chosen);
        self.status.count(objective, jobs, now());
        self.job.set_status(&self.status)
    }

    /// Whether no more training jobs begin, on request or after MaxRuntimeInSeconds; those that run are stopped.
    fn is_stopping(&mut self) -> Result<bool> {
        let limits = &self.document.data.hyper_parameter_tuning_job_config.resource_limits;
        let ran = now().seconds_since(self.status.creation_time);
        if limits.max_runtime_in_seconds.is_some_and(|most| ran >= u64::from(most)) {
            self.job.request_stop()?;
        }
        if !self.job.is_stop_requested() {
            return Ok(false);
        }
        if self.status.hyper_parameter_tuning_job_status != JobStatus::Stopping {
            self.status.to(JobStatus::Stopping, now())?;
            self.job.set_status(&self.status)?;
        }
        for begun in self.begun.iter().filter(|begun| !begun.is_over) {
            if !begun.job.is_stop_requested() {
                begun.job.request_stop()?;
            }
        }
        Ok(true)
    }

    fn objective(&self) -> &Objective {
        &self.document.data.hyper_parameter_tuning_job_config.hyper_parameter_tuning_job_objective
    }
}

impl Begun {
    /// Whether something has changed. It is over when its process has ended, which has then nothing left to remove.
    fn look(&mut self, config: Option<&Path>) -> Result<bool> {
        let has_ended = match &mut self.child {
            Some(child) => child.try_wait().context("cannot wait for a training job")?.is_some(),
            None => !self.job.is_supervised()?,
        };
        let status: TrainingStatus = self.job.status()?;
        if has_ended {
            self.is_over = status.secondary_status.is_final();
            let was_own = self.child.take().is_some();
            if !self.is_over && !self.job.is_supervised()? {
                if was_own {
                    bail!("{} was interrupted: see {}", self.job.name, self.job.log("supervisor").display());
                }
                // It has outlived an earlier process of the tuning job, and was ended with that one's children.
                self.child = Some(train::detach(&self.job, config)?);
            }
        }
        let is_changed = self.is_over || status != self.status;
        self.status = status;
        Ok(is_changed)
    }
}

fn why(refused: NotAccepted) -> anyhow::Error {
    match refused {
        NotAccepted::Request(refusals) => anyhow::anyhow!("{refusals}"),
        NotAccepted::Host(why) => anyhow::anyhow!("{why}"),
        NotAccepted::Failed(error) => error,
    }
}
