//! What `isolatectl jobs follow` has done, in Prometheus' text format. It has no network: the file is for the textfile collector of
//! node_exporter, and for `isolate-node watch`, which serves it.

use std::fmt::Write;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Result;

use oci_isolate::files;

/// Readable for the user of `isolate-node`.
const MODE: u32 = 0o644;

/// Since this process began.
#[derive(Debug, Default)]
pub(super) struct PutFigures {
    puts: u64,
    errors: u64,
    changes: u64,
    last: Option<Last>,
}

/// The last time that the members of all jobs were put.
#[derive(Debug)]
struct Last {
    at: SystemTime,
    took: Duration,
    members: usize,
    failures: usize,
}

impl PutFigures {
    /// The members were put: these many containers run here, some have changed, and some failed.
    pub(super) fn put(&mut self, took: Duration, members: usize, changes: usize, failures: usize) {
        self.puts += 1;
        self.changes += changes as u64;
        self.last = Some(Last { at: SystemTime::now(), took, members, failures });
    }

    /// Nothing could be put.
    pub(super) fn failed(&mut self) {
        self.errors += 1;
    }

    /// Replaces the file.
    pub(super) fn write(&self, file: &Path) -> Result<()> {
        files::write(file, self.text().as_bytes(), MODE)
    }

    fn text(&self) -> String {
        let mut text = String::new();
        let mut family = |name: &str, kind: &str, help: &str, value: &dyn std::fmt::Display| {
            let name = format!("oci_isolate_put{name}");
            let _ = write!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}\n");
        };
        family("s_total", "counter", "How often the members of jobs were put.", &self.puts);
        family("_errors_total", "counter", "How often nothing could be put.", &self.errors);
        family("_changes_total", "counter", "Containers whose members were changed.", &self.changes);
        if let Some(Last { at, took, members, failures }) = &self.last {
            let at = at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
            family("_last_timestamp_seconds", "gauge", "When the members were put last.", &at);
            family("_seconds", "gauge", "How long that took.", &took.as_secs_f64());
            family("_containers", "gauge", "Containers of jobs that run on this node.", members);
            family("_failures", "gauge", "Containers and members that could not be put then.", failures);
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_in_prometheus_format_and_readable_for_others() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("put.prom");
        let mut figures = PutFigures::default();
        figures.failed();
        figures.write(&file).unwrap();
        let lines = || {
            let text = std::fs::read_to_string(&file).unwrap();
            text.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect::<Vec<_>>()
        };
        let before =
            ["oci_isolate_puts_total 0", "oci_isolate_put_errors_total 1", "oci_isolate_put_changes_total 0"];
        assert_eq!(lines(), before);
        figures.put(Duration::from_millis(1500), 7, 3, 1);
        figures.put(Duration::from_millis(20), 7, 0, 0);
        figures.write(&file).unwrap();
        let now = lines();
        for line in [
            "oci_isolate_puts_total 2",
            "oci_isolate_put_changes_total 3",
            "oci_isolate_put_seconds 0.02",
            "oci_isolate_put_containers 7",
            "oci_isolate_put_failures 0",
        ] {
            assert!(now.iter().any(|found| found == line), "{line}: {now:?}");
        }
        let last =
            now.iter().find_map(|line| line.strip_prefix("oci_isolate_put_last_timestamp_seconds ")).unwrap();
        assert!(last.parse::<u64>().unwrap() > 1_700_000_000);
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o644);
    }
}
