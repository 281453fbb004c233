//! All ways, on installations that isolate.

use std::time::Duration;

use test_support::docker::{Docker, Release};

use crate::called::{all_are_closed, command, prove, rows};

/// Not open without the annotation either: the kernel of the tests has no AF_ALG.
const NOT_SHOWN: [&str; 1] = ["alg"];

#[test]
fn with_docker_28_every_way_is_open_without_and_closed_with_the_annotation_and_nothing_is_left() {
    let docker = Docker::start(Release::Docker28);
    let before = left(&docker);
    let said = prove(&docker, "shim", &["--junit", &docker.host.at("prove.xml")]);
    all_are_closed(&said, &NOT_SHOWN);
    assert_eq!(left(&docker), before);
    let junit = std::fs::read_to_string(docker.host.at("prove.xml")).unwrap();
    assert_eq!(junit.matches("<testcase ").count(), rows(&said).len(), "{junit}");
    assert!(!junit.contains("<failure") && !junit.contains("<error"), "{junit}");
    an_interrupt_leaves_nothing(&docker, &before);
}

fn an_interrupt_leaves_nothing(docker: &Docker, before: &str) {
    let mut child = command(docker, "shim").spawn().unwrap();
    // Once its containers run.
    let runs = || (left(docker) != before && !docker.must(&["ps", "--quiet"]).is_empty()).then_some(());
    assert!(test_support::command::wait_for(Duration::from_secs(20), runs).is_some());
    let pid = docker.host.sh(&format!("pgrep -f '^{} prove'", docker.host.at("isolatectl"))).must();
    docker.host.sh(&format!("kill -INT {pid}")).must();
    let status = child.wait().unwrap();
    assert_eq!(status.code(), Some(1));
    assert_eq!(left(docker), before);
}

/// What Docker has that prove could leave behind, and the host's directories for it.
fn left(docker: &Docker) -> String {
    let all = docker.must(&["ps", "--all", "--quiet"])
        + &docker.must(&["network", "ls", "--format", "{{.Name}}"])
        + &docker.must(&["images", "--format", "{{.Repository}}"]);
    all + &docker.host.sh("ls /tmp /dev/shm | grep oci-isolate-prove || true").must()
}
