//! Whether the ends of isolated containers are written down for signed statements: `[statement]`.

use std::path::PathBuf;

use serde::Deserialize;

use crate::file_version::FileVersion;

/// Where signed statements are kept.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct StatementSettings {
    /// The file of signed statements, by its absolute path; none by default.
    pub file: Option<PathBuf>,
    /// The settings file as it was read.
    #[serde(skip)]
    pub settings: Option<FileVersion>,
}

impl StatementSettings {
    /// Checks the values; the message names the key.
    pub(super) fn check(&self) -> Result<(), String> {
        match &self.file {
            Some(file) if !file.is_absolute() || file.file_name().is_none() => {
                Err(format!("statement.file: {} is not the absolute path of a file", file.display()))
            }
            _ => Ok(()),
        }
    }
}
