//! The containers of a rendered pod that transfer data. `in` prepares the volume and downloads, before the isolated container starts.
//! `out` learns from the API server how that container ended, uploads, and ends as the job does. Both leave the job's state in their
//! termination message.

mod api;
mod outcome;
mod seen;
mod server;
mod transfer;
mod wait;

use std::fs;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::{Args, ValueEnum};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::plan::{Direction, Host, Step, hosts, steps_of_training};
use crate::request::{Document, TrainingJob, read_training};
use crate::settings::Settings;
use crate::stager::protect;
use crate::status::{Exit, Reason, Scope, Secondary, TrainingStatus};
use crate::train::{Transferred, now, open_checkpoints, prepare};
use crate::tree::Dir;

use api::Api;
use outcome::{End, conclude, message};
use server::Server;

/// Transfers the data of a pod that `render` describes
#[derive(Debug, Clone, Args)]
pub struct Arguments {
    /// In, before the isolated container starts; or out, when it has ended
    direction: Way,
    /// The namespace of the pod
    #[arg(long)]
    namespace: String,
    /// The name of the pod
    #[arg(long)]
    pod: String,
    /// The name of the isolated container
    #[arg(long, default_value = "algorithm")]
    container: String,
    /// The request
    #[arg(long, value_name = "FILE", default_value = "/etc/isolate-job/request.json")]
    request: PathBuf,
    /// The volume: `opt-ml` and `checkpoints` below it are those of the isolated container
    #[arg(long, value_name = "DIR", default_value = "/data")]
    data: PathBuf,
    /// The API server's certificate and the token of the pod
    #[arg(long, value_name = "DIR", default_value = "/var/run/secrets/kubernetes.io/serviceaccount")]
    credentials: PathBuf,
    /// The termination message of this container
    #[arg(long, value_name = "FILE", default_value = "/dev/termination-log")]
    message: PathBuf,
    /// How long the isolated container is waited for after SIGTERM, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 120)]
    wait: u64,
    /// How long kubelet may fail to start the isolated container, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 600)]
    start: u64,
    /// The settings of the transfers
    #[arg(skip)]
    config: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Way {
    In,
    Out,
}

/// Pauses before an upload that failed for no fault of the request's is tried again. With the pod its results are lost.
const AGAIN: [Duration; 3] = [Duration::from_secs(5), Duration::from_secs(30), Duration::from_secs(120)];

/// A pod's transfers, and what is known of its job.
struct Pod<'a> {
    arguments: &'a Arguments,
    job: Document<TrainingJob>,
    steps: Vec<Step>,
    status: TrainingStatus,
    complain: fn(&str),
}

/// Transfers, and returns how the job stands: Completed after `in` if the isolated container may start.
///
/// # Errors
/// The request is not one, or the container's own files cannot be written.
pub fn pod(
    arguments: &Arguments,
    config: Option<PathBuf>,
    settings: &Settings,
    region: &str,
    complain: fn(&str),
) -> Result<Exit> {
    protect().context("cannot protect credentials")?;
    let arguments = Arguments { config, ..arguments.clone() };
    let file = arguments.request.display();
    let text = fs::read(&arguments.request).with_context(|| format!("cannot read {file}"))?;
    let job = read_training(&text).with_context(|| file.to_string())?;
    let status = TrainingStatus::new(&job, &Scope::of_role(&job.data.role_arn, region), now());
    let steps = steps_of_training(&job.data).map_err(anyhow::Error::msg)?;
    let mut pod = Pod { arguments: &arguments, job, steps, status, complain };
    match arguments.direction {
        Way::In => pod.bring_in()?,
        Way::Out => return pod.carry_out(settings),
    }
    if pod.status.secondary_status != Secondary::Failed {
        return Ok(Exit::Completed);
    }
    pod.end(true)
}

