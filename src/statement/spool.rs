//! The directory beside the file of statements in which facts wait for their signature: one file for each container, named
//! after its run. A file appears whole, and survives a power cut.

use std::fs::{DirBuilder, File};
use std::io::ErrorKind;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::Facts;
use crate::files;

/// The directory that belongs to a file of statements.
#[must_use]
pub fn directory(statements: &Path) -> PathBuf {
    let mut name = statements.as_os_str().to_owned();
    name.push(".d");
    name.into()
}

/// Writes facts down. Those of the same run are replaced.
///
/// # Errors
/// The directory cannot be made or written; the one above it must exist.
pub fn write(statements: &Path, facts: &Facts) -> Result<()> {
    let directory = directory(statements);
    let shown = || format!("cannot write {}", directory.display());
    match DirBuilder::new().mode(0o700).create(&directory) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error).with_context(shown),
        _ => {}
    }
    files::write_durably(&directory.join(format!("{}.json", facts.run)), &serde_json::to_vec(facts)?, 0o600)?;
    File::open(&directory).and_then(|directory| directory.sync_all()).with_context(shown)
}

/// Removes facts whose statement is on the disk. They do not come back after a power cut.
///
/// # Errors
/// They cannot be removed, or the directory not be synced.
pub fn remove(waiting: &Path) -> Result<()> {
    files::remove(waiting)?;
    let directory = waiting.parent().context("what waits is in no directory")?;
    let synced = File::open(directory).and_then(|directory| directory.sync_all());
    synced.with_context(|| format!("cannot write {}", directory.display()))
}

/// The files in it, in the order of their names.
///
/// # Errors
/// It cannot be listed.
pub fn waiting(statements: &Path) -> Result<Vec<PathBuf>> {
    let directory = directory(statements);
    let entries = match std::fs::read_dir(&directory) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.with_context(|| format!("cannot list {}", directory.display()))?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry.with_context(|| format!("cannot list {}", directory.display()))?.path();
        found.extend(path.extension().is_some_and(|extension| extension == "json").then_some(path));
    }
    found.sort();
    Ok(found)
}
