//! Which files an earlier run has uploaded, so that checkpoints that have not changed are not sent every minute. It is opened before
//! the process may no longer write there; a record that was not written whole is an empty one.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use crate::tree::Version;

/// The files, by their paths.
pub(super) type Sent = BTreeMap<String, Version>;

/// The record of a directory.
#[derive(Debug)]
pub(super) struct Record {
    file: File,
    sent: Sent,
}

impl Record {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        let mut file = options.read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
        let mut text = Vec::new();
        file.read_to_end(&mut text)?;
        Ok(Self { file, sent: serde_json::from_slice(&text).unwrap_or_default() })
    }

    /// Whether this very version was uploaded.
    pub(super) fn has(&self, path: &str, version: &Version) -> bool {
        self.sent.get(path) == Some(version)
    }

    pub(super) fn replace(&self, sent: &Sent) -> io::Result<()> {
        let mut file = &self.file;
        file.set_len(0)?;
        file.rewind()?;
        let mut writer = BufWriter::new(file);
        serde_json::to_writer(&mut writer, sent)?;
        writer.flush()
    }
}
