//! One line per decision, appended to the file named in the settings, and sent to journald if they ask for it. Names and
//! words only, never the value of a variable.
//!
//! The file is opened by its path for each line, so that it can be rotated by rename alone. A line is one
//! write(2) to a file opened with O_APPEND, which appends it atomically (open(2); POSIX.1-2017, write()); it
//! is no longer than PIPE_BUF, so a FIFO takes all of it or nothing (pipe(7)). Nothing waits for a reader.

mod journal;

pub use journal::{RELAY_FLAG, relay};

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};
use nix::libc::{O_NOCTTY, O_NOFOLLOW, O_NONBLOCK};
use nix::unistd::{getppid, getuid};
use serde::{Deserialize, Serialize};

use crate::policy::Workload;
use crate::settings::Audit;

/// The longest line, in bytes with its end: PIPE_BUF.
pub const LIMIT: usize = 4096;

/// Field limits in bytes, tried in turn until the line fits; JSON escaping can grow a byte sixfold.
const CUTS: [usize; 5] = [usize::MAX, 1024, 256, 64, 32];

/// Longer than the write of one line takes.
const SETTLE: Duration = Duration::from_millis(2);

/// Replaces the part of a text that was cut.
const CUT: &str = "[...]";

/// The outcome of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs, reason = "the words of docs/audit.md")]
pub enum Outcome {
    Isolated,
    Sealed,
    Filtered,
    Changed,
    Deleted,
    Attempts,
    PassedThrough,
    Observed,
    Platform,
    Refused,
}

impl Outcome {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Isolated,
        Self::Sealed,
        Self::Filtered,
        Self::Changed,
        Self::Deleted,
        Self::Attempts,
        Self::PassedThrough,
        Self::Observed,
        Self::Platform,
        Self::Refused,
    ];

    /// The word for it, in the audit log and in the output of `isolatectl check`.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Isolated => "isolated",
            Self::Sealed => "sealed",
            Self::Filtered => "filtered",
            Self::Changed => "changed",
            Self::Deleted => "deleted",
            Self::Attempts => "attempts",
            Self::PassedThrough => "passed-through",
            Self::Observed => "observed",
            Self::Platform => "platform",
            Self::Refused => "refused",
        }
    }
}

/// A decision, and the container it is about.
#[derive(Debug)]
#[allow(missing_docs, reason = "the words of docs/audit.md")]
pub struct Line<'a> {
    pub verb: Option<&'a str>,
    pub id: &'a str,
    pub root: Option<&'a Path>,
    pub bundle: Option<&'a Path>,
    pub decision: Outcome,
    pub why: Option<&'a str>,
    pub rules: Vec<&'a str>,
    pub runtime: Option<&'a Path>,
    pub workload: Option<&'a Workload>,
    pub job: Option<&'a str>,
}

impl Line<'_> {
    /// A line with nothing but the decision.
    #[must_use]
    pub fn of(decision: Outcome) -> Self {
        let (verb, id, root, bundle) = (None, "", None, None);
        let (rules, why, runtime, workload, job) = (Vec::new(), None, None, None, None);
        Self { verb, id, root, bundle, decision, why, rules, runtime, workload, job }
    }
}

#[derive(Serialize)]
struct SerializedLine<'a> {
    time: String,
    verb: Option<&'a str>,
    id: String,
    root: Option<String>,
    bundle: Option<String>,
    decision: Outcome,
    why: Option<String>,
    rules: &'a [&'a str],
    runtime: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    namespace: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pod: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    container: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    job: Option<String>,
    /// Of the caller.
    uid: u32,
    pid: i32,
}

/// A decision as a sentence, for tools that show one.
#[must_use]
pub fn sentence(decision: &str, id: &str, why: Option<&str>) -> String {
    match (decision, why) {
        // The error names the container.
        ("refused", Some(why)) => format!("refused: {why}"),
        (_, Some(why)) => format!("container {id} {}: {why}", decision.replace('-', " ")),
        (_, None) => format!("container {id} {}", decision.replace('-', " ")),
    }
}

/// Writes a line wherever the settings ask for it. A failure in one place does not keep it from the other.
///
/// # Errors
/// The audit log is required and could not be written.
pub fn write(audit: &Audit, line: &Line) -> Result<()> {
    if !audit.is_kept() {
        return Ok(());
    }
    let text = to_json(line, SystemTime::now());
    let file = audit.file.as_ref().map_or(Ok(()), |path| {
        append(path, &text)
            .with_context(|| format!("cannot write the audit log {}, which is required", path.display()))
    });
    let journal = if audit.journal { journal::send(line.verb, &text) } else { Ok(()) };
    let journal = journal
        .with_context(|| format!("cannot send to the journal ({}), which is required", journal::SOCKET));
    file.and(journal).or_else(|error| if audit.required { Err(error) } else { Ok(()) })
}

