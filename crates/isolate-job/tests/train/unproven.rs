//! Containers that turn out not to be isolated, or that were not proven to be: none is left to run, and what they wrote is not uploaded,
//! whatever else ends meanwhile.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use serde_json::json;
use test_support::command::wait_for;

use crate::site::{Engine, Site, asked};

/// A host whose runtime is taken for the shim and is not.
fn unsealed() -> Site {
    let site = Site::docker();
    let fake = site.host().at("fake");
    site.host()
        .sh(&format!(
            "cp /usr/sbin/runc {fake}; printf '%s' 'oci-isolate is a shim before a runtime and is not one itself' >>{fake}"
        ))
        .must();
    let file = site.path("daemon.json");
    let mut config: serde_json::Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    config["runtimes"]["fake"] = json!({ "path": fake });
    fs::write(&file, config.to_string()).unwrap();
    let Engine::Docker(docker) = &site.engine else { unreachable!() };
    docker.restart();
    site.settings("runtime = \"fake\"");
    site
}

/// Settings with a script as Docker's client.
pub(crate) fn wrapped(site: &Site, runtime: &str, script: &str) -> String {
    let client = site.host().write("docker-client", &format!("#!/bin/sh\n{script}\n"));
    fs::set_permissions(site.path("docker-client"), fs::Permissions::from_mode(0o755)).unwrap();
    format!("engine-path = {client:?}\nruntime = {runtime:?}")
}

/// The program runs for a moment, and then no more.
#[test]
fn a_container_that_is_not_isolated_is_killed_and_the_job_fails() {
    let site = unsealed();
    let done = site.train(&asked("open", "echo stolen >/opt/ml/model/x; sleep 100"));
    assert_eq!(done.status, Some(1), "{done}");
    let (kept, reason) = done.err.split_once('\n').unwrap();
    assert!(kept.ends_with("is not uploaded"), "{done}");
    assert!(reason.starts_with("InternalServerError: the isolation of algo-1 does not hold: "), "{done}");
    let left = site.left_over("open");
    assert!(left.len() == 1 && left[0].ends_with("jobs/open/algo-1"), "{left:?}");
    // What it wrote is not to be trusted.
    assert!(!site.path("s3/results/out/open").exists());
    // The same program behind the shim.
    site.settings("runtime = \"shim\"");
    assert_eq!(site.train(&asked("closed", "sleep 2")).status, Some(0));
}

/// A log that cannot be written ends the supervision, and not before the proof: a container that is not isolated does not run on.
#[test]
fn a_container_that_is_not_isolated_is_killed_if_its_log_cannot_be_written_too() {
    let site = unsealed();
    // When it starts, a directory is in the place of its log.
    let log = site.host().at("jobs/dark/log/algo-1.log");
    site.settings(&wrapped(
        &site,
        "fake",
        &format!("[ $1 != start ] || mkdir -p {log}; exec /usr/bin/docker \"$@\""),
    ));
    let done = site.train(&asked("dark", "sleep 100"));
    assert_eq!(done.status, Some(1), "{done}");
    assert!(done.err.contains("InternalServerError: the isolation of algo-1 does not hold: "), "{done}");
    assert_eq!(site.engine(&["ps", "--quiet"]).must(), "");
}

/// The supervisor is killed after it has removed a container that is not isolated, and before the job is Failed.
#[test]
fn what_a_container_that_is_not_isolated_wrote_is_not_uploaded_after_a_crash() {
    let site = unsealed();
    let once = site.host().at("once");
    site.settings(&wrapped(
        &site,
        "fake",
        &format!("/usr/bin/docker \"$@\" || exit; [ $1 != rm ] || [ -e {once} ] || {{ touch {once}; kill -KILL $PPID; }}"),
    ));
    let killed = site.train(&asked("crash", "echo stolen >/opt/ml/model/x; sleep 100"));
    assert!(killed.err.contains("the supervisor of crash was killed"), "{killed}");
    site.until_left("crash");
    assert_eq!(site.engine(&["ps", "--all", "--quiet"]).must(), "");
    assert_ne!(site.describe("crash")["TrainingJobStatus"], "Failed");
    for _ in 0..2 {
        let done = site.job(&["resume", "crash"]);
        assert_eq!(done.status, Some(1), "{done}");
        let reason = site.describe("crash")["FailureReason"].as_str().unwrap().to_owned();
        assert!(
            reason.starts_with("InternalServerError: the isolation of algo-1 does not hold: "),
            "{reason}"
        );
        assert!(!site.path("s3/results/out/crash").exists());
    }
}

