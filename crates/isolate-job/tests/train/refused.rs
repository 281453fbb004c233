//! What is refused before anything is created, and containers that turn out not to be isolated.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use serde_json::json;
use test_support::command::{say, wait_for};
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
    let request = site.request(&asked("refused", "true"));
    let mut command = site.command(&["train", &request]);
    let done = say(command.env("SSL_CERT_FILE", "/dev/null").env("SSL_CERT_DIR", "/dev/null"));
    assert!(
        done.status == Some(2) && done.err.contains("; install ca-certificates, or set ca-bundle in [s3]"),
        "{done}"
    );
    assert!(!site.path("jobs/refused").exists());
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
fn wrapped(site: &Site, runtime: &str, script: &str) -> String {
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
    let (gone, once) = (site.host().at("gone"), site.host().at("once"));
    let script = format!(
        "[ ! -e {gone} ] || {{ echo 'Cannot connect to the Docker daemon' >&2; exit 1; }}\n\
         if [ $1 = start ] && [ ! -e {once} ]; then\n\
             /usr/bin/docker \"$@\"; touch {once} {gone}; echo 'error during connect: EOF' >&2; exit 1\n\
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

    // One that is isolated runs on, as in every interruption.
    fs::remove_file(site.path("once")).unwrap();
    site.settings(&going(&site, "shim"));
    site.detach(&asked("closed", "sleep 2; echo whole >/opt/ml/model/x"));
    waits(&site, "closed");
    assert!(site.path("jobs/closed/unproven.json").exists());
    fs::remove_file(site.path("gone")).unwrap();
    site.until_left("closed");
    assert!(!site.path("jobs/closed/unproven.json").exists());
    let listed = site.job(&["list"]);
    assert!(listed.out.contains("interrupted in Training"), "{listed}");
    assert_eq!(site.job(&["resume", "closed"]).status, Some(0));
    assert_eq!(site.archive("closed", "model"), "whole");
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

/// The supervisor is killed before the proof, and the container is removed.
#[test]
fn what_a_container_wrote_that_was_never_proven_is_not_uploaded() {
    let site = Site::docker();
    let script = "/usr/bin/docker \"$@\" || exit; [ $1 != start ] || kill -KILL $PPID";
    site.settings(&wrapped(&site, "shim", script));
    let killed = site.train(&asked("unseen", "echo unseen >/opt/ml/model/x; sleep 1000"));
    assert!(killed.err.contains("the supervisor of unseen was killed"), "{killed}");
    site.until_left("unseen");
    site.engine(&["rm", "--force", "isolate-unseen-algo-1"]).must();
    let done = site.job(&["resume", "unseen"]);
    let why =
        "InternalServerError: container isolate-unseen-algo-1 is gone; its isolation was not proven before";
    assert!(done.status == Some(1) && done.err.ends_with(why), "{done}");
    assert!(!site.path("s3/results/out/unseen").exists());
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
