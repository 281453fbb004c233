//! `isolatectl metrics`: figures for Prometheus, in the text format that node_exporter's textfile collector reads. They
//! are counted anew by each call: there is no daemon, and nothing is kept, apart from broken promises for the statement about
//! a container.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::ErrorKind;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::audit_log::{AuditLog, Next};
use super::exit::Exit;
use super::list::RecordState;
use super::unrecorded::{self, Unrecorded};
use super::verify::{self, VerifyReport, VerifyScope};
use super::write;
use oci_isolate::audit::Outcome;
use oci_isolate::nft::Direction;
use oci_isolate::record::{InitProcess, Record, Slot, Store};
use oci_isolate::settings::Credentials;
use oci_isolate::{bundle, files, seal};

#[derive(Debug, clap::Args)]
pub(super) struct MetricsArguments {
    /// A file for node_exporter's textfile collector, NAME.prom, which is replaced atomically; stdout by default
    #[arg(long, value_name = "PATH")]
    textfile: Option<PathBuf>,
}

/// All figures or, after an error, none: an old textfile is better than a wrong one, and its age is a metric of node_exporter.
pub(super) fn metrics(arguments: &MetricsArguments) -> Result<Exit> {
    let settings = bundle::load_settings(None)?;
    let mut text = String::new();
    if let Some(log) = &settings.audit.file {
        text += &decisions(log)?;
    }
    let recorded: Vec<(Slot, Result<Record>)> = Store::ours().iter()?.collect();
    // No promise was made for those that are observed.
    let (observed, unrecorded): (Vec<_>, Vec<_>) =
        unrecorded::find_all(&settings)?.into_iter().partition(|found| found.is_observed);
    text += &containers(&recorded, unrecorded.len(), observed.len());
    text += &promises(&verified(&recorded, &unrecorded, &settings.credentials)?);
    text += &attempts(recorded.iter().filter_map(|(_, record)| record.as_ref().ok()))?;
    match &arguments.textfile {
        Some(path) => files::write(path, text.as_bytes(), 0o644)?,
        None => write(&text)?,
    }
    Ok(Exit::Ok)
}

/// The lines of the audit log as it is now: a rotation begins anew, which Prometheus takes for the reset of a counter.
fn decisions(log: &Path) -> Result<String> {
    let mut counts: BTreeMap<&str, u64> = Outcome::ALL.map(|outcome| (outcome.word(), 0)).into();
    let mut unreadable = 0;
    // The shim creates the file with the first line.
    let is_there = !std::fs::symlink_metadata(log).is_err_and(|error| error.kind() == ErrorKind::NotFound);
    let mut log = is_there.then(|| AuditLog::open(log)).transpose()?;
    while let Some(log) = &mut log {
        match log.next()? {
            Next::Line(line) => *counts.entry(line.decision.word()).or_default() += 1,
            Next::Unreadable(_) => unreadable += 1,
            // The next call counts it, when it has an end.
            Next::Unfinished | Next::End => break,
        }
    }
    let mut text = family("decisions_total", "counter", "Decisions in the audit log.");
    for (decision, count) in counts {
        let _ = writeln!(text, "oci_isolate_decisions_total{{decision=\"{decision}\"}} {count}");
    }
    let help = "What stands in the audit log and is not a line of it.";
    text += &family("audit_unreadable_lines_total", "counter", help);
    let _ = writeln!(text, "oci_isolate_audit_unreadable_lines_total {unreadable}");
    Ok(text)
}

/// Containers by their state, as `list` shows it.
fn containers(recorded: &[(Slot, Result<Record>)], unrecorded: usize, observed: usize) -> String {
    let mut counts = RecordState::ALL.map(|state| (state, 0)).into_iter().collect::<BTreeMap<_, _>>();
    for (slot, record) in recorded {
        *counts.entry(RecordState::of(slot, record)).or_default() += 1;
    }
    counts.extend([(RecordState::Unrecorded, unrecorded), (RecordState::Observed, observed)]);
    let mut text = family("containers", "gauge", "Isolated containers by state.");
    for (state, count) in counts {
        let _ = writeln!(text, "oci_isolate_containers{{state=\"{}\"}} {count}", state.word());
    }
    text
}

