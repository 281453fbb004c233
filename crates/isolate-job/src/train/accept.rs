//! Whether a training job can be run here. Everything that can be refused is refused before the job is created, and before its data
//! is transferred.

use std::fs::{self, File};
use std::io::{self, Read};
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::fs::statvfs;

use super::{isolation, now};
use crate::check::{self, Host};
use crate::client::{self, DEADLINE};
use crate::engine::{self, Engine};
use crate::request::{
    Document, Refusals, Refused, Request, ResourceConfig, TrainingJob, read, read_training,
};
use crate::settings::Settings;
use crate::stage;
use crate::status::{Reason, Scope, TrainingStatus};
use crate::store::{Job, NotCreated, Store};

/// Why a job is not accepted.
pub enum NotAccepted {
    /// Members of the request.
    Request(Refusals),
    /// The host cannot run it.
    Host(String),
    /// Something went wrong.
    Failed(anyhow::Error),
}

impl From<anyhow::Error> for NotAccepted {
    fn from(error: anyhow::Error) -> Self {
        Self::Failed(error)
    }
}

impl From<Refusals> for NotAccepted {
    fn from(refusals: Refusals) -> Self {
        Self::Request(refusals)
    }
}

/// An image may be large.
const PULL: Duration = Duration::from_secs(3600);

/// The largest program that is searched, in bytes.
const LARGEST_PROGRAM: u64 = 512 << 20;

/// Contained in every build of the shim and in no runtime (`src/runtime/is_shim.rs`).
const MARK: &[u8] = b"oci-isolate is a shim before a runtime and is not one itself";

/// Accepts a request: the job is created. `region` is for its ARN.
///
/// # Errors
/// Why the job is refused; nothing was created.
pub fn accept(text: &[u8], settings: &Settings, region: &str) -> Result<Job, NotAccepted> {
    accept_of(text, settings, region, None)
}

/// Accepts a training job, which may be one of a tuning job, by its ARN.
pub(crate) fn accept_of(
    text: &[u8],
    settings: &Settings,
    region: &str,
    tuning_job: Option<&str>,
) -> Result<Job, NotAccepted> {
    let document = training(text, settings)?;
    let name = &document.data.training_job_name;
    let store = Store::new(&settings.state);
    if store.job(name).is_ok() {
        return Err(in_use(name, settings));
    }
    volume(&document.data.resource_config, "ResourceConfig", 1, settings)?;
    let image = &document.data.algorithm_specification.training_image;
    host(image, "AlgorithmSpecification.TrainingImage", settings)?;
    let mut status = TrainingStatus::new(&document, &Scope::of_role(&document.data.role_arn, region), now());
    status.tuning_job_arn = tuning_job.map(str::to_owned);
    create(text, name, &status, settings)
}

fn create(text: &[u8], name: &str, status: &TrainingStatus, settings: &Settings) -> Result<Job, NotAccepted> {
    Store::new(&settings.state).create(name, text, status).map_err(|error| match error {
        NotCreated::InUse(_) => in_use(name, settings),
        NotCreated::Failed(error) => NotAccepted::Failed(error),
    })
}

/// Creates a training job of a tuning job that was refused, and has failed for that reason.
pub(crate) fn create_refused(
    text: &[u8],
    settings: &Settings,
    region: &str,
    tuning_job: &str,
    reason: &Reason,
) -> Result<Job, NotAccepted> {
    let document = read_training(text)?;
    let mut status = TrainingStatus::new(&document, &Scope::of_role(&document.data.role_arn, region), now());
    status.tuning_job_arn = Some(tuning_job.to_owned());
    status.fail(reason, now()).map_err(anyhow::Error::from)?;
    create(text, &document.data.training_job_name, &status, settings)
}

pub(crate) fn in_use(name: &str, settings: &Settings) -> NotAccepted {
    let why = "choose another name, or remove it with `isolate-job remove";
    NotAccepted::Host(format!("ResourceInUse: {name} exists in {}; {why} {name}`", settings.state))
}

fn training(text: &[u8], settings: &Settings) -> Result<Document<TrainingJob>, NotAccepted> {
    check::check(text, &Host { settings: settings.clone() })?;
    let Request::Training(document) = read(text)? else {
        let why = "is not a training job; give the document of create-training-job".to_owned();
        return Err(Refusals::from(Refused { path: String::new(), why }).into());
    };
    let unknown = settings.unknown_subnets(document.data.vpc_config.as_ref());
    if unknown.is_empty() { Ok(document) } else { Err(Refusals(unknown).into()) }
}

