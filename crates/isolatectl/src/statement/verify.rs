//! `isolatectl statement verify`: whether a file of statements is whole, and of which of them isolation held.

use std::fmt::Write;
use std::fs::File;
use std::io::{BufReader, IsTerminal};
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use serde::Serialize;

use oci_isolate::statement::{Container, Facts, Period, Tried};

use super::chain::{self, Head};
use super::document::Statement;
use super::key::PublicKey;
use super::verdict::doubts;
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
    /// A waived rule that does not matter to you, or "openings" for ports and peers; may be given several times
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

pub(super) fn verify(arguments: &VerifyArguments, json: bool) -> Result<Exit> {
    match reports(arguments) {
        Ok(reports) => {
            if json {
                print_json(&reports)?
            } else {
                print(&text(&reports)?)?
            }
            Ok(Exit::ok_if(!reports.is_empty() && reports.iter().all(|report| report.held)))
        }
        Err(error) => {
            crate::complain(&error);
            Ok(Exit::Usage)
        }
    }
}

fn reports(arguments: &VerifyArguments) -> Result<Vec<Judgement>> {
    let VerifyArguments { file, key, nonce, after, head, accept } = arguments;
    let key = PublicKey::read(key)?;
    let mut reports = Vec::new();
    let take = |statement: Statement, head: &Head| {
        if nonce.is_none() || statement.facts.nonce == *nonce {
            reports.push(report(statement, head, accept));
        }
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
    Ok(reports)
}

fn report(statement: Statement, head: &Head, accepted: &[String]) -> Judgement {
    let doubts = doubts(&statement.facts, accepted);
    let attempts = attempts(&statement.facts);
    let Facts { container, image, nonce, sealed, openings, .. } = statement.facts;
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
        not_looked_at: statement.not_looked_at,
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

fn text(reports: &[Judgement]) -> Result<String> {
    if reports.is_empty() {
        return Ok("there is no statement with this nonce\n".to_owned());
    }
    let mut text = String::new();
    for report in reports {
        let Judgement { sequence, container, sealed: Period { from, to }, held, .. } = report;
        let word = if *held { "held" } else { "not held" };
        writeln!(text, "{sequence}: container {}, {from} to {to}: {word}", container.id)?;
        for doubt in &report.doubts {
            writeln!(text, "  {doubt}")?;
        }
        for opening in report.openings.iter().filter(|_| *held) {
            writeln!(text, "  open: {opening}")?;
        }
        writeln!(text, "  attempts: {}", report.attempts)?;
        for Period { from, to } in &report.not_looked_at {
            writeln!(text, "  not looked at from {from} to {to}")?;
        }
    }
    Ok(text)
}
