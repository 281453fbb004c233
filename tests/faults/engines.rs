//! Engines that are killed and started again while isolated containers run.

use std::time::Duration;

use super::engine::containerd::Containerd;
use super::engine::said::wait_for;
use super::engine::{ISOLATE, shim};

/// Names of the records.
fn records(containerd: &Containerd) -> String {
    containerd.host.sh("find /run/oci-isolate/containers -type f 2>/dev/null | sort || true").must()
}

#[test]
fn an_isolated_container_of_containerd_outlives_a_daemon_that_is_killed() {
    let containerd = Containerd::start();
    let flags = ["--detach", "--null-io", "--annotation", ISOLATE];
    containerd.run(&shim(), "web", &flags, &["sleep", "1000"]).must();
    let before = records(&containerd);
    assert!(before.ends_with("/web.json"), "{before}");
    containerd.host.sh("pkill -KILL -x containerd").must();
    let file = containerd.host.at("containerd.toml");
    containerd.host.daemon("again", "/usr/bin/containerd", &["--config", &file], &[]);
    let answers = wait_for(Duration::from_secs(30), || {
        containerd.ctr(&["task", "ls"]).out.contains("RUNNING").then_some(())
    });
    assert!(answers.is_some(), "{}", containerd.host.log("again.log"));
    assert_eq!(records(&containerd), before);
    let exec = ["task", "exec", "--exec-id", "one", "web", "sh", "-c", "env; ls /sys/class/net"];
    let out = containerd.ctr(&exec).must();
    assert!(!out.contains("AWS_SECRET_ACCESS_KEY") && out.ends_with("lo"), "{out}");
    containerd.ctr(&["task", "kill", "--signal", "KILL", "web"]).must();
    let stopped = wait_for(Duration::from_secs(20), || {
        containerd.ctr(&["task", "ls"]).out.contains("STOPPED").then_some(())
    });
    assert!(stopped.is_some());
    containerd.ctr(&["task", "rm", "web"]);
    containerd.ctr(&["container", "rm", "web"]).must();
    assert_eq!(records(&containerd), "");
}
