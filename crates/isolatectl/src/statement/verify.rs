//! `isolatectl statement verify`: whether a file of statements is whole, and of which of them isolation held.

use std::collections::HashSet;
use std::fmt::Write;
use std::fs::File;
use std::io::{BufReader, IsTerminal};
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use serde::Serialize;

use oci_isolate::statement::{Container, Facts, Period, Tried};

use super::chain::{self, Head};
use super::document::{Stated, Statement, gaps};
use super::job::{Data, JobFacts, JobName, TreeDigest};
use super::key::PublicKey;
use super::verdict::{JudgedContainers, doubts, job_doubts};
use crate::exit::Exit;
use crate::{print, print_json};

#[derive(Debug, clap::Args)]
pub(crate) struct VerifyArguments {
    /// The file of statements, or some of its lines in a row; - is stdin
    file: PathBuf,
    /// The public key of the host's operator (PEM)
    #[arg(long)]
    key: PathBuf,
    /// Only statements with this nonce (annotation io.oci-isolate.nonce), of which there has to be one
    #[arg(long)]
    nonce: Option<String>,
    /// The sha256 of the line before the first one of FILE, if that is not the first of all
    #[arg(long, value_name = "SHA256")]
    after: Option<String>,
    /// The sha256 of the last line, as `sign` has printed it: none may be missing at the end
    #[arg(long, value_name = "SHA256")]
    head: Option<String>,
    /// A waived rule that does not matter to you, "openings" for ports and peers, or "digests" for data of a job without one; may be given
    /// several times
    #[arg(long, value_name = "NAME")]
    accept: Vec<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Judgement {
    sequence: u64,
    sha256: String,
    container: Container,
    image: Option<String>,
    nonce: Option<String>,
    sealed: Period,
    held: bool,
    doubts: Vec<String>,
    openings: Vec<String>,
    attempts: String,
    not_looked_at: Vec<Period>,
}

/// The same of a job.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct JobJudgement {
    sequence: u64,
    sha256: String,
    job: JobName,
    ran: Period,
    held: bool,
    doubts: Vec<String>,
    inputs: Vec<Data>,
    outputs: Vec<Data>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Report {
    Run(Judgement),
    Job(JobJudgement),
}

impl Report {
    fn held(&self) -> bool {
        match self {
            Self::Run(run) => run.held,
            Self::Job(job) => job.held,
        }
    }

