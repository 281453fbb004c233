//! The verb `check`.

use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;
use clap::ValueEnum;

use super::{print, read, refuse};
use crate::check::{self, Host};
use crate::settings::{EngineKind, Settings};

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum Program {
    Docker,
    Podman,
}

/// The settings, overridden by the command line.
pub(super) fn chosen(
    mut settings: Settings,
    engine: Option<Program>,
    runtime: Option<String>,
    state: Option<String>,
) -> Settings {
    if let Some(engine) = engine {
        settings.engine = match engine {
            Program::Docker => EngineKind::Docker,
            Program::Podman => EngineKind::Podman,
        };
        settings.engine_path = None;
    }
    settings.runtime = runtime.unwrap_or(settings.runtime);
    settings.state = state.unwrap_or(settings.state);
    settings
}

pub(super) fn check(request: &Path, host: &Host, json: bool) -> Result<ExitCode> {
    let report = read(request).and_then(|text| Ok(check::check(&text, host)?));
    match report {
        Ok(report) => {
            print(&if json { format!("{:#}\n", report.json()) } else { report.text() })?;
            Ok(ExitCode::SUCCESS)
        }
        Err(refused) => refuse(request, refused, json),
    }
}
