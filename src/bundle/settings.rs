//! Reads the host's settings.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::rules::credentials;
use crate::settings::{self, Property, Settings};
use crate::{files, policy, rules};

/// Reads the settings: from the file named by the flag or else the environment, which must exist, or from the
/// default one, which may be missing.
///
/// # Errors
/// They cannot be read, or are invalid.
pub fn load_settings(flag: Option<&Path>) -> Result<Settings> {
    let named = named(flag);
    let path = &*settings_path(flag);
    match files::read(path, files::SMALL_LIMIT) {
        Ok(snapshot) => {
            let text = str::from_utf8(&snapshot.bytes).ok().context("not UTF-8");
            let parsed = text.and_then(|text| Settings::parse(text).map_err(anyhow::Error::msg));
            let parsed = parsed.and_then(|mut settings| {
                rules::check_answers(&settings.rules).map_err(anyhow::Error::msg)?;
                policy::default_openings(&settings, &[]).map_err(anyhow::Error::msg)?;
                check_required_variables(&settings)?;
                settings.statement.settings = Some(snapshot.version.clone());
                Ok(settings)
            });
            parsed.with_context(|| format!("cannot use the settings {}", path.display()))
        }
        Err(_) if named.is_none() && is_missing(path) => Ok(Settings::default()),
        Err(error) => Err(error.context("cannot use the settings")),
    }
}

/// The file that [`load_settings`] reads.
#[must_use]
pub fn settings_path(flag: Option<&Path>) -> PathBuf {
    named(flag).unwrap_or_else(|| settings::DEFAULT_PATH.into())
}

fn named(flag: Option<&Path>) -> Option<PathBuf> {
    flag.map(PathBuf::from).or_else(|| std::env::var_os(settings::PATH_VARIABLE).map(PathBuf::from))
}

/// A variable that is removed at `create` is missing when a container is judged again whose record is gone.
fn check_required_variables(settings: &Settings) -> Result<()> {
    for require in &settings.require {
        if let Property::Variable(name) = &require.property
            && credentials::is_removed(name, &settings.credentials)
        {
            bail!("[[require]] env: {name} is removed from isolated containers; name another variable");
        }
    }
    Ok(())
}

/// Whether there is nothing, not even a dangling link.
fn is_missing(path: &Path) -> bool {
    std::fs::symlink_metadata(path).is_err_and(|error| error.kind() == ErrorKind::NotFound)
}
