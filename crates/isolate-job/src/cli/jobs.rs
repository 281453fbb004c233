//! The verbs for jobs.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use super::{complain, print, read, refuse};
use crate::deploy;
use crate::foreground::unstopped;
use crate::settings::Settings;
use crate::status::{Described, Exit};
use crate::store::{Job, Store};
use crate::train::{self, View};
use crate::transform;
use crate::tune;

/// The verbs that create a job and run it.
#[derive(Debug)]
pub(super) enum Kind {
    Training,
    Tuning,
    /// With the document of its model.
    Transform(Option<PathBuf>),
}

/// Creates a job, and runs it to its end or leaves it to a process in the background.
pub(super) fn start(
    kind: &Kind,
    request: &Path,
    settings: &Settings,
    config: Option<&Path>,
    detach: bool,
    json: bool,
) -> Result<ExitCode> {
    let region = region(settings);
    let accepted = read(request).and_then(|text| match kind {
        Kind::Training => train::accept(&text, settings, &region),
        Kind::Tuning => tune::accept(&text, settings, &region),
        Kind::Transform(model) => {
            let model = model.as_deref().map(read).transpose()?;
            transform::accept(&text, model.as_deref(), settings, &region)
        }
    });
    let job = match accepted {
        Ok(job) => job,
        Err(refused) => return refuse(request, refused, json),
    };
    if !detach {
        return attend(&job, settings, config, json);
    }
    train::detach(&job, config)?;
    let described = job.status()?;
    let (member, arn) = arn(&described);
    print(&if json { format!("{}\n", json!({ member: arn })) } else { format!("{arn}\n") })?;
    Ok(ExitCode::SUCCESS)
}

/// Runs a job from wherever it is to its end.
fn attend(job: &Job, settings: &Settings, config: Option<&Path>, json: bool) -> Result<ExitCode> {
    match job.status()? {
        Described::Training(_) => train::attend(job, config, json).map(ExitCode::from),
        Described::Tuning(_) => tune::tune(job, settings, config, json).map(exit),
        Described::Transform(_) => transform::attend(job, settings, config, json).map(exit),
        Described::Deployment(_) => {
            bail!("{} is a model; `isolate-job deploy` serves it", job.name)
        }
    }
}

pub(super) fn exit(exit: Exit) -> ExitCode {
    ExitCode::from(exit as u8)
}

/// The member of the API that has it, and itself.
fn arn(described: &Described) -> (&'static str, &str) {
    match described {
        Described::Training(status) => ("TrainingJobArn", &status.training_job_arn),
        Described::Tuning(status) => ("HyperParameterTuningJobArn", &status.hyper_parameter_tuning_job_arn),
        Described::Transform(status) => ("TransformJobArn", &status.transform_job_arn),
        Described::Deployment(_) => ("EndpointArn", ""),
    }
}

/// For ARNs.
pub(super) fn region(settings: &Settings) -> String {
    let of_environment =
        || ["AWS_REGION", "AWS_DEFAULT_REGION"].iter().find_map(|name| std::env::var(name).ok());
    settings.s3.region.clone().or_else(of_environment).unwrap_or_else(|| "us-east-1".to_owned())
}

pub(super) fn resume(
    name: &str,
    settings: &Settings,
    config: Option<&Path>,
    session: bool,
    json: bool,
) -> Result<ExitCode> {
    if session {
        rustix::process::setsid().context("cannot start a session")?;
    }
    let job = Store::new(&settings.state).job(name)?;
    // The supervisor of a job that is over is about to end, too.
    let patience = Instant::now() + Duration::from_secs(10);
    while job.is_supervised()? && is_over(&job, &job.status()?)? && Instant::now() < patience {
        thread::sleep(Duration::from_millis(25));
    }
    if job.is_supervised()? {
        bail!(
            "{name} is supervised by another process; `isolate-job logs --follow {name}` shows how it goes on"
        );
    }
    attend(&job, settings, config, json)
}

pub(super) fn resume_all(settings: &Settings, config: Option<&Path>) -> Result<ExitCode> {
    let store = Store::new(&settings.state);
    let mut exit_code = ExitCode::SUCCESS;
    for job in store.list()? {
        let Some(described) = readable(&job) else { continue };
        let resumed = is_interrupted(&store, &job, &described).and_then(|is_interrupted| {
            if is_interrupted {
                train::detach(&job, config)?;
                print(&format!("{}\n", job.name))?;
            }
            Ok(())
        });
        // The others are resumed all the same.
        if let Err(error) = resumed {
            complain(&format!("cannot resume {}: {error:#}", job.name));
            exit_code = exit(Exit::Failed);
        }
    }
    Ok(exit_code)
}

/// Whether it is to be resumed by itself: a tuning job resumes its training jobs, and a model is not resumed.
fn is_interrupted(store: &Store, job: &Job, described: &Described) -> Result<bool> {
    let is_left = !matches!(described, Described::Deployment(_)) && tuning_job(store, described)?.is_none();
    Ok(is_left && !job.is_supervised()? && !is_over(job, described)?)
}