impl Pod<'_> {
    fn api(&self) -> Result<Api> {
        let Arguments { credentials, namespace, pod, container, .. } = self.arguments;
        let server = Server::of_pod(credentials.clone())?;
        Ok(Api { server, namespace: namespace.clone(), pod: pod.clone(), container: container.clone() })
    }

    fn steps(&self, direction: Direction) -> Vec<Step> {
        self.steps.iter().filter(|step| step.direction == direction).cloned().collect()
    }

    /// Downloads. The status is Failed if the isolated container must not start.
    fn bring_in(&mut self) -> Result<()> {
        let mut stopped = self.status.clone();
        let message = self.arguments.message.clone();
        on_signal(move || {
            // The transfer ends with this process.
            let states = [Secondary::Stopping, Secondary::Stopped];
            let _ = states.into_iter().try_for_each(|state| stopped.to(state, "", now()));
            let _ = fs::write(&message, outcome::message(&stopped));
            std::process::exit(Exit::Stopped as i32)
        })?;
        // Otherwise it would be noticed when the results are there.
        if let Err(error) = self.api()?.check(self.complain) {
            let why = format!("the end of {} could not be learnt: {error:#}", self.arguments.container);
            return Ok(self.status.fail(&Reason::Internal(&why), now())?);
        }
        let data = &self.arguments.data;
        let host = Host { name: hosts(1).concat(), interface: "lo".to_owned() };
        prepare(&self.job.data, &host, data)?;
        for step in self.steps(Direction::In) {
            let failed = |why| format!("Data download failed: {}: {why}", step.name);
            match self.arguments.transfer(&step) {
                Transferred::Complete | Transferred::Stopped => {}
                Transferred::Client(why) => {
                    return Ok(self.status.fail(&Reason::Client(&failed(why)), now())?);
                }
                Transferred::Internal(why) => {
                    return Ok(self.status.fail(&Reason::Internal(&failed(why)), now())?);
                }
            }
        }
        open_checkpoints(&self.job.data, data)
    }

    /// Waits for the end, and uploads whatever it is.
    fn carry_out(&mut self, settings: &Settings) -> Result<Exit> {
        let end = self.wait(settings)?;
        let (mut started, mut finished) = (now(), now());
        if let End::Container(ended) = &end {
            started = ended.started.unwrap_or(started);
            finished = ended.finished.unwrap_or(finished);
        }
        self.status.to(Secondary::Training, "", started)?;
        if matches!(end, End::Pod(_)) {
            self.status.to(Secondary::Stopping, "", finished)?;
        }
        self.status.to(Secondary::Uploading, "", finished)?;
        let mut first = None;
        for step in self.steps(Direction::Out) {
            if let Err((is_client, why)) = self.upload(&step) {
                first.get_or_insert((is_client, format!("Data upload failed: {}: {why}", step.name)));
            }
        }
        match &first {
            Some((true, why)) => self.status.fail(&Reason::Client(why), now())?,
            Some((false, why)) => self.status.fail(&Reason::Internal(why), now())?,
            None => {
                let opt_ml = Dir::open(&self.arguments.data.join("opt-ml"))?;
                let failure = opt_ml.read("output/failure", Reason::MOST_READ as u64)?;
                conclude(&mut self.status, &end, failure.as_deref())?;
            }
        }
        self.end(first.is_none())
    }

    fn upload(&self, step: &Step) -> Result<(), (bool, String)> {
        for pause in AGAIN.into_iter().map(Some).chain([None]) {
            match (self.arguments.transfer(step), pause) {
                (Transferred::Complete | Transferred::Stopped, _) => break,
                (Transferred::Client(why), _) => return Err((true, why)),
                (Transferred::Internal(why), None) => return Err((false, why)),
                (Transferred::Internal(why), Some(pause)) => {
                    (self.complain)(&format!("{}: {why}; trying again in {} s", step.name, pause.as_secs()));
                    thread::sleep(pause);
                }
            }
        }
        Ok(())
    }

    /// The termination message, and the exit status.
    fn end(&self, uploaded: bool) -> Result<Exit> {
        let file = &self.arguments.message;
        fs::write(file, message(&self.status)).with_context(|| format!("cannot write {}", file.display()))?;
        if let Some(reason) = &self.status.failure_reason {
            (self.complain)(reason);
        }
        let exit = self.status.exit(uploaded || self.status.training_start_time.is_none());
        exit.context("the job has not ended")
    }
}

fn on_signal(mut act: impl FnMut() + Send + 'static) -> Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM]).context("cannot handle signals")?;
    thread::spawn(move || signals.forever().for_each(|_| act()));
    Ok(())
}
