//! On an engine that takes its time, and on one that loses a container.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use test_support::command::{Finished, say};
use test_support::docker::{Docker, Release};

use crate::called::{PATIENT, brought, finds, rows};

/// Ways that ask for something different each.
const WAYS: [&str; 9] = [
    "tcp",
    "host-network",
    "host-pid-root",
    "host-ipc",
    "kernel-log",
    "socket",
    "fifo",
    "hosts-root",
    "arguments",
];

/// Runs prove to its end with a client of Docker in which a line of a shell comes first.
fn prove_by(docker: &Docker, line: &str, words: &[&str]) -> Finished {
    let host = &docker.host;
    fs::create_dir(host.dir().join("bin")).unwrap();
    let client = format!("#!/bin/sh\n{line}\nexec /usr/bin/docker \"$@\"\n");
    fs::set_permissions(host.write("bin/docker", &client), fs::Permissions::from_mode(0o755)).unwrap();
    let mut call = host.patient_command(&brought(host));
    call.env("DOCKER_HOST", docker.socket()).env("HOME", host.dir());
    call.env("PATH", format!("{}:/usr/sbin:/usr/bin:/sbin:/bin", host.at("bin")));
    say(call.args(["prove", "--json", "--engine=docker", "--runtime=shim"]).args(words))
}

#[test]
fn what_a_slow_engine_leaves_no_time_for_is_said_not_to_be_tried_and_is_never_closed() {
    let docker = Docker::start(Release::Docker28);
    // The time of the ways begins with the first of them, however long the preparation took.
    let slow = "case \"$*\" in *' prove-probe try '*) sleep 11 ;; esac";
    let ways = WAYS.map(|way| format!("--way={way}"));
    let words: Vec<&str> = ways.iter().map(String::as_str).chain(["--seconds=20"]).collect();
    let said = prove_by(&docker, slow, &words);
    let rows = rows(&said);
    assert_eq!(rows.iter().map(|[way, ..]| way.as_str()).collect::<Vec<_>>(), WAYS, "{said}");
    let not_tried: Vec<_> =
        rows.iter().filter(|[.., says]| says.contains("not tried: the 20 seconds")).collect();
    // Three are tried at a time, and no second container of a way is begun after the first of another three.
    assert!(not_tried.len() >= WAYS.len() - 3, "{said}");
    assert!(not_tried.iter().all(|[_, state, _]| state == "failed"), "{said}");
    assert_eq!(said.status, Some(1), "{said}");
    assert_eq!(docker.must(&["ps", "--all", "--quiet"]), "");
}

/// Of a way that leads nowhere because the other side has gone, nothing is known.
#[test]
fn a_way_whose_other_side_has_gone_has_failed() {
    let docker = Docker::start(Release::Docker28);
    let log = docker.host.at("calls");
    // Between the container without the annotation and the one with it.
    let line = format!(
        "echo \"$*\" >>{log}\ncase \"$*\" in *network-isolation=true*)
         /usr/bin/docker rm --force $(/usr/bin/docker ps --quiet --no-trunc --filter name=-peer) >/dev/null 2>&1 ;;\nesac"
    );
    let said = prove_by(&docker, &line, &["--way=tcp", PATIENT]);
    finds(&said, "tcp", "failed", "the container that answers has ended meanwhile");
    // It lives longer than what may be tried.
    let calls = fs::read_to_string(&log).unwrap();
    let peer = calls.lines().find(|line| line.contains(" prove-probe serve ")).unwrap();
    let life: u64 = peer.rsplit_once(' ').unwrap().1.parse().unwrap();
    assert!(life > 200, "{peer}");
    assert_eq!(docker.must(&["ps", "--all", "--quiet"]), "");
}
