//! `isolatectl attempts`: what a container tried to reach, and what its allow-list kept out, as the table of its network
//! namespace has counted it.

use std::fmt::Write;
use std::net::IpAddr;
use std::os::fd::AsFd;

use anyhow::{Context, Result, bail};
use serde::Serialize;

use super::exit::Exit;
use super::{print, print_json};
use oci_isolate::audit::time_stamp;
use oci_isolate::record::{InitProcess, Record, Slot};
use oci_isolate::{bundle, seal};

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct AttemptsReport<'a> {
    id: &'a str,
    attempts: Vec<DestinationLine>,
    not_kept: NotKept,
    missing: Vec<String>,
}

#[derive(Serialize)]
struct DestinationLine {
    direction: &'static str,
    protocol: String,
    address: IpAddr,
    port: Option<u16>,
    count: u64,
    first: String,
    last: String,
}

/// Packets of other destinations than those that are listed.
#[derive(Serialize)]
struct NotKept {
    out: u64,
    r#in: u64,
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
    let lines = counted.destinations.into_iter().map(|attempt| DestinationLine {
        direction: attempt.direction.word(),
        protocol: attempt.destination.protocol_name(),
        address: attempt.destination.address,
        port: attempt.destination.port,
        count: attempt.packets,
        first: time_stamp(attempt.first),
        last: time_stamp(attempt.last),
    });
    let not_kept = NotKept { out: counted.not_kept, r#in: counted.arrivals_not_kept };
    let report = AttemptsReport { id, attempts: lines.collect(), not_kept, missing: counted.missing };
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
        let width =
            report.attempts.iter().map(|line| line.address.to_string().len()).max().unwrap_or(0).max(7);
        let head = ("PROTO", "ADDRESS", "PORT", "COUNT", "FIRST", "LAST");
        let (proto, address, port, count, first, last) = head;
        writeln!(text, "     {proto:7}  {address:width$}  {port:>5}  {count:>8}  {first:24}  {last}")?;
        for DestinationLine { direction, protocol, address, port, count, first, last } in &report.attempts {
            let (address, port) = (address.to_string(), port.map_or("-".into(), |port| port.to_string()));
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
