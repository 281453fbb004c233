//! Engines that are killed and started again while isolated containers run.

use std::time::Duration;

use test_support::command::wait_for;
use test_support::containerd::{self, Containerd};
use test_support::docker::{Docker, Release};
use test_support::host::EngineHost;
use test_support::probe::ITSELF;
use test_support::{ISOLATE, shim};

/// Names of the records.
fn records(host: &EngineHost) -> String {
    host.sh("find /run/oci-isolate/containers -type f 2>/dev/null | sort || true").must()
}

#[test]
fn an_isolated_container_of_containerd_outlives_a_daemon_that_is_killed() {
    let containerd = Containerd::start(containerd::Release::Containerd1);
    let flags = ["--detach", "--null-io", "--annotation", ISOLATE];
    containerd.run(&shim(), "web", &flags, &["sleep", "1000"]).must();
    let before = records(&containerd.host);
    assert!(before.ends_with("/web.json"), "{before}");
    containerd.host.sh("pkill -KILL -x containerd").must();
    let file = containerd.host.at("containerd.toml");
    containerd.host.daemon("again", "/usr/bin/containerd", &["--config", &file], &[]);
    let answers = wait_for(Duration::from_secs(30), || {
        containerd.ctr(&["task", "ls"]).out.contains("RUNNING").then_some(())
    });
    assert!(answers.is_some(), "{}", containerd.host.log("again.log"));
    assert_eq!(records(&containerd.host), before);
    let exec = ["--exec-id", "one", "web", "sh", "-c", "env; ip -o link show up | cut -d: -f2"];
    let out = containerd.hear(&["task", "exec"], &exec).must();
    assert!(!out.contains("AWS_SECRET_ACCESS_KEY") && out.ends_with("lo"), "{out}");
    containerd.ctr(&["task", "kill", "--signal", "KILL", "web"]).must();
    let stopped = wait_for(Duration::from_secs(20), || {
        containerd.ctr(&["task", "ls"]).out.contains("STOPPED").then_some(())
    });
    assert!(stopped.is_some());
    containerd.ctr(&["task", "rm", "web"]);
    containerd.ctr(&["container", "rm", "web"]).must();
    assert_eq!(records(&containerd.host), "");
}

/// Live restore is Docker's setting by which containers outlive their daemon; without it a daemon that comes back kills
/// those that it finds running.
fn dockerd_is_killed(live: bool) {
    let docker = Docker::start(Release::Docker28);
    let host = &docker.host;
    let file = host.at("daemon.json");
    let mut config: serde_json::Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    config["live-restore"] = live.into();
    host.write("daemon.json", &config.to_string());
    docker.restart();
    let namespaces = || host.sh("lsns -t net -n -o NS | sort | uniq | wc -l").must();
    let before = namespaces();
    std::fs::copy(test_support::isolatectl(), host.at("isolatectl")).unwrap();

    docker.background("web", docker.isolation());
    let recorded = records(host);
    assert!(recorded.ends_with(".json"), "{recorded}");
    docker.crash();
    assert_eq!(records(host), recorded);
    let verified = host.sh(&format!("{} verify --all", host.at("isolatectl"))).must();
    assert!(verified.ends_with(": holds"), "{verified}");

    docker.revive();
    let status = || docker.must(&["inspect", "--format", "{{.State.Status}}", "web"]);
    assert_eq!(status(), if live { "running" } else { "exited" });
    if !live {
        docker.must(&["start", "web"]);
    }
    assert_eq!(docker.probe_in("web", "again").sealed(&ITSELF), [""; 0]);
    // Twice, and removed while it is gone once more.
    docker.crash();
    docker.revive();
    docker.must(&["rm", "--force", "web"]);
    assert_eq!(records(host), "");
    let gone = wait_for(Duration::from_secs(10), || (namespaces() == before).then_some(()));
    assert!(gone.is_some(), "network namespaces stayed behind");
    assert_eq!(docker.probe("next", docker.isolation()).sealed(&ITSELF), [""; 0]);
}

#[test]
fn an_isolated_container_of_docker_is_sealed_whenever_it_runs_and_can_be_removed_after_its_daemon_was_killed()
{
    dockerd_is_killed(false);
}

#[test]
fn an_isolated_container_of_docker_outlives_a_daemon_that_is_killed_with_live_restore() {
    dockerd_is_killed(true);
}

#[test]
fn docker_stops_and_removes_isolated_containers_while_the_settings_cannot_be_read() {
    let docker = Docker::start(Release::Docker28);
    docker.host.settings("");
    for name in ["one", "two"] {
        docker.background(name, docker.isolation());
    }
    docker.host.settings("mode = 1");
    docker.must(&["kill", "one"]);
    let why = docker.docker(&["start", "one"]);
    assert!(!why.well() && why.err.contains("cannot use the settings"), "{why}");
    docker.must(&["stop", "--time", "0", "two"]);
    docker.must(&["rm", "one", "two"]);
    assert_eq!(records(&docker.host), "");
}
