//! From the data of a transform job to its answers: starts the model's isolated container, sends it the records of every object, and writes
//! an object's answers to a file `NAME.out`. This process never had credentials in its environment.

use core::net::SocketAddr;
use std::fs::{self, File};
use std::io::{self, BufReader, Write};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, getppid, set_parent_process_death_signal};

use super::invoke::{self, Target};
use super::records::{Records, Split};
use super::{MODEL, OBJECTS};
use crate::deploy::Served;
use crate::engine::Inspected;
use crate::request::{AssemblyType, BatchStrategy, Request, SplitType, TransformJob, read, read_model};
use crate::settings::Settings;
use crate::status::Exit;
use crate::store::Job;
use crate::tree::{Dir, Error, Kind, Quota, walk};

/// ContainerStartupHealthCheckTimeoutInSeconds of an endpoint, by default.
const STARTUP: Duration = Duration::from_secs(240);

/// Answers to all objects.
///
/// # Errors
/// A FailureReason.
pub fn infer(job: &Job, settings: &Settings) -> Result<Exit, String> {
    let parent = getppid();
    let (mut served, document) = prepare(job, settings).map_err(internal)?;
    let done = start(&mut served, parent)
        .and_then(|found| answers(job, &served, &found, &document, settings.transform_output()));
    // Stderr has the reason.
    match (done, served.clear(io::stdout())) {
        (done, Ok(())) => done,
        (Ok(_), Err(left)) => Err(internal(left)),
        (Err(why), Err(left)) => Err(format!("{why}; {left:#}")),
    }
}

/// Starts the container. From its proof on this process ends with the one that has the credentials, and not before: the container may not be
/// isolated, and is removed then.
fn start(served: &mut Served, parent: Option<Pid>) -> Result<Inspected, String> {
    let found = served.start().map_err(algorithm)?;
    set_parent_process_death_signal(Some(Signal::KILL)).map_err(|error| internal(error.into()))?;
    if getppid() != parent {
        return Err(internal(anyhow::anyhow!("the process that had the credentials has ended")));
    }
    Ok(found)
}

fn algorithm(error: anyhow::Error) -> String {
    format!("AlgorithmError: {error:#}")
}

fn internal(error: anyhow::Error) -> String {
    format!("InternalServerError: {error:#}")
}

fn prepare<'j>(job: &'j Job, settings: &Settings) -> Result<(Served<'j>, TransformJob)> {
    let Request::Transform(document) =
        read(&job.request()?).map_err(|refusals| anyhow::anyhow!("{refusals}"))?
    else {
        anyhow::bail!("{} is not a transform job", job.name);
    };
    let path = job.path(MODEL);
    let text = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let model = read_model(&text).map_err(|refusals| anyhow::anyhow!("{refusals}"))?;
    let instance_type = &document.data.transform_resources.instance_type;
    let container = settings.container(&model.data, Some(instance_type));
    Ok((Served::new(job, container, settings.engine())?, document.data))
}

fn answers(
    job: &Job,
    served: &Served,
    found: &Inspected,
    document: &TransformJob,
    most: u64,
) -> Result<Exit, String> {
    let Some(address) = served.healthy(found, STARTUP).map_err(algorithm)? else {
        return Ok(Exit::Stopped);
    };
    let quota = Quota::new(most);
    let done = transform(job, document, address, &quota).map_err(|error| {
        // Whether the container is why.
        let ended = served.is_over().err().map_or_else(String::new, |ended| format!(": {ended:#}"));
        format!("{}{ended}", algorithm(error))
    })?;
    served.end().map_err(algorithm)?;
    Ok(done)
}

fn transform(job: &Job, document: &TransformJob, address: SocketAddr, quota: &Quota) -> Result<Exit> {
    let is_stopped = || job.is_stop_requested();
    let input = job.path(OBJECTS).join("input");
    let output = job.path(OBJECTS).join("output");
    if output.exists() {
        fs::remove_dir_all(&output).with_context(|| format!("cannot remove {}", output.display()))?;
    }
    fs::create_dir(&output).with_context(|| format!("cannot create {}", output.display()))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.context("cannot start a client")?;
    let asked = runtime.block_on(invoke::unless(is_stopped, Target::new(document, address)));
    let Some(target) = asked.transpose()? else { return Ok(Exit::Stopped) };
    let mut objects = Vec::new();
    walk(&Dir::open(&input)?, &mut |entry| {
        if let Kind::File(..) = entry.kind {
            objects.push(entry.path);
        }
        Ok::<(), Error>(())
    })?;
    for object in objects {
        let done = runtime.block_on(invoke::all(
            &target,
            &mut records(document, &target, &input.join(&object))?,
            &mut Answers::create(&output.join(format!("{object}.out")), quota)?,
            document.transform_output.assemble_with == Some(AssemblyType::Line),
            is_stopped,
        ));
        if !done.with_context(|| object.clone())? {
            return Ok(Exit::Stopped);
        }
    }
    Ok(Exit::Completed)
}

fn records(document: &TransformJob, target: &Target, path: &Path) -> Result<Records<BufReader<File>>> {
    let split = match (document.transform_input.split_type, target.strategy) {
        (Some(SplitType::Line), BatchStrategy::SingleRecord) => Split::Line,
        (Some(SplitType::Line), BatchStrategy::MultiRecord) => Split::Lines,
        _ => Split::Whole,
    };
    let file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(Records::new(BufReader::new(file), split, target.most))
}

/// The answers to an object, within what those to all may take.
struct Answers<'q> {
    file: File,
    quota: &'q Quota,
}

impl<'q> Answers<'q> {
    fn create(path: &Path, quota: &'q Quota) -> Result<Self> {
        let cannot = || format!("cannot create {}", path.display());
        if let Some(above) = path.parent() {
            fs::create_dir_all(above).with_context(cannot)?;
        }
        quota.entries(1).map_err(full).with_context(cannot)?;
        Ok(Self { file: File::create_new(path).with_context(cannot)?, quota })
    }
}

impl Write for Answers<'_> {
    fn write(&mut self, content: &[u8]) -> io::Result<usize> {
        let count = self.file.write(content)?;
        self.quota.bytes(count as u64).map_err(full)?;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

fn full(_: io::Error) -> io::Error {
    io::Error::other(
        "the answers are larger than transform-output-gib in the settings; give more, or split the job",
    )
}
