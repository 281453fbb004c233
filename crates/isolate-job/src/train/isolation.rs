//! Whether a running container is isolated, by `isolatectl verify`.

use std::fmt;
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

/// Why a container is not known to be isolated.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Unproven {
    /// It was inspected, and is not.
    Broken(String),
    /// It was inspected, and its seal is not as it should be: that of a container with peers changes when another one ends.
    Seal(String),
    /// It could not be inspected: it has ended or is not there, or the verifier failed.
    Unknown(String),
}

impl fmt::Display for Unproven {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        let (Self::Broken(why) | Self::Seal(why) | Self::Unknown(why)) = self;
        formatter.write_str(why)
    }
}

/// Checks that a container is isolated.
///
/// # Errors
/// What does not hold, or why it cannot be verified.
pub(crate) fn verify(id: &str) -> Result<(), Unproven> {
    let program = verifier().map_err(Unproven::Unknown)?;
    let argv = [&program.to_string_lossy(), "--json", "verify", id].map(str::to_owned);
    match client::output(&argv, DEADLINE) {
        Ok((status, _, _)) if status.success() => Ok(()),
        Ok((_, out, err)) => Err(unproven(&out, &err)),
        Err(error) => Err(Unproven::Unknown(error.to_string())),
    }
}

/// What a verifier reports that does not succeed. Its rules `record` and `verify` are about containers that it cannot inspect.
fn unproven(out: &str, err: &str) -> Unproven {
    let reports: Vec<Report> = serde_json::from_str(out).unwrap_or_default();
    let all: Vec<_> = reports.into_iter().flat_map(|report| report.broken).collect();
    let is_of = |rules: &[&str]| all.iter().all(|broken| rules.contains(&broken.rule.as_str()));
    let text =
        all.iter().map(|broken| format!("{}: {}", broken.rule, broken.why)).collect::<Vec<_>>().join("; ");
    let why = one_line(if text.is_empty() { err } else { &text });
    if is_of(&["record", "verify"]) {
        Unproven::Unknown(why)
    } else if is_of(&["seal"]) {
        Unproven::Seal(why)
    } else {
        Unproven::Broken(why)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verdict_is_not_taken_for_a_container_that_has_ended() {
        let report = |rules: &[&str]| {
            let broken: Vec<_> =
                rules.iter().map(|rule| serde_json::json!({ "rule": rule, "why": "x" })).collect();
            unproven(
                &serde_json::json!([{ "id": "a", "holds": false, "broken": broken }]).to_string(),
                "error",
            )
        };
        assert_eq!(report(&["record"]), Unproven::Unknown("record: x".to_owned()));
        assert_eq!(report(&["verify"]), Unproven::Unknown("verify: x".to_owned()));
        assert_eq!(report(&["seal", "seal"]), Unproven::Seal("seal: x; seal: x".to_owned()));
        for verdict in
            [&["host-pid"][..], &["host-pid", "record"], &["seal", "credentials"], &["seal", "verify"]]
        {
            assert!(matches!(report(verdict), Unproven::Broken(_)), "{verdict:?}");
        }
        let gone = "container a is not isolated, or not here\n";
        assert_eq!(unproven("", gone), Unproven::Unknown(gone.trim().to_owned()));
    }
}