/// Settings with an engine that goes away in the moment in which it has started a container, until the file `gone` is removed.
fn going(site: &Site, runtime: &str) -> String {
    going_after(site, runtime, "")
}

/// The same, and what happens between the start and that.
fn going_after(site: &Site, runtime: &str, then: &str) -> String {
    let (gone, once) = (site.host().at("gone"), site.host().at("once"));
    let script = format!(
        "[ ! -e {gone} ] || {{ echo 'Cannot connect to the Docker daemon' >&2; exit 1; }}\n\
         if [ $1 = start ] && [ ! -e {once} ]; then\n\
             /usr/bin/docker \"$@\"; touch {once} {gone}; {then} echo 'error during connect: EOF' >&2; exit 1\n\
         fi\n\
         exec /usr/bin/docker \"$@\""
    );
    wrapped(site, runtime, &script)
}

/// The supervisor waits for the engine, while the container runs without proof.
#[track_caller]
fn waits(site: &Site, name: &str) {
    let log = site.path(&format!("jobs/{name}/log/supervisor.log"));
    let says = || fs::read_to_string(&log).ok().filter(|text| text.contains("is asked until it answers"));
    assert!(
        wait_for(Duration::from_secs(40), says).is_some(),
        "{name} does not wait: {}",
        site.describe(name)
    );
    assert_eq!(site.engine(&["ps", "--format", "{{.Names}}"]).must(), format!("isolate-{name}-algo-1"));
}

#[test]
fn a_container_that_was_started_by_an_engine_that_went_away_is_not_left_without_proof() {
    let site = unsealed();
    site.settings(&going(&site, "fake"));
    site.detach(&asked("open", "echo stolen >/opt/ml/model/x; sleep 1000"));
    waits(&site, "open");
    fs::remove_file(site.path("gone")).unwrap();
    let status = site.until("open", &["Failed"]);
    let why = "InternalServerError: the isolation of algo-1 does not hold: ";
    assert!(status["FailureReason"].as_str().unwrap().starts_with(why), "{status}");
    site.until_left("open");
    assert_eq!(site.engine(&["ps", "--all", "--quiet"]).must(), "");
    assert!(!site.path("s3/results/out/open").exists());

    // Nothing is known of one that has ended meanwhile.
    fs::remove_file(site.path("once")).unwrap();
    site.settings(&going(&site, "fake"));
    site.detach(&asked("ended", "echo stolen >/opt/ml/model/x; sleep 1000"));
    waits(&site, "ended");
    site.engine(&["stop", "-t0", "isolate-ended-algo-1"]).must();
    fs::remove_file(site.path("gone")).unwrap();
    let status = site.until("ended", &["Failed"]);
    let why = "InternalServerError: container isolate-ended-algo-1 has ended; the containers were not proven to be isolated before";
    assert_eq!(status["FailureReason"], why);
    assert!(!site.path("s3/results/out/ended").exists());

    // One that is isolated runs on, as in every interruption. The engine is not needed to see it.
    fs::remove_file(site.path("once")).unwrap();
    site.settings(&going(&site, "shim"));
    site.detach(&asked("closed", WAITS));
    site.until("closed", &["Training"]);
    site.until_left("closed");
    assert!(site.path("gone").exists() && !site.path("jobs/closed/unproven.json").exists());
    let listed = site.job(&["list"]);
    assert!(listed.out.contains("interrupted in Training"), "{listed}");
    fs::remove_file(site.path("gone")).unwrap();
    release(&site, "closed");
    assert_eq!(site.job(&["resume", "closed"]).status, Some(0));
    assert_eq!(site.archive("closed", "model"), "whole");
}

