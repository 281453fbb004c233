//! Processes that are killed at some moment, and `resume`.

use std::fs;
use std::thread;
use std::time::Duration;

use serde_json::json;
use test_support::command::wait_for;

use crate::moments::moments;
use crate::site::{Asked, Engine, Site, asked};

/// Writes a file in two steps, of which only the second one makes it whole.
const PROGRAM: &str = "cat /opt/ml/input/data/train/x.csv >/opt/ml/model/weights; sleep 1.5; echo whole >>/opt/ml/model/weights";

/// Resumes a job until it has ended; whether it completed. A container that was started and ended before a supervisor
/// could prove that it is isolated is not trusted: what it wrote stays on the host.
#[track_caller]
fn resumed(site: &Site, name: &str) -> bool {
    site.until_left(name);
    let done = site.job(&["resume", name]);
    let is_trusted = !done.err.contains("not proven to be isolated");
    if is_trusted {
        assert_eq!(done.status, Some(0), "{name}: {done}");
        assert_eq!(site.archive(name, "model"), "1,2,3\nwhole", "{name}");
        assert_eq!(site.left_over(name), [""; 0], "{name}");
    } else {
        eprintln!("{name} is not trusted");
        assert_eq!(done.status, Some(1), "{name}: {done}");
        assert!(!site.path(&format!("s3/results/out/{name}/output/model.tar.gz")).exists(), "{name}");
        let kept = site.path(&format!("jobs/{name}/algo-1"));
        assert_eq!(site.left_over(name), [kept.display().to_string()], "{name}");
    }
    is_trusted
}

/// The supervisor, the process with the credentials, a transfer: each at several moments.
fn killed(site: &Site, seed: u64) {
    fs::write(site.path("s3/slow"), "0.3").unwrap();
    // Brackets, so that the shell that runs pkill does not match.
    let victims = ["[s]upervise", "[r]esume --session", "[s]tage (in|out)"];
    let mut completed = 0;
    for (number, moment) in moments(seed, 6, 4000).into_iter().enumerate() {
        eprintln!("{number}: {} after {moment:?}", victims[number % victims.len()]);
        let (name, victim) = (format!("killed-{number}"), victims[number % victims.len()]);
        site.detach(&asked(&name, PROGRAM));
        thread::sleep(moment);
        // None of that name may be there any more, or yet.
        let _ = site.host().sh(&format!("pkill -KILL -f '{victim}'"));
        completed += usize::from(resumed(site, &name));
    }
    assert!(completed >= 3, "{completed} jobs completed");
}

#[test]
fn docker_28_a_job_survives_the_end_of_every_process_of_its_own() {
    killed(&Site::docker(), 1);
}

#[test]
fn podman_5_a_job_survives_the_end_of_every_process_of_its_own() {
    killed(&Site::podman(), 2);
}

/// Waits until a job has no supervisor, or one that waits for its engine; whether it is that.
#[track_caller]
fn until_left_or_waiting(site: &Site, name: &str) -> bool {
    let log = site.path(&format!("jobs/{name}/log/supervisor.log"));
    let waits = || fs::read_to_string(&log).is_ok_and(|text| text.contains("is asked until it answers"));
    let lock = site.host().at(&format!("jobs/{name}/lock"));
    let is_left = || site.host().sh(&format!("flock -n {lock} true")).well();
    let found = wait_for(Duration::from_secs(40), || (waits() || is_left()).then_some(()));
    assert!(found.is_some(), "{name} is supervised");
    waits()
}

/// dockerd with live-restore, as it has to be for containers to outlive it.
#[test]
fn docker_28_a_job_survives_the_end_of_the_daemon() {
    let site = Site::docker();
    let file = site.path("daemon.json");
    let mut config: serde_json::Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    config["live-restore"] = json!(true);
    fs::write(&file, config.to_string()).unwrap();
    let Engine::Docker(docker) = &site.engine else { unreachable!() };
    docker.restart();
    let mut completed = 0;
    for (number, moment) in moments(3, 3, 1500).into_iter().enumerate() {
        let name = format!("daemon-{number}");
        site.detach(&asked(&name, PROGRAM));
        thread::sleep(moment);
        docker.crash();
        // A supervisor whose container may have been started and is not proven to be isolated waits for the daemon.
        if until_left_or_waiting(&site, &name) {
            docker.revive();
            completed += usize::from(resumed(&site, &name));
            continue;
        }
        let status: serde_json::Value =
            serde_json::from_slice(&fs::read(site.path(&format!("jobs/{name}/status.json"))).unwrap())
                .unwrap();
        assert_ne!(status["SecondaryStatus"], "Failed", "{status}");
        let listed = site.job(&["list"]);
        assert!(listed.out.contains("interrupted in "), "{listed}");
        docker.revive();
        completed += usize::from(resumed(&site, &name));
    }
    assert!(completed > 0, "no job completed");
}

/// Two containers, of which some may not be started yet.
#[test]
fn docker_28_a_job_of_two_containers_survives_the_end_of_its_supervisor() {
    let site = Site::docker();
    let two = json!({ "InstanceType": "ml.m5.large", "InstanceCount": 2, "VolumeSizeInGB": 1 });
    let script = "sleep 1; [ $(hostname) = algo-2 ] || { cat /opt/ml/input/data/train/x.csv; echo whole; } >/opt/ml/model/weights";
    let mut completed = 0;
    for (number, moment) in moments(4, 3, 2500).into_iter().enumerate() {
        let name = format!("two-{number}");
        site.detach(&Asked { more: json!({ "ResourceConfig": two }), ..asked(&name, script) });
        thread::sleep(moment);
        let _ = site.host().sh("pkill -KILL -f '[s]upervise'");
        completed += usize::from(resumed(&site, &name));
    }
    assert!(completed > 0, "no job completed");
}

/// `resume --all`, as at boot.
#[test]
fn all_interrupted_jobs_are_resumed_in_the_background() {
    let site = Site::docker();
    for name in ["one", "two"] {
        site.detach(&asked(name, "sleep 1; echo whole >/opt/ml/model/weights"));
    }
    site.until("two", &["Training"]);
    site.host().sh("pkill -KILL -f '[s]upervise'").must();
    site.until_left("one");
    site.until_left("two");
    assert_eq!(site.job(&["resume", "--all"]).must(), "one\ntwo");
    for name in ["one", "two"] {
        site.until(name, &["Completed"]);
        assert_eq!(site.archive(name, "model"), "whole");
    }
    assert_eq!(site.job(&["resume", "--all"]).must(), "");
    let listed: serde_json::Value = serde_json::from_str(&site.job(&["list", "--json"]).must()).unwrap();
    assert_eq!(listed[1]["TrainingJobStatus"], "Completed");
}
