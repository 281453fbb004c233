//! `isolatectl`: what isolated containers there are, what was done to them, and whether it still holds. It changes
//! nothing. Text for people, `--json` for programs; exit status 0 when all is well, 1 when something does not hold or
//! went wrong, 2 for a command line that it does not know.

mod inspect;
mod list;
mod verify;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::{Parser, Subcommand};

use crate::record::{Place, Record};

/// Looks at containers that oci-isolate has isolated.
#[derive(Debug, Parser)]
#[command(name = "isolatectl", version)]
struct Arguments {
    /// One JSON document on stdout instead of text
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Lists isolated containers: id, runtime root, state of their init process
    List,
    /// Prints the record of a container: what was changed and what the seal did
    Inspect(Which),
    /// Looks at a running container from outside and says what does not hold
    Verify {
        #[command(flatten)]
        which: Option<Which>,
        /// Every isolated container
        #[arg(long, conflicts_with = "id")]
        all: bool,
    },
}

#[derive(Debug, clap::Args)]
struct Which {
    /// The container's id
    id: String,
    /// The runtime's root, when several runtimes have a container of that id
    #[arg(long)]
    root: Option<PathBuf>,
}

/// The whole program.
#[must_use]
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let done = match &arguments.verb {
        Verb::List => list::list(arguments.json),
        Verb::Inspect(which) => find(which).and_then(|(_, record)| inspect::inspect(&record, arguments.json)),
        Verb::Verify { all: true, .. } => all().and_then(|found| verify::verify(found, arguments.json)),
        Verb::Verify { which: Some(which), .. } => {
            find(which).and_then(|found| verify::verify(vec![found], arguments.json))
        }
        Verb::Verify { .. } => Err(anyhow::anyhow!("name a container, or --all")),
    };
    done.unwrap_or_else(|error| {
        let _ = writeln!(std::io::stderr(), "isolatectl: {error:#}");
        ExitCode::FAILURE
    })
}

/// All isolated containers; a record that cannot be read is an error.
fn all() -> Result<Vec<(Place, Record)>> {
    let places = Place::all()?;
    let load = |place: Place| Ok(place.load()?.map(|record| (place, record)));
    places.into_iter().filter_map(|place| load(place).transpose()).collect()
}

fn find(which: &Which) -> Result<(Place, Record)> {
    let root =
        which.root.as_deref().map(std::fs::canonicalize).transpose().context("cannot resolve --root")?;
    let is_it = |(place, record): &(Place, Record)| {
        record.id == which.id && root.as_deref().is_none_or(|root| place.root() == root)
    };
    let mut found: Vec<_> = all()?.into_iter().filter(is_it).collect();
    match (found.pop(), found.len()) {
        (None, _) => bail!("container {} is not isolated, or not here", which.id),
        (Some(only), 0) => Ok(only),
        (Some((last, _)), _) => {
            let roots: Vec<String> = found.iter().map(|(place, _)| shown(place.root())).collect();
            bail!(
                "container {} is there in {} and {}; name one with --root",
                which.id,
                roots.join(", "),
                shown(last.root())
            )
        }
    }
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

/// Prints for a program.
fn print_json(value: &impl serde::Serialize) -> Result<()> {
    print(&format!("{}\n", serde_json::to_string_pretty(value)?))
}

/// Prints for a person. A reader that has gone away (`| head`) is no error.
fn print(text: &str) -> Result<()> {
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(error).context("cannot write to stdout")
        }
        _ => Ok(()),
    }
}
