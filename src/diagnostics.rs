//! Reports errors where they are read: one line on stderr, and one entry in the runtime's `--log` file, from
//! which `docker run`, `ctr` and `kubectl describe` take what they show. Nothing is written to stdout, which
//! engines parse.

use std::borrow::Cow;
use std::ffi::OsStr;
use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::time::SystemTime;

use nix::libc::O_NONBLOCK;

/// The runtime's log file, as the caller wants it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Log {
    /// The value of `--log`.
    pub path: Option<PathBuf>,
    /// Whether `--log-format` is `json`; else logrus' text format, as runc writes it.
    pub json: bool,
}

impl Log {
    /// Takes the values of `--log` and `--log-format`.
    #[must_use]
    pub fn of(path: Option<&OsStr>, format: Option<&OsStr>) -> Self {
        Self {
            path: path.filter(|p| !p.is_empty()).map(PathBuf::from),
            json: format.is_some_and(|f| f == "json"),
        }
    }
}

/// Reports a refusal or a failure. A log that cannot be written is skipped: the exit status still reports the
/// failure.
pub fn report(log: &Log, message: &str) {
    let message = format!("oci-isolate: {}", message.replace('\n', " "));
    let _ = writeln!(std::io::stderr(), "{}", escape_controls(&message, &[]));
    let Some(path) = &log.path else { return };
    // O_NONBLOCK: a FIFO without a reader must not block the engine.
    let options =
        OpenOptions::new().append(true).create(true).mode(0o644).custom_flags(O_NONBLOCK).open(path);
    if let Ok(mut file) = options {
        let _ = file.write_all(log_line(log.json, &message, SystemTime::now()).as_bytes());
    }
}

/// Text with control characters escaped, except those in `kept`. What containers choose (names of variables,
/// files, processes) must neither control the reader's terminal nor start a line of its own.
#[must_use]
pub fn escape_controls<'t>(text: &'t str, kept: &[char]) -> Cow<'t, str> {
    let is_plain = |c: char| !c.is_control() || kept.contains(&c);
    if text.chars().all(is_plain) {
        return text.into();
    }
    let escaped = |c: char| if is_plain(c) { c.to_string() } else { c.escape_default().to_string() };
    text.chars().map(escaped).collect()
}

/// One line in the format of runc's log.
fn log_line(json: bool, message: &str, now: SystemTime) -> String {
    let time = humantime::format_rfc3339_seconds(now);
    let quoted = serde_json::Value::from(message);
    if json {
        format!("{{\"level\":\"error\",\"msg\":{quoted},\"time\":\"{time}\"}}\n")
    } else {
        format!("time=\"{time}\" level=error msg={quoted}\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_escaped() {
        assert_eq!(
            escape_controls("\u{1b}]0;a\u{7}\n\u{9b}2J\u{7f}", &[]),
            r"\u{1b}]0;a\u{7}\n\u{9b}2J\u{7f}"
        );
        assert_eq!(escape_controls("a\r\nb\tc", &['\n', '\t']), "a\\r\nb\tc");
        assert!(matches!(escape_controls("/home/zoë", &[]), Cow::Borrowed(_)));
    }

    #[test]
    fn entries_look_like_those_of_runc() {
        let now = SystemTime::UNIX_EPOCH;
        assert_eq!(
            log_line(true, "say \"no\"", now),
            "{\"level\":\"error\",\"msg\":\"say \\\"no\\\"\",\"time\":\"1970-01-01T00:00:00Z\"}\n"
        );
        assert_eq!(log_line(false, "no", now), "time=\"1970-01-01T00:00:00Z\" level=error msg=\"no\"\n");
    }

    #[test]
    fn a_message_is_one_line_in_the_log_and_is_appended() {
        let dir = tempfile::tempdir().unwrap();
        let log = Log { path: Some(dir.path().join("log.json")), json: true };
        report(&log, "first\nline");
        report(&log, "second");
        let text = std::fs::read_to_string(dir.path().join("log.json")).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 2);
        assert!(lines[0].contains("\"msg\":\"oci-isolate: first line\""), "{text}");
    }

    #[test]
    fn a_log_that_cannot_be_opened_is_passed_over() {
        report(&Log { path: Some("/nonexistent/log".into()), json: false }, "still said on stderr");
    }
}
