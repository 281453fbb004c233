//! Too little memory, too few descriptors, files that may not grow, no /proc.

use std::path::Path;

use serde_json::{Value, json};

use test_support::recorded::host::RecorderHost;
use test_support::recorded::output::say;
use test_support::recorded::spec::{isolated_with, plain};
use test_support::shim;

fn old() -> Value {
    isolated_with("/process/env", json!(["PATH=/bin", "AWS_PROFILE=x"]))
}

/// Whether `create` under these limits came to its end. Then the runtime saw the new configuration; else it was not
/// called, the configuration is one of the two, and the next create works.
fn creates(host: &RecorderHost, limit: &str, new: &str) -> bool {
    host.sh("rm -rf /run/oci-isolate ../calls ./.config*; mkdir ../calls").must();
    host.config(&old());
    let mut command = host.command("prlimit");
    let said = say(command.arg(limit).arg(shim()).arg("--root").arg(host.at("root")).args(["create", "web"]));
    let found = std::fs::read_to_string(host.at("bundle/config.json")).unwrap();
    let calls = host.calls();
    if let [call] = &calls[..] {
        assert_eq!(call.config.as_deref(), Some(new), "{limit}");
        assert!(host.outside(&host.record("web")).exists(), "{limit}");
        return true;
    }
    assert!(calls.is_empty(), "{limit}: {calls:?}");
    // A runtime that lacks what the shim had enough of did not come far enough to say so.
    assert!([old().to_string().as_str(), new].contains(&found.as_str()), "{limit}: {said:?} {found}");
    assert!(found != new || host.outside(&host.record("web")).exists(), "{limit}: {said:?}");
    assert!(said.status != 0, "{limit}: {said:?}");
    host.shim(&["create", "web"]).must();
    assert_eq!(host.call().config.as_deref(), Some(new), "{limit}");
    false
}

/// Both ends are reached: with the first of these limits nothing works, with the last everything does.
fn each_of(limits: impl Iterator<Item = String>) {
    let host = RecorderHost::new();
    host.config(&old());
    host.shim(&["create", "web"]).must();
    let new = host.call().config.unwrap();
    let outcomes: Vec<bool> = limits.map(|limit| creates(&host, &limit, &new)).collect();
    assert!(matches!(outcomes[..], [false, .., true]), "{outcomes:?}");
}

#[test]
fn too_little_memory_stops_create_or_changes_nothing() {
    // Steps of a page where memory is first too little and then enough; in between, larger ones.
    let steps = (1..=24).map(|step| step * 512 * 1024).chain([64 << 20, 512 << 20]);
    each_of(steps.map(|bytes| format!("--as={bytes}")));
}

#[test]
fn too_few_descriptors_stop_create_or_change_nothing() {
    each_of((3..=12).chain([64]).map(|count| format!("--nofile={count}")));
}

#[test]
fn files_that_may_not_grow_stop_create_or_change_nothing() {
    each_of([0, 1, 100, 1000, 4000, 1 << 20].into_iter().map(|bytes| format!("--fsize={bytes}")));
}

#[test]
fn a_machine_without_proc_starts_nothing() {
    let host = RecorderHost::new();
    for config in [old(), plain()] {
        host.config(&config);
        let before = host.stamp();
        let said = host
            .sh("unshare --mount sh -c 'mount -t tmpfs tmpfs /proc; \"$SHIM\" --root ../root create web'");
        assert_eq!(
            (said.status, said.err.as_str()),
            (1, "oci-isolate: cannot inspect /proc/self/exe: No such file or directory (os error 2)\n")
        );
        assert_eq!((host.stamp(), host.calls().len(), host.state().len()), (before, 0, 0));
    }
}

#[test]
fn processes_that_are_hidden_are_no_hindrance() {
    let host = RecorderHost::new();
    host.config(&old());
    host.sh("mount -t proc -o hidepid=2 proc /proc; \"$SHIM\" --root \"$PWD/../root\" create web").must();
    assert!(!host.call().config.unwrap().contains("AWS_PROFILE"));
}

/// A control group for memory with this limit, in which the kernel kills who goes beyond.
fn memory_group(host: &RecorderHost, bytes: u64) -> String {
    let name = host.at("").trim_end_matches('/').rsplit('/').next().unwrap().to_owned();
    let group = format!("/sys/fs/cgroup/memory/{name}");
    // cgroup version 1 and 2.
    host.sh(&format!(
        "if [ -d /sys/fs/cgroup/memory ]; then mkdir -p {group}; echo {bytes} >{group}/memory.limit_in_bytes
        else mkdir -p /sys/fs/cgroup/{name}; echo {bytes} >/sys/fs/cgroup/{name}/memory.max; fi"
    ))
    .must();
    if Path::new("/sys/fs/cgroup/memory").exists() { group } else { format!("/sys/fs/cgroup/{name}") }
}

#[test]
fn a_shim_that_is_killed_for_its_memory_leaves_the_old_configuration_or_the_new_one() {
    let host = RecorderHost::new();
    host.config(&old());
    host.shim(&["create", "web"]).must();
    let new = host.call().config.unwrap();
    let mut ends = Vec::new();
    for kilobytes in [256, 512, 768, 1024, 1536, 2048, 2560, 3072, 4096, 6144, 8192, 65536] {
        host.sh("rm -rf /run/oci-isolate ../calls ./.config*; mkdir ../calls").must();
        host.config(&old());
        let group = memory_group(&host, kilobytes << 10);
        let inside = format!("echo 0 >{group}/cgroup.procs; exec \"$SHIM\" --root ../root create web");
        let status = say(host.command("sh").args(["-c", &inside]).env("SHIM", shim())).status;
        host.sh(&format!("rmdir {group}")).must();
        let case = format!("{kilobytes} KiB: {status}");
        let found = std::fs::read_to_string(host.at("bundle/config.json")).unwrap();
        assert!([&*old().to_string(), &*new].contains(&&*found), "{case}: {found}");
        assert!(found != new || host.outside(&host.record("web")).exists(), "{case}");
        let reached = Path::new(&host.at("calls/0")).exists();
        assert!(reached || status != 0, "{case}");
        ends.push((status, reached));
        host.sh("rm -rf ../calls; mkdir ../calls").must();
        host.shim(&["create", "web"]).must();
        assert_eq!(host.call().config.as_deref(), Some(&*new), "{case}");
    }
    assert!(ends.contains(&(128 + 9, false)) && ends.last() == Some(&(0, true)), "{ends:?}");
}
