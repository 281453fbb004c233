//! Whether a running container is isolated, by `isolatectl verify`.

use std::path::PathBuf;

use serde::Deserialize;

use crate::client::{self, DEADLINE, one_line};

const NAME: &str = "isolatectl";

/// `isolatectl`: beside this program, or in PATH.
pub(super) fn verifier() -> Result<PathBuf, String> {
    let own = std::env::current_exe().ok();
    let beside = own.as_deref().and_then(|own| own.parent()).map(|directory| directory.join(NAME));
    let found = beside.filter(|path| path.is_file()).or_else(|| client::find(NAME));
    found.ok_or_else(|| {
        format!("{NAME} is neither beside isolate-job nor in PATH; install it: it verifies that containers are isolated")
    })
}

#[derive(Deserialize)]
struct Report {
    broken: Vec<Broken>,
}

#[derive(Deserialize)]
struct Broken {
    rule: String,
    why: String,
}

/// Checks that a container is isolated.
///
/// # Errors
/// What does not hold, or why it cannot be verified.
pub(crate) fn verify(id: &str) -> Result<(), String> {
    let program = verifier()?;
    let argv = [&program.to_string_lossy(), "--json", "verify", id].map(str::to_owned);
    let (status, out, err) = client::output(&argv, DEADLINE).map_err(|error| error.to_string())?;
    if status.success() {
        return Ok(());
    }
    let reports: Vec<Report> = serde_json::from_str(&out).unwrap_or_default();
    let all = reports.iter().flat_map(|report| &report.broken);
    let broken = all.map(|broken| format!("{}: {}", broken.rule, broken.why)).collect::<Vec<_>>().join("; ");
    Err(one_line(if broken.is_empty() { &err } else { &broken }))
}
