//! On an engine that takes its time.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use test_support::command::say;
use test_support::docker::{Docker, Release};

use crate::called::{brought, rows};

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

#[test]
fn what_a_slow_engine_leaves_no_time_for_is_said_not_to_be_tried_and_is_never_closed() {
    let docker = Docker::start(Release::Docker28);
    let host = &docker.host;
    fs::create_dir(host.dir().join("bin")).unwrap();
    let slow =
        "#!/bin/sh\ncase \"$*\" in *' prove-probe try '*) sleep 11 ;; esac\nexec /usr/bin/docker \"$@\"\n";
    fs::set_permissions(host.write("bin/docker", slow), fs::Permissions::from_mode(0o755)).unwrap();
    let mut call = host.patient_command(&brought(host));
    call.env("DOCKER_HOST", docker.socket()).env("HOME", host.dir());
    call.env("PATH", format!("{}:/usr/sbin:/usr/bin:/sbin:/bin", host.at("bin")));
    call.args(["prove", "--json", "--engine=docker", "--runtime=shim", "--seconds=20"]);
    let said = say(call.args(WAYS.map(|way| format!("--way={way}"))));
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