/// What is found while the engine is away is kept at once.
#[test]
fn the_verdict_about_a_container_does_not_wait_for_an_engine_that_went_away() {
    let site = Site::docker();
    let tear = "pid=$(/usr/bin/docker inspect --format '{{.State.Pid}}' $2); nsenter --net=/proc/$pid/ns/net nft flush ruleset;";
    site.settings(&going_after(&site, "shim", tear));
    site.detach(&asked("torn", "echo stolen >/opt/ml/model/x; sleep 1000"));
    let outcome = site.path("jobs/torn/outcome.json");
    let says = || fs::read_to_string(&outcome).ok().filter(|text| text.contains("does not hold: "));
    let found = wait_for(Duration::from_secs(40), says);
    assert!(found.is_some() && site.path("gone").exists(), "{}", site.describe("torn"));
    fs::remove_file(site.path("gone")).unwrap();
    let status = site.until("torn", &["Failed"]);
    let why = "InternalServerError: the isolation of algo-1 does not hold: seal: ";
    assert!(status["FailureReason"].as_str().unwrap().starts_with(why), "{status}");
    site.until_left("torn");
    assert_eq!(site.engine(&["ps", "--all", "--quiet"]).must(), "");
    assert!(!site.path("s3/results/out/torn").exists());
}

/// The supervisor is killed before the proof, and the engine is away when the job is resumed.
#[test]
fn an_unproven_container_is_not_left_alone_by_a_supervisor_that_finds_no_engine() {
    let site = unsealed();
    site.settings(&going_after(&site, "fake", "kill -KILL $PPID;"));
    site.detach(&asked("alone", "echo stolen >/opt/ml/model/x; sleep 1000"));
    site.until("alone", &["Training"]);
    site.until_left("alone");
    assert_eq!(site.job(&["resume", "--all"]).must(), "alone");
    waits(&site, "alone");
    fs::remove_file(site.path("gone")).unwrap();
    let status = site.until("alone", &["Failed"]);
    let why = "InternalServerError: the isolation of algo-1 does not hold: ";
    assert!(status["FailureReason"].as_str().unwrap().starts_with(why), "{status}");
    site.until_left("alone");
    assert_eq!(site.engine(&["ps", "--all", "--quiet"]).must(), "");
    assert!(!site.path("s3/results/out/alone").exists());
}

/// A disk without a free inode keeps the verdict all the same.
#[test]
fn what_a_container_that_is_not_isolated_wrote_is_not_uploaded_if_the_disk_is_full() {
    let site = unsealed();
    let (state, once) = (site.host().at("jobs"), site.host().at("once"));
    site.host()
        .sh(&format!("mkdir {state}; mount -t tmpfs -o mode=0700,size=2g,nr_inodes=500 tmpfs {state}"))
        .must();
    let fill = format!("n=0; while (: >{state}/.fill/$n) 2>/dev/null; do n=$((n+1)); done");
    let script = format!(
        "if [ $1 = start ] && [ ! -e {once} ]; then touch {once}; mkdir {state}/.fill; {fill}; fi; exec /usr/bin/docker \"$@\""
    );
    site.settings(&wrapped(&site, "fake", &script));
    let done = site.train(&asked("full", "echo stolen >/opt/ml/model/x; sleep 1000"));
    assert!(done.status == Some(1) && done.err.contains("No space left on device"), "{done}");
    assert_eq!(site.engine(&["ps", "--all", "--quiet"]).must(), "");
    assert_eq!(site.describe("full")["TrainingJobStatus"], "InProgress");
    site.host().sh(&format!("rm -r {state}/.fill")).must();
    let done = site.job(&["resume", "full"]);
    assert_eq!(done.status, Some(1), "{done}");
    let why = "InternalServerError: the containers were started and were not proven to be isolated";
    assert_eq!(site.describe("full")["FailureReason"], why);
    assert!(!site.path("s3/results/out/full").exists());
}

/// A supervisor that is killed before the proof.
pub(crate) const KILLED_BEFORE_PROOF: &str =
    "/usr/bin/docker \"$@\" || exit; [ $1 != start ] || kill -KILL $PPID";

