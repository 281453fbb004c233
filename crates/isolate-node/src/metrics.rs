//! Figures about the watches, in Prometheus' text format, and whether they work.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::io::Write as _;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::cluster::{Figures, Source};
use crate::watch::PATIENCE;

/// What `/metrics` and `/readyz` tell.
#[derive(Debug, Default)]
pub struct Metrics(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    figures: Figures,
    watches: usize,
    written: u64,
    errors: u64,
    /// Watches that fail, and since when.
    failing: BTreeMap<Source, (Instant, String)>,
}

impl Metrics {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
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

    /// An event has come.
    pub fn heard(&self, source: &Source) {
        self.known().failing.remove(source);
    }

    /// A watch is no longer needed.
    pub fn ended(&self, source: &Source) {
        self.known().failing.remove(source);
    }

    /// A watch has failed. The reason is printed once.
    pub fn failed(&self, source: &Source, why: &str) {
        let mut known = self.known();
        known.errors += 1;
        let since = known.failing.get(source).map_or_else(Instant::now, |(since, _)| *since);
        let is_new =
            known.failing.insert(source.clone(), (since, why.to_owned())).is_none_or(|(_, old)| old != why);
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
        let long = known.failing.iter().find(|(_, (since, _))| since.elapsed() > PATIENCE);
        long.map(|(source, (_, why))| format!("{source:?} fails: {why}"))
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
        family("watches_failing", "gauge", "Watches that fail now.", &one(known.failing.len() as u64));
        family("watch_errors_total", "counter", "Failures of watches.", &one(known.errors));
        family("jobs_written_total", "counter", "Changes of jobs.json.", &one(known.written));
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_follows_the_watches() {
        let metrics = Metrics::default();
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
        metrics.heard(&Source::Node(None));
        assert!(metrics.text().contains("oci_isolate_watches_failing 0\n"));
    }
}
