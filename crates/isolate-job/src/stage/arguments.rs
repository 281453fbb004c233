//! The command line of `isolate-job stage`, and what it means: a request, settings, directories. What is refused here is refused before
//! anything is opened.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};

use crate::check::input_modes;
use crate::plan::{Direction, Form, Step, steps_of_model, steps_of_training, steps_of_transform};
use crate::request::{MOST, Model, Refusals, Request, read};
use crate::settings::{PATH, Settings};

/// Transfers data between Amazon S3 and the directories of one container
#[derive(Debug, Args)]
pub struct Arguments {
    /// In, before the container starts; out; or as a stream of its channels in Pipe mode, until stdin ends
    direction: Way,
    /// The request: CreateTrainingJob, CreateModel or CreateTransformJob
    #[arg(long, value_name = "FILE")]
    request: PathBuf,
    /// The request of the model of a transform job, which has the role and the subnets
    #[arg(long, value_name = "FILE")]
    model: Option<PathBuf>,
    /// The directory that the container has as /opt/ml
    #[arg(long, value_name = "DIR")]
    root: PathBuf,
    /// The directory that the container has as CheckpointConfig.LocalPath, if that is not below /opt/ml
    #[arg(long, value_name = "DIR")]
    checkpoints: Option<PathBuf>,
    /// Which container of the job it is, for channels that are sharded
    #[arg(long, value_name = "algo-N", default_value = "algo-1")]
    host: String,
    /// Only these steps, such as `channel train` or `model`; all of the direction if absent
    #[arg(long = "step", value_name = "NAME")]
    steps: Vec<String>,
    /// A file of this program: what is uploaded is recorded there, and what it has is not uploaded again unless it changes; for one
    /// step that has an object for each file
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
    /// The settings; /etc/oci-isolate/job.toml, if there is one
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Way {
    In,
    Out,
    Stream,
}

/// What is to be transferred.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) name: String,
    pub(super) role: String,
    pub(super) steps: Vec<Step>,
    pub(super) direction: Direction,
    /// Its container among those of the job.
    pub(super) container: usize,
    pub(super) containers: usize,
    /// The most bytes of its data; of a model there is no limit but the disk.
    pub(super) volume: Option<u64>,
    pub(super) subnets: Vec<String>,
    pub(super) root: PathBuf,
    pub(super) checkpoints: Option<PathBuf>,
    pub(super) record: Option<PathBuf>,
    pub(super) settings: Settings,
}

impl Arguments {
    /// What the command line means.
    ///
    /// # Errors
    /// Every reason why it is refused.
    pub(super) fn job(&self) -> Result<Job, Vec<String>> {
        let settings = self.settings().map_err(|why| vec![why])?;
        let mut job = self.request(&settings)?;
        job.settings = settings;
        let mut refused = Vec::new();
        for name in &self.steps {
            if !job.steps.iter().any(|step| step.name == *name) {
                let names: Vec<_> = job.steps.iter().map(|step| format!("{:?}", step.name)).collect();
                let names = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
                refused.push(format!("--step {name:?}: there is no such step; there are {names}"));
            }
        }
        if !self.steps.is_empty() {
            job.steps.retain(|step| self.steps.contains(&step.name));
        }
        let is_one_tree = matches!(job.steps.as_slice(), [step] if step.form == Form::Tree);
        if self.record.is_some() && !is_one_tree {
            refused.push(
                "--record: is for one step that has an object for each file, such as checkpoints".to_owned(),
            );
        }
        let is_elsewhere = |step: &Step| step.below_root().is_none();
        if self.checkpoints.is_none() && job.steps.iter().any(is_elsewhere) {
            refused.push(
                "--checkpoints: is missing; CheckpointConfig.LocalPath is not below /opt/ml".to_owned(),
            );
        }
        for (index, subnet) in job.subnets.iter().enumerate() {
            if !job.settings.vpc.contains_key(subnet) {
                let request = self.request.display();
                refused.push(format!(
                    "{request}: VpcConfig.Subnets[{index}]: {subnet} is not in the settings; add [vpc.{subnet}]"
                ));
            }
        }
        for (flag, directory) in [("--root", Some(&self.root)), ("--checkpoints", self.checkpoints.as_ref())]
        {
            if let Some(directory) = directory.filter(|directory| !directory.is_dir()) {
                refused.push(format!("{flag}: {} is not a directory", directory.display()));
            }
        }
        if refused.is_empty() { Ok(job) } else { Err(refused) }
    }

