//! What is refused before anything is created, and containers that turn out not to be isolated.

use std::fs;

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

/// A runtime that is taken for the shim and is not: the program runs for a moment, and then no more.
#[test]
fn a_container_that_is_not_isolated_is_killed_and_the_job_fails() {
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
