//! The facts about an isolated container, for the statement that `isolatectl` signs. `create` keeps in the record what is
//! not known later, and reads nothing for it; everything else is gathered after the runtime has deleted the container, and
//! before its record is removed: an engine that is killed in between deletes it once more.

use std::path::Path;

use anyhow::{Context, Result};

use super::RuntimeCall;
use crate::bundle::{self, Bundle, Prepared};
use crate::diagnostics::{Log, report};
use crate::files::{self, Draft};
use crate::policy::Image;
use crate::record::{self, Record, Slot};
use crate::seal;
use crate::settings::Consent;
use crate::statement::{
    Beginning, Container, Digest, Facts, Host, Look, Period, ShimProgram, Time, Tried, UsedFile, spool,
};

/// The running program, also if its file was replaced.
const PROGRAM: &str = "/proc/self/exe";

/// Why nothing more is known of a container.
const NO_FACTS: &str = "it ended without facts";

/// What the record of a container that is about to be created keeps, with the configuration that was read, of which a draft may
/// take the place; `None` where there are no statements.
pub(super) fn begin(
    call: &RuntimeCall,
    image: Option<Image>,
    config: UsedFile,
    prepared: &Prepared<Draft>,
) -> Result<Option<Beginning>> {
    let settings = call.settings;
    let Some(file) = settings.statement.file.clone() else { return Ok(None) };
    let read = settings.statement.settings.clone().context("the settings with statement.file are no file")?;
    let absolute = |path: &Path, what| {
        std::path::absolute(path).with_context(|| format!("cannot determine the path of {what}"))
    };
    let shim = std::fs::metadata(PROGRAM).with_context(|| format!("cannot inspect {PROGRAM}"))?;
    let loosened = [
        ("joiners", settings.joiners == Consent::Allow),
        ("credentials.keep", !settings.credentials.keep.is_empty()),
        ("seccomp.families", !settings.seccomp.families.is_empty()),
    ];
    Ok(Some(Beginning {
        file,
        settings: UsedFile {
            path: absolute(&bundle::settings_path(call.settings_file), "the settings")?,
            version: read,
        },
        config: UsedFile {
            path: absolute(&config.path, "config.json")?,
            version: prepared.draft.as_ref().map_or(Ok(config.version), Draft::version)?,
        },
        shim: (&shim).into(),
        image,
        nonce: prepared.subject.policy.nonce.clone(),
        loosened: loosened.iter().filter(|(_, is)| *is).map(|(name, _)| (*name).to_owned()).collect(),
        unused: prepared.proven.unused_waivers.iter().map(|rule| (*rule).to_owned()).collect(),
        sealed: None,
    }))
}

/// The image of a bundle, if it is the engine of this runtime's root that has told it.
pub(super) fn image(call: &RuntimeCall, bundle: &Bundle) -> Option<Image> {
    call.settings.statement.file.as_ref()?;
    let (image, engine) = bundle.image()?;
    record::check_root(&call.root().ok()?, engine).ok().map(|()| image)
}

/// Writes down that a container was sealed, for the case that it ends without facts: the host loses power, or they cannot be
/// written. The facts replace it. A failure is reported and changes nothing: the facts may still come.
pub(super) fn announce(slot: &Slot) {
    let announced = slot.load().and_then(|record| {
        let Some(record) = record else { return Ok(()) };
        let Some(beginning) = &record.statement else { return Ok(()) };
        spool::announce(&beginning.file, &known_at_start(slot, &record, beginning)?)
    });
    if let Err(error) = announced {
        let shown = slot.id().display();
        report(
            &Log::default(),
            &format!("container {shown} leaves no trace if it ends without facts: {error:#}"),
        );
    }
}

/// Writes down the facts about a container that was deleted, if it was sealed and there are statements. A failure is
/// reported and changes nothing: the container is gone.
pub(super) fn write(slot: &Slot, record: &Record, attempts: Option<&Result<seal::Attempts>>) {
    let Some(beginning) = &record.statement else { return };
    let (Some(sealed), Some(_)) = (beginning.sealed, record.init) else { return };
    let written = gather(slot, record, beginning, sealed, attempts)
        // Another call that has deleted it meanwhile has written them, and they may have been signed.
        .and_then(|facts| if slot.is_there() { spool::write(&beginning.file, &facts) } else { Ok(()) })
        .with_context(|| format!("there will be no facts about container {}", record.id));
    if let Err(error) = written {
        report(&Log::default(), &format!("{error:#}"));
    }
}

