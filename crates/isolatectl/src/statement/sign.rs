//! `isolatectl statement sign`: makes statements of the facts that wait. Each is in the file, and on the disk, before its
//! facts are removed; what a killed run has left is finished by the next.

use std::collections::HashSet;
use std::fs::{File, OpenOptions};
use std::io::{BufReader, Read, Seek, SeekFrom, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use nix::libc::O_NOFOLLOW;
use serde::Serialize;

use oci_isolate::record::Slot;
use oci_isolate::statement::{Facts, spool};
use oci_isolate::{bundle, files};

use super::chain::{self, Head};
use super::document::Stated;
use super::key::PrivateKey;
use crate::exit::Exit;
use crate::{print, print_json};

/// The most facts about one container or job that are read, in bytes.
const LIMIT: u64 = 32 << 20;

#[derive(Serialize)]
struct SignReport {
    file: PathBuf,
    /// How many statements were added.
    signed: u64,
    /// How many wait until the container's record is gone.
    waiting: u64,
    /// Of the last statement of the file.
    sequence: Option<u64>,
    sha256: Option<String>,
    failures: Vec<String>,
}

pub(super) fn sign(key: &Path, json: bool) -> Result<Exit> {
    let key = PrivateKey::read(key)?;
    let settings = bundle::load_settings(None)?;
    let path = settings
        .statement
        .file
        .context("the settings have no statement.file, so there is nothing to sign")?;
    let report = sign_all(path, &key)?;
    if json {
        print_json(&report)?;
    } else {
        let mut text = format!("{}: statements added: {}", report.file.display(), report.signed);
        if report.waiting > 0 {
            text += &format!(", waiting for the end of their containers: {}", report.waiting);
        }
        if let (Some(sequence), Some(digest)) = (report.sequence, &report.sha256) {
            text += &format!("; the last is statement {sequence}, sha256 {digest}");
        }
        let failures: String = report.failures.iter().map(|failure| format!("\n{failure}")).collect();
        print(&(text + &failures + "\n"))?;
    }
    Ok(Exit::ok_if(report.failures.is_empty()))
}

fn sign_all(path: PathBuf, key: &PrivateKey) -> Result<SignReport> {
    let mut file = open(&path)?;
    let last = last_line(&mut file).with_context(|| format!("cannot read {}", path.display()))?;
    let last = last.map(|line| chain::line(&line, key.public()));
    let last = last.transpose().with_context(|| {
        format!("cannot go on after the last line of {}; move the file away to begin another", path.display())
    })?;
    let (last, mut head) = last.map(|(statement, head)| (statement.stated, head)).unzip();
    let mut failures = Vec::new();
    let mut waiting = Vec::new();
    for path in spool::waiting(&path)? {
        match read(&path) {
            // A run that was killed has written its line and not removed it yet.
            Ok(stated) if last.as_ref().is_some_and(|last| last.run() == stated.run()) => {
                spool::remove(&path)?;
            }
            Ok(stated) => waiting.push((stated, path)),
            Err(error) => failures.push(format!("{error:#}")),
        }
    }
    waiting.sort_by_key(|(stated, _)| (stated.end(), stated.run().to_owned()));
    // A run of a container cannot come back: its record is gone. A job can, with its directory. Of two lines about one run `verify` would
    // refuse the whole file.
    let mut signed = HashSet::new();
    if waiting.iter().any(|(stated, _)| matches!(stated, Stated::Job(_))) {
        let from_start = file.rewind().and_then(|()| {
            chain::runs(BufReader::new(&*file), key.public(), |run| {
                signed.insert(run.to_owned());
            })
        });
        from_start.with_context(|| format!("cannot read {}", path.display()))?;
    }
    let mut report = SignReport { file: path, signed: 0, waiting: 0, sequence: None, sha256: None, failures };
    for (stated, waited) in waiting {
        if matches!(&stated, Stated::Run(facts) if is_recorded(facts)) {
            report.waiting += 1;
            continue;
        }
        // What it was when it was read may have been replaced before the record was removed.
        let stated = match read(&waited) {
            Ok(stated) => stated,
            Err(error) => {
                report.failures.push(format!("{error:#}"));
                continue;
            }
        };
        if !signed.insert(stated.run().to_owned()) {
            report.failures.push(format!(
                "{}: {} has a statement of its run already, and there cannot be two; move it away",
                waited.display(),
                report.file.display()
            ));
            continue;
        }
        head = Some(
            append(&mut file, head.as_ref(), stated, key)
                .with_context(|| format!("cannot write {}", report.file.display()))?,
        );
        report.signed += 1;
        // Before the next line: only the last one is compared with what waits.
        spool::remove(&waited)?;
    }
    (report.sequence, report.sha256) = head.map(|head| (head.sequence, head.digest)).unzip();
    Ok(report)
}

/// The files of facts that wait for a signature alone: what they are about has ended, or they cannot be understood.
pub(crate) fn unsigned(statements: &Path) -> Result<Vec<PathBuf>> {
    let waits = |path: &PathBuf| !matches!(read(path), Ok(Stated::Run(facts)) if is_recorded(&facts));
    Ok(spool::waiting(statements)?.into_iter().filter(waits).collect())
}

/// The file, locked.
fn open(path: &Path) -> Result<Flock<File>> {
    let shown = || format!("cannot open {}", path.display());
    let mut options = OpenOptions::new();
    let options = options.read(true).append(true).create(true).mode(0o600).custom_flags(O_NOFOLLOW);
    let file = options.open(path).with_context(shown)?;
    if !file.metadata().with_context(shown)?.is_file() {
        bail!("{}: not a regular file", shown());
    }
    match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Ok(file) => Ok(file),
        Err((_, Errno::EWOULDBLOCK)) => bail!("{} is being written by another process", path.display()),
        Err((_, errno)) => Err(errno).with_context(|| format!("cannot lock {}", path.display())),
    }
}

