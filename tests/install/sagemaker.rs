//! The runtime for SageMaker's SDK: its settings come and go with it, and what the operator has written stays.

use std::fs;
use std::time::Duration;

use serde_json::Value;

use test_support::command::{Finished, say, wait_for};
use test_support::docker::{Docker, Release};
use test_support::{isolatectl, shim};

use crate::install;

const SETTINGS: &str = "/etc/oci-isolate/sagemaker.toml";

/// `isolatectl` on Docker's host.
fn ctl(docker: &Docker, args: &[&str]) -> Finished {
    let program = docker.host.dir().join("isolatectl");
    if !program.exists() {
        fs::copy(isolatectl(), &program).unwrap();
    }
    say(docker.host.command(program.to_str().unwrap()).args(args))
}

/// `isolatectl install docker --sagemaker`, with the shim's path.
fn installed(docker: &Docker, more: &[&str]) -> Finished {
    let config = docker.host.at("daemon.json");
    ctl(docker, &[&["install", "docker", "--sagemaker", "--config", &config], more].concat())
}

fn comes_works_and_goes(release: Release) {
    let docker = Docker::start(release);
    let file = docker.host.dir().join("daemon.json");
    let before = fs::read(&file).unwrap();
    let shim = shim();
    let path = ["--runtime-path", shim.to_str().unwrap()];
    let settings = || docker.host.sh(&format!("cat {SETTINGS}"));

    let dry = installed(&docker, &[&path[..], &["--dry-run"]].concat()).must();
    assert!(
        dry.contains("+job = \"${TRAINING_JOB_NAME}\"") && dry.contains("+++ /etc/oci-isolate/"),
        "{dry}"
    );
    assert!(dry.contains(&format!("\"--isolate-config={SETTINGS}\"")), "{dry}");
    assert!(!settings().well() && fs::read(&file).unwrap() == before, "a dry run changed something");

    let lines = "write into ~/.sagemaker/config.yaml of those who run the SDK:\n\
                 local:\n  container_config:\n    runtime: sagemaker";
    let said = installed(&docker, &path).must();
    let shown = file.display();
    let wanted = format!("changed  {SETTINGS}\nchanged  {shown}\nthen     systemctl reload docker\n{lines}");
    assert_eq!(said, wanted);
    assert_eq!(settings().must(), include_str!("../../dist/sagemaker.toml").trim_end());
    let again =
        format!("no change: {SETTINGS} is as it should be\nno change: {shown} is as it should be\n{lines}");
    assert_eq!(installed(&docker, &path).must(), again);
    let json = ctl(
        &docker,
        &["--json", "install", "docker", "--sagemaker", "--config", &docker.host.at("daemon.json")],
    );
    // The shim is not beside this copy of isolatectl.
    assert_eq!(json.status, Some(1), "{json}");

    docker.host.sh(&format!("kill -HUP $(cat {})", docker.host.at("docker.pid"))).must();
    let knows = || docker.must(&["info", "--format", "{{json .Runtimes}}"]).contains("\"sagemaker\"");
    assert!(wait_for(Duration::from_secs(20), || knows().then_some(())).is_some());
    let run = |runtime: &str, script: &str| {
        let job = ["--rm", runtime, "-e=TRAINING_JOB_NAME=mnist-7", "-e=AWS_SECRET_ACCESS_KEY=x"];
        docker.run(&[&job, &["probe", "bash", "-c", script]])
    };
    let script = "env | grep -c AWS_SECRET_ACCESS_KEY
        exec 3<>/dev/tcp/203.0.113.7/80 && printf 'GET / HTTP/1.0\\r\\n\\r\\n' >&3 && grep outside <&3";
    let open = run("--runtime=bare", script);
    assert_eq!(open.out, "1\noutside", "not open with the bare runtime: {open}");
    let closed = run("--runtime=sagemaker", script);
    assert!(closed.out == "0" && closed.err.contains("Connection refused"), "{closed}");

    // Doctor reads the settings, and tells where they are wrong.
    let doctor = |docker: &Docker| {
        docker.host.sh(&format!("mkdir -p /etc/docker; cp {shown} /etc/docker/daemon.json")).must();
        let said = ctl(docker, &["--json", "doctor"]);
        let findings: Vec<Value> = serde_json::from_str(&said.out).unwrap();
        let about = |finding: &Value| finding["says"].as_str().unwrap().starts_with("runtime sagemaker of ");
        findings.into_iter().find(about).unwrap()
    };
    let finding = doctor(&docker);
    assert!(finding["state"] == "ok" && finding["says"].as_str().unwrap().ends_with(SETTINGS), "{finding}");
    docker.host.sh(&format!("echo 'mode = \"sometimes\"' >{SETTINGS}")).must();
    let finding = doctor(&docker);
    assert!(
        finding["state"] == "fail" && finding["says"].as_str().unwrap().contains("sometimes"),
        "{finding}"
    );
    // So does install, which leaves them alone; and so does uninstall.
    let said = installed(&docker, &path);
    assert!(said.status == Some(1) && said.err.contains(SETTINGS), "{said}");
    let said = run("--runtime=sagemaker", "true");
    assert!(said.err.contains(SETTINGS), "{said}");
    let said = installed(&docker, &["--uninstall"]).must();
    assert!(said.starts_with(&format!("kept     {SETTINGS}: it was changed\nchanged  {shown}\n")), "{said}");
    assert_eq!(
        (settings().must(), fs::read(&file).unwrap()),
        ("mode = \"sometimes\"".to_owned(), before.clone())
    );

    docker.host.sh(&format!("rm {SETTINGS}")).must();
    installed(&docker, &path).must();
    let said = installed(&docker, &["--uninstall"]).must();
    assert!(said.starts_with(&format!("removed  {SETTINGS}\nchanged  {shown}\n")), "{said}");
    assert!(!settings().well() && fs::read(&file).unwrap() == before);
}

#[test]
fn docker_20_isolates_containers_of_the_sdks_runtime_until_it_is_uninstalled() {
    comes_works_and_goes(Release::Docker20);
}

#[test]
fn docker_28_isolates_containers_of_the_sdks_runtime_until_it_is_uninstalled() {
    comes_works_and_goes(Release::Docker28);
}

#[test]
fn it_is_for_docker_and_has_its_own_name() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    for (engine, more, status, words) in [
        ("podman", &["--sagemaker"][..], 1, "the SDK's local mode uses Docker"),
        ("docker", &["--sagemaker", "--name=x"], 2, "cannot be used with"),
        ("docker", &["--sagemaker", "--always"], 2, "cannot be used with"),
    ] {
        let output = install(engine, &file, more);
        let err = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.code() == Some(status) && err.contains(words), "{more:?}: {err}");
        assert!(!file.exists());
    }
}
