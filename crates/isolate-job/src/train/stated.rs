//! What a signed statement about the job needs: the digests of the data that its containers are given and leave, and which containers
//! they are. Without `statement` in the settings nothing is read. A failure changes nothing for the job: what is missing counts against the
//! statement.

use std::path::Path;

use anyhow::Result;
use humantime::format_rfc3339_millis;
use serde_json::json;
use sha2::{Digest, Sha256};

use super::{Supervisor, now};
use crate::engine::Inspected;
use crate::plan::{Direction, Step};
use crate::status::Time;
use crate::store::{Stated, StatedContainer, StatedData, StatedDigest, leave};
use crate::tree::{self, Dir, hexadecimal};

impl Supervisor {
    /// Before the containers are created.
    pub(super) fn state_inputs(&self) {
        let is_input = |step: &&Step| step.direction != Direction::Out;
        self.state(|_| {
            let mut inputs = Vec::new();
            for host in self.hosts() {
                inputs.extend(self.steps.iter().filter(is_input).map(|step| self.data(&host, step)));
            }
            Ok(Stated { inputs, ..Stated::default() })
        });
    }

    /// Before they are started, or as they are found.
    pub(super) fn state_containers(&self, all: &[Inspected]) {
        let host = |(host, found): (String, &Inspected)| StatedContainer { host, id: found.id.clone() };
        self.state(|stated| {
            let containers = self.hosts().into_iter().zip(all).map(host).collect();
            Ok(Stated { containers, ..stated })
        });
    }

    /// Before these steps of a container are uploaded. An upload may be done again.
    pub(super) fn state_outputs(&self, host: &str, steps: &[String]) {
        self.state(|mut stated| {
            stated.outputs.retain(|data| data.host != host || !steps.contains(&data.name));
            let is_of = |step: &&Step| step.direction == Direction::Out && steps.contains(&step.name);
            stated.outputs.extend(self.steps.iter().filter(is_of).map(|step| self.data(host, step)));
            Ok(stated)
        });
    }

    /// The job has ended, and all is uploaded: leaves the facts, once. Killed in between, the job has no statement rather than two.
    pub(super) fn state_end(&self) {
        let mut first = None;
        self.state(|stated| {
            first = (!stated.left).then(|| stated.clone());
            Ok(Stated { left: true, ..stated })
        });
        let (Some(stated), Some(file)) = (first, &self.settings.statement) else { return };
        if let Err(error) = self.leave(&stated, Path::new(file)) {
            self.view.note(&format!("there will be no statement of {}: {error:#}", self.job.name));
        }
    }

    fn leave(&self, stated: &Stated, file: &Path) -> Result<()> {
        let (status, name) = (&self.status, &self.job.name);
        let run = format!("job-{name}-{}", status.creation_time.millis());
        let time = |time: Time| {
            let since = std::time::Duration::from_millis(time.millis());
            format_rfc3339_millis(std::time::UNIX_EPOCH + since).to_string()
        };
        let facts = json!({
            "run": run,
            "job": {"name": name, "arn": status.training_job_arn},
            "request": {"sha256": hexadecimal(&Sha256::digest(self.job.request()?))},
            "ran": {"from": time(status.creation_time), "to": time(now())},
            "containers": stated.containers,
            "inputs": stated.inputs,
            "outputs": stated.outputs,
        });
        leave(file, &run, &facts)
    }

    /// Changes what is kept, if there are statements.
    fn state(&self, change: impl FnOnce(Stated) -> Result<Stated>) {
        if self.settings.statement.is_none() {
            return;
        }
        let changed = self.job.stated().and_then(change).and_then(|stated| self.job.set_stated(&stated));
        if let Err(error) = changed {
            self.view.note(&format!("the statement of {} will lack something: {error:#}", self.job.name));
        }
    }

    fn data(&self, host: &str, step: &Step) -> StatedData {
        let digest = match step.direction {
            Direction::Stream => Err("it was streamed".to_owned()),
            Direction::In | Direction::Out => self.digest(host, step).map_err(|error| format!("{error:#}")),
        };
        StatedData {
            host: host.to_owned(),
            name: step.name.clone(),
            directory: step.directory.clone(),
            digest: digest.map_or_else(StatedDigest::Unknown, StatedDigest::DirHash1),
        }
    }

    /// Below its directory the container has written: no link is followed.
    fn digest(&self, host: &str, step: &Step) -> Result<String> {
        let (above, below) = match step.below_root() {
            Some(below) => (self.directory(host).join("opt-ml"), below),
            None => (self.directory(host), "checkpoints"),
        };
        // The container may have removed it, and then it is empty.
        Ok(tree::digest(&Dir::open(&above)?.make(below)?.0)?)
    }
}
