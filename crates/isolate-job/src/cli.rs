//! The program `isolate-job`. Text for people, `--json` for programs. Exit status 2: a command line or a document that is
//! refused; 1: something went wrong.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Parser, Subcommand, ValueEnum};
use serde_json::json;

use crate::check::{self, Host};
use crate::engine::{Engine, Kind};
use crate::request::MOST;
use crate::stage::{self, Stopped};
use crate::status::Exit;

/// Runs SageMaker's jobs and models in isolated containers of this host
#[derive(Debug, Parser)]
#[command(name = "isolate-job", version)]
struct Arguments {
    /// One JSON document on stdout instead of text
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Says what a request would move, start and open, and under which session policy; nothing happens
    Check {
        /// The document of create-training-job, create-model, create-hyper-parameter-tuning-job or
        /// create-transform-job, as `aws sagemaker ... --cli-input-json` takes it; `-` for stdin
        request: PathBuf,
        /// Which engine starts the containers
        #[arg(long, value_enum, default_value_t = Program::Docker)]
        engine: Program,
        /// The shim, as the engine knows it
        #[arg(long, default_value = "oci-isolate")]
        runtime: String,
        /// The directory of jobs
        #[arg(long, default_value = "/var/lib/oci-isolate/jobs")]
        state: String,
    },
    /// Transfers the data of one container between Amazon S3 and its directories
    Stage(stage::Arguments),
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
    let done = match &arguments.verb {
        Verb::Check { request, engine, runtime, state } => {
            let (kind, program) = match engine {
                Program::Docker => (Kind::Docker, "docker"),
                Program::Podman => (Kind::Podman, "podman"),
            };
            let engine = Engine { kind, program: program.to_owned(), runtime: runtime.clone() };
            check(request, &Host { engine, state: state.clone() }, arguments.json)
        }
        Verb::Stage(what) => Ok(stage(what, arguments.json)),
    };
    done.unwrap_or_else(|error| {
        complain(&format!("{error:#}"));
        ExitCode::FAILURE
    })
}

fn check(request: &Path, host: &Host, json: bool) -> Result<ExitCode> {
    let text = read(request).with_context(|| format!("cannot read {}", request.display()))?;
    match check::check(&text, host) {
        Ok(report) => {
            print(&if json { format!("{:#}\n", report.json()) } else { report.text() })?;
            Ok(ExitCode::SUCCESS)
        }
        Err(refusals) => {
            if json {
                let all: Vec<_> =
                    refusals.0.iter().map(|one| json!({ "path": one.path, "why": one.why })).collect();
                print(&format!("{:#}\n", json!({ "refused": all })))?;
            }
            for refused in &refusals.0 {
                complain(&format!("{}: {refused}", request.display()));
            }
            Ok(ExitCode::from(Exit::Refused as u8))
        }
    }
}

fn stage(what: &stage::Arguments, json: bool) -> ExitCode {
    match stage::stage(what, json) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Stopped::Refused(reasons)) => {
            reasons.iter().for_each(|why| complain(why));
            ExitCode::from(Exit::Refused as u8)
        }
        Err(Stopped::Failed(why)) => {
            complain(&why);
            ExitCode::FAILURE
        }
    }
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
