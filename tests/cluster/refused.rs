//! What `kubectl describe` shows of a pod that cannot be isolated.

use serde_json::json;

use crate::cluster::{INSTALLED, PATIENCE, PROBE, cluster};
use test_support::command::wait_for;
use test_support::findings::Findings;

#[test]
fn kubectl_describe_shows_why_a_pod_is_refused() {
    let _installed = INSTALLED.read();
    let cluster = cluster();
    let namespace = cluster.namespace("refused");
    let mut findings = Findings::default();
    let privileged = json!({ "name": "main", "image": PROBE, "command": ["sleep", "1000"], "securityContext": { "privileged": true } });
    // A pod's name, the value of its annotation, what else is in its specification, and words of the event.
    let refused = [
        (
            "host-network",
            "true",
            json!({ "hostNetwork": true }),
            "network-namespace: the pod has the node's network; drop hostNetwork: true",
        ),
        ("value", "maybe", json!({}), "is \"maybe\"; it takes \"true\", \"false\", \"observe\" or nothing"),
        (
            "privileged",
            "true",
            json!({ "containers": [privileged] }),
            "host-capabilities: CAP_DAC_READ_SEARCH",
        ),
    ];
    for (name, isolation, more, _) in &refused {
        namespace.sleeper(name, isolation, more);
    }
    for (name, .., words) in refused {
        let describe = || namespace.kubectl(&["describe", "pod", name]).out;
        let shown = wait_for(PATIENCE, || describe().contains(words).then_some(()));
        findings.claim(shown.is_some(), format!("{name}: no {words:?} in {}", describe()));
        let started = &namespace.pod(name, |_| true)["status"]["containerStatuses"][0]["started"];
        findings.claim(started != true, format!("{name} runs"));
    }
    findings.settle();
}
