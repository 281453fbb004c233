//! The program `isolate-job`. Text for people, `--json` for programs. Exit status 2: a command line, the settings or a document that is
//! refused; 1: something went wrong.

mod doctor;
mod jobs;
mod logs;
mod serving;
mod transfer;

use core::net::SocketAddr;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Parser, Subcommand, ValueEnum};
use serde_json::json;

use crate::check::{self, Host};
use crate::deploy::Options;
use crate::request::{MOST, Refusals};
use crate::settings::{EngineKind, Settings};
use crate::stage;
use crate::status::Exit;
use crate::train::{self, NotAccepted};

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
    /// Runs a training job: downloads its data, runs its containers, uploads its results
    Train {
        /// The document of create-training-job; `-` for stdin
        request: PathBuf,
        /// Print the job's ARN when it is accepted, and leave it to a process in the background
        #[arg(long)]
        detach: bool,
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
    /// Prints a job as DescribeTrainingJob answers it
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

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Program {
    Docker,
    Podman,
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
            let settings = chosen(settings, *engine, runtime.clone(), state.clone());
            check(request, &Host { settings }, json)
        }
        JobVerb::Train { request, detach } => jobs::train(request, &settings, config, *detach, json),
        JobVerb::Resume { name: Some(name), session, .. } => {
            jobs::resume(name, &settings, config, *session, json)
        }
        JobVerb::Resume { .. } => jobs::resume_all(&settings, config),
        JobVerb::Supervise { name } => jobs::supervise(name, settings, json),
        JobVerb::Stop { name } => jobs::stop(name, &settings),
        JobVerb::Describe { name } => jobs::describe(name, &settings),
        JobVerb::List => jobs::list(&settings, json),
        JobVerb::Logs { name, follow, host } => logs::logs(name, &settings, *follow, host.as_deref()),
        JobVerb::Remove { name, force } => jobs::remove(name, &settings, *force),
        JobVerb::Deploy { request, options } => serving::deploy(request, options, &settings, config, json),
        JobVerb::Serve { name, options } => serving::serve(name, options, &settings, json),
        JobVerb::Listen { address } => serving::listen(settings, config, *address),
    }
}

fn chosen(
    mut settings: Settings,
    engine: Option<Program>,
    runtime: Option<String>,
    state: Option<String>,
) -> Settings {
    if let Some(engine) = engine {
        settings.engine = match engine {
            Program::Docker => EngineKind::Docker,
            Program::Podman => EngineKind::Podman,
        };
        settings.engine_path = None;
    }
    settings.runtime = runtime.unwrap_or(settings.runtime);
    settings.state = state.unwrap_or(settings.state);
    settings
}

fn check(request: &Path, host: &Host, json: bool) -> Result<ExitCode> {
    let text = read(request).with_context(|| format!("cannot read {}", request.display()))?;
    match check::check(&text, host) {
        Ok(report) => {
            print(&if json { format!("{:#}\n", report.json()) } else { report.text() })?;
            Ok(ExitCode::SUCCESS)
        }
        Err(refusals) => refuse(request, refusals.into(), json),
    }
}

/// Why nothing was started.
fn refuse(request: &Path, refused: NotAccepted, json: bool) -> Result<ExitCode> {
    match refused {
        NotAccepted::Failed(error) => return Err(error),
        NotAccepted::Host(why) => {
            if json {
                print(&format!("{:#}\n", json!({ "refused": [{ "path": "", "why": why }] })))?;
            }
            complain(&why);
        }
        NotAccepted::Request(Refusals(all)) => {
            if json {
                let all: Vec<_> = all.iter().map(|one| json!({ "path": one.path, "why": one.why })).collect();
                print(&format!("{:#}\n", json!({ "refused": all })))?;
            }
            for refused in &all {
                complain(&format!("{}: {refused}", request.display()));
            }
        }
    }
    Ok(ExitCode::from(Exit::Refused as u8))
}

/// As much as a request may have, and one byte more.
fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    let most = MOST as u64 + 1;
    if path == Path::new("-") {
        io::stdin().lock().take(most).read_to_end(&mut text)?;
    } else {
        let file = File::open(path)?;
        if file.metadata()?.is_dir() {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        file.take(most).read_to_end(&mut text)?;
    }
    Ok(text)
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