/// The last whole line. What stands behind it was being written when the machine or the process was stopped, and its facts
/// still wait: it is removed.
fn last_line(file: &mut File) -> Result<Option<Vec<u8>>> {
    let length = file.metadata()?.len();
    let from = length.saturating_sub(2 * chain::LIMIT);
    file.seek(SeekFrom::Start(from))?;
    let mut tail = Vec::new();
    file.take(2 * chain::LIMIT).read_to_end(&mut tail)?;
    let whole = tail.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    if whole == 0 && from > 0 {
        bail!("its last line is longer than any statement");
    }
    if whole < tail.len() {
        file.set_len(from + whole as u64)?;
    }
    tail.truncate(whole);
    let Some((_, before)) = tail.split_last() else { return Ok(None) };
    let begin = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    Ok(Some(tail.split_off(begin)))
}

/// The facts in a file: `job-NAME.json` is about a job.
fn read(path: &Path) -> Result<Stated> {
    let bytes = files::read_no_link(path, LIMIT)?.bytes;
    let is_job = path.file_name().is_some_and(|name| name.as_bytes().starts_with(b"job-"));
    let read = match is_job {
        true => serde_json::from_slice(&bytes).map(Stated::Job),
        false => serde_json::from_slice(&bytes).map(|facts| Stated::Run(Box::new(facts))),
    };
    read.with_context(|| {
        format!("cannot understand {}, so there is no statement of it; move it away", path.display())
    })
}

/// Whether its record is still there: the engine has to delete it once more, and what waits may be replaced.
fn is_recorded(facts: &Facts) -> bool {
    let slot = Slot::of(&facts.container.root, &facts.container.id);
    let record = slot.map(|slot| slot.load());
    match record {
        None | Some(Ok(None)) => false,
        Some(Ok(Some(record))) => Facts::run(&facts.host.boot, record.creator) == facts.run,
        Some(Err(_)) => true,
    }
}

fn append(file: &mut File, head: Option<&Head>, stated: Stated, key: &PrivateKey) -> Result<Head> {
    let line = chain::next(stated, head, key)?;
    let (_, head) =
        chain::line(line.as_bytes(), key.public()).context("what was signed cannot be verified")?;
    file.write_all(line.as_bytes())?;
    file.sync_data()?;
    Ok(head)
}
