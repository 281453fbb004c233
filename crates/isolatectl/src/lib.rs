//! `isolatectl`: which isolated containers there are, what was done to them, and whether it still holds. It
//! changes nothing except an engine's configuration with the settings of its runtime (`install`), running containers' peers (`peers`, `jobs`), and
//! files for and of statements (`verify`, `statement`).
//! `prove` starts containers of its own and removes them.
//! Text for people, `--json` for programs.

mod attempts;
mod audit_log;
mod broken_promise;
mod check;
mod container_root;
pub mod coverage;
mod descriptors;
mod devices;
mod doctor;
mod exit;
mod filesystem;
mod foreign_processes;
mod inspect;
mod install;
mod jobs;
mod jobs_document;
mod jobs_metrics;
mod lease;
mod list;
mod members;
mod metrics;
mod mounts;
mod network;
mod ocsf;
mod peers;
mod process_inspector;
mod process_report;
mod program_version;
mod prove;
mod runtime_state;
pub mod statement;
mod survey;
mod unrecorded;
mod user_namespace;
mod verify;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::{Parser, Subcommand};

use exit::Exit;

use oci_isolate::diagnostics::escape_controls;
use oci_isolate::record::{Record, Slot, Store};
use oci_isolate::{bundle, files};

/// The most of an environment or a table of /proc that is read, in bytes.
const LIMIT: u64 = 64 << 20;

/// Inspects containers isolated by oci-isolate
#[derive(Debug, Parser)]
#[command(name = "isolatectl", version)]
struct Arguments {
    /// One JSON document on stdout instead of text
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    verb: CtlCommand,
}

#[derive(Debug, Subcommand)]
enum CtlCommand {
    /// Shows what a running container tried to reach, and an allow-list kept out, with counts and times
    Attempts(ContainerSelector),
    /// Lists isolated containers: id, runtime root, state of their init process
    List,
    /// Shows what would be done to a bundle and why: status 0 isolated, 3 passed through, 1 refused
    Check(check::CheckArguments),
    /// Checks the prerequisites of isolation on this host: settings, runtime, kernel, engines; changes
    /// nothing
    Doctor(doctor::DoctorArguments),
    /// Registers the shim in an engine's own configuration, or removes it again
    Install(install::InstallArguments),
    /// Prints the record of a container: what was changed and what the seal did
    Inspect(ContainerSelector),
    /// Sets the members of jobs that run on other nodes
    #[command(subcommand)]
    Jobs(jobs::JobsCommand),
    /// Prints figures for Prometheus: decisions of the audit log, isolated containers, broken promises
    Metrics(metrics::MetricsArguments),
    /// Prints the lines of the audit log as events of the Open Cybersecurity Schema Framework
    Ocsf(ocsf::OcsfArguments),
    /// Prints or changes the peers of a running container
    #[command(subcommand)]
    Peers(peers::PeersCommand),
    /// Shows on this host's engines, in throw-away containers, which ways are open without the annotation and closed with it
    Prove(prove::ProveArguments),
    /// What `prove` runs in its containers
    #[command(hide = true)]
    ProveProbe(prove::ProbeArguments),
    /// Makes and checks signed statements about containers that were deleted
    #[command(subcommand)]
    Statement(statement::StatementCommand),
    /// Checks a running container from outside and reports what does not hold
    Verify {
        #[command(flatten)]
        which: Option<ContainerSelector>,
        /// Every isolated container
        #[arg(long, conflicts_with = "id")]
        all: bool,
    },
}

#[derive(Debug, clap::Args)]
struct ContainerSelector {
    /// The container's id, or a prefix of it
    id: String,
    /// The runtime's root, if several runtimes have a container of that id
    #[arg(long)]
    root: Option<PathBuf>,
}

/// The command line, for its manual page and completions.
#[must_use]
pub fn command() -> clap::Command {
    <Arguments as clap::CommandFactory>::command()
}

/// The whole program.
#[must_use]
pub fn main() -> ExitCode {
    match Arguments::try_parse() {
        Ok(arguments) => answer(&arguments).into(),
        Err(asked) => {
            let _ = asked.print();
            if asked.use_stderr() { Exit::Usage } else { Exit::Ok }.into()
        }
    }
}