fn append(path: &Path, line: &str) -> io::Result<()> {
    let flags = O_NONBLOCK | O_NOFOLLOW | O_NOCTTY;
    let mut file = OpenOptions::new().append(true).create(true).mode(0o600).custom_flags(flags).open(path)?;
    // A full disk may have cut the previous line. A line being written becomes visible page by page: after a
    // short wait it is whole.
    let is_torn = || is_torn(&file);
    let line = if is_torn() && {
        std::thread::sleep(SETTLE);
        is_torn()
    } {
        format!("\n{line}")
    } else {
        line.to_owned()
    };
    match file.write(line.as_bytes())? {
        all if all == line.len() => Ok(()),
        part => Err(io::Error::other(format!("only {part} of {} bytes were written", line.len()))),
    }
}

/// Whether a regular file ends in the middle of a line.
fn is_torn(file: &File) -> bool {
    let Some(size) = file.metadata().ok().filter(|meta| meta.is_file()).map(|meta| meta.len()) else {
        return false;
    };
    let mut last = [b'\n'];
    let readable = || File::open(format!("/proc/self/fd/{}", file.as_raw_fd()));
    let _ = size.checked_sub(1).map(|at| readable().and_then(|file| file.read_at(&mut last, at)));
    last != [b'\n']
}

/// RFC 3339, in UTC.
#[must_use]
pub fn time_stamp(time: SystemTime) -> String {
    humantime::format_rfc3339_millis(time).to_string()
}

fn to_json(line: &Line, now: SystemTime) -> String {
    let mut text = String::new();
    for most in CUTS {
        let name = |of: fn(&Workload) -> &Option<String>| {
            line.workload.and_then(|workload| of(workload).as_deref()).map(|name| cut(name, most))
        };
        let path = |path: Option<&Path>| path.map(|path| cut(&path.to_string_lossy(), most));
        let entry = SerializedLine {
            time: time_stamp(now),
            verb: line.verb,
            id: cut(line.id, most),
            root: path(line.root),
            bundle: path(line.bundle),
            decision: line.decision,
            why: line.why.map(|why| cut(why, most)),
            rules: &line.rules,
            runtime: path(line.runtime),
            namespace: name(|workload| &workload.namespace),
            pod: name(|workload| &workload.pod),
            container: name(|workload| &workload.container),
            job: line.job.map(|job| cut(job, most)),
            uid: getuid().as_raw(),
            pid: getppid().as_raw(),
        };
        text = serde_json::to_string(&entry).expect("texts and numbers have a JSON text") + "\n";
        if text.len() <= LIMIT {
            break;
        }
    }
    text
}

fn cut(text: &str, most: usize) -> String {
    if text.len() <= most {
        return text.to_owned();
    }
    let end = (0..=most).rev().find(|at| text.is_char_boundary(*at)).unwrap_or_default();
    format!("{}{CUT}", &text[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_cut_where_it_is_long_and_says_so() {
        let long = "\u{1}".repeat(5000);
        let rules: Vec<&str> = crate::rules::RULES.iter().map(|rule| rule.name).collect();
        let name = Some(long.clone());
        let workload = Workload { namespace: name.clone(), pod: name.clone(), container: name };
        let line = Line {
            workload: Some(&workload),
            job: Some(&long),
            id: &long,
            root: Some(Path::new(&long)),
            bundle: Some(Path::new(&long)),
            why: Some(&long),
            runtime: Some(Path::new(&long)),
            rules,
            ..Line::of(Outcome::Isolated)
        };
        let text = to_json(&line, SystemTime::UNIX_EPOCH);
        assert!(text.len() <= LIMIT && text.ends_with("}\n"), "{}", text.len());
        let entry: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert!(entry["id"].as_str().unwrap().ends_with(CUT));
        assert_eq!(entry["time"], "1970-01-01T00:00:00.000Z");
        assert!(entry["job"].as_str().unwrap().ends_with(CUT));
        let text = to_json(&Line::of(Outcome::Deleted), SystemTime::UNIX_EPOCH);
        assert!(["namespace", "pod", "container", "job"].iter().all(|name| !text.contains(name)), "{text}");
    }

    #[test]
    fn every_outcome_is_in_the_page_and_read_as_it_is_written() {
        let page = include_str!("../docs/audit.md");
        let row = page.lines().find(|line| line.starts_with("| `decision` |")).unwrap();
        let named: Vec<&str> = row.split('`').skip(3).step_by(2).filter(|word| *word != "exec").collect();
        assert_eq!(named, Outcome::ALL.map(Outcome::word));
        for outcome in Outcome::ALL {
            let json = serde_json::Value::from(outcome.word());
            assert_eq!(serde_json::to_value(outcome).unwrap(), json);
            assert_eq!(serde_json::from_value::<Outcome>(json).unwrap(), outcome);
        }
    }

    #[test]
    fn a_line_that_a_full_disk_has_cut_spoils_no_other() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        std::fs::write(&path, "{\"half").unwrap();
        append(&path, "{}\n").unwrap();
        append(&path, "{}\n").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "{\"half\n{}\n{}\n");
    }
}
