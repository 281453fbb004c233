//! A training job from its request to its end. [`accept()`] refuses or creates it, [`attend()`] is the process with the credentials, and
//! [`supervise`] is the one that does everything else: download, containers, upload. Whatever is killed, the job's directory has what
//! the next supervisor needs to continue.

mod accept;
mod attend;
mod begin;
mod checkpoints;
mod engine;
mod finish;
mod follow;
mod isolation;
mod run;
mod start;
mod stated;
mod streams;
mod transfer;
mod view;

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail, ensure};

use crate::client::Patience;
use crate::engine::{Container, Engine, Inspected};
use crate::plan::{Step, steps_of_training};
use crate::request::{Document, TrainingJob, read_training};
use crate::settings::Settings;
use crate::stager::{Answer, Link};
use crate::status::{Exit, Secondary, Time, TrainingStatus};
use crate::store::{End, Failure, Job, Lock, Outcome};

pub use accept::{NotAccepted, accept, settings};
pub(crate) use accept::{accept_of, create_refused, host, host_unless, in_use, ready, volume};
pub(crate) use attend::stop_on_signals;
pub use attend::{attend, detach};
pub(crate) use begin::{open_checkpoints, prepare};
pub(crate) use engine::remove_leftovers;
pub(crate) use isolation::verify;
pub(crate) use transfer::{Transferred, ended_with};
pub use view::View;

/// Now.
#[must_use]
pub fn now() -> Time {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Time::from_millis(u64::try_from(since.as_millis()).unwrap_or_default())
}

/// The supervisor of a training job.
struct Supervisor {
    job: Job,
    document: Document<TrainingJob>,
    settings: Settings,
    engine: Engine,
    steps: Vec<Step>,
    containers: Vec<Container>,
    /// What the engine answered of those that this process has just created.
    created: Vec<Inspected>,
    /// Their ids, until their removal begins.
    ids: Vec<String>,
    /// Whether all of them, and their network, could be removed.
    removal: Option<JoinHandle<bool>>,
    status: TrainingStatus,
    view: View,
    link: Link,
    streams: Vec<streams::Stream>,
    tell: SyncSender<Event>,
    events: Receiver<Event>,
    _lock: Lock,
}

/// What a supervisor waits for.
enum Event {
    /// A line that a container wrote, by its index.
    Line(usize, Vec<u8>),
    /// The log of a container has ended, by itself or because the engine did not end it.
    LogEnded { host: usize, is_complete: bool },
    /// A container has ended, or the engine does not know.
    Ended(usize, Result<i64, String>),
    /// Of the transfer.
    Answer(Answer),
    /// The process with the credentials has ended.
    Alone,
}

/// What ends a job, or its supervision.
enum Problem {
    /// The job fails: an error in what was asked for.
    Client(String),
    /// The job fails: an error of the host.
    Internal(String),
    /// The job stays as it is, for `resume`.
    Interrupted(anyhow::Error),
}

impl<E: Into<anyhow::Error>> From<E> for Problem {
    fn from(error: E) -> Self {
        Self::Interrupted(error.into())
    }
}

/// Supervises a training job from wherever it is to its end.
///
/// # Errors
/// The supervision ended before the job did.
pub fn supervise(job: Job, settings: Settings, view: View) -> Result<Exit> {
    let name = job.name.clone();
    let mut supervisor = Supervisor::new(job, settings, view)?;
    let done = supervisor.supervise();
    supervisor.view.finish(&supervisor.status);
    done.with_context(|| format!("{name} is not supervised any more; `isolate-job resume {name}` continues"))
}

impl Supervisor {
    fn new(job: Job, settings: Settings, view: View) -> Result<Self> {
        let lock = job.lock()?;
        let document = read_training(&job.request()?).map_err(|refusals| anyhow::anyhow!("{refusals}"))?;
        let (tell, events) = sync_channel(1024);
        let link = Link::of_stdin().context("cannot duplicate stdin")?;
        let (answers, of_link) = (link.answers().context("cannot duplicate stdin")?, tell.clone());
        thread::spawn(move || {
            for event in answers.map(Event::Answer).chain([Event::Alone]) {
                if of_link.send(event).is_err() {
                    return;
                }
            }
        });
        Ok(Self {
            status: job.status()?,
            steps: steps_of_training(&document.data).map_err(anyhow::Error::msg)?,
            containers: settings.containers(&document.data),
            created: Vec::new(),
            ids: Vec::new(),
            removal: None,
            engine: settings.engine(),
            job,
            document,
            settings,
            view,
            link,
            streams: Vec::new(),
            tell,
            events,
            _lock: lock,
        })
    }

