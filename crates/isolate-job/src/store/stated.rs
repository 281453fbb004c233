//! What a signed statement about a job needs (docs/statement.md), as its directory keeps it: digests of data that is removed when the job
//! ends. `isolatectl statement sign` reads the same members.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Job;

/// Its file in the job's directory.
const NAME: &str = "stated.json";

/// What is kept.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stated {
    /// Whether the facts were left for a signature: a job has one statement.
    pub left: bool,
    /// The containers that were started.
    pub containers: Vec<StatedContainer>,
    /// What they were given.
    pub inputs: Vec<StatedData>,
    /// What they left.
    pub outputs: Vec<StatedData>,
}

/// A container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs, reason = "the words of docs/statement.md")]
pub struct StatedContainer {
    pub host: String,
    pub id: String,
}

/// The files of a directory of a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs, reason = "the words of docs/statement.md")]
pub struct StatedData {
    pub host: String,
    pub name: String,
    pub directory: String,
    pub digest: StatedDigest,
}

/// Its digest, or why it is not known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "the words of docs/statement.md")]
pub enum StatedDigest {
    DirHash1(String),
    Unknown(String),
}

impl Job {
    /// What is kept; none of a job that began without statements.
    ///
    /// # Errors
    /// The system's.
    pub fn stated(&self) -> Result<Option<Stated>> {
        if self.has(NAME)? { self.document(NAME).map(Some) } else { Ok(None) }
    }

    /// Keeps it.
    ///
    /// # Errors
    /// The system's.
    pub fn set_stated(&self, stated: &Stated) -> Result<()> {
        self.set_document(NAME, stated)
    }

    /// Keeps nothing of it any more.
    ///
    /// # Errors
    /// The system's.
    pub fn forget_stated(&self) -> Result<()> {
        let path = self.path(NAME);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(error).with_context(|| format!("cannot remove {}", path.display()))
            }
            _ => Ok(()),
        }
    }
}

/// Leaves the facts about a job where `isolatectl statement sign` finds them, beside the file of statements; they survive a power cut.
///
/// # Errors
/// The system's. The directory is the shim's, which makes it for the first container.
pub fn leave(statements: &Path, name: &str, facts: &Value) -> Result<()> {
    let mut directory = statements.as_os_str().to_owned();
    directory.push(".d");
    let directory = PathBuf::from(directory);
    let (new, path) = (directory.join(format!(".{name}.new")), directory.join(format!("{name}.json")));
    let write = || -> std::io::Result<()> {
        let mut options = OpenOptions::new();
        let mut file = options.create(true).write(true).truncate(true).mode(0o600).open(&new)?;
        file.write_all(facts.to_string().as_bytes())?;
        file.sync_all()?;
        fs::rename(&new, &path)
    };
    write().with_context(|| format!("cannot write {}", path.display()))?;
    super::sync(&directory)
}
