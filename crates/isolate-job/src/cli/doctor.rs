//! The verb `doctor`.

use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;
use serde_json::json;

use super::print;
use crate::doctor::{self, Finding};

pub(super) fn doctor(config: Option<&Path>, json: bool) -> Result<ExitCode> {
    let findings = doctor::doctor(config);
    let text = findings.iter().map(Finding::line).collect();
    print(&if json { format!("{:#}\n", json!(findings)) } else { text })?;
    let fails = findings.iter().any(Finding::is_failure);
    Ok(if fails { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
