//! The program `isolate-job`. Text for people, `--json` for programs. Exit status 2: a command line, the settings or a document that is
//! refused; 1: something went wrong.

mod check;
mod doctor;
mod document;
mod jobs;
mod list;
mod logs;
mod render;
mod serving;
mod transfer;

use core::net::SocketAddr;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use check::Program;
use clap::{Parser, Subcommand};
use document::{read, refuse};
use jobs::Kind;

use crate::check::Host;
use crate::deploy::Options;
use crate::pod;
use crate::settings::Settings;
use crate::stage;
use crate::train;

/// Runs SageMaker's jobs and models in isolated containers of this host
#[derive(Debug, Parser)]
#[command(name = "isolate-job", version)]
struct Arguments {
    /// JSON on stdout instead of text
    #[arg(long, global = true)]
    json: bool,
    /// The settings, if they are not in /etc/oci-isolate/job.toml
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    #[command(flatten)]
    Job(JobVerb),
    /// Transfers the data of one container between Amazon S3 and its directories
    Stage {
        #[command(flatten)]
        what: stage::Arguments,
        /// Ends with the process that started it
        #[arg(long, hide = true)]
        attended: bool,
    },
    /// Checks what jobs need of this host: settings, engine, directory, networks, keys, units; changes nothing
    Doctor,
}

/// All but those that read the settings themselves.
#[derive(Debug, Subcommand)]
enum JobVerb {
    /// Shows what a request would transfer, start and open, and under which session policy; nothing happens
    Check {
        /// The document of create-training-job, create-model, create-hyper-parameter-tuning-job or
        /// create-transform-job, as `aws sagemaker ... --cli-input-json` takes it; `-` for stdin
        request: PathBuf,
        /// The engine that starts the containers, in place of the settings'
        #[arg(long, value_enum)]
        engine: Option<Program>,
        /// The shim, as the engine knows it, in place of the settings'
        #[arg(long)]
        runtime: Option<String>,
        /// The directory of jobs, in place of the settings'
        #[arg(long)]
        state: Option<String>,
    },
    /// Prints the manifests of a training job for a cluster (Kubernetes): a Job whose pod transfers the data and runs the isolated
    /// container
    Render(render::Render),
    /// Transfers the data of a pod that `render` describes
    Pod(pod::Arguments),
    /// Runs a training job: downloads its data, runs its containers, uploads its results
    Train {
        /// The document of create-training-job; `-` for stdin
        request: PathBuf,
        /// Print the job's ARN when it is accepted, and leave it to a process in the background
        #[arg(long)]
        detach: bool,
    },
    /// Runs a tuning job: training jobs with different hyperparameters, and finds the best
    Tune {
        /// The document of create-hyper-parameter-tuning-job; `-` for stdin
        request: PathBuf,
        /// Print the job's ARN when it is accepted, and leave it to a process in the background
        #[arg(long)]
        detach: bool,
    },
    /// Runs a transform job: sends objects to the isolated container of a model
    Transform {
        /// The document of create-transform-job; `-` for stdin
        request: PathBuf,
        /// The document of create-model, if the model was not created by the API
        #[arg(long, value_name = "FILE")]
        model: Option<PathBuf>,
        /// Print the job's ARN when it is accepted, and leave it to a process in the background
        #[arg(long)]
        detach: bool,
    },
    /// Sends the objects of a transform job whose data is here
    #[command(hide = true)]
    Infer {
        /// The job's name
        name: String,
    },
    /// Continues a job whose supervisor was killed, or whose results were not uploaded
    Resume {
        /// The job's name
        #[arg(required_unless_present = "all")]
        name: Option<String>,
        /// Every such job, each in the background
        #[arg(long, conflicts_with = "name")]
        all: bool,
        /// In a session of its own
        #[arg(long, hide = true)]
        session: bool,
    },
    /// Supervises a job; stdin is the line to the process with the credentials
    #[command(hide = true)]
    Supervise {
        /// The job's name
        name: String,
    },
    /// Stops a job: SIGTERM, after 120 s SIGKILL; its results are uploaded
    Stop {
        /// The job's name
        name: String,
    },
    /// Prints a job as the API's Describe operation answers it
    Describe {
        /// The job's name
        name: String,
    },
    /// Lists all jobs
    List,
    /// Prints what a job's containers have written
    Logs {
        /// The job's name
        name: String,
        /// Until the job ends
        #[arg(long)]
        follow: bool,
        /// Of one container, such as algo-1
        #[arg(long)]
        host: Option<String>,
    },
    /// Removes a job that has ended
    Remove {
        /// The job's name
        name: String,
        /// Even if its results are not uploaded
        #[arg(long)]
        force: bool,
    },
    /// Serves a model until SIGTERM: downloads its data, runs its container
    Deploy {
        /// The document of create-model; `-` for stdin
        request: PathBuf,
        /// Gives up while the image is pulled, when this file appears
        #[arg(long, hide = true, value_name = "FILE")]
        until: Option<PathBuf>,
        #[command(flatten)]
        options: Options,
    },
    /// Serves a model whose data is here; stdin is the lock of its directory
    #[command(hide = true)]
    Serve {
        /// The model's name
        name: String,
        #[command(flatten)]
        options: Options,
    },
    /// Answers the SageMaker API for AWS SDKs until SIGTERM; jobs and endpoints go on
    Listen {
        /// The address and port, in place of the settings'
        #[arg(long)]
        address: Option<SocketAddr>,
    },
}

