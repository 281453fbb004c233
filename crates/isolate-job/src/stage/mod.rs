//! The transfer process: `isolate-job stage in|out|stream`, the only one with credentials and a network. It moves the data of one
//! container, step by step, each as a session that is limited to the step's objects. It never starts anything.

mod arguments;
mod confine;
mod download;
mod epoch;
mod network;
mod record;
mod report;
mod source;
mod stream;
mod upload;

use std::io;
use std::path::PathBuf;

use crate::plan::{Access, Direction, Grantee, Step, session_policy};
use crate::progress::{Failure, Fault};
use crate::s3::{self, Bucket, Connection, Session};
use crate::settings::{Settings, Subnet};
use crate::tree::{self, Cause, Dir, Quota};

pub use arguments::Arguments;
use arguments::Job;
use record::Record;
use report::Report;

/// Whether data can be transferred through a subnet's network, as a transfer finds out.
///
/// # Errors
/// Why its namespace cannot be used.
pub fn reachable(subnet: &Subnet) -> Result<(), String> {
    let subnet = subnet.clone();
    // A thread has namespaces of its own, and ends with them.
    let entered = std::thread::spawn(move || network::enter(&subnet)).join();
    entered.unwrap_or_else(|_| Err("cannot be entered".to_owned()))
}

/// Whether servers can be verified, as a transfer finds out.
///
/// # Errors
/// There are no certificate authorities and an endpoint is not `http://`, or `ca-bundle` cannot be used.
pub fn verifiable(settings: &Settings) -> Result<(), String> {
    s3::verifiable(settings).map_err(|error| error.to_string())
}

/// Why it ended without having transferred everything.
#[derive(Debug)]
pub enum Stopped {
    /// The command line, the settings or the request are refused; nothing was opened.
    Refused(Vec<String>),
    /// A step failed.
    Failed(String),
}

/// Transfers. Reports are JSON lines, if they are asked for or stdout is no terminal.
///
/// # Errors
/// See [`Stopped`].
pub fn stage(arguments: &Arguments, json: bool) -> Result<(), Stopped> {
    let job = arguments.job().map_err(Stopped::Refused)?;
    let mut ready = None;
    if job.direction == Direction::Stream {
        return stream::stream(&job, &mut ready);
    }
    for step in &job.steps {
        let mut report = Report::new(&step.name, json);
        let done = Ready::once(&mut ready, &job).and_then(|ready| {
            let transfer = Transfer { job: &job, ready, step };
            if step.direction == Direction::In {
                transfer.download(&mut report)
            } else {
                transfer.upload(&mut report)
            }
        });
        let said = match &done {
            Ok(amount) => report.complete(*amount),
            Err(failure) => report.failed(failure),
        };
        done.and(said.map_err(Failure::from)).map_err(|failure| stopped(step, &failure))?;
    }
    Ok(())
}

fn stopped(step: &Step, failure: &Failure) -> Stopped {
    Stopped::Failed(format!("{}: {}", step.name, failure.message))
}

/// What every step has.
struct Ready<'j> {
    connection: Connection<'j>,
    quota: Quota,
    record: Option<Record>,
}

impl<'j> Ready<'j> {
    /// Prepares for the first step; the others find it done.
    fn once<'r>(ready: &'r mut Option<Self>, job: &'j Job) -> Result<&'r Self, Failure> {
        match ready {
            Some(ready) => Ok(ready),
            none => Ok(none.insert(Self::prepare(job)?)),
        }
    }

    /// Before the first thread and the first socket: into the network of the job, and out of every privilege.
    fn prepare(job: &'j Job) -> Result<Self, Failure> {
        let subnet = job.subnets.first().and_then(|name| Some((name, job.settings.vpc.get(name)?)));
        if let Some((name, subnet)) = subnet {
            network::enter(subnet).map_err(|why| internal(format!("subnet {name}: {why}")))?;
        }
        let quota = match job.volume {
            Some(volume) => {
                Quota::new(volume.saturating_sub(used(job)?)).with_remedy("give a larger VolumeSizeInGB")
            }
            None if job.direction == Direction::In => {
                Quota::new(free(job)?).with_remedy(format!("free some on the disk of {}", job.root.display()))
            }
            // What is sent is on the disk already.
            None => Quota::new(u64::MAX),
        };
        let open = |path: &PathBuf| {
            Record::open(path).map_err(|error| internal(format!("cannot open {}: {error}", path.display())))
        };
        let record = job.record.as_ref().map(open).transpose()?;
        confine::confine(job).map_err(internal)?;
        Ok(Self { connection: Connection::open(&job.settings)?, quota, record })
    }
}

/// What earlier runs took of the volume. Results are on it already, and streams take nothing of it.
fn used(job: &Job) -> Result<u64, Failure> {
    if job.direction != Direction::In {
        return Ok(0);
    }
    let paths = job.steps.iter().filter_map(|step| step.directory.strip_prefix("/opt/ml/"));
    Ok(tree::used(&Dir::open(&job.root)?, &paths.collect::<Vec<_>>())?)
}

/// What the disk has for data without a VolumeSizeInGB: that of models, and the objects of transform jobs.
fn free(job: &Job) -> Result<u64, Failure> {
    let disk = rustix::fs::statvfs(&job.root).map_err(io::Error::from)?;
    Ok(disk.f_bavail.saturating_mul(disk.f_frsize))
}

/// One step.
struct Transfer<'a> {
    job: &'a Job,
    ready: &'a Ready<'a>,
    step: &'a Step,
}

impl Transfer<'_> {
    /// A bucket, as a session for these objects reaches it.
    fn bucket(&self, name: &str, accesses: &[Access]) -> Result<Bucket, Failure> {
        let policy = session_policy(&Grantee::of_role(&self.job.role), accesses, self.step.kms.as_deref());
        let policy = policy.map_err(|error| client(error.to_string()))?;
        let session = Session { role: &self.job.role, name: &self.job.name, policy };
        Ok(self.ready.connection.bucket(name, session))
    }

    /// The directory above that of the step, and its name there.
    fn place(&self) -> Result<(Dir, String), Failure> {
        let (root, path) = match (self.step.below_root(), &self.job.checkpoints) {
            (Some(path), _) => (self.job.root.as_path(), path.to_owned()),
            (None, Some(directory)) => {
                // Its own name, whatever the path was called.
                let directory = directory.canonicalize()?;
                let name = directory.file_name().and_then(|name| name.to_str()).map(str::to_owned);
                let name = name.ok_or_else(|| internal("--checkpoints has no name".to_owned()))?;
                return Ok((Dir::open(directory.parent().unwrap_or(&directory))?, name));
            }
            (None, None) => return Err(internal(format!("{} has no directory", self.step.directory))),
        };
        let root = Dir::open(root)?;
        Ok(match path.rsplit_once('/') {
            Some((above, name)) => (root.make(above)?.0, name.to_owned()),
            None => (root, path),
        })
    }
}

fn client(message: String) -> Failure {
    Failure { fault: Fault::Client, message }
}

fn internal(message: String) -> Failure {
    Failure { fault: Fault::Internal, message }
}

impl From<crate::s3::Error> for Failure {
    fn from(error: crate::s3::Error) -> Self {
        Self { fault: error.fault, message: error.to_string() }
    }
}

impl From<crate::tree::Error> for Failure {
    fn from(error: crate::tree::Error) -> Self {
        let fault = match error.cause {
            Cause::Refused(_) | Cause::Full(_) => Fault::Client,
            Cause::System(_) => Fault::Internal,
        };
        Self { fault, message: error.to_string() }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        internal(error.to_string())
    }
}
