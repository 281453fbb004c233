//! The directory beside the file of statements in which facts wait for their signature: one file for each container, named
//! after its run. A file appears whole. It is written when the container is sealed, as that of one that ended without facts, and
//! replaced when it is deleted; then it survives a power cut.

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

/// Writes down what is stated of a run if nothing more comes. It need not survive a power cut at once: nothing is synced.
///
/// # Errors
/// The directory cannot be made or written; the one above it must exist.
pub fn announce(statements: &Path, facts: &Facts) -> Result<()> {
    files::write(&file_of(statements, facts)?, &serde_json::to_vec(facts)?, 0o600)
}

/// Writes facts down. Those of the same run are replaced.
///
/// # Errors
/// The directory cannot be made or written; the one above it must exist.
pub fn write(statements: &Path, facts: &Facts) -> Result<()> {
    let file = file_of(statements, facts)?;
    files::write_durably(&file, &serde_json::to_vec(facts)?, 0o600)?;
    sync(&directory(statements))
}

/// The file of a run, in a directory that exists.
fn file_of(statements: &Path, facts: &Facts) -> Result<PathBuf> {
    let directory = directory(statements);
    match DirBuilder::new().mode(0o700).create(&directory) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => {
            Err(error).with_context(|| format!("cannot write {}", directory.display()))
        }
        _ => Ok(directory.join(format!("{}.json", facts.run))),
    }
}

fn sync(directory: &Path) -> Result<()> {
    let synced = File::open(directory).and_then(|directory| directory.sync_all());
    synced.with_context(|| format!("cannot write {}", directory.display()))
}

/// Removes facts whose statement is on the disk. They do not come back after a power cut.
///
/// # Errors
/// They cannot be removed, or the directory not be synced.
pub fn remove(waiting: &Path) -> Result<()> {
    files::remove(waiting)?;
    sync(waiting.parent().context("what waits is in no directory")?)
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
