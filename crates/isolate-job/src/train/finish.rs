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

/// The step whose data each container has.
pub(super) const CHECKPOINTS: &str = "checkpoints";

impl Supervisor {
    /// Whether all is uploaded. If not, the job has failed and its data is kept.
    pub(super) fn upload(&mut self, outcome: &Outcome) -> Result<bool, Problem> {
        if self.status.secondary_status != Secondary::Uploading {
            self.to(Secondary::Uploading, "Uploading the results")?;
        }
        let steps: Vec<_> =
            self.steps.iter().filter(|step| step.direction == Direction::Out).cloned().collect();
        self.begin_removal();
        let Some((is_client, why)) = self.upload_steps(&steps)? else {
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

    /// What went wrong first, and whether it is the client's error. A result is that of all containers, and the first one's directory has
    /// it. All write checkpoints to one place, one after the other.
    fn upload_steps(&mut self, steps: &[Step]) -> Result<Option<(bool, String)>> {
        let hosts = self.hosts();
        let (mut failed, mut merged) = (None, Vec::new());
        for step in steps {
            let mut others = hosts.iter().skip(1).filter(|_| step.name != CHECKPOINTS);
            match others.try_for_each(|host| self.merge(step, host)) {
                Ok(()) => merged.push(step.name.clone()),
                Err(error) => drop(failed.get_or_insert((true, format!("{}: {error:#}", step.name)))),
            }
        }
        for host in hosts {
            let transfer = |step: &String| Transfer {
                direction: Direction::Out,
                host: host.clone(),
                step: Some(step.clone()),
            };
            let all: Vec<_> = merged.iter().map(transfer).collect();
            self.state_outputs(&host, &merged);
            for (step, ended) in merged.iter().zip(self.upload_all(&all)?) {
                let (is_client, why) = match ended {
                    Transferred::Complete | Transferred::Stopped => continue,
                    Transferred::Client(why) => (true, why),
                    Transferred::Internal(why) => (false, why),
                };
                failed.get_or_insert((is_client, format!("{step}: {why}")));
            }
            merged.retain(|step| step == CHECKPOINTS);
        }
        Ok(failed)
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
        self.state_end();
        match &outcome.end {
            End::Completed => self.to(Secondary::Completed, "The training job is completed")?,
            End::Stopped => self.to(Secondary::Stopped, "The training job is stopped")?,
            End::TimeLimit => self.to(Secondary::MaxRuntimeExceeded, "MaxRuntimeInSeconds is exceeded")?,
            End::Failed(failure) | End::Untrusted(failure) => self.set_failed(failure)?,
        }
        Ok(self.job.remove_data(&self.hosts())?)
    }

    /// The job has failed.
    pub(super) fn set_failed(&mut self, failure: &Failure) -> Result<()> {
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
        Ok(())
    }
}
