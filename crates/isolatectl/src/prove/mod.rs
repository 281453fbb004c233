//! `isolatectl prove`: shows on this host's own engines, as they are configured, that ways of docs/threats.md are open
//! in a container without the annotation and closed in one with it. The containers are thrown away. What is sent from the
//! host, and what else of it changes: docs/prove.md, "What it does on the host".

mod call;
mod containerd;
mod credentials;
mod deed;
mod docker;
mod engine;
mod host;
mod image;
mod network;
mod probe;
mod report;
mod serve;
mod site;
mod spec;
mod trial;
mod verdict;
mod way;
mod ways;

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use super::exit::Exit;
use super::install::NAME;
use super::{print, print_json};
use call::{Interrupt, Turn};
use containerd::ContainerdEngine;
use docker::DockerEngine;
use engine::{EngineKind, TriedEngine};
use image::ProbeImage;
pub(crate) use probe::ProbeArguments;
use report::EngineReport;
use site::Site;
use way::Way;

/// The subcommand that runs in the containers.
const PROBE: &str = "prove-probe";

#[derive(Debug, clap::Args)]
pub(super) struct ProveArguments {
    /// The engine, if not every one whose client is in PATH; may be given several times
    #[arg(long, value_enum)]
    engine: Vec<EngineKind>,
    /// The engine's name of the runtime that is oci-isolate
    #[arg(long, value_name = "NAME", default_value = NAME)]
    runtime: String,
    /// How long to begin ways at an engine that is prepared; what is not tried by then has failed
    #[arg(long, value_name = "N", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=3600))]
    seconds: u64,
    /// A way to try, by its name in the table, if not all; may be given several times
    #[arg(long = "way", value_name = "WAY")]
    ways: Vec<String>,
    /// A file for the result as JUnit, too
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
}

/// 0 only if everything that is open without the annotation is closed with it.
pub(super) fn prove(arguments: &ProveArguments, json: bool) -> Result<Exit> {
    ensure!(
        nix::unistd::geteuid().is_root(),
        "run it as root: what a container reaches of root's host is tried; for a user's own Podman: \
         podman unshare isolatectl prove --engine podman"
    );
    let mut engines = arguments.engine.clone();
    if engines.is_empty() {
        engines = EngineKind::ALL.into_iter().filter(|kind| engine::is_there(*kind)).collect();
    }
    ensure!(!engines.is_empty(), "there is no docker, no podman and no ctr in PATH");
    let ways = chosen(&arguments.ways)?;
    let cannot_write = |path: &Path| format!("cannot write {}", path.display());
    let open = |path| File::create(path).map(|file| (path, file)).with_context(|| cannot_write(path));
    let junit = arguments.junit.as_deref().map(open).transpose()?;
    let interrupt = Interrupt::new()?;
    let site = Site::new()?;
    let image = image::write(&site)?;
    let reports: Vec<EngineReport> = engines
        .into_iter()
        .map(|kind| prove_one(kind, arguments, &ways, &site, &image, &interrupt))
        .collect();
    // All of it is tried: what was found is not lost if one cannot be written.
    let written = junit.map_or(Ok(()), |(path, mut file)| {
        file.write_all(report::junit(&reports).as_bytes()).with_context(|| cannot_write(path))
    });
    if json {
        print_json(&reports)?;
    } else {
        print(&reports.iter().map(EngineReport::table).collect::<String>())?;
    }
    written?;
    Ok(Exit::ok_if(reports.iter().all(EngineReport::is_well)))
}

/// All, or those that are named.
fn chosen(names: &[String]) -> Result<Vec<&'static Way>> {
    if let Some(unknown) = names.iter().find(|name| ways::all().all(|way| way.name != **name)) {
        bail!("there is no way {unknown}; docs/prove.md has them");
    }
    Ok(ways::all().filter(|way| names.is_empty() || names.iter().any(|name| way.name == name)).collect())
}

fn prove_one(
    kind: EngineKind,
    arguments: &ProveArguments,
    ways: &[&'static Way],
    site: &Site,
    image: &ProbeImage,
    interrupt: &Interrupt,
) -> EngineReport {
    let mut report = EngineReport {
        engine: kind.name(),
        version: String::new(),
        runtime: arguments.runtime.clone(),
        ways: Vec::new(),
        error: None,
    };
    let turn = Turn::begin(interrupt, Duration::from_secs(arguments.seconds));
    let tried = prepare(kind, &arguments.runtime, site, image, &turn).and_then(|engine| {
        engine.version().clone_into(&mut report.version);
        turn.begin_trial();
        trial::try_all(engine.as_ref(), site, ways, &turn)
    });
    let cleaned = clean(kind, site).context("cannot remove everything again");
    match tried {
        Ok(verdicts) => report.ways = EngineReport::rows(verdicts),
        Err(error) => report.error = Some(format!("{error:#}")),
    }
    if let Err(error) = cleaned {
        let before = report.error.map(|before| format!("{before}; ")).unwrap_or_default();
        report.error = Some(format!("{before}{error:#}"));
    }
    report
}

/// # Errors
/// The engine does not answer, or cannot run a container of the runtime.
fn prepare<'s>(
    kind: EngineKind,
    runtime: &'s str,
    site: &'s Site,
    image: &'s ProbeImage,
    turn: &'s Turn<'s>,
) -> Result<Box<dyn TriedEngine + 's>> {
    Ok(match kind {
        EngineKind::Docker | EngineKind::Podman => {
            Box::new(DockerEngine::prepare(kind, runtime, site, image, turn)?)
        }
        EngineKind::Containerd => Box::new(ContainerdEngine::prepare(runtime, site, image, turn)?),
    })
}

/// Removes everything, whatever of it there is, also after an interrupt. What fails is no reason to leave the rest.
///
/// # Errors
/// What is left, and why.
fn clean(kind: EngineKind, site: &Site) -> Result<()> {
    match kind {
        EngineKind::Docker | EngineKind::Podman => docker::clean(kind, site),
        EngineKind::Containerd => containerd::clean(site),
    }
}

/// What runs in the containers.
pub(super) fn probe(arguments: &ProbeArguments) -> Result<Exit> {
    probe::probe(arguments).map(|()| Exit::Ok)
}
