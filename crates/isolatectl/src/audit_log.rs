//! The audit log (docs/audit.md), read one line at a time. What is not a line of it is reported, not guessed at.

use std::fs::OpenOptions;
use std::io::{BufRead, BufReader, Read, stdin};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use nix::libc::O_NONBLOCK;
use serde::Deserialize;

use super::shown;
use oci_isolate::audit::{LIMIT, Outcome};

/// A line, as the shim writes it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AuditLine {
    pub(super) time: String,
    pub(super) verb: Option<String>,
    pub(super) id: String,
    pub(super) root: Option<PathBuf>,
    pub(super) bundle: Option<PathBuf>,
    pub(super) decision: Outcome,
    pub(super) why: Option<String>,
    pub(super) rules: Vec<String>,
    pub(super) runtime: Option<String>,
    pub(super) namespace: Option<String>,
    pub(super) pod: Option<String>,
    pub(super) container: Option<String>,
    pub(super) job: Option<String>,
    pub(super) uid: u32,
    pub(super) pid: i32,
}

/// What stands next in the log.
pub(super) enum Next {
    Line(Box<AuditLine>),
    /// Which line, and why it is none.
    Unreadable(String),
    /// The last line has no end: it is being written, or was cut by a full disk.
    Unfinished,
    End,
}

/// A log that is being read.
pub(super) struct AuditLog {
    reader: BufReader<Box<dyn Read>>,
    name: String,
    number: u64,
}

impl AuditLog {
    /// # Errors
    /// It cannot be opened, or is no regular file: a FIFO would be waited for.
    pub(super) fn open(path: &Path) -> Result<Self> {
        let file = OpenOptions::new().read(true).custom_flags(O_NONBLOCK).open(path);
        let file = file.with_context(|| format!("cannot open the audit log {}", path.display()))?;
        if !file.metadata().is_ok_and(|meta| meta.is_file()) {
            bail!("the audit log {} is not a regular file, and can be read only once", path.display());
        }
        Ok(Self { reader: BufReader::new(Box::new(file)), name: shown(path), number: 0 })
    }

    pub(super) fn of_stdin() -> Self {
        Self { reader: BufReader::new(Box::new(stdin())), name: "stdin".into(), number: 0 }
    }

    /// # Errors
    /// It cannot be read any further.
    pub(super) fn next(&mut self) -> Result<Next> {
        let mut line = Vec::new();
        let cannot = || format!("cannot read {}", self.name);
        self.reader.by_ref().take(LIMIT as u64).read_until(b'\n', &mut line).with_context(cannot)?;
        if line.is_empty() {
            return Ok(Next::End);
        }
        self.number += 1;
        if line.last() != Some(&b'\n') {
            if line.len() < LIMIT {
                return Ok(Next::Unfinished);
            }
            self.reader.skip_until(b'\n').with_context(cannot)?;
            return Ok(self.unreadable(format!("it is longer than {LIMIT} bytes")));
        }
        match serde_json::from_slice(&line) {
            Ok(line) => Ok(Next::Line(line)),
            Err(error) => Ok(self.unreadable(error)),
        }
    }

    fn unreadable(&self, why: impl std::fmt::Display) -> Next {
        Next::Unreadable(format!(
            "line {} of {} is not a line of the audit log: {why}",
            self.number, self.name
        ))
    }

    /// Which line was read last.
    pub(super) fn place(&self) -> String {
        format!("line {} of {}", self.number, self.name)
    }
}
