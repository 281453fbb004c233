//! Temporary files of shims that were killed.

use serde_json::json;

use test_support::recorded::host::RecorderHost;
use test_support::recorded::spec::isolated_with;

/// No process of this host has it.
const GONE: &str = "4000000";

fn host() -> RecorderHost {
    let host = RecorderHost::new();
    host.config(&isolated_with("/process/env", json!(["AWS_PROFILE=x"])));
    host
}

/// Half a record, and half a configuration in the bundle of a record whose creator is gone.
fn leave(host: &RecorderHost) {
    let record = host.record("web");
    let dir = record.replace("/web.json", "");
    let leave = r#"true >DIR/.web.json.oci-isolate-new
        sed -i 's/"creator":{"pid":[0-9]*/"creator":{"pid":GONE/' DIR/web.json
        true >.config.json.oci-isolate-GONE"#;
    host.sh(&leave.replace("DIR", &dir).replace("GONE", GONE)).must();
}

#[test]
fn the_next_create_removes_them() {
    for verb in ["create", "run"] {
        let host = host();
        host.shim(&[verb, "web"]).must();
        leave(&host);
        host.shim(&[verb, "web"]).must();
        assert_eq!(host.bundle(), "config.json\nrootfs\n", "{verb}");
        assert!(
            !host.state().iter().any(|path| path.contains(".oci-isolate-")),
            "{verb}: {:?}",
            host.state()
        );
    }
}

#[test]
fn delete_removes_them() {
    let host = host();
    host.shim(&["create", "web"]).must();
    leave(&host);
    host.shim(&["delete", "web"]).must();
    assert_eq!(host.bundle(), "config.json\nrootfs\n");
    assert_eq!(host.sh("find /run/oci-isolate/containers 2>/dev/null || true").must(), "");
}

#[test]
fn those_of_a_process_that_lives_and_files_of_others_stay() {
    let host = host();
    let kept =
        ".config.json.oci-isolate-1\n.config.json.oci-isolate-x\n.other.oci-isolate\nconfig.json\nrootfs\n";
    host.sh("touch .config.json.oci-isolate-1 .config.json.oci-isolate-x .other.oci-isolate").must();
    host.shim(&["create", "web"]).must();
    host.shim(&["create", "web"]).must();
    assert_eq!(host.bundle(), kept);
}
