//! Jobs that are stopped, by `stop` and by an interrupt, wherever they are.

use std::fs;
use std::time::Duration;

use test_support::command::wait_for;

use crate::site::{Site, asked, transitions};

/// Writes what it was told, and ends.
const OBEYS: &str =
    "trap 'echo told >/opt/ml/model/told; exit 9' TERM; echo ready; while :; do sleep 0.1; done";

#[test]
fn a_job_is_stopped_wherever_it_is_and_uploaded() {
    let site = Site::docker();
    site.detach(&asked("runs", OBEYS));
    site.until_logged("runs", "algo-1", "ready");
    let listed = site.job(&["list"]).must();
    assert!(
        listed.lines().any(|line| line.starts_with("runs") && line.contains("InProgress  Training")),
        "{listed}"
    );
    let again = site.job(&["resume", "runs"]);
    assert!(again.status == Some(1) && again.err.contains("is supervised by another process"), "{again}");
    let removed = site.job(&["remove", "runs"]);
    assert!(removed.status == Some(2) && removed.err.contains("has not ended"), "{removed}");
    site.job(&["stop", "runs"]).must();
    let status = site.until("runs", &["Stopped"]);
    let expected = ["Starting", "Downloading", "Training", "Stopping", "Uploading", "Stopped"];
    assert_eq!(transitions(&status), expected);
    assert_eq!(site.archive("runs", "model"), "told");
    site.until_left("runs");
    assert_eq!(site.left_over("runs"), [""; 0]);
    let ended = site.job(&["stop", "runs"]);
    assert!(ended.status == Some(1) && ended.err.contains("has ended already: it is Stopped"), "{ended}");
    assert_eq!(site.job(&["resume", "runs"]).status, Some(3));

    // While data is downloaded nothing has run, and there is nothing to upload.
    fs::write(site.path("s3/slow"), "30").unwrap();
    site.detach(&asked("downloads", "echo ran"));
    site.until("downloads", &["Downloading"]);
    site.job(&["stop", "downloads"]).must();
    let status = site.until("downloads", &["Stopped"]);
    assert_eq!(transitions(&status), ["Starting", "Downloading", "Stopping", "Stopped"]);
    site.until_left("downloads");
    assert!(!site.host().sh("pgrep -f '[s]tage in'").well(), "the transfer goes on");
    fs::remove_file(site.path("s3/slow")).unwrap();

    // An interrupt at the terminal goes to the whole group of processes.
    let request = site.request(&asked("interrupted", OBEYS));
    let mut child = site.command(&["train", &request]).spawn().unwrap();
    site.until_logged("interrupted", "algo-1", "ready");
    site.host().sh("pkill -INT -f '[i]solate-job --config [^ ]* train'").must();
    let ended = wait_for(Duration::from_secs(30), || child.try_wait().unwrap());
    assert_eq!(ended.and_then(|status| status.code()), Some(3));
    assert_eq!(site.archive("interrupted", "model"), "told");
}