/// What `verify` finds of the containers that run, or may run: one that is not started yet, or has ended, is no finding.
fn verified(
    recorded: &[(Slot, Result<Record>)],
    unrecorded: &[Unrecorded],
    credentials: &Credentials,
) -> Result<Vec<VerifyReport>> {
    let runs = |slot: &Slot, record: &Result<Record>| {
        matches!(RecordState::of(slot, record), RecordState::Sealed | RecordState::Unreadable)
    };
    let slots = recorded.iter().filter(|(slot, record)| runs(slot, record));
    let slots: Vec<Slot> = slots.map(|(slot, _)| slot.clone()).collect();
    let mut reports = verify::reports(&VerifyScope { slots: &slots, unrecorded, credentials })?;
    // It may have ended meanwhile.
    let still_runs = |report: &VerifyReport| {
        let slot = recorded
            .iter()
            .map(|(slot, _)| slot)
            .find(|slot| slot.root() == report.root && super::id_of(slot) == report.id);
        slot.is_none_or(|slot| slot.load().transpose().is_some_and(|record| runs(slot, &record)))
    };
    reports.retain(|report| report.holds || still_runs(report));
    Ok(reports)
}

fn promises(reports: &[VerifyReport]) -> String {
    let holds = reports.iter().filter(|report| report.holds).count();
    let mut text =
        family("verified_containers", "gauge", "Running containers by whether every promise holds.");
    for (result, count) in [("holds", holds), ("broken", reports.len() - holds)] {
        let _ = writeln!(text, "oci_isolate_verified_containers{{result=\"{result}\"}} {count}");
    }
    let mut broken = BTreeMap::<&str, u64>::new();
    for rule in reports.iter().flat_map(|report| report.broken.iter().map(|broken| broken.rule)) {
        *broken.entry(rule).or_default() += 1;
    }
    if !broken.is_empty() {
        text += &family("broken_promises", "gauge", "Promises that do not hold, by rule.");
    }
    for (rule, count) in broken {
        let _ = writeln!(text, "oci_isolate_broken_promises{{rule=\"{rule}\"}} {count}");
    }
    text
}

/// Packets that running containers were refused, where they are counted: once for each network namespace.
fn attempts<'a>(records: impl Iterator<Item = &'a Record>) -> Result<String> {
    let (mut out, mut r#in, mut namespaces) = (0, 0, Vec::new());
    for record in records.filter(|record| record.attempts.is_some()) {
        let Some(init) = record.init.filter(|init| init.runs()) else { continue };
        // It may have ended meanwhile.
        let Ok(init) = InitProcess::open(init) else { continue };
        if namespaces.contains(&init.netns.id()) {
            continue;
        }
        namespaces.push(init.netns.id());
        let counted = seal::attempts(init.netns.as_fd())
            .with_context(|| format!("cannot read the attempts of container {}", record.id))?;
        let Some(counted) = counted else { continue };
        for attempt in &counted.destinations {
            match attempt.direction {
                Direction::Out => out += attempt.packets,
                Direction::In => r#in += attempt.packets,
            }
        }
        out += counted.not_kept;
        r#in += counted.arrivals_not_kept;
    }
    if namespaces.is_empty() {
        return Ok(String::new());
    }
    let mut text =
        family("refused_packets", "gauge", "Packets that running containers were refused, by direction.");
    for (direction, packets) in [("out", out), ("in", r#in)] {
        let _ = writeln!(text, "oci_isolate_refused_packets{{direction=\"{direction}\"}} {packets}");
    }
    Ok(text)
}

/// The head of a metric.
fn family(name: &str, kind: &str, help: &str) -> String {
    format!("# HELP oci_isolate_{name} {help}\n# TYPE oci_isolate_{name} {kind}\n")
}
