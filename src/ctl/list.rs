//! `isolatectl list`: records against reality.

use std::fmt::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use serde::Serialize;

use super::{all, print, print_json};

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Line {
    id: String,
    root: PathBuf,
    bundle: PathBuf,
    /// `sealed`: its program may run. `created`: not sealed yet. `stopped`: its init process has ended. `absent`: the
    /// runtime has no such container; a create failed and left the record, which the next one of that id replaces.
    state: &'static str,
    pid: Option<u32>,
}

pub(super) fn list(json: bool) -> Result<ExitCode> {
    let lines: Vec<Line> = all()?
        .into_iter()
        .map(|(place, record)| {
            let lives = record.init.is_some_and(|init| init.lives());
            let state = match (place.has_container(), record.sealed.is_some() || record.joins_sealed, lives) {
                (false, ..) => "absent",
                (true, true, true) => "sealed",
                (true, true, false) if record.init.is_some() => "stopped",
                (true, ..) => "created",
            };
            let pid = record.init.filter(|_| lives).map(|init| init.pid);
            Line { root: place.root().to_owned(), id: record.id, bundle: record.bundle, state, pid }
        })
        .collect();
    if json {
        print_json(&lines)?;
        return Ok(ExitCode::SUCCESS);
    }
    let width = lines.iter().map(|line| line.id.len()).chain([2]).max().unwrap_or(2);
    let mut text = format!("{:width$}  {:8}  {:>8}  ROOT\n", "ID", "STATE", "PID");
    for line in &lines {
        let pid = line.pid.map_or("-".to_owned(), |pid| pid.to_string());
        writeln!(text, "{:width$}  {:8}  {pid:>8}  {}", line.id, line.state, line.root.display())?;
    }
    print(&text)?;
    Ok(ExitCode::SUCCESS)
}
