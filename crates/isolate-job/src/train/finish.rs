//! From the end of the containers to the end of the job: their results are uploaded, whatever ended them, and what they used is
//! removed. Results that cannot be uploaded are kept.

use anyhow::Result;

use super::transfer::Transferred;
use super::{Problem, Supervisor, now};
use crate::plan::{Direction, Step};
use crate::stager::Transfer;
use crate::status::{Container, Reason, Secondary};
use crate::store::{End, Failure, Outcome};
use crate::tree::{Dir, merge};

impl Supervisor {
    /// Whether all is uploaded. If not, the job has failed and its data is kept.
    pub(super) fn upload(&mut self, outcome: &Outcome) -> Result<bool, Problem> {
        if self.status.secondary_status != Secondary::Uploading {
            self.to(Secondary::Uploading, "Uploading the results")?;
        }
        let steps: Vec<_> =
            self.steps.iter().filter(|step| step.direction == Direction::Out).cloned().collect();
        let mut first = None;
        for step in &steps {
            if let Err(failure) = self.upload_step(step)? {
                first.get_or_insert(failure);
            }
        }
        let Some((is_client, why)) = first else {
            self.job.set_outcome(&Outcome { uploaded: true, ..outcome.clone() })?;
            return Ok(true);
        };
        let why = format!("Data upload failed: {why}");
        self.tidy()?;
        self.status.fail(&if is_client { Reason::Client(&why) } else { Reason::Internal(&why) }, now())?;
        self.job.set_status(&self.status)?;
        self.view.transition(&self.status);
        let name = &self.job.name;
        self.view.note(&format!(
            "the results of {name} are kept in {}; `isolate-job resume {name}` uploads them",
            self.job.directory().display()
        ));
        Ok(false)
    }

    /// What went wrong, and whether it is the client's error. All containers write checkpoints to one place; a result is that of all.
    fn upload_step(&mut self, step: &Step) -> Result<Result<(), (bool, String)>> {
        let mut hosts = self.hosts();
        if step.name != "checkpoints" {
            for host in hosts.split_off(1) {
                if let Err(error) = self.merge(step, &host) {
                    return Ok(Err((true, format!("{}: {error:#}", step.name))));
                }
            }
        }
        for host in hosts {
            let transfer = Transfer { direction: Direction::Out, host, step: Some(step.name.clone()) };
            let (is_client, why) = match self.transfer(&transfer)? {
                Transferred::Complete | Transferred::Stopped => continue,
                Transferred::Client(why) => (true, why),
                Transferred::Internal(why) => (false, why),
            };
            return Ok(Err((is_client, format!("{}: {why}", step.name))));
        }
        Ok(Ok(()))
    }

    /// Moves the results of another container to those of the first one.
    fn merge(&self, step: &Step, host: &str) -> Result<()> {
        let below = step.directory.trim_start_matches("/opt/ml/");
        let open = |host: &str| Dir::open(&self.directory(host).join("opt-ml"));
        let (from, to) = (open(host)?, open(&self.hosts()[0])?);
        // A container may have removed it, and then it is empty.
        Ok(merge(&from.make(below)?.0, &to.make(below)?.0)?)
    }

    /// Everything is where it belongs.
    pub(super) fn finish(&mut self, outcome: &Outcome) -> Result<(), Problem> {
        self.tidy()?;
        match &outcome.end {
            End::Completed => self.to(Secondary::Completed, "The training job is completed")?,
            End::Stopped => self.to(Secondary::Stopped, "The training job is stopped")?,
            End::TimeLimit => self.to(Secondary::MaxRuntimeExceeded, "MaxRuntimeInSeconds is exceeded")?,
            End::Failed(failure) => {
                let text;
                let reason = match failure {
                    Failure::Client(why) => Reason::Client(why),
                    Failure::Internal(why) => Reason::Internal(why),
                    Failure::Algorithm { host, exit_code, oom_killed } => {
                        text = self.job.failure_file(host)?;
                        let container = Container { exit_code: *exit_code, oom_killed: *oom_killed };
                        Reason::Algorithm { failure: text.as_deref(), container }
                    }
                };
                self.status.fail(&reason, now())?;
                self.job.set_status(&self.status)?;
                self.view.transition(&self.status);
            }
        }
        Ok(self.job.remove_data(&self.hosts())?)
    }
}
