//! From an accepted job to created containers: directories and documents, the download, the network. It can begin again at any
//! point: no program of the job has run.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::transfer::Transferred;
use super::{Problem, Supervisor};
use crate::check::input_modes;
use crate::engine::Network;
use crate::plan::{self, Direction, documents};
use crate::request::TrainingJob;
use crate::stager::Transfer;
use crate::status::Secondary;
use crate::store::{End, Outcome};

/// The directories below /opt/ml that a program finds. The toolkits upload by themselves if `output/intermediate` is missing.
const DIRECTORIES: [&str; 6] =
    ["input/config", "input/data", "model", "output/data", "output/intermediate", "code"];

impl Supervisor {
    pub(super) fn begin(&mut self) -> Result<(), Problem> {
        // The settings may have changed since the job was accepted.
        input_modes(&self.document.data, self.settings.pipe_mode, "")
            .map_err(|refusals| Problem::Client(refusals.to_string()))?;
        let is_new = self.hosts().iter().all(|host| !self.directory(host).exists());
        // A container of this name that an earlier job has left is found when it is created.
        if !is_new || self.containers.len() > 1 {
            self.clear()?;
        }
        self.prepare()?;
        let steps: Vec<_> =
            self.steps.iter().filter(|step| step.direction == Direction::In).cloned().collect();
        let has_input = !steps.is_empty() || self.has_streams();
        if has_input && self.status.secondary_status == Secondary::Starting {
            self.to(Secondary::Downloading, "Downloading input data")?;
        }
        for host in self.hosts() {
            for step in &steps {
                let transfer =
                    Transfer { direction: Direction::In, host: host.clone(), step: Some(step.name.clone()) };
                match self.download(&transfer)? {
                    Transferred::Complete => {}
                    Transferred::Client(why) => {
                        return Err(Problem::Client(format!("Data download failed: {}: {why}", step.name)));
                    }
                    Transferred::Internal(why) => {
                        return Err(Problem::Internal(format!("Data download failed: {}: {why}", step.name)));
                    }
                    Transferred::Stopped => return Ok(self.stop_before_start()?),
                }
            }
        }
        // It takes a while, in which the job may be stopped.
        if !self.job.is_stop_requested() {
            self.state_inputs();
        }
        if !self.open_streams()? || self.job.is_stop_requested() {
            self.abort_streams()?;
            return Ok(self.stop_before_start()?);
        }
        for host in self.hosts() {
            open_checkpoints(&self.document.data, &self.directory(&host))?;
        }
        self.connect()?;
        self.create()?;
        Ok(self.to(Secondary::Training, "Training is in progress")?)
    }

    /// There is nothing to upload.
    fn stop_before_start(&mut self) -> Result<()> {
        self.job.set_outcome(&Outcome { end: End::Stopped, uploaded: true })?;
        self.to(Secondary::Stopping, "Stopping before the containers were started")
    }

    /// The directories of the containers, their documents and their environment.
    fn prepare(&self) -> Result<()> {
        let job = &self.document.data;
        let environment = plan::environment(job, &self.status.training_job_arn);
        for container in &self.containers {
            let host = &container.hostname;
            let interface = if container.network == Network::Job { "eth0" } else { "lo" };
            let described = plan::Host { name: host.clone(), interface: interface.to_owned() };
            prepare(job, &described, &self.directory(host))?;
            self.job.replace(&format!("{host}/environment"), environment.as_bytes())?;
        }
        Ok(())
    }
}

/// Where a container's checkpoints are in its directory.
fn checkpoints(job: &TrainingJob, directory: &Path) -> Option<PathBuf> {
    let path = job.checkpoint_config.as_ref()?.local_path();
    Some(match path.strip_prefix("/opt/ml/") {
        Some(below) => directory.join("opt-ml").join(below),
        None => directory.join("checkpoints"),
    })
}

/// Makes what a container finds before its data is there: `opt-ml` with directories and documents, and `checkpoints`.
pub(crate) fn prepare(job: &TrainingJob, host: &plan::Host, directory: &Path) -> Result<()> {
    let opt_ml = directory.join("opt-ml");
    let mut all: Vec<_> = DIRECTORIES.iter().map(|name| opt_ml.join(name)).collect();
    all.extend(checkpoints(job, directory));
    for path in all {
        make(directory, &path)?;
    }
    for (name, document) in documents(job, host) {
        let path = opt_ml.join("input/config").join(name);
        let cannot = || format!("cannot write {}", path.display());
        fs::write(&path, document.to_string()).with_context(cannot)?;
        // Independent of the umask: the container may run as another user.
        fs::set_permissions(&path, Permissions::from_mode(0o644)).with_context(cannot)?;
    }
    Ok(())
}

/// A directory that was downloaded can be written to by its owner only.
pub(crate) fn open_checkpoints(job: &TrainingJob, directory: &Path) -> Result<()> {
    checkpoints(job, directory).map_or(Ok(()), |path| make(directory, &path))
}

/// Makes a directory below another, with all between. The program may run as any user; the job's own directory keeps others out.
fn make(above: &Path, path: &Path) -> Result<()> {
    let cannot = || format!("cannot create {}", path.display());
    fs::create_dir_all(path).with_context(cannot)?;
    for one in path.ancestors().take_while(|one| *one != above) {
        fs::set_permissions(one, Permissions::from_mode(0o777)).with_context(cannot)?;
    }
    Ok(())
}