/// Whether the file system has as much space as so many jobs at a time may use. `member` is what gives that in the request.
pub(crate) fn volume(
    resources: &ResourceConfig,
    member: &str,
    jobs: u32,
    settings: &Settings,
) -> Result<(), NotAccepted> {
    // The directory of jobs may not be there yet: the file system is that of the nearest one above it.
    let above = Path::new(&settings.state).ancestors().find(|above| above.exists());
    let directory = above.unwrap_or(Path::new("/"));
    let free = statvfs(directory).with_context(|| format!("cannot inspect {}", directory.display()))?;
    let free = free.f_bavail.saturating_mul(free.f_frsize) >> 30;
    let each = u64::from(resources.volume_size_in_gb) * u64::from(resources.instance_count);
    let needed = each * u64::from(jobs);
    if free < needed {
        return Err(NotAccepted::Host(format!(
            "{member}.VolumeSizeInGB: insufficient disk space: the disk of {} has {free} GiB free for {needed}; free some, or give less",
            settings.state
        )));
    }
    Ok(())
}

/// Whether the host can run isolated containers of an image, and transfer their data.
pub(crate) fn host(image: &str, member: &str, settings: &Settings) -> Result<(), NotAccepted> {
    stage::verifiable(settings).map_err(NotAccepted::Host)?;
    host_unless(image, member, settings, || false)
}

/// Whether the host can run isolated containers of an image, which is not pulled to the end if that is to be stopped.
pub(crate) fn host_unless(
    image: &str,
    member: &str,
    settings: &Settings,
    is_stopped: impl Fn() -> bool,
) -> Result<(), NotAccepted> {
    let engine = settings.engine();
    // At the same time: each is an engine's client that starts and ends.
    let (found, has_image) = thread::scope(|scope| {
        let asked = scope.spawn(|| client::run(&engine.has_image(image), DEADLINE));
        (ready(settings), asked.join())
    });
    found?;
    if !matches!(has_image, Ok(Ok(_))) {
        client::run_unless(&engine.pull(image), PULL, is_stopped)
            .map_err(|error| NotAccepted::Host(format!("{member}: {error}")))?;
    }
    Ok(())
}

/// Whether the host can run isolated containers: root, the verifier, the engine's version, its runtime. What was found, in words.
pub(crate) fn ready(settings: &Settings) -> Result<String, NotAccepted> {
    if !rustix::process::geteuid().is_root() {
        let why = "needs root: containers write files of other users, and their isolation is verified from the host";
        return Err(NotAccepted::Host(why.to_owned()));
    }
    isolation::verifier().map_err(NotAccepted::Host)?;
    let no = |error: client::Failed| NotAccepted::Host(error.to_string());
    let engine = settings.engine();
    if client::find(&engine.program).is_none() {
        return Err(NotAccepted::Host(not_installed(&engine)));
    }
    let (version, runtimes) = thread::scope(|scope| {
        let asked = scope.spawn(|| client::run(&engine.runtimes(), DEADLINE));
        let version = client::run(&engine.version(), DEADLINE);
        (version, asked.join().unwrap_or_else(|panic| resume_unwind(panic)))
    });
    // Without a daemon, the client prints its own version and fails.
    let version = engine::accept(engine.kind, &version.map_err(no)?)
        .map_err(|error| NotAccepted::Host(error.to_string()))?;
    let path = engine::runtime_path(&engine, &runtimes.map_err(no)?)
        .map_err(|error| NotAccepted::Host(error.to_string()))?;
    let runtime = &engine.runtime;
    match is_shim(Path::new(&path)) {
        Ok(true) => Ok(format!("{} {version}; its runtime {runtime} is {path}", engine.program)),
        Ok(false) => Err(NotAccepted::Host(format!(
            "the engine's runtime {runtime:?} is {path}, which is not oci-isolate; set runtime to the name that `isolatectl install` \
             registered"
        ))),
        Err(error) => Err(NotAccepted::Host(format!("cannot read the runtime {path}: {error}"))),
    }
}

fn not_installed(engine: &Engine) -> String {
    let Engine { kind, program, .. } = engine;
    let place = if program.contains('/') { "" } else { " in PATH" };
    format!(
        "{kind:?} is not installed: there is no program {program}{place}; install it, or set engine and engine-path in the \
         settings"
    )
}

fn is_shim(path: &Path) -> io::Result<bool> {
    let mut bytes = Vec::new();
    File::open(path)?.take(LARGEST_PROGRAM).read_to_end(&mut bytes)?;
    Ok(bytes.windows(MARK.len()).any(|window| window == MARK))
}

/// The settings file, or the defaults if there is none at the default place.
///
/// # Errors
/// It cannot be read, or has an invalid key.
pub fn settings(path: Option<&Path>) -> Result<Settings, NotAccepted> {
    let file = path.map_or_else(|| PathBuf::from(crate::settings::PATH), Path::to_owned);
    let text = match fs::read_to_string(&file) {
        Err(error) if path.is_none() && error.kind() == io::ErrorKind::NotFound => String::new(),
        text => {
            text.map_err(|error| NotAccepted::Host(format!("cannot read {}: {error}", file.display())))?
        }
    };
    Settings::read(&text)
        .map_err(|error| NotAccepted::Host(format!("{}: {}", file.display(), client::one_line(&error))))
}
