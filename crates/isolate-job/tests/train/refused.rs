//! What is refused before anything is created.

use std::fs;

use serde_json::json;
use test_support::command::say;
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
        assert!(!site.path("jobs").exists(), "{why}: the directory of jobs was created");
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
    let request = site.request(&asked("refused", "true"));
    let mut command = site.command(&["train", &request]);
    let done = say(command.env("SSL_CERT_FILE", "/dev/null").env("SSL_CERT_DIR", "/dev/null"));
    assert!(
        done.status == Some(2) && done.err.contains("; install ca-certificates, or set ca-bundle in [s3]"),
        "{done}"
    );
    assert!(!site.path("jobs").exists());
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

/// The settings of the host count when a job is resumed, too.
#[test]
fn a_job_in_pipe_mode_is_not_resumed_where_pipe_mode_is_refused() {
    let site = Site::docker();
    fs::write(site.path("s3/slow"), "30").unwrap();
    let channel = |name: &str, mode: &str| {
        json!({
            "ChannelName": name, "InputMode": mode,
            "DataSource": { "S3DataSource": { "S3DataType": "S3Prefix", "S3Uri": "s3://data/train" } },
        })
    };
    let channels = json!([channel("files", "File"), channel("pipe", "Pipe")]);
    site.detach(&Asked { more: json!({ "InputDataConfig": channels }), ..asked("piped", "echo ran") });
    site.until("piped", &["Downloading"]);
    site.host().sh("pkill -KILL -f '[s]upervise piped'").must();
    site.until_left("piped");
    site.settings("runtime = \"shim\"\npipe-mode = \"refused\"");
    let done = site.job(&["resume", "piped"]);
    let why = "ClientError: InputDataConfig[1].InputMode: Pipe is refused by pipe-mode = \"refused\" in the settings; give File, or \
               change the setting";
    assert_eq!((done.status, done.out.as_str(), done.err.as_str()), (Some(1), "", why), "{done}");
    assert_eq!(site.left_over("piped"), [""; 0]);
}
