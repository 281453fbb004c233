//! The verbs for jobs.

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use super::{complain, print, read, refuse};
use crate::deploy;
use crate::settings::Settings;
use crate::status::{Deployment, Exit, TrainingStatus};
use crate::store::{Job, Store};
use crate::train::{self, View, now};

pub(super) fn train(
    request: &Path,
    settings: &Settings,
    config: Option<&Path>,
    detach: bool,
    json: bool,
) -> Result<ExitCode> {
    let text = read(request).with_context(|| format!("cannot read {}", request.display()))?;
    let job = match train::accept(&text, settings, &region(settings)) {
        Ok(job) => job,
        Err(refused) => return refuse(request, refused, json),
    };
    if !detach {
        return train::attend(&job, config, json).map(ExitCode::from);
    }
    train::detach(&job, config)?;
    let status: TrainingStatus = job.status()?;
    let arn = &status.training_job_arn;
    print(&if json { format!("{}\n", json!({ "TrainingJobArn": arn })) } else { format!("{arn}\n") })?;
    Ok(ExitCode::SUCCESS)
}

/// For ARNs.
fn region(settings: &Settings) -> String {
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
    if job.is_supervised()? {
        bail!(
            "{name} is supervised by another process; `isolate-job logs --follow {name}` shows how it goes on"
        );
    }
    train::attend(&job, config, json).map(ExitCode::from)
}

pub(super) fn resume_all(settings: &Settings, config: Option<&Path>) -> Result<ExitCode> {
    for job in Store::new(&settings.state).list()? {
        // Models have another status.
        let Ok(status) = job.status::<TrainingStatus>() else { continue };
        if !job.is_supervised()? && !is_over(&job, &status)? {
            train::detach(&job, config)?;
            print(&format!("{}\n", job.name))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Whether nothing is left to do.
fn is_over(job: &Job, status: &TrainingStatus) -> Result<bool> {
    let uploaded = job.outcome()?.is_none_or(|outcome| outcome.uploaded);
    Ok(status.secondary_status.is_final() && uploaded)
}

pub(super) fn supervise(name: &str, settings: Settings, json: bool) -> Result<ExitCode> {
    let job = Store::new(&settings.state).job(name)?;
    let exit = train::supervise(job, settings, View::new(json))?;
    Ok(ExitCode::from(exit as u8))
}

pub(super) fn stop(name: &str, settings: &Settings) -> Result<ExitCode> {
    let job = Store::new(&settings.state).job(name)?;
    if job.status::<Deployment>().is_ok() {
        if !job.is_supervised()? {
            bail!("{name} is not served; `isolate-job remove {name}` removes what is left of it");
        }
        job.request_stop()?;
        return Ok(ExitCode::SUCCESS);
    }
    let status: TrainingStatus = job.status()?;
    if status.secondary_status.is_final() {
        bail!("{name} has ended already: it is {:?}", status.secondary_status);
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
    if let Ok(status) = job.status::<TrainingStatus>() {
        if is_over(&job, &status)? {
            return Ok(ExitCode::SUCCESS);
        }
        if status.secondary_status.is_final() {
            complain(&format!(
                "the results of {name} are not uploaded; `isolate-job resume {name}` uploads them"
            ));
        } else if !job.is_supervised()? {
            complain(&format!("{name} has no supervisor; `isolate-job resume {name}` continues"));
        }
    }
    Ok(ExitCode::SUCCESS)
}

pub(super) fn list(settings: &Settings, json: bool) -> Result<ExitCode> {
    let (mut rows, mut documents, mut notes) =
        (vec![["NAME", "STATUS", "SECONDARY", "AGE"].map(str::to_owned)], vec![], vec![]);
    for job in Store::new(&settings.state).list()? {
        let Ok(status) = job.status::<TrainingStatus>() else { continue };
        let supervised = job.is_supervised()?;
        let interrupted = !supervised && !is_over(&job, &status)?;
        if interrupted {
            notes.push(format!("{} is interrupted; `isolate-job resume {0}` continues", job.name));
        }
        documents.push(json!({
            "TrainingJobName": job.name,
            "TrainingJobArn": status.training_job_arn,
            "TrainingJobStatus": status.training_job_status,
            "SecondaryStatus": status.secondary_status,
            "CreationTime": status.creation_time,
            "LastModifiedTime": status.last_modified_time,
            "Interrupted": interrupted,
        }));
        let secondary = if interrupted { "interrupted in " } else { "" };
        rows.push([
            job.name,
            format!("{:?}", status.training_job_status),
            format!("{secondary}{:?}", status.secondary_status),
            age(now().seconds_since(status.creation_time)),
        ]);
    }
    if json {
        print(&format!("{:#}\n", Value::from(documents)))?;
    } else {
        print(&table(&rows))?;
    }
    for note in notes {
        complain(&note);
    }
    Ok(ExitCode::SUCCESS)
}

fn table(rows: &[[String; 4]]) -> String {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default();
    let widths = [width(0), width(1), width(2)];
    let line = |[name, status, secondary, age]: &[String; 4]| {
        format!("{name:0$}  {status:1$}  {secondary:2$}  {age}\n", widths[0], widths[1], widths[2])
    };
    rows.iter().map(line).collect()
}

/// In the largest unit of which there are two.
fn age(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds}s"),
        120..7200 => format!("{}m", seconds / 60),
        7200..172_800 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}

pub(super) fn remove(name: &str, settings: &Settings, force: bool) -> Result<ExitCode> {
    let job = Store::new(&settings.state).job(name)?;
    let refuse = |why: String| {
        complain(&why);
        Ok(ExitCode::from(Exit::Refused as u8))
    };
    if job.status::<Deployment>().is_ok() {
        if job.is_supervised()? {
            return refuse(format!("{name} is served; stop it with `isolate-job stop {name}`"));
        }
        deploy::remove(job, settings)?;
        return Ok(ExitCode::SUCCESS);
    }
    let status: TrainingStatus = job.status()?;
    if !status.secondary_status.is_final() {
        return refuse(format!("{name} has not ended; stop it with `isolate-job stop {name}`"));
    }
    if !force && !is_over(&job, &status)? {
        return refuse(format!(
            "the results of {name} are not uploaded; `isolate-job resume {name}` uploads them, --force removes them"
        ));
    }
    let _lock = job.lock()?;
    job.remove()?;
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_short() {
        for (seconds, text) in [(0, "0s"), (119, "119s"), (120, "2m"), (7200, "2h"), (172_800, "2d")] {
            assert_eq!(age(seconds), text);
        }
    }
}