/// The status of a job; that it cannot be read is reported.
pub(super) fn readable(job: &Job) -> Option<Described> {
    match job.status() {
        Ok(described) => Some(described),
        Err(error) => {
            // It may have been removed meanwhile.
            if job.path("request.json").exists() {
                complain(&format!("{}: {error:#}; `isolate-job remove --force {0}` removes it", job.name));
            }
            None
        }
    }
}

/// Whether nothing is left to do.
pub(super) fn is_over(job: &Job, described: &Described) -> Result<bool> {
    let is_left = job.outcome()?.is_some_and(|outcome| outcome.is_left());
    Ok(described.is_final() && !is_left)
}

/// The tuning job of a training job, if it has one that has not ended.
fn tuning_job(store: &Store, described: &Described) -> Result<Option<String>> {
    let Described::Training(status) = described else { return Ok(None) };
    let Some(arn) = &status.tuning_job_arn else { return Ok(None) };
    for job in store.list()? {
        if let Ok(Described::Tuning(tuning)) = job.status()
            && tuning.hyper_parameter_tuning_job_arn == *arn
            && !Described::Tuning(tuning).is_final()
        {
            return Ok(Some(job.name));
        }
    }
    Ok(None)
}

pub(super) fn infer(name: &str, settings: &Settings) -> Result<ExitCode> {
    let job = Store::new(&settings.state).job(name)?;
    Ok(transform::infer(&job, settings).map_or_else(
        |reason| {
            complain(&reason);
            exit(Exit::Failed)
        },
        exit,
    ))
}

pub(super) fn supervise(name: &str, settings: Settings, json: bool) -> Result<ExitCode> {
    let job = Store::new(&settings.state).job(name)?;
    Ok(match train::supervise(job, settings, View::new(json)) {
        Ok(done) => exit(done),
        Err(error) => {
            // Who waits for this process would wait for ever for a stopped one.
            unstopped(|| complain(&format!("{error:#}")));
            ExitCode::FAILURE
        }
    })
}

pub(super) fn stop(name: &str, settings: &Settings) -> Result<ExitCode> {
    let job = Store::new(&settings.state).job(name)?;
    let described: Described = job.status()?;
    if let Described::Deployment(_) = described {
        if !job.is_supervised()? {
            bail!("{name} is not served; `isolate-job remove {name}` removes what is left of it");
        }
        job.request_stop()?;
        return Ok(ExitCode::SUCCESS);
    }
    if let Some(status) = described.status().filter(|_| described.is_final()) {
        bail!("{name} has ended already: it is {status:?}");
    }
    job.request_stop()?;
    if !job.is_supervised()? {
        bail!("{name} has no supervisor; `isolate-job resume {name}` stops it");
    }
    Ok(ExitCode::SUCCESS)
}

pub(super) fn describe(name: &str, settings: &Settings) -> Result<ExitCode> {
    let job = Store::new(&settings.state).job(name)?;
    let status: Value = job.status()?;
    print(&format!("{status:#}\n"))?;
    if let Ok(described) = job.status::<Described>()
        && !matches!(described, Described::Deployment(_))
        && !is_over(&job, &described)?
    {
        if described.is_final() {
            complain(&format!(
                "the results of {name} are not uploaded; `isolate-job resume {name}` uploads them"
            ));
        } else if !job.is_supervised()? {
            complain(&format!("{name} has no supervisor; `isolate-job resume {name}` continues"));
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Why a job cannot be removed yet.
fn still_needed(store: &Store, job: &Job, described: &Described, force: bool) -> Result<Option<String>> {
    let name = &job.name;
    if !described.is_final() {
        return Ok(Some(format!("{name} has not ended; stop it with `isolate-job stop {name}`")));
    }
    if let Some(tuning) = tuning_job(store, described)? {
        let why = "which has not ended; stop it with";
        return Ok(Some(format!("{name} belongs to {tuning}, {why} `isolate-job stop {tuning}`")));
    }
    if !force && !is_over(job, described)? {
        return Ok(Some(format!(
            "the results of {name} are not uploaded; `isolate-job resume {name}` uploads them, --force removes them"
        )));
    }
    Ok(None)
}

pub(super) fn remove(name: &str, settings: &Settings, force: bool) -> Result<ExitCode> {
    let store = Store::new(&settings.state);
    let job = store.job(name)?;
    let refuse = |why: String| {
        complain(&why);
        Ok(exit(Exit::Refused))
    };
    if let Ok(Described::Deployment(_)) = job.status() {
        if !deploy::remove(job, settings)? {
            return refuse(format!("{name} is served; stop it with `isolate-job stop {name}`"));
        }
        return Ok(ExitCode::SUCCESS);
    }
    let needed = || match job.status() {
        Err(_) if force => Ok(None),
        Err(error) => Ok(Some(format!("{error:#}; --force removes {name} all the same"))),
        Ok(described) => still_needed(&store, &job, &described, force),
    };
    if let Some(why) = needed()? {
        return refuse(why);
    }
    let _lock = job.lock()?;
    // It may be another one of that name by now.
    if let Some(why) = needed()? {
        return refuse(why);
    }
    let cleared = train::remove_leftovers(&settings.engine(), name);
    if let Err(error) = cleared
        && !force
    {
        return refuse(format!(
            "a container of {name} may still run: {error:#}; --force removes the job all the same"
        ));
    }
    job.remove()?;
    Ok(ExitCode::SUCCESS)
}
