//! `isolatectl doctor`: checks the prerequisites of isolation before the first container depends on them. It
//! reports what is wrong and how to fix it, and changes nothing.
//!
//! One file per kind of check; each returns findings, which are printed here.

mod cni;
mod containerd;
mod docker;
mod drop_ins;
mod host;
mod jobs;
mod kernel;
mod namespace;
mod running;
mod statement;

use std::borrow::Cow;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::slice;

use anyhow::Result;
use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use super::exit::Exit;
use super::install::{Engine, NAME};
use super::{print, print_json};

#[derive(Debug, clap::Args)]
pub(super) struct DoctorArguments {
    /// The root of the engines' configuration, if it is not /
    #[arg(long, value_name = "DIR", default_value = "/")]
    config_root: PathBuf,
    /// The only engine to check, as on a node whose others are of no interest; all of them if absent
    #[arg(long, value_enum)]
    engine: Option<Engine>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum CheckStatus {
    /// Correct, or absent and not needed.
    Ok,
    /// Works, but differently than may be expected.
    Warn,
    /// Containers would not start, or would start open, or the check could not be run.
    Fail,
}

/// The result of one check.
#[derive(Debug, Serialize, Deserialize)]
struct Finding {
    check: Cow<'static, str>,
    state: CheckStatus,
    says: String,
    r#do: Option<String>,
}

impl Finding {
    fn ok(check: &'static str, says: impl Into<String>) -> Self {
        Self { check: check.into(), state: CheckStatus::Ok, says: says.into(), r#do: None }
    }

    fn warn(check: &'static str, says: impl Into<String>, what: impl Into<String>) -> Self {
        Self { check: check.into(), state: CheckStatus::Warn, says: says.into(), r#do: Some(what.into()) }
    }

    fn fail(check: &'static str, says: impl Into<String>, what: impl Into<String>) -> Self {
        Self { check: check.into(), state: CheckStatus::Fail, says: says.into(), r#do: Some(what.into()) }
    }
}

pub(super) fn doctor(arguments: &DoctorArguments, json: bool) -> Result<Exit> {
    let root = &arguments.config_root;
    let shim = std::env::current_exe()?.with_file_name(NAME);
    let (settings, mut findings) = host::settings();
    let runtime = host::runtime(&shim, &settings, &mut findings);
    findings.push(host::state());
    findings.extend(kernel::check(&settings, runtime.as_ref()));
    findings.extend(statement::check(root, settings.statement.file.as_deref()));
    let of = |engine| match engine {
        Engine::Docker => docker::check(root, &shim, &settings),
        Engine::Containerd => containerd::check(root, &shim, &settings),
        Engine::Podman => vec![drop_ins::podman(root, &shim)],
        Engine::Crio => vec![drop_ins::crio(root, &shim)],
    };
    let asked = arguments.engine.as_ref().map_or(Engine::value_variants(), slice::from_ref);
    findings.extend(asked.iter().copied().flat_map(of));
    findings.extend(jobs::check(root, &shim.with_file_name(jobs::PROGRAM)));
    if json {
        print_json(&findings)?;
    } else {
        let colour = std::io::stdout().is_terminal();
        print(&findings.iter().map(|finding| line(finding, colour)).collect::<String>())?;
    }
    let fails = findings.iter().any(|finding| finding.state == CheckStatus::Fail);
    Ok(Exit::ok_if(!fails))
}

fn line(finding: &Finding, colour: bool) -> String {
    let (word, number) = match finding.state {
        CheckStatus::Ok => ("ok  ", 32),
        CheckStatus::Warn => ("warn", 33),
        CheckStatus::Fail => ("FAIL", 31),
    };
    let word = if colour { format!("\x1b[{number}m{word}\x1b[0m") } else { word.to_owned() };
    let what = finding.r#do.iter().map(|what| format!("; {what}")).collect::<String>();
    // Output of a file or a program may contain newlines.
    format!("{word}  {}: {}\n", finding.check, format!("{}{what}", finding.says).replace('\n', " "))
}

/// Whether a path in an engine's configuration is the shim: by its name, or because it is the file beside
/// this program.
fn is_shim(path: &Path, shim: &Path) -> bool {
    let same = || Some(std::fs::canonicalize(path).ok()? == std::fs::canonicalize(shim).ok()?);
    path.file_name().is_some_and(|name| name == NAME) || same() == Some(true)
}

/// Why an engine could not start the shim at this path, if it could not.
fn unusable(path: &Path) -> Option<String> {
    use nix::unistd::{AccessFlags, access};
    let shown = path.display();
    let problem = match std::fs::metadata(path) {
        Err(error) => error.to_string(),
        Ok(meta) if !meta.is_file() || access(path, AccessFlags::X_OK).is_err() => {
            "not an executable file".into()
        }
        Ok(_) => return None,
    };
    Some(format!("cannot start {shown}: {problem}"))
}
