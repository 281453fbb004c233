//! Many containers at once and in a row leave nothing behind, by `hack/load` in small; by hand it takes ten times as
//! many and compares with bare runc. Needs root and what `hack/engines` installs.

#![allow(clippy::unwrap_used, reason = "all of this crate is test code")]

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

const SHIM: &str = env!("CARGO_BIN_EXE_oci-isolate");

/// What `hack/load` found; its exit status has to agree.
#[track_caller]
fn problems(shim: &Path, count: u32, rows: u32) -> Vec<String> {
    // Many times as long as a loaded machine takes; what hangs is killed, and its containers go with it.
    let mut command = Command::new("timeout");
    command.args(["--kill-after=5", "900", concat!(env!("CARGO_MANIFEST_DIR"), "/hack/load")]);
    command.args(["--json", "--no-bare", "--rounds", "1", "--count", &count.to_string()]);
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
    assert_eq!(problems(Path::new(SHIM), 200, 200), none);
}

/// Something in the shim's place that does this with one call, and is the shim in all others.
fn wrapped(call: &str, instead: &str) -> Vec<String> {
    let dir = tempfile::tempdir().unwrap();
    let wrapper = dir.path().join("oci-isolate");
    let script =
        format!("#!/bin/sh\ncase \"$*\" in\n*\"{call}\") {instead} ;;\n*) exec {SHIM} \"$@\" ;;\nesac\n");
    fs::write(&wrapper, script).unwrap();
    fs::set_permissions(&wrapper, fs::Permissions::from_mode(0o755)).unwrap();
    symlink(env!("CARGO_BIN_EXE_isolatectl"), dir.path().join("isolatectl")).unwrap();
    problems(&wrapper, 4, 0)
}

#[test]
fn one_that_is_not_deleted_one_that_is_not_isolated_and_one_that_does_not_start_are_noticed() {
    let left = wrapped("delete 3", "exit 0").join("\n");
    for what in ["/run/oci-isolate/containers/run/runc/3.json", "/run/runc/3/state.json"] {
        assert!(left.contains("left behind") && left.contains(what), "{left}");
    }
    let open = wrapped("init.pid 2", "exec runc \"$@\"").join("\n");
    assert!(open.starts_with("isolated: 1 calls failed") && open.contains("/verify 4"), "{open}");
    let failed = wrapped("start 1", "echo no >&2; exit 1").join("\n");
    assert!(failed.contains("calls failed: no;burst: container 1: run"), "{failed}");
}