fn answer(arguments: &Arguments) -> Exit {
    let json = arguments.json;
    let done = match &arguments.verb {
        CtlCommand::Attempts(which) => {
            find(which).and_then(|slot| attempts::attempts(&slot, &load(&slot)?, json))
        }
        CtlCommand::List => unrecorded().and_then(|unrecorded| list::list(unrecorded, json)),
        CtlCommand::Check(what) => check::check(what, json),
        CtlCommand::Doctor(arguments) => doctor::doctor(arguments, json),
        CtlCommand::Install(arguments) => install::install(arguments, json),
        CtlCommand::Inspect(which) => find(which).and_then(|slot| inspect::inspect(&load(&slot)?, json)),
        CtlCommand::Jobs(verb) => jobs::jobs(verb, json),
        CtlCommand::Metrics(_) | CtlCommand::Ocsf(_) if json => {
            Err(anyhow::anyhow!("metrics and ocsf have one format each; leave out --json"))
        }
        CtlCommand::Metrics(arguments) => metrics::metrics(arguments),
        CtlCommand::Ocsf(arguments) => ocsf::ocsf(arguments),
        CtlCommand::Peers(verb) => peers::peers(verb, json),
        CtlCommand::Prove(arguments) => prove::prove(arguments, json),
        CtlCommand::ProveProbe(arguments) => prove::probe(arguments),
        CtlCommand::Statement(verb) => statement::statement(verb, json),
        CtlCommand::Verify { all: true, .. } => verify_all(json),
        CtlCommand::Verify { which: Some(which), .. } => verify_one(which, json),
        CtlCommand::Verify { .. } => Err(anyhow::anyhow!("name a container, or --all")),
    };
    done.unwrap_or_else(|error| {
        complain(&error);
        Exit::Failed
    })
}

fn complain(error: &anyhow::Error) {
    let _ = writeln!(std::io::stderr(), "isolatectl: {}", escape_controls(&format!("{error:#}"), &[]));
}

fn verify_all(json: bool) -> Result<Exit> {
    let settings = bundle::load_settings(None)?;
    let (slots, unrecorded) = (&Store::ours().slots()?, &unrecorded::find_all(&settings)?);
    verify::verify(&verify::VerifyScope { slots, unrecorded, credentials: &settings.credentials }, json)
}

/// A container without a record is found by its full id only.
fn verify_one(which: &ContainerSelector, json: bool) -> Result<Exit> {
    let settings = bundle::load_settings(None)?;
    let (slots, unrecorded) = match find(which) {
        Ok(slot) => (vec![slot], Vec::new()),
        Err(error) => {
            let mut unrecorded = unrecorded::find_all(&settings)?;
            unrecorded
                .retain(|found| found.id == which.id && which.root.as_ref().is_none_or(|r| *r == found.root));
            if unrecorded.is_empty() {
                return Err(error);
            }
            (Vec::new(), unrecorded)
        }
    };
    let (slots, unrecorded) = (&slots, &unrecorded);
    verify::verify(&verify::VerifyScope { slots, unrecorded, credentials: &settings.credentials }, json)
}

/// Containers that should have a record. Listing works without usable settings.
fn unrecorded() -> Result<Vec<unrecorded::Unrecorded>> {
    unrecorded::find_all(&bundle::load_settings(None).unwrap_or_default())
}

/// The selected container. Its record may still turn out to be unreadable.
fn find(ContainerSelector { id, root }: &ContainerSelector) -> Result<Slot> {
    let root = root.as_deref().map(std::fs::canonicalize).transpose().context("cannot resolve --root")?;
    let begins = |slot: &Slot| id_of(slot).starts_with(id) && !id.is_empty();
    let is_in = |slot: &Slot| root.as_deref().is_none_or(|root| slot.root() == root);
    let mut found: Vec<_> =
        Store::ours().slots()?.into_iter().filter(|slot| begins(slot) && is_in(slot)).collect();
    // A full id takes precedence over longer ones that begin with it.
    if found.iter().any(|slot| id_of(slot) == *id) {
        found.retain(|slot| id_of(slot) == *id);
    }
    let Some(last) = found.pop() else { bail!("container {id} is not isolated, or not here") };
    let all = |shown: fn(&Slot) -> String| {
        let others: Vec<String> = found.iter().map(shown).collect();
        format!("{} and {}", others.join(", "), shown(&last))
    };
    if found.is_empty() {
        Ok(last)
    } else if found.iter().all(|slot| id_of(slot) == id_of(&last)) {
        bail!("container {} exists in {}; choose one with --root", id_of(&last), all(|p| shown(p.root())))
    } else {
        bail!("{id} is the beginning of {}; give more of the id", all(id_of))
    }
}

fn load(slot: &Slot) -> Result<Record> {
    slot.load()?.with_context(|| format!("container {} was deleted meanwhile", id_of(slot)))
}

/// The container's id, which is the name of its record.
fn id_of(slot: &Slot) -> String {
    slot.record().file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

/// Prints JSON for programs.
fn print_json(value: &impl serde::Serialize) -> Result<()> {
    write(&format!("{}\n", serde_json::to_string_pretty(value)?))
}

/// Prints text for people.
fn print(text: &str) -> Result<()> {
    write(&escape_controls(text, &['\n', '\t']))
}

/// A closed reader (`| head`) is not an error.
fn write(text: &str) -> Result<()> {
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(error).context("cannot write to stdout")
        }
        _ => Ok(()),
    }
}

fn read(path: &Path) -> Result<String> {
    Ok(String::from_utf8_lossy(&read_bytes(path)?).into_owned())
}

fn read_bytes(path: &Path) -> Result<Vec<u8>> {
    Ok(files::read(path, LIMIT)?.bytes)
}