fn gather(
    slot: &Slot,
    record: &Record,
    beginning: &Beginning,
    sealed: Time,
    attempts: Option<&Result<seal::Attempts>>,
) -> Result<Facts> {
    let known = known_at_start(slot, record, beginning)?;
    let looks = slot.looks(record.creator);
    // After the last of them.
    let to = Time::now();
    let image = || bundle::engine_image(slot, &record.bundle, &beginning.config.path);
    let UsedFile { path: config, version } = &beginning.config;
    let program = Digest::of_unchanged(PROGRAM.as_ref(), &beginning.shim);
    Ok(Facts {
        image: known.image.or_else(image),
        config: Digest::of_unchanged_since(config, version, sealed),
        sealed: Period { from: sealed, to },
        verified: looks.unwrap_or_else(|error| vec![Look { time: to, broken: vec![format!("{error:#}")] }]),
        attempts: tried(record, attempts),
        host: Host {
            shim: ShimProgram { program, ..known.host.shim },
            settings: Digest::of_unchanged(&beginning.settings.path, &beginning.settings.version),
            ..known.host
        },
        ..known
    })
}

/// What is stated of a container of which nothing comes after `start`: it is never said to have held.
fn known_at_start(slot: &Slot, record: &Record, beginning: &Beginning) -> Result<Facts> {
    let boot = kernel("/proc/sys/kernel/random/boot_id")?;
    let from = beginning.sealed.context("it is not sealed")?;
    let without_firewall = record.sealed.as_ref().is_some_and(|sealed| !sealed.firewall);
    let mut waived = [&record.waived[..], &beginning.loosened].concat();
    waived.retain(|rule| !beginning.unused.contains(rule));
    waived.extend(without_firewall.then(|| "firewall".to_owned()));
    let unknown = || Digest::Unknown(NO_FACTS.to_owned());
    Ok(Facts {
        run: Facts::run(&boot, record.creator),
        container: Container {
            id: record.id.clone(),
            root: slot.root().to_owned(),
            workload: record.workload.clone(),
        },
        image: beginning.image.clone(),
        config: unknown(),
        sealed: Period { from, to: from },
        openings: openings(record),
        waived,
        unused: beginning.unused.clone(),
        verified: Vec::new(),
        attempts: Tried::Lost(NO_FACTS.to_owned()),
        host: Host {
            kernel: kernel("/proc/sys/kernel/osrelease")?,
            boot,
            shim: ShimProgram { version: env!("CARGO_PKG_VERSION").to_owned(), program: unknown() },
            settings: unknown(),
            runtime: record.runtime.clone(),
        },
        nonce: beginning.nonce.clone(),
    })
}

fn kernel(path: &str) -> Result<String> {
    let bytes = files::read(path.as_ref(), files::SMALL_LIMIT)?.bytes;
    Ok(String::from_utf8(bytes).with_context(|| format!("cannot understand {path}"))?.trim().to_owned())
}

fn openings(record: &Record) -> Vec<String> {
    let Some(opened) = &record.opened else { return Vec::new() };
    let ingress = opened.asked.ingress.iter().map(|ports| format!("ingress {ports}"));
    let peers = opened.peers_at_any_time();
    let peers = peers.iter().map(|peer| format!("peer {peer}"));
    let job = opened.asked.job.iter().map(|job| format!("job {job}"));
    ingress.chain(peers).chain(job).collect()
}

fn tried(record: &Record, counted: Option<&Result<seal::Attempts>>) -> Tried {
    match (counted, record.attempts) {
        (Some(Ok(counted)), _) => Tried::Counted(counted.clone().into()),
        (Some(Err(error)), _) => Tried::Lost(format!("{error:#}")),
        (None, None) => Tried::NotCounted("attempts.count is false in the settings".to_owned()),
        (None, Some(_)) if record.network.is_joined() => Tried::NotCounted(
            "it has joined the namespace of another container, which has the figures".to_owned(),
        ),
        (None, Some(_)) => Tried::Lost("the network namespace was not looked for".to_owned()),
    }
}