    /// The story. Each act ends in a state from which the next one, or another supervisor's, continues.
    fn supervise(&mut self) -> Result<Exit> {
        use Secondary as S;
        loop {
            let outcome = self.job.outcome()?;
            let act = match (self.status.secondary_status, &outcome) {
                (S::Completed | S::Stopped | S::MaxRuntimeExceeded, _) | (S::Failed, None) => {
                    return self.end(None);
                }
                (S::Failed, Some(outcome)) if !outcome.is_left() => return self.end(Some(outcome)),
                (S::Starting | S::Downloading, None) => self.begin(),
                (_, None) => self.run(),
                (_, Some(Outcome { end: End::Untrusted(failure), .. })) => Ok(self.fail(failure)?),
                (_, Some(outcome)) if outcome.uploaded => self.finish(outcome),
                (_, Some(outcome)) => match self.upload(outcome) {
                    Ok(true) => Ok(()),
                    Ok(false) => return self.end(Some(outcome)),
                    Err(problem) => Err(problem),
                },
            };
            match act {
                Ok(()) => {}
                Err(Problem::Client(why)) => self.fail(&Failure::Client(why))?,
                Err(Problem::Internal(why)) => self.fail(&Failure::Internal(why))?,
                Err(Problem::Interrupted(error)) => return Err(error),
            }
        }
    }

    /// Goes on, and shows it.
    fn to(&mut self, next: Secondary, message: &str) -> Result<()> {
        self.status.to(next, message, now())?;
        self.job.set_status(&self.status)?;
        self.view.transition(&self.status);
        Ok(())
    }

    /// Fails without an upload. What a program of the job may have written is kept: it is uploaded later, or not to be trusted.
    fn fail(&mut self, failure: &Failure) -> Result<()> {
        let has_begun = self.status.training_start_time.is_some();
        // Another supervisor, which finds no containers any more, must not take what they wrote for results.
        let kept = if has_begun { self.job.distrust(failure) } else { Ok(()) };
        // The containers before all else that may fail: one may not be isolated, and is not left alone.
        let mut patience = Patience::default();
        while let Err(error) = self.tidy() {
            if !has_begun {
                return Err(error);
            }
            patience.wait(|| self.view.note(&self.in_doubt(&error)));
        }
        kept?;
        // Without their other end they have ended by themselves.
        let _ = self.abort_streams();
        self.set_failed(failure)?;
        if !has_begun {
            return self.job.remove_data(&self.hosts());
        }
        let directory = self.job.directory().display();
        self.view.note(&format!("what the containers wrote is kept in {directory}, and is not uploaded"));
        Ok(())
    }

    /// Removes what the engine has of the job. That it cannot be removed is no reason for a job to fail.
    fn tidy(&mut self) -> Result<()> {
        match self.clear() {
            Ok(()) => Ok(()),
            Err(Problem::Interrupted(error)) => Err(error),
            Err(Problem::Client(why) | Problem::Internal(why)) => {
                let name = &self.job.name;
                ensure!(!self.any_runs(), "a container of {name} cannot be removed and still runs: {why}");
                self.view.note(&format!("the engine keeps something of {}: {why}", self.job.name));
                Ok(())
            }
        }
    }

    fn end(&self, outcome: Option<&Outcome>) -> Result<Exit> {
        let is_left = outcome.is_some_and(Outcome::is_left);
        match self.status.exit(!is_left) {
            Some(exit) => Ok(exit),
            None => bail!("{} has not ended", self.job.name),
        }
    }

    fn hosts(&self) -> Vec<String> {
        self.containers.iter().map(|container| container.hostname.clone()).collect()
    }
}
