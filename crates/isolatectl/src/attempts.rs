//! `isolatectl attempts`: what a container tried to reach, and what its allow-list kept out, as the table of its network
//! namespace has counted it.

use std::fmt::Write;
use std::os::fd::AsFd;

use anyhow::{Context, Result, bail};
use serde::Serialize;

use super::exit::Exit;
use super::{print, print_json};
use oci_isolate::record::{InitProcess, Record, Slot};
use oci_isolate::statement::{Counted, NotKept, TriedDestination};
use oci_isolate::{bundle, seal};

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct AttemptsReport<'a> {
    id: &'a str,
    attempts: Vec<TriedDestination>,
    not_kept: NotKept,
    missing: Vec<String>,
}

pub(super) fn attempts(slot: &Slot, record: &Record, json: bool) -> Result<Exit> {
    let id = &record.id;
    let netns = match record.init {
        None => bail!("container {id} is not started yet"),
        Some(init) if init.runs() => InitProcess::open(init)?.netns,
        Some(_) => bundle::sealed_netns(slot, record)?.with_context(|| {
            format!("container {id} does not run any more, and its network namespace is gone")
        })?,
    };
    let counted = seal::attempts(netns.as_fd())?.with_context(|| {
        format!(
            "the attempts of container {id} are not counted; set attempts.count = true in the settings, and create it again"
        )
    })?;
    let Counted { destinations, not_kept, missing } = counted.into();
    let report = AttemptsReport { id, attempts: destinations, not_kept, missing };
    if json {
        print_json(&report)?;
    } else {
        print(&text(&report)?)?;
    }
    Ok(Exit::ok_if(report.missing.is_empty()))
}

fn text(report: &AttemptsReport) -> Result<String> {
    let mut text = String::new();
    if report.attempts.is_empty() {
        writeln!(text, "nothing was refused")?;
    } else {
        let width = report.attempts.iter().map(|line| line.ip.to_string().len()).max().unwrap_or(0).max(7);
        let head = ("PROTO", "ADDRESS", "PORT", "COUNT", "FIRST", "LAST");
        let (proto, address, port, count, first, last) = head;
        writeln!(text, "     {proto:7}  {address:width$}  {port:>5}  {count:>8}  {first:24}  {last}")?;
        for TriedDestination { direction, protocol, ip, port, count, first, last } in &report.attempts {
            let (address, port) = (ip.to_string(), port.map_or("-".into(), |port| port.to_string()));
            let (first, last) = (first.to_string(), last.to_string());
            writeln!(
                text,
                "{direction:3}  {protocol:7}  {address:width$}  {port:>5}  {count:>8}  {first:24}  {last}"
            )?;
        }
    }
    for (direction, packets) in [("out", report.not_kept.out), ("in", report.not_kept.r#in)] {
        if packets > 0 {
            writeln!(text, "{direction:3}  {packets} more not kept")?;
        }
    }
    for missing in &report.missing {
        writeln!(text, "incomplete: {missing}")?;
    }
    Ok(text)
}
