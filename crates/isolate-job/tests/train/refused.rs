//! What is refused before anything is created, and containers that turn out not to be isolated.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::json;
use test_support::docker::{Docker, Release};

use crate::site::{Asked, Engine, Site, asked};

/// Not this engine, not this runtime, not this image, no such document: nothing is created.
#[test]
fn what_cannot_be_run_is_refused_and_nothing_is_created() {
    let site = Site::docker();
    let refused = |asked: &Asked, why: &str| {
        let done = site.train(asked);
        assert!(
            done.status == Some(2) && done.err.contains(why) && done.err.lines().count() == 1,
            "{why}: {done}"
        );
        assert!(!site.path(&format!("jobs/{}", asked.name)).exists(), "{why}: {} was created", asked.name);
    };
    let with = |more| Asked { more, ..asked("refused", "true") };
    refused(&with(json!({ "EnableNetworkIsolation": false })), "EnableNetworkIsolation: is not true");
    refused(&with(json!({ "TrainingJobName": "no_name" })), "TrainingJobName: ");
    let large = json!({ "InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 16384 });
    refused(&with(json!({ "ResourceConfig": large })), "insufficient disk space");
    let vpc = json!({ "Subnets": ["subnet-1"], "SecurityGroupIds": ["sg-1"] });
    refused(&with(json!({ "VpcConfig": vpc })), "VpcConfig.Subnets[0]: subnet-1 is not in the settings");
    let image = json!({ "TrainingImage": "nowhere.invalid/image", "TrainingInputMode": "File" });
    refused(&with(json!({ "AlgorithmSpecification": image })), "AlgorithmSpecification.TrainingImage: ");
    for (settings, why) in [
        ("runtime = \"bare\"", "which is not oci-isolate"),
        ("runtime = \"none\"", "knows no runtime \"none\""),
        (
            "engine-path = \"/nonexistent\"\nruntime = \"shim\"",
            "Docker is not installed: there is no program /nonexistent; install it, or set engine",
        ),
        ("engine = \"podman\"\nengine-path = \"/usr/bin/docker\"", "set engine = \"docker\""),
        ("paralel = 7", "unknown field `paralel`"),
    ] {
        site.settings(settings);
        refused(&asked("refused", "true"), why);
    }
    site.settings("runtime = \"shim\"");
    fs::remove_file(site.path("bin/isolatectl")).unwrap();
    refused(&asked("refused", "true"), "isolatectl is neither beside isolate-job nor in PATH");
}

#[test]
fn docker_20_cannot_pass_annotations_and_is_refused_with_the_way_out() {
    let site = Site::new(Engine::Docker(Docker::start(Release::Docker20)));
    let done = site.train(&asked("old", "true"));
    assert!(
        done.status == Some(2) && done.err.contains("install Docker 24 or later, or Podman 4 or later"),
        "{done}"
    );
    assert!(!site.path("jobs/old").exists());
}

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
fn wrapped(site: &Site, script: &str) -> String {
    let client = site.host().write("docker-client", &format!("#!/bin/sh\n{script}\n"));
    fs::set_permissions(site.path("docker-client"), fs::Permissions::from_mode(0o755)).unwrap();
    format!("engine-path = {client:?}\nruntime = \"fake\"")
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
