//! Figures about the watches, in Prometheus' text format, and whether they work.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs::File;
use std::io::{Read, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::cluster::{Figures, Source};
use crate::watch::PATIENCE;

/// The most bytes of the file of `isolatectl jobs follow`.
const LIMIT: u64 = 64 << 10;

/// What `/metrics` and `/readyz` tell.
#[derive(Debug, Default)]
pub struct Metrics {
    known: Mutex<Known>,
    /// The figures of `isolatectl jobs follow`, in the same format.
    put: Option<PathBuf>,
}

#[derive(Debug, Default)]
struct Known {
    figures: Figures,
    watches: usize,
    written: u64,
    errors: u64,
    /// Of each watch.
    contact: BTreeMap<Source, Contact>,
    /// Watches that have failed and had no event since.
    failed: BTreeMap<Source, Failure>,
}

/// When the API server has last confirmed what a watch knows.
#[derive(Debug)]
struct Contact {
    at: Instant,
    /// Since the start of the machine, also while it was suspended.
    since_boot: Duration,
    /// What has come since is part of a list, which confirms nothing before it is complete.
    is_listing: bool,
}

impl Contact {
    fn now(is_listing: bool) -> Self {
        // If it cannot be read, there was none since the start of the machine.
        Self { at: Instant::now(), since_boot: since_boot().unwrap_or_default(), is_listing }
    }
}

#[derive(Debug)]
struct Failure {
    /// The first of a row: nothing was heard between two of them, or they are less than a minute apart.
    since: Instant,
    last: Instant,
    why: String,
}

impl Known {
    /// Those to which the API server has sent nothing since.
    fn failing(&self) -> impl Iterator<Item = (&Source, &Failure)> {
        self.failed.iter().filter(|(source, failure)| !self.is_over(source, failure))
    }

    fn is_over(&self, source: &Source, failure: &Failure) -> bool {
        self.contact.get(source).is_some_and(|contact| contact.at > failure.last)
    }

    /// That of the quietest watch; without any watch there was none.
    fn contact(&self) -> Duration {
        self.contact.values().map(|contact| contact.since_boot).min().unwrap_or_default()
    }

    /// For how long the quietest watch has got nothing.
    fn silence(&self) -> Duration {
        match self.contact.is_empty() {
            true => Duration::ZERO,
            false => since_boot().unwrap_or_default().saturating_sub(self.contact()),
        }
    }
}

impl Metrics {
    /// `put` is a file of further figures.
    #[must_use]
    pub fn new(put: Option<PathBuf>) -> Self {
        Self { known: Mutex::default(), put }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is known of the jobs now, and how many watches there are.
    pub fn update(&self, figures: Figures, watches: usize) {
        let mut known = self.known();
        (known.figures, known.watches) = (figures, watches);
    }

    /// The file was replaced.
    pub fn written(&self) {
        self.known().written += 1;
    }

    /// A watch begins to list, for the first time or again.
    pub fn listing(&self, source: &Source) {
        let mut known = self.known();
        known.contact.entry(source.clone()).or_insert_with(|| Contact::now(true)).is_listing = true;
    }

    /// The list of a watch is complete.
    pub fn listed(&self, source: &Source) {
        self.known().contact.insert(source.clone(), Contact::now(false));
    }

    /// The API server has sent a watch something, perhaps a bookmark only, or has begun to answer.
    pub fn contact(&self, source: &Source) {
        if let Some(contact) = self.known().contact.get_mut(source).filter(|contact| !contact.is_listing) {
            *contact = Contact::now(false);
        }
    }

    /// When the API server has last confirmed what the quietest watch knows, since the machine has started.
    #[must_use]
    pub fn last_contact(&self) -> Duration {
        self.known().contact()
    }

    /// An event has come.
    pub fn heard(&self, source: &Source) {
        self.known().failed.remove(source);
    }

    /// A watch is no longer needed.
    pub fn ended(&self, source: &Source) {
        let mut known = self.known();
        known.contact.remove(source);
        known.failed.remove(source);
    }

    /// A watch has failed. The reason is printed once.
    pub fn failed(&self, source: &Source, why: &str) {
        let mut known = self.known();
        known.errors += 1;
        let last = Instant::now();
        let before = known.failed.get(source);
        let row = before.filter(|before| before.last.elapsed() < PATIENCE || !known.is_over(source, before));
        let new = Failure { since: row.map_or(last, |before| before.since), last, why: why.to_owned() };
        let is_new = known.failed.insert(source.clone(), new).is_none_or(|before| before.why != why);
        drop(known);
        if is_new {
            let _ = writeln!(std::io::stderr(), "isolate-node: {source:?}: {why}");
        }
    }

    /// Why the file is not up to date, if it is not.
    #[must_use]
    pub fn unready(&self) -> Option<String> {
        let known = self.known();
        if known.written == 0 {
            return Some("not every list is complete yet".into());
        }
        let long = known.failing().find(|(_, failure)| failure.since.elapsed() > PATIENCE);
        long.map(|(source, failure)| format!("{source:?} fails: {}", failure.why))
    }

    /// In Prometheus' text format.
    #[must_use]
    pub fn text(&self) -> String {
        let known = self.known();
        let mut text = String::new();
        let mut family = |name: &str, kind: &str, help: &str, values: &[(String, u64)]| {
            let _ = write!(text, "# HELP oci_isolate_{name} {help}\n# TYPE oci_isolate_{name} {kind}\n");
            for (labels, value) in values {
                let _ = writeln!(text, "oci_isolate_{name}{labels} {value}");
            }
        };
        let one = |value: u64| vec![(String::new(), value)];
        let members = [("here", known.figures.here), ("elsewhere", known.figures.elsewhere)];
        let members = members.map(|(place, count)| (format!("{{where=\"{place}\"}}"), count as u64));
        family("job_members", "gauge", "Members of this node's jobs.", &members);
        let refused = known.figures.refused.iter();
        let refused: Vec<_> =
            refused.map(|(why, count)| (format!("{{reason=\"{why}\"}}"), *count as u64)).collect();
        family("refused_members", "gauge", "Pods of this node's jobs that are no members.", &refused);
        family("watches", "gauge", "Watches of the API server.", &one(known.watches as u64));
        family("watches_failing", "gauge", "Watches that fail now.", &one(known.failing().count() as u64));
        let help = "For how long the API server has sent the quietest watch nothing: no event, bookmark, answer or whole list.";
        family("watch_contact_seconds", "gauge", help, &one(known.silence().as_secs()));
        family("watch_errors_total", "counter", "Failures of watches.", &one(known.errors));
        family("jobs_written_total", "counter", "Changes of jobs.json.", &one(known.written));
        // Without it its figures are missing, for which there is an alert (hack/kubernetes/monitoring).
        text.push_str(&self.put.as_deref().and_then(read).unwrap_or_default());
        text
    }
}

/// How long ago the machine was started (proc(5), `/proc/uptime`): a clock that cannot be set, and that goes on in suspend.
fn since_boot() -> Result<Duration> {
    let text = std::fs::read_to_string("/proc/uptime").context("cannot read /proc/uptime")?;
    let seconds = text.split_whitespace().next().and_then(|seconds| seconds.parse().ok());
    let since = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    since.context("/proc/uptime has no time")
}

/// A small file of whole lines.
fn read(file: &Path) -> Option<String> {
    let mut text = String::new();
    File::open(file).ok()?.take(LIMIT).read_to_string(&mut text).ok()?;
    text.ends_with('\n').then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_follows_the_watches() {
        let metrics = Metrics::default();
        metrics.listed(&Source::Node(None));
        assert_eq!(metrics.unready().as_deref(), Some("not every list is complete yet"));
        metrics.update(Figures { here: 1, elsewhere: 2, refused: [("label", 3)].into() }, 3);
        metrics.written();
        metrics.failed(&Source::Node(None), "connection refused");
        assert_eq!(metrics.unready(), None);
        let text = metrics.text();
        for line in [
            "oci_isolate_job_members{where=\"here\"} 1",
            "oci_isolate_job_members{where=\"elsewhere\"} 2",
            "oci_isolate_refused_members{reason=\"label\"} 3",
            "oci_isolate_watches 3",
            "oci_isolate_watches_failing 1",
            "oci_isolate_watch_errors_total 1",
            "oci_isolate_jobs_written_total 1",
            "# TYPE oci_isolate_job_members gauge",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}: {text}");
        }
        assert!(text.contains("# TYPE oci_isolate_watch_contact_seconds gauge"));
        // A bookmark after a failure shows that the watch goes on.
        metrics.contact(&Source::Node(None));
        assert!(metrics.text().contains("oci_isolate_watches_failing 0\n"));
        metrics.failed(&Source::Node(None), "connection refused");
        assert!(metrics.text().contains("oci_isolate_watches_failing 1\n"));
        metrics.heard(&Source::Node(None));
        assert!(metrics.text().contains("oci_isolate_watches_failing 0\n"));
    }

    #[test]
    fn what_was_put_is_told_too_if_it_is_whole() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("put.prom");
        let metrics = Metrics::new(Some(file.clone()));
        let has = |line: &str| metrics.text().ends_with(&format!("\n{line}"));
        assert!(!metrics.text().contains("oci_isolate_put"));
        std::fs::write(&file, "oci_isolate_puts_total 7\n").unwrap();
        assert!(has("oci_isolate_puts_total 7\n"));
        std::fs::write(&file, "oci_isolate_puts_total").unwrap();
        assert!(!metrics.text().contains("oci_isolate_put"));
        std::fs::write(&file, "#\n".repeat(LIMIT as usize)).unwrap();
        assert!(metrics.text().len() < 2 * LIMIT as usize);
    }

    #[test]
    fn a_row_of_failures_ends_when_something_was_heard_and_not_by_their_distance() {
        let source = Source::Node(None);
        for (is_heard, is_ready) in [(false, false), (true, true)] {
            let metrics = Metrics::default();
            metrics.listed(&source);
            metrics.written();
            metrics.failed(&source, "no route to host");
            {
                let mut known = metrics.known();
                let failure = known.failed.get_mut(&source).unwrap();
                let before = Instant::now().checked_sub(PATIENCE * 3 / 2).unwrap();
                (failure.since, failure.last) = (before, before);
                known.contact.get_mut(&source).unwrap().at = before;
            }
            if is_heard {
                metrics.contact(&source);
            }
            metrics.failed(&source, "no route to host");
            assert_eq!(metrics.unready().is_none(), is_ready, "heard: {is_heard}");
        }
    }

    #[test]
    fn a_list_is_a_contact_once_it_is_complete() {
        let metrics = Metrics::default();
        let [here, services] = [Source::Node(None), Source::Services("team-a".into())];
        assert_eq!(metrics.last_contact(), Duration::ZERO);
        metrics.listed(&services);
        metrics.listed(&here);
        let set_back = || {
            metrics.known().contact.get_mut(&here).unwrap().since_boot = Duration::from_millis(1);
            assert_eq!(metrics.last_contact(), Duration::from_millis(1));
        };
        let is_contact = || metrics.last_contact() > Duration::from_millis(1);
        set_back();
        metrics.contact(&here);
        assert!(is_contact());
        set_back();
        metrics.listing(&here);
        metrics.contact(&here);
        assert!(!is_contact());
        metrics.listed(&here);
        assert!(is_contact());
        // One that has ended is not waited for, and what still comes of it does not bring it back.
        set_back();
        metrics.ended(&here);
        metrics.contact(&here);
        assert!(is_contact());
    }
}