    fn request(&self, settings: &Settings) -> Result<Job, Vec<String>> {
        let file = self.request.display();
        let no = |why: String| vec![format!("{file}: {why}")];
        let direction = match self.direction {
            Way::In => Direction::In,
            Way::Out => Direction::Out,
            Way::Stream => Direction::Stream,
        };
        let request = document(&self.request)?;
        if self.model.is_some() && !matches!(request, Request::Transform(_)) {
            return Err(vec!["--model: is for transform jobs; leave it out".to_owned()]);
        }
        let mut job = match request {
            Request::Training(job) => {
                let data = job.data;
                if direction == Direction::Stream {
                    input_modes(&data, settings.pipe_mode, "")
                        .map_err(|refusals| refused_of(&self.request, &refusals))?;
                }
                let resources = &data.resource_config;
                Job {
                    steps: steps_of_training(&data).map_err(no)?,
                    containers: resources.instance_count as usize,
                    volume: Some(u64::from(resources.volume_size_in_gb) << 30),
                    subnets: data.vpc_config.map(|config| config.subnets).unwrap_or_default(),
                    ..self.empty(direction, data.training_job_name, data.role_arn)
                }
            }
            Request::Model(model) => {
                let model = model.data;
                Job {
                    steps: steps_of_model(&model).map_err(no)?,
                    subnets: model.vpc_config.map(|config| config.subnets).unwrap_or_default(),
                    ..self.empty(direction, model.model_name, model.execution_role_arn.unwrap_or_default())
                }
            }
            Request::Transform(job) => {
                let model = self.model()?;
                Job {
                    steps: steps_of_transform(&job.data).map_err(no)?,
                    subnets: model.vpc_config.map(|config| config.subnets).unwrap_or_default(),
                    ..self.empty(
                        direction,
                        job.data.transform_job_name,
                        model.execution_role_arn.unwrap_or_default(),
                    )
                }
            }
            Request::Tuning(_) => {
                let why = "is a tuning job; give the request of one of its training jobs";
                return Err(no(why.to_owned()));
            }
        };
        job.steps.retain(|step| step.direction == direction);
        let number = self.host.strip_prefix("algo-").and_then(|number| number.parse::<usize>().ok());
        match number.filter(|number| (1..=job.containers).contains(number)) {
            Some(number) => job.container = number - 1,
            None => {
                let most = job.containers;
                return Err(vec![format!(
                    "--host {}: is not a host of the job; give algo-1 to algo-{most}",
                    self.host
                )]);
            }
        }
        Ok(job)
    }

    /// The model of a transform job.
    fn model(&self) -> Result<Model, Vec<String>> {
        let Some(path) = &self.model else {
            return Err(vec!["--model: is missing; a transform job has the role of its model".to_owned()]);
        };
        match document(path)? {
            Request::Model(model) => Ok(model.data),
            _ => Err(vec![format!("{}: is not a model; give the document of create-model", path.display())]),
        }
    }

    fn empty(&self, direction: Direction, name: String, role: String) -> Job {
        Job {
            name,
            role,
            steps: Vec::new(),
            direction,
            container: 0,
            containers: 1,
            volume: None,
            subnets: Vec::new(),
            root: self.root.clone(),
            checkpoints: self.checkpoints.clone(),
            record: self.record.clone(),
            settings: Settings::default(),
        }
    }

    /// A file that is missing at its usual place means the defaults.
    fn settings(&self) -> Result<Settings, String> {
        let path = self.config.as_deref().unwrap_or(Path::new(PATH));
        match fs::read_to_string(path) {
            Ok(text) => {
                Settings::read(&text).map_err(|why| format!("{}: {}", path.display(), why.trim_end()))
            }
            Err(error) if self.config.is_none() && error.kind() == io::ErrorKind::NotFound => {
                Ok(Settings::default())
            }
            Err(error) => Err(format!("{}: cannot be read: {error}", path.display())),
        }
    }
}

/// Reads a request.
fn document(path: &Path) -> Result<Request, Vec<String>> {
    let file = path.display();
    let text = fs::read(path).map_err(|error| vec![format!("{file}: cannot be read: {error}")])?;
    if text.len() > MOST {
        return Err(vec![format!("{file}: is too large for a request")]);
    }
    read(&text).map_err(|refusals| refused_of(path, &refusals))
}

fn refused_of(path: &Path, refusals: &Refusals) -> Vec<String> {
    refusals.0.iter().map(|refused| format!("{}: {refused}", path.display())).collect()
}