/// The supervisor is killed before the proof, and the container is removed, ends, or runs.
#[test]
fn what_a_container_wrote_that_was_never_proven_is_not_uploaded() {
    let site = Site::docker();
    site.settings(&wrapped(&site, "shim", KILLED_BEFORE_PROOF));
    let start = |name: &str, script: &str| {
        let killed = site.train(&asked(name, script));
        assert!(killed.err.contains(&format!("the supervisor of {name} was killed")), "{killed}");
        site.until_left(name);
    };
    for (name, end, ended) in
        [("unseen", ["rm", "--force"], "is gone"), ("ended", ["stop", "-t0"], "has ended")]
    {
        start(name, "echo unseen >/opt/ml/model/x; sleep 1000");
        let container = format!("isolate-{name}-algo-1");
        site.engine(&[&end[..], &[&container]].concat()).must();
        let done = site.job(&["resume", name]);
        let why = format!(
            "InternalServerError: container {container} {ended}; the containers were not proven to be isolated before"
        );
        assert!(done.status == Some(1) && done.err.ends_with(&why), "{done}");
        assert!(!site.path(&format!("s3/results/out/{name}")).exists());
    }

    start("runs", WAITS);
    assert!(site.path("jobs/runs/unproven.json").exists());
    assert_eq!(site.job(&["resume", "--all"]).must(), "runs");
    until_proven(&site, "runs");
    release(&site, "runs");
    site.until("runs", &["Completed"]);
    assert_eq!(site.archive("runs", "model"), "whole");
}

/// A program that has a result when it is released.
const WAITS: &str =
    "cd /opt/ml/model; echo half >x; echo ready; until [ -e go ]; do sleep 0.1; done; rm go; echo whole >x";

fn release(site: &Site, name: &str) {
    fs::write(site.path(&format!("jobs/{name}/algo-1/opt-ml/model/go")), "").unwrap();
}

/// Waits until the containers of a job are proven to be isolated.
#[track_caller]
pub(crate) fn until_proven(site: &Site, name: &str) {
    let mark = site.path(&format!("jobs/{name}/unproven.json"));
    let proven = wait_for(Duration::from_secs(40), || (!mark.exists()).then_some(()));
    assert!(proven.is_some(), "{name} is not proven: {}", site.describe(name));
}

/// What was proven stays so: neither a supervisor that is killed while it looks at it again nor an engine that comes back between two
/// questions puts it in doubt.
#[test]
fn what_a_proven_container_wrote_is_uploaded_whatever_becomes_of_the_next_supervisor() {
    let site = Site::docker();
    let left = |name: &str| {
        site.settings("engine-path = \"/usr/bin/docker\"\nruntime = \"shim\"");
        site.detach(&asked(name, WAITS));
        site.until_logged(name, "algo-1", "ready");
        until_proven(&site, name);
        site.host().sh(&format!("pkill -KILL -f '[s]upervise {name}'")).must();
        site.until_left(name);
    };
    left("gone");
    let once = site.host().at("once");
    let script = format!(
        "[ $1 != logs ] || [ -e {once} ] || {{ touch {once}; kill -KILL $PPID; }}; exec /usr/bin/docker \"$@\""
    );
    site.settings(&wrapped(&site, "shim", &script));
    let killed = site.job(&["resume", "gone"]);
    assert!(killed.err.contains("the supervisor of gone was killed"), "{killed}");
    site.until_left("gone");
    site.engine(&["rm", "--force", "isolate-gone-algo-1"]).must();
    let done = site.job(&["resume", "gone"]);
    let why = "InternalServerError: container isolate-gone-algo-1 is gone";
    assert!(done.status == Some(1) && done.err.ends_with(why), "{done}");
    assert_eq!(site.archive("gone", "model"), "half");

    left("back");
    let away = site.host().at("away");
    let script = format!(
        "[ $1 != inspect ] || [ -e {away} ] || {{ touch {away}; echo 'Cannot connect to the Docker daemon' >&2; exit 1; }}\n\
         exec /usr/bin/docker \"$@\""
    );
    site.settings(&wrapped(&site, "shim", &script));
    release(&site, "back");
    let done = site.job(&["resume", "back"]);
    assert!(done.status == Some(0) && site.path("away").exists(), "{done}");
    assert_eq!(site.archive("back", "model"), "whole");
}
