//! `isolatectl jobs`: puts the members of jobs that run on other nodes into the records, the kernel and `/etc/hosts` of the
//! containers that run on this one. Asks no API server: what is put stands in a file (`jobs_document`).

use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use serde::Serialize;

use super::exit::Exit;
use super::jobs_document::{LIMIT, Parsed, parse};
use super::jobs_metrics::PutFigures;
use super::{print, print_json};
use oci_isolate::audit::{self, Line, Outcome};
use oci_isolate::diagnostics::escape_controls;
use oci_isolate::job::{self, PutFailure};
use oci_isolate::record::{Slot, Store};
use oci_isolate::settings::Audit;
use oci_isolate::{bundle, files};

/// The file that `follow` reads.
const FILE: &str = "jobs.json";

/// What this process runs.
const PROGRAM: &str = "/proc/self/exe";

/// How long a container that was started meanwhile waits for its members, at most.
const EVERY: Duration = Duration::from_secs(30);

#[derive(Debug, clap::Subcommand)]
pub(super) enum JobsCommand {
    /// Makes the members in a file the members on other nodes; status 1 if a container could not be set, or a member was left out
    Put {
        /// What isolate-node has written; - is stdin
        file: PathBuf,
    },
    /// Does so with jobs.json of a directory, at each change and every 30 seconds, until it is ended
    Follow {
        /// The directory
        directory: PathBuf,
        /// A file for figures about it, in Prometheus' text format
        #[arg(long, value_name = "FILE")]
        metrics: Option<PathBuf>,
    },
}

#[derive(Default, Serialize)]
#[serde(rename_all = "kebab-case")]
struct JobsReport {
    /// Whether the file was complete.
    synced: bool,
    /// How many containers of jobs run here.
    containers: usize,
    /// Containers whose members have changed.
    changed: Vec<String>,
    failures: Vec<Failure>,
}

#[derive(Serialize)]
struct Failure {
    /// The container; nothing for a job or member of the file.
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    why: String,
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { id, why } = self;
        match id {
            Some(id) => write!(f, "container {id}: {why}"),
            None => f.write_str(why),
        }
    }
}

pub(super) fn jobs(verb: &JobsCommand, json: bool) -> Result<Exit> {
    match verb {
        JobsCommand::Put { file } => put_file(file, json),
        JobsCommand::Follow { directory, metrics } => follow(directory, metrics.as_deref(), json),
    }
}

fn shown(file: &Path) -> String {
    format!("cannot put the jobs of {}", file.display())
}

fn put_file(file: &Path, json: bool) -> Result<Exit> {
    // Before the lock is taken: who writes it may take any time.
    let stdin = (file == Path::new("-")).then(read_stdin).transpose()?;
    let text = || stdin.map_or_else(|| files::read(file, LIMIT).map(|read| read.bytes), Ok).map(Some);
    report(&put(text).with_context(|| shown(file))?, json)
}

fn read_stdin() -> Result<Vec<u8>> {
    let mut text = Vec::new();
    std::io::stdin().take(LIMIT + 1).read_to_end(&mut text).context("cannot read stdin")?;
    if text.len() as u64 > LIMIT {
        bail!("cannot read stdin: more than {LIMIT} bytes");
    }
    Ok(text)
}

/// Puts what is read under the lock: what another process has put before is not replaced by what the file had before that.
/// Without anything to read nothing is changed.
fn put(read: impl FnOnce() -> Result<Option<Vec<u8>>>) -> Result<JobsReport> {
    let store = Store::ours();
    let lock = store.may_have_records().then(|| store.lock_peers()).transpose()?;
    let mut report = JobsReport::default();
    let Some(text) = read()? else { return Ok(report) };
    let Some(Parsed { cluster, refused }) = parse(&text)? else { return Ok(report) };
    report.synced = true;
    report.failures.extend(refused.into_iter().map(|why| Failure { id: None, why }));
    let settings = bundle::load_settings(None)?;
    if lock.is_none() {
        return Ok(report);
    }
    let done = job::put_remote(&store, &cluster)?;
    report.containers = done.members;
    for slot in &done.changed {
        let id = slot.id().to_string_lossy().into_owned();
        // One that fails keeps no other from being written down.
        if let Err(error) = write_down(&settings.audit, slot) {
            report.failures.push(Failure { id: Some(id.clone()), why: format!("{error:#}") });
        }
        report.changed.push(id);
    }
    let failures = done.failures.into_iter();
    report.failures.extend(failures.map(|PutFailure { id, why }| Failure { id: Some(id), why }));
    Ok(report)
}

/// One line with the container's members on other nodes.
fn write_down(audit: &Audit, slot: &Slot) -> Result<()> {
    let Some(record) = slot.load()? else { return Ok(()) };
    let remote = record.opened.iter().flat_map(|opened| &opened.remote);
    let members: Vec<String> =
        remote.map(|member| format!("{} on {}", member.pod.name, member.node)).collect();
    let why =
        format!("isolatectl jobs: {}", if members.is_empty() { "none".into() } else { members.join(", ") });
    let line = record.audit_line(slot, Outcome::Changed);
    audit::write(audit, &Line { verb: Some("jobs"), why: Some(&why), ..line })
}

