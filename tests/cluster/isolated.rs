//! What an isolated pod reaches, from its first act on, beside one that is not isolated.

use serde_json::{Value, json};

use crate::cluster::{INSTALLED, PROBE, address, cluster};
use test_support::CREDENTIALS;
use test_support::findings::Findings;
use test_support::probe::{ITSELF, Report};

/// The API server, the kubelet of each node, and the API server's Service.
const CONTROL_PLANE: [&str; 4] =
    ["10.198.0.10/6443", "10.198.0.1/10250", "10.198.0.2/10250", "10.97.0.1/443"];

/// What works in an open pod of this cluster, which has no DNS.
const OPEN: [&str; 5] = ["tcp", "udp", "icmp", "metadata", "credentials"];

/// A pod that tries everything in its init container, and again in its container.
fn pod(name: &str, isolated: bool) -> Value {
    let tries = CONTROL_PLANE
        .map(|target| format!("timeout 3 bash -c 'exec 3<>/dev/tcp/{target}' && echo 'reached {target}';"))
        .concat();
    let command = format!("{tries} ls /var/run/secrets/kubernetes.io/serviceaccount; probe {name}");
    let env: Vec<_> = CREDENTIALS.iter().map(|pair| pair.split_once('=').unwrap()).collect();
    let env: Vec<_> = env.iter().map(|(name, value)| json!({ "name": name, "value": value })).collect();
    let container = |container: &str, command: String| json!({ "name": container, "image": PROBE, "env": env, "command": ["bash", "-c", command] });
    let mut pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": { "name": name },
        "spec": {
            "nodeName": "node1", "terminationGracePeriodSeconds": 1,
            "initContainers": [container("first", command.clone())],
            "containers": [container("main", command + "; sleep 1000")],
        },
    });
    if isolated {
        pod["metadata"]["annotations"] = json!({ "io.oci-isolate.network-isolation": "true" });
        pod["spec"]["runtimeClassName"] = json!("oci-isolate");
    }
    pod
}

#[test]
fn an_isolated_pod_reaches_nothing_from_its_first_act_on() {
    let _installed = INSTALLED.read();
    let cluster = cluster();
    let namespace = cluster.namespace("isolated");
    let mut findings = Findings::default();
    let pods = [("open", false), ("isolated", true)];
    for (name, isolated) in pods {
        namespace.apply(&pod(name, isolated));
    }
    for (name, isolated) in pods {
        namespace.says(name, "\ndone");
        for container in ["first", "main"] {
            let log = namespace.kubectl(&["logs", name, "--container", container]).out;
            let report = Report::parse(&log);
            let what = format!("{name}, {container}");
            findings.about(&what, if isolated { report.sealed(&ITSELF) } else { report.reaches(&OPEN) });
            for target in CONTROL_PLANE {
                let reached = log.contains(&format!("reached {target}"));
                findings.claim(reached != isolated, format!("{what}: {target} is reached: {reached}"));
            }
            let token = log.lines().any(|line| line == "token");
            findings.claim(token != isolated, format!("{what}: it has the service account's token: {token}"));
        }
        let pod = namespace.pod(name, |_| true);
        let seen = cluster.seen(address(&pod));
        findings.claim((seen == 0) == isolated, format!("{name}: {seen} packets were seen"));
    }
    let verified = cluster.on("node1", "isolatectl verify --all");
    findings.claim(verified.well() && verified.out.contains(": holds"), format!("verify: {verified}"));
    findings.settle();
}
