//! What a signed statement about the job needs: the digests of the data that its containers are given and leave, and which containers
//! they are. Without `statement` in the settings nothing is read. A failure changes nothing for the job: what is missing counts against the
//! statement.

use std::path::Path;

use anyhow::Result;
use humantime::format_rfc3339_millis;
use serde_json::json;
use sha2::{Digest, Sha256};

use super::finish::CHECKPOINTS;
use super::{Supervisor, now};
use crate::engine::Inspected;
use crate::plan::{Direction, Step};
use crate::status::Time;
use crate::store::{Stated, StatedContainer, StatedData, StatedDigest, leave};
use crate::tree::{self, Dir, hexadecimal};

impl Supervisor {
    /// Before the containers are created: what is kept begins anew. What cannot be kept now must not be taken from an earlier begin.
    pub(super) fn state_inputs(&self) {
        if !self.keep(self.job.forget_stated()) || self.settings.statement.is_none() {
            return;
        }
        let inputs = self.inputs().into_iter().map(|(host, step)| self.data(&host, step)).collect();
        self.keep(self.job.set_stated(&Stated { inputs, ..Stated::default() }));
    }

    /// Before they are started, or as they are found.
    pub(super) fn state_containers(&self, all: &[Inspected]) {
        let host = |(host, found): (String, &Inspected)| StatedContainer { host, id: found.id.clone() };
        self.state(|stated| stated.containers = self.hosts().into_iter().zip(all).map(host).collect());
    }

    /// Before these steps of a container are uploaded. An upload may be done again.
    pub(super) fn state_outputs(&self, host: &str, steps: &[String]) {
        self.state(|stated| {
            stated.outputs.retain(|data| data.host != host || !steps.contains(&data.name));
            let is_of = |step: &&Step| step.direction == Direction::Out && steps.contains(&step.name);
            stated.outputs.extend(self.steps.iter().filter(is_of).map(|step| self.data(host, step)));
        });
    }

    /// The job has ended, and all is uploaded: leaves the facts, once. Killed in between, the job has no statement rather than two.
    /// There is nothing to state of one that was stopped before it had a container.
    pub(super) fn state_end(&self) {
        let (mut first, has_begun) = (None, self.status.training_start_time.is_some());
        let is_kept = self.state(|stated| {
            let had_any = has_begun || !stated.containers.is_empty();
            first = (had_any && !stated.left).then(|| stated.clone());
            stated.left = true;
        });
        let (true, Some(stated), Some(file)) = (is_kept, first, &self.settings.statement) else { return };
        if let Err(error) = self.leave(&self.whole(stated), Path::new(file)) {
            self.view.note(&format!("there will be no statement of {}: {error:#}", self.job.name));
        }
    }

    /// Of data of which nothing could be kept, it is stated that it is not known.
    fn whole(&self, mut stated: Stated) -> Stated {
        for (all, expected) in [(&mut stated.inputs, self.inputs()), (&mut stated.outputs, self.outputs())] {
            for (host, step) in expected {
                if !all.iter().any(|data| data.host == host && data.name == step.name) {
                    all.push(stated_data(&host, step, Err("it could not be kept".to_owned())));
                }
            }
        }
        stated
    }

    fn inputs(&self) -> Vec<(String, &Step)> {
        self.each(|step, _| step.direction != Direction::Out)
    }

    /// The results of all containers are in the directory of the first.
    fn outputs(&self) -> Vec<(String, &Step)> {
        self.each(|step, is_first| step.direction == Direction::Out && (is_first || step.name == CHECKPOINTS))
    }

    fn each(&self, is_one: impl Fn(&Step, bool) -> bool) -> Vec<(String, &Step)> {
        let mut found = Vec::new();
        for (index, host) in self.hosts().iter().enumerate() {
            let steps = self.steps.iter().filter(|step| is_one(step, index == 0));
            found.extend(steps.map(|step| (host.clone(), step)));
        }
        found
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

    /// Changes what is kept, if the job began with statements; whether it is kept.
    fn state(&self, change: impl FnOnce(&mut Stated)) -> bool {
        if self.settings.statement.is_none() {
            return false;
        }
        let changed = self.job.stated().and_then(|stated| {
            let Some(mut stated) = stated else { return Ok(false) };
            change(&mut stated);
            self.job.set_stated(&stated).map(|()| true)
        });
        let is_there = changed.as_ref().is_ok_and(|is_there| *is_there);
        self.keep(changed.map(drop)) && is_there
    }

    fn keep(&self, kept: Result<()>) -> bool {
        if let Err(error) = &kept {
            self.view.note(&format!("the statement of {} will lack something: {error:#}", self.job.name));
        }
        kept.is_ok()
    }

    fn data(&self, host: &str, step: &Step) -> StatedData {
        let digest = match step.direction {
            Direction::Stream => Err("it was streamed".to_owned()),
            Direction::In | Direction::Out => self.digest(host, step).map_err(|error| format!("{error:#}")),
        };
        stated_data(host, step, digest)
    }

    /// Below its directory the container has written: no link is followed.
    fn digest(&self, host: &str, step: &Step) -> Result<String> {
        let (above, below) = match step.below_root() {
            Some(below) => (self.directory(host).join("opt-ml"), below),
            None => (self.directory(host), "checkpoints"),
        };
        let most = u64::from(self.document.data.resource_config.volume_size_in_gb) << 30;
        // A job that is stopped already has results, too.
        let was_stopped = self.job.is_stop_requested();
        let is_ended = || !was_stopped && self.job.is_stop_requested();
        // The container may have removed it, and then it is empty.
        Ok(tree::digest(&Dir::open(&above)?.make(below)?.0, most, &is_ended)?)
    }
}

fn stated_data(host: &str, step: &Step, digest: Result<String, String>) -> StatedData {
    StatedData {
        host: host.to_owned(),
        name: step.name.clone(),
        directory: step.directory.clone(),
        digest: digest.map_or_else(StatedDigest::Unknown, StatedDigest::DirHash1),
    }
}