fn report(report: &JobsReport, json: bool) -> Result<Exit> {
    if json {
        print_json(report)?;
    } else {
        let mut text = String::new();
        if !report.synced {
            text.push_str("not synced: nothing is changed\n");
        }
        report.changed.iter().for_each(|id| text.push_str(&format!("{id}\n")));
        print(&text)?;
        report.failures.iter().for_each(|failure| complain(&failure.to_string()));
    }
    Ok(Exit::ok_if(report.failures.is_empty()))
}

fn complain(why: &str) {
    let _ = writeln!(std::io::stderr(), "isolatectl: {}", escape_controls(why, &[]));
}

/// The file of a directory that another user may write: no link is followed, and nothing but a regular file is opened.
/// `None`: there is none yet.
fn read_shared(directory: &Path) -> Result<Option<Vec<u8>>> {
    match files::read_no_link(&directory.join(FILE), LIMIT) {
        Ok(snapshot) => Ok(Some(snapshot.bytes)),
        Err(error) if error.downcast_ref().map(std::io::Error::kind) == Some(ErrorKind::NotFound) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Until it is ended, or this program is replaced: who has started it starts the new one. An error is printed when it appears or
/// changes, and tried again.
fn follow(directory: &Path, metrics: Option<&Path>, json: bool) -> Result<Exit> {
    let inotify =
        Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK).context("cannot use inotify")?;
    // It is replaced by a rename.
    let events = AddWatchFlags::IN_MOVED_TO | AddWatchFlags::IN_ONLYDIR;
    // Opened once: what is read is in the directory that is watched.
    let opened = File::open(directory).with_context(|| format!("cannot open {}", directory.display()))?;
    let here = PathBuf::from(format!("/proc/self/fd/{}", opened.as_raw_fd()));
    let watched = inotify.add_watch(&here, events);
    watched.with_context(|| format!("cannot watch {}", directory.display()))?;
    let file = directory.join(FILE);
    let mut last = String::new();
    let mut unwritten = None;
    let mut figures = PutFigures::default();
    loop {
        let start = Instant::now();
        let done = put(|| read_shared(&here)).and_then(|done| {
            if done.synced {
                figures.put(start.elapsed(), done.containers, done.changed.len(), done.failures.len());
            }
            let why: Vec<_> = done.failures.iter().map(Failure::to_string).collect();
            let why = why.join("\n");
            let is_new = why != last && !why.is_empty();
            last = why;
            if is_new || !done.changed.is_empty() {
                report(&done, json)?;
            }
            Ok(())
        });
        if let Err(error) = done {
            figures.failed();
            let why = format!("{:#}", error.context(shown(&file)));
            if why != last {
                complain(&why);
            }
            last = why;
        }
        if let Some(file) = metrics {
            // Members are put without figures, too.
            let why = figures.write(file).err().map(|error| format!("{error:#}"));
            if why != unwritten {
                why.iter().for_each(|why| complain(why));
            }
            unwritten = why;
        }
        wait(&inotify)?;
        if std::fs::metadata(PROGRAM).with_context(|| format!("cannot read {PROGRAM}"))?.nlink() == 0 {
            bail!("this program was replaced or removed since it was started; start it again");
        }
    }
}

/// Until something has changed, or [`EVERY`].
fn wait(inotify: &Inotify) -> Result<()> {
    use std::os::fd::AsFd;
    let mut changed = [PollFd::new(inotify.as_fd(), PollFlags::POLLIN)];
    let timeout = PollTimeout::try_from(EVERY).context("cannot wait")?;
    match poll(&mut changed, timeout) {
        Ok(0) | Err(nix::errno::Errno::EINTR) => Ok(()),
        Ok(_) => inotify.read_events().map(|_| ()).context("cannot use inotify"),
        Err(errno) => Err(errno).context("cannot wait for changes"),
    }
}

#[cfg(test)]
mod tests {
    use nix::sys::stat::Mode;
    use nix::unistd::mkfifo;

    use super::*;

    #[test]
    fn of_a_shared_directory_only_a_regular_file_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join(FILE);
        assert_eq!(read_shared(dir.path()).unwrap(), None);
        std::fs::write(&file, "{}").unwrap();
        assert_eq!(read_shared(dir.path()).unwrap(), Some(b"{}".to_vec()));
        let why = || format!("{:#}", read_shared(dir.path()).unwrap_err());
        for target in ["/etc/passwd", "/nonexistent"] {
            std::fs::remove_file(&file).unwrap();
            std::os::unix::fs::symlink(target, &file).unwrap();
            assert!(why().contains("symbolic link"), "{}", why());
        }
        std::fs::remove_file(&file).unwrap();
        mkfifo(&file, Mode::S_IRWXU).unwrap();
        assert!(why().ends_with("not a regular file"), "{}", why());
        std::fs::remove_file(&file).unwrap();
        std::fs::create_dir(&file).unwrap();
        assert!(why().ends_with("not a regular file"), "{}", why());
    }
}
