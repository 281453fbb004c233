//! Many containers, at once and in a row, leave nothing behind: a small run of `hack/load`, which by hand starts ten times
//! as many and compares with bare runc. Needs root and what `hack/engines` installs.

#![allow(clippy::unwrap_used, reason = "all of this crate is test code")]
#![allow(clippy::print_stderr, reason = "what a daemon said is wanted when its test fails")]

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use test_support::command::{say, wait_for};
use test_support::docker::{Docker, Release};
use test_support::shim;

/// What `hack/load` found; its exit status has to agree.
#[track_caller]
fn problems(shim: &Path, count: u32, rows: u32) -> Vec<String> {
    // Many times as long as a loaded machine takes; what hangs is killed, and its containers go with it.
    let mut command = Command::new("timeout");
    command.args(["--kill-after=5", "900", concat!(env!("CARGO_MANIFEST_DIR"), "/hack/load")]);
    command.args(["--json", "--no-bare", "--no-veth", "--rounds", "1", "--count", &count.to_string()]);
    let output = command.args(["--rows", &rows.to_string(), "--shim"]).arg(shim).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    let found: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|why| panic!("{why}: {said}"));
    assert_eq!(found["count"], json!(count), "{found}");
    assert_eq!(found["isolated"]["up_s"].as_array().unwrap().len(), 1, "{found}");
    let problems: Vec<String> = serde_json::from_value(found["problems"].clone()).unwrap();
    assert_eq!(output.status.success(), problems.is_empty(), "{}: {problems:?}", output.status);
    problems
}

#[test]
fn two_hundred_at_once_and_two_hundred_in_a_row_work_and_leave_nothing() {
    let none: [&str; 0] = [];
    assert_eq!(problems(&shim(), 200, 200), none);
}

/// Something in the shim's place that does this with one call, and is the shim in all others.
fn wrapped(call: &str, instead: &str) -> Vec<String> {
    let dir = tempfile::tempdir().unwrap();
    let wrapper = dir.path().join("oci-isolate");
    let script = format!(
        "#!/bin/sh\ncase \"$*\" in\n*\"{call}\") {instead} ;;\n*) exec {} \"$@\" ;;\nesac\n",
        shim().display()
    );
    fs::write(&wrapper, script).unwrap();
    fs::set_permissions(&wrapper, fs::Permissions::from_mode(0o755)).unwrap();
    symlink(test_support::isolatectl(), dir.path().join("isolatectl")).unwrap();
    problems(&wrapper, 4, 0)
}

#[test]
fn one_that_is_not_deleted_one_that_is_not_isolated_and_one_that_does_not_start_are_noticed() {
    let left = wrapped("delete 3", "exit 0").join("\n");
    for what in ["/run/oci-isolate/containers/run/runc/3.json", "/run/runc/3/state.json"] {
        assert!(left.contains("left behind") && left.contains(what), "{left}");
    }
    let open = wrapped("init.pid 2", "exec runc \"$@\"").join("\n");
    assert!(open.starts_with("isolated: 2 calls failed") && open.contains("its record is gone"), "{open}");
    let failed = wrapped("start 1", "echo no >&2; exit 1").join("\n");
    assert!(failed.contains("calls failed: no;burst: container 1: run"), "{failed}");
}

/// How many containers Docker starts at once; more by hand.
fn docker_containers() -> usize {
    std::env::var("OCI_ISOLATE_LOAD_DOCKER").ok().and_then(|count| count.parse().ok()).unwrap_or(20)
}

#[test]
fn many_containers_of_docker_at_once_are_sealed_and_leave_nothing() {
    let docker = Docker::start(Release::Docker28);
    let host = &docker.host;
    let count = docker_containers();
    let left = || {
        let look = "find /run/oci-isolate/containers -type f 2>/dev/null || true
            lsns --noheadings --output TYPE,NS,COMMAND | grep -v lsns | sort
            cut -d' ' -f4- /proc/self/mountinfo | sort; ip -o link show type veth";
        host.sh(look).must()
    };
    let before = left();
    std::fs::copy(test_support::isolatectl(), host.at("isolatectl")).unwrap();
    // Docker's client waits for its daemon, however long that takes.
    let patient = |script: &str| {
        let mut command = docker.client("timeout");
        command.args(["600", "sh", "-euc", script, "sh"]).args(docker.isolation());
        say(&mut command)
    };
    let run = "for n in $(seq COUNT); do docker run -d --name c$n \"$@\" probe sleep 1000 >/dev/null & pids=\"${pids-} $!\"; done
        for pid in $pids; do wait $pid; done";
    patient(&run.replace("COUNT", &count.to_string())).must();
    let verified = host.sh(&format!("{} verify --all", host.at("isolatectl"))).must();
    assert_eq!(verified.lines().filter(|line| line.ends_with(": holds")).count(), count, "{verified}");
    assert_eq!(verified.lines().count(), count, "{verified}");
    patient("docker ps -q | xargs -n 1 -P 100 docker rm -f >/dev/null").must();
    let gone = wait_for(Duration::from_secs(30), || (left() == before).then_some(()));
    assert!(gone.is_some(), "before:\n{before}\nafter:\n{}", left());
}
