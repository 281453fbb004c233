//! The DaemonSet by `kubectl`: what it changes on the nodes, and that it takes it back.

use serde_json::json;

use crate::cluster::{INSTALLED, PATIENCE, cluster, is_ready};
use test_support::command::wait_for;
use test_support::findings::Findings;

/// What the DaemonSet could change on a node.
const LOOK: &str =
    "cd /etc/containerd; find . /usr/local/bin /etc/oci-isolate 2>/dev/null | sort; cat config.toml";

#[test]
fn the_daemonset_goes_after_the_last_pod_and_comes_again() {
    let _none = INSTALLED.write();
    let cluster = cluster();
    let namespace = cluster.namespace("removal");
    let mut findings = Findings::default();
    let installed = cluster.on("node1", LOOK).must();
    findings
        .claim(installed.contains("/usr/local/bin/oci-isolate\n"), format!("it is not there: {installed}"));
    namespace.sleeper("last", "true", &json!({ "nodeName": "node1" }));
    namespace.pod("last", is_ready);
    let set = ["--namespace=kube-system", "set", "env", "daemonset/oci-isolate"];
    cluster.kubectl(&[&set[..], &["MODE=remove"]].concat()).must();
    let logs = || {
        let all =
            ["--namespace=kube-system", "logs", "--prefix", "--selector=app.kubernetes.io/name=oci-isolate"];
        cluster.kubectl(&all).out
    };
    let waits = wait_for(PATIENCE, || logs().contains("waiting  for the end of removal/last").then_some(()));
    findings.claim(waits.is_some(), format!("it does not wait for the pod: {}", logs()));
    namespace.kubectl(&["delete", "pod", "last"]).must();
    cluster.rolled_out();
    for node in ["node1", "node2"] {
        let left = cluster.on(node, LOOK).must();
        findings.claim(!left.contains("oci-isolate"), format!("left on {node}: {left}"));
    }
    cluster.kubectl(&[&set[..], &["MODE=install"]].concat()).must();
    cluster.rolled_out();
    // The members of jobs are put by the new one, and no longer by the one that was removed.
    for node in ["node1", "node2"] {
        let is_installed = |process: &String| {
            let same =
                format!("[ $(stat -L -c %i /proc/{process}/exe) = $(stat -c %i /usr/local/bin/isolatectl) ]");
            cluster.on(node, &same).well()
        };
        let is_put = || cluster.agent(node, "put").iter().any(is_installed).then_some(());
        findings
            .claim(wait_for(PATIENCE, is_put).is_some(), format!("put of {node} runs the old isolatectl"));
    }
    let again = cluster.on("node1", LOOK).must();
    findings.claim(again == installed, format!("not as it was installed:\n{installed}\n---\n{again}"));
    findings.settle();
}