    fn sequence(&self) -> u64 {
        match self {
            Self::Run(run) => run.sequence,
            Self::Job(job) => job.sequence,
        }
    }
}

pub(super) fn verify(arguments: &VerifyArguments, json: bool) -> Result<Exit> {
    match reports(arguments) {
        Ok(reports) => {
            if json {
                print_json(&reports)?
            } else {
                print(&text(&reports)?)?
            }
            Ok(Exit::ok_if(!reports.is_empty() && reports.iter().all(Report::held)))
        }
        Err(error) => {
            crate::complain(&error);
            Ok(Exit::Usage)
        }
    }
}

fn reports(arguments: &VerifyArguments) -> Result<Vec<Report>> {
    let VerifyArguments { file, key, nonce, after, head, accept } = arguments;
    let key = PublicKey::read(key)?;
    let mut reports = Vec::new();
    // A job is judged by the statements of its containers, wherever they are.
    let (mut judged, mut with_nonce, mut jobs) = (JudgedContainers::default(), HashSet::new(), Vec::new());
    let take = |statement: Statement, head: &Head| match statement.stated {
        Stated::Run(facts) => {
            let report = report(*facts, head, accept);
            judged.add(&report.container.id, head.sequence, report.held);
            if nonce.is_none() || report.nonce == *nonce {
                with_nonce.insert(report.container.id.clone());
                reports.push(Report::Run(report));
            }
        }
        Stated::Job(facts) => jobs.push((facts, head.clone())),
    };
    let shown = || format!("cannot rely on {}", file.display());
    let last = if file.as_os_str() == "-" {
        if std::io::stdin().is_terminal() {
            bail!("{}: stdin is a terminal", shown());
        }
        chain::read(std::io::stdin().lock(), &key, after.as_deref(), take)
    } else {
        let file = File::open(file).with_context(shown)?;
        chain::read(BufReader::new(file), &key, after.as_deref(), take)
    };
    let last = last.with_context(shown)?;
    if let Some(head) = head.as_ref().filter(|head| **head != last.digest) {
        bail!(
            "{}: its last line, statement {}, has sha256 {} and not {head}",
            shown(),
            last.sequence,
            last.digest
        );
    }
    // A nonce is its containers'. `isolate-job` gives them none, so that this says something of a job only if its engine does.
    jobs.retain(|(job, _)| {
        nonce.is_none() || job.containers.iter().any(|container| with_nonce.contains(&container.id))
    });
    let jobs = jobs.into_iter().map(|(facts, head)| Report::Job(report_job(facts, &head, &judged, accept)));
    reports.extend(jobs);
    reports.sort_by_key(Report::sequence);
    Ok(reports)
}

fn report_job(facts: JobFacts, head: &Head, judged: &JudgedContainers, accepted: &[String]) -> JobJudgement {
    let doubts = job_doubts(&facts, judged, accepted);
    let JobFacts { job, ran, inputs, outputs, .. } = facts;
    let (sequence, sha256) = (head.sequence, head.digest.clone());
    JobJudgement { sequence, sha256, job, ran, held: doubts.is_empty(), doubts, inputs, outputs }
}

fn report(facts: Facts, head: &Head, accepted: &[String]) -> Judgement {
    let (doubts, attempts, not_looked_at) = (doubts(&facts, accepted), attempts(&facts), gaps(&facts));
    let Facts { container, image, nonce, sealed, openings, .. } = facts;
    Judgement {
        sequence: head.sequence,
        sha256: head.digest.clone(),
        container,
        image: image.map(|image| image.name),
        nonce,
        sealed,
        held: doubts.is_empty(),
        doubts,
        openings,
        attempts,
        not_looked_at,
    }
}

fn attempts(facts: &Facts) -> String {
    match &facts.attempts {
        Tried::NotCounted(why) => format!("not counted: {why}"),
        Tried::Lost(why) => format!("lost: {why}"),
        Tried::Counted(counted) => {
            let packets = counted.destinations.iter().map(|destination| destination.count);
            let packets = packets.fold(0, u64::saturating_add);
            format!("{} destinations, {packets} packets", counted.destinations.len())
        }
    }
}

fn text(reports: &[Report]) -> Result<String> {
    if reports.is_empty() {
        return Ok("there is no statement with this nonce; jobs of isolate-job have none\n".to_owned());
    }
    let mut text = String::new();
    for report in reports {
        match report {
            Report::Run(run) => write_run(&mut text, run)?,
            Report::Job(job) => write_job(&mut text, job)?,
        }
    }
    Ok(text)
}

const fn word(held: bool) -> &'static str {
    if held { "held" } else { "not held" }
}

fn write_run(text: &mut String, run: &Judgement) -> Result<()> {
    let Judgement { sequence, container, sealed: Period { from, to }, held, .. } = run;
    writeln!(text, "{sequence}: container {}, {from} to {to}: {}", container.id, word(*held))?;
    for doubt in &run.doubts {
        writeln!(text, "  {doubt}")?;
    }
    for opening in run.openings.iter().filter(|_| *held) {
        writeln!(text, "  open: {opening}")?;
    }
    writeln!(text, "  attempts: {}", run.attempts)?;
    for Period { from, to } in &run.not_looked_at {
        writeln!(text, "  not looked at from {from} to {to}")?;
    }
    Ok(())
}

fn write_job(text: &mut String, report: &JobJudgement) -> Result<()> {
    let JobJudgement { sequence, job, ran: Period { from, to }, held, .. } = report;
    writeln!(text, "{sequence}: job {}, {from} to {to}: {}", job.name, word(*held))?;
    for doubt in &report.doubts {
        writeln!(text, "  {doubt}")?;
    }
    for (way, all) in [("input", &report.inputs), ("output", &report.outputs)] {
        for data in all {
            if let TreeDigest::DirHash1(digest) = &data.digest {
                writeln!(text, "  {way} {}:{} dirHash1 {digest}", data.host, data.directory.display())?;
            }
        }
    }
    Ok(())
}
