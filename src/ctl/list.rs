//! `isolatectl list`: records against reality.

use std::fmt::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use serde::Serialize;

use super::process::runs;
use super::unrecorded::Unrecorded;
use super::{id_of, print, print_json};
use crate::record::Place;

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Line {
    id: String,
    root: PathBuf,
    bundle: Option<PathBuf>,
    /// `sealed`: its program may run. `created`: not sealed yet. `stopped`: its init process has ended. `absent`: the
    /// runtime has no such container; a create failed and left the record, which the next one of that id replaces.
    /// `unreadable`: start and exec are refused. `unrecorded`: it runs, was created isolated and has no record.
    state: &'static str,
    pid: Option<u32>,
}

pub(super) fn list(unrecorded: Vec<Unrecorded>, json: bool) -> Result<ExitCode> {
    let of_unrecorded =
        |Unrecorded { id, root, pid, .. }| Line { id, root, bundle: None, state: "unrecorded", pid };
    let recorded = Place::all()?;
    let recorded = recorded.iter().filter_map(line);
    let lines: Vec<Line> = recorded.chain(unrecorded.into_iter().map(of_unrecorded)).collect();
    if json {
        print_json(&lines)?;
        return Ok(ExitCode::SUCCESS);
    }
    let width = lines.iter().map(|line| line.id.len()).chain([2]).max().unwrap_or(2);
    let mut text = format!("{:width$}  {:10}  {:>8}  ROOT\n", "ID", "STATE", "PID");
    for line in &lines {
        let pid = line.pid.map_or("-".to_owned(), |pid| pid.to_string());
        writeln!(text, "{:width$}  {:10}  {pid:>8}  {}", line.id, line.state, line.root.display())?;
    }
    print(&text)?;
    Ok(ExitCode::SUCCESS)
}

/// The line of a record; none when it went away meanwhile.
fn line(place: &Place) -> Option<Line> {
    let root = place.root().to_owned();
    let record = match place.load() {
        Ok(record) => record?,
        Err(_) => {
            return Some(Line { id: id_of(place), root, bundle: None, state: "unreadable", pid: None });
        }
    };
    let lives = record.init.is_some_and(runs);
    let state = match (place.has_container(), record.init) {
        (false, _) => "absent",
        (true, None) => "created",
        (true, Some(_)) if lives => "sealed",
        (true, Some(_)) => "stopped",
    };
    let pid = record.init.filter(|_| lives).map(|init| init.pid);
    Some(Line { id: record.id, root, bundle: Some(record.bundle), state, pid })
}
