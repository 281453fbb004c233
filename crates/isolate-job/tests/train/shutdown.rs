//! The shutdown of the host: what a job is after it.

use std::fs;
use std::process::Command;
use std::time::Duration;

use test_support::command::{say, wait_for};

use crate::site::{Site, asked};

/// Ends well, whether or not it was told to.
const PROGRAM: &str = "trap 'exit 0' TERM; echo half >/opt/ml/model/weights; echo ready; for i in {1..40}; do sleep 0.1; done; echo whole >>/opt/ml/model/weights";

/// A host whose service manager is in this state.
fn host_is(site: &Site, state: &str) {
    let host = site.host();
    host.sh("mkdir -p /run/systemd/system").must();
    let script = host.write("bin/systemctl", &format!("#!/bin/sh\necho {state}\n"));
    host.sh(&format!("chmod 755 {script}")).must();
}

/// With this `systemctl`.
fn command(site: &Site, words: &[&str]) -> Command {
    let path = format!("{}:{}", site.host().at("bin"), std::env::var("PATH").unwrap());
    let mut command = site.command(words);
    command.env("PATH", path);
    command
}

/// The processes that a job is run by.
fn begin(site: &Site, name: &str) -> std::process::Child {
    let request = site.request(&asked(name, PROGRAM));
    let child = command(site, &["train", &request]).spawn().unwrap();
    site.until_logged(name, "algo-1", "ready");
    child
}

fn ended(mut child: std::process::Child) -> Option<i32> {
    wait_for(Duration::from_secs(40), || child.try_wait().unwrap()).and_then(|status| status.code())
}

#[test]
fn a_job_is_stopped_by_sigterm_and_interrupted_by_the_shutdown_of_the_host() {
    let site = Site::docker();
    let terminate = "pkill -TERM -f '[i]solate-job --config [^ ]* train'";
    host_is(&site, "running");
    let child = begin(&site, "stopped");
    site.host().sh(terminate).must();
    assert_eq!(ended(child), Some(3));

    host_is(&site, "stopping");
    let child = begin(&site, "interrupted");
    site.host().sh(terminate).must();
    assert_eq!(ended(child), Some(1));
    site.until_left("interrupted");
    let listed = site.job(&["list"]).out;
    assert!(listed.contains("interrupted in Training"), "{listed}");
    host_is(&site, "running");
    let done = say(&mut command(&site, &["resume", "interrupted"]));
    assert_eq!(done.status, Some(0), "{done}");
    assert_eq!(site.archive("interrupted", "model"), "half\nwhole");

    // The engine is stopped first, and the program obeys: that is no end of its own.
    host_is(&site, "stopping");
    let child = begin(&site, "restarted");
    site.engine(&["stop", "isolate-restarted-algo-1"]).must();
    assert_eq!(ended(child), Some(1));
    let status = site.describe("restarted");
    assert_eq!(status["SecondaryStatus"], "Training", "{status}");
    // After the start of the host, which has another id then.
    host_is(&site, "running");
    let boot = site.path("jobs/restarted/boot");
    assert_eq!(fs::read(&boot).unwrap(), fs::read("/proc/sys/kernel/random/boot_id").unwrap());
    fs::write(&boot, "another").unwrap();
    let done = say(&mut command(&site, &["resume", "restarted"]));
    let why = "InternalServerError: the host was restarted while the containers ran; their results may be incomplete";
    assert_eq!((done.status, done.err.as_str()), (Some(1), why), "{done}");
    assert_eq!(site.describe("restarted")["FailureReason"], why);
    assert_eq!(site.archive("restarted", "model"), "half");
    assert_eq!(site.left_over("restarted"), [""; 0]);
}