/// The command line, for its manual page and completions.
#[must_use]
pub fn command() -> clap::Command {
    <Arguments as clap::CommandFactory>::command()
}

/// The whole program.
#[must_use]
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    answer(&arguments).unwrap_or_else(|error| {
        complain(&format!("{error:#}"));
        ExitCode::FAILURE
    })
}

fn answer(arguments: &Arguments) -> Result<ExitCode> {
    match &arguments.verb {
        Verb::Stage { what, attended } => transfer::stage(what, *attended, arguments.json),
        Verb::Doctor => doctor::doctor(arguments.config.as_deref(), arguments.json),
        Verb::Job(verb) => match train::settings(arguments.config.as_deref()) {
            Ok(settings) => answer_job(verb, settings, arguments),
            Err(refused) => refuse(Path::new(""), refused, arguments.json),
        },
    }
}

fn answer_job(verb: &JobVerb, settings: Settings, arguments: &Arguments) -> Result<ExitCode> {
    let json = arguments.json;
    // The processes that are started for a job may have another working directory.
    let config = arguments.config.as_deref().map(std::path::absolute).transpose();
    let config = config.context("cannot find the working directory")?;
    let config = config.as_deref();
    match verb {
        JobVerb::Check { request, engine, runtime, state } => {
            let settings = check::chosen(settings, *engine, runtime.clone(), state.clone());
            check::check(request, &Host { settings }, json)
        }
        JobVerb::Render(what) => render::render(what, settings, json),
        JobVerb::Pod(what) => render::pod(what, &settings, config),
        JobVerb::Train { request, detach } => {
            jobs::start(&Kind::Training, request, &settings, config, *detach, json)
        }
        JobVerb::Tune { request, detach } => {
            jobs::start(&Kind::Tuning, request, &settings, config, *detach, json)
        }
        JobVerb::Transform { request, model, detach } => {
            jobs::start(&Kind::Transform(model.clone()), request, &settings, config, *detach, json)
        }
        JobVerb::Infer { name } => jobs::infer(name, &settings),
        JobVerb::Resume { name: Some(name), session, .. } => {
            jobs::resume(name, &settings, config, *session, json)
        }
        JobVerb::Resume { .. } => jobs::resume_all(&settings, config),
        JobVerb::Supervise { name } => jobs::supervise(name, settings, json),
        JobVerb::Stop { name } => jobs::stop(name, &settings),
        JobVerb::Describe { name } => jobs::describe(name, &settings),
        JobVerb::List => list::list(&settings, json),
        JobVerb::Logs { name, follow, host } => logs::logs(name, &settings, *follow, host.as_deref()),
        JobVerb::Remove { name, force } => jobs::remove(name, &settings, *force),
        JobVerb::Deploy { request, until, options } => {
            serving::deploy(request, until.as_deref(), options, &settings, config, json)
        }
        JobVerb::Serve { name, options } => serving::serve(name, options, &settings, json),
        JobVerb::Listen { address } => serving::listen(settings, config, *address),
    }
}

/// A line on stderr, without what a terminal would act on.
fn complain(text: &str) {
    let _ = writeln!(io::stderr(), "isolate-job: {}", plain(text, false));
}

/// A reader that has gone away (`| head`) is no error.
fn print(text: &str) -> Result<()> {
    match io::stdout().write_all(plain(text, true).as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(error).context("cannot write to stdout")
        }
        _ => Ok(()),
    }
}

fn plain(text: &str, lines: bool) -> String {
    text.chars().map(|c| if c.is_control() && !(lines && c == '\n') { '\u{fffd}' } else { c }).collect()
}
