//! Where credentials are: in the process that was started by the user and in its transfers, and nowhere else.

use std::fs;

use serde_json::json;

use crate::site::canaries::{CANARIES, only_in};
use crate::site::{Asked, Site, asked};

/// What the user started, and what it starts.
const SESSION: &str = " resume --session canary";

fn credentials(site: &Site) {
    fs::write(site.path("s3/slow"), "8").unwrap();
    let script = "tr '\\0' '\\n' </proc/1/environ >/opt/ml/model/environ; echo ready; while ! [ -e /opt/ml/model/go ]; do sleep 0.1; done; exit 6";
    let checkpoints = json!({ "CheckpointConfig": { "S3Uri": "s3://results/checkpoints" } });
    site.detach(&Asked { more: checkpoints, ..asked("canary", script) });
    site.until("canary", &["Downloading"]);
    only_in(site.host(), &[SESSION, " stage in "]);
    site.until_logged("canary", "algo-1", "ready");
    // Those of checkpoints, a second after the last one.
    while !site.host().sh("pgrep -f '[s]tage out'").well() {}
    only_in(site.host(), &[SESSION, " stage out "]);
    // The supervisor is another process, and runs.
    site.host().sh("pgrep -f '[s]upervise canary'").must();
    let pid = site.host().sh("pgrep -f '[r]esume --session canary'").must();
    let traced = site.host().sh(&format!("setpriv --reuid 59998 --clear-groups cat /proc/{pid}/environ"));
    assert!(!traced.well(), "{traced}");
    let inspected = site.engine(&["inspect", "isolate-canary-algo-1"]).must();
    for (variable, value) in CANARIES {
        assert!(!inspected.contains(value), "{variable} is in what the container is inspected as");
    }

    // It leaves no core where another process does.
    let kill = |pid: &str| {
        let script = format!(
            "cd /proc/{pid}/cwd; rm -f core*; before=$(pwd -P); kill -ABRT {pid}; while [ -e /proc/{pid}/exe ]; do sleep 0.1; done; \
             cd $before; for core in core*; do [ ! -e $core ] || {{ echo dumped; rm $core; }}; done"
        );
        site.host().sh(&script).must()
    };
    site.host()
        .sh("mkdir /run/cores; cd /run/cores; ulimit -c unlimited; setsid --fork sleep 1234 >/dev/null 2>&1")
        .must();
    assert_eq!(kill(&site.host().sh("pgrep -f '[s]leep 1234'").must()), "dumped");
    assert_eq!(kill(&pid), "");
    site.until_left("canary");

    only_in(site.host(), &[]);
    fs::write(site.path("jobs/canary/algo-1/opt-ml/model/go"), "").unwrap();
    fs::remove_file(site.path("s3/slow")).unwrap();
    assert_eq!(site.job(&["resume", "canary"]).status, Some(1));
    only_in(site.host(), &[]);
    let environ = site.archive("canary", "model");
    assert!(
        environ.contains("TRAINING_JOB_NAME=canary") && !environ.to_lowercase().contains("canary/secret"),
        "{environ}"
    );
}

#[test]
fn docker_28_credentials_are_in_the_users_own_process_and_its_transfers_only() {
    credentials(&Site::docker());
}

#[test]
fn podman_5_credentials_are_in_the_users_own_process_and_its_transfers_only() {
    credentials(&Site::podman());
}
