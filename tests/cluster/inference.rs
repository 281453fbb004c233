//! The sample of an inference service: isolated pods that answer on a port.

use crate::cluster::{INSTALLED, PATIENCE, address, cluster, hack, is_ready};
use test_support::command::wait_for;
use test_support::findings::Findings;

#[test]
fn an_inference_service_answers_both_nodes_and_its_probes_and_reaches_nobody() {
    let _installed = INSTALLED.read();
    let cluster = cluster();
    let namespace = cluster.namespace("inference");
    let mut findings = Findings::default();
    namespace.apply_file(&hack("samples/inference.yaml"));
    let pods = || cluster.get(&["--namespace=inference", "pods"])["items"].as_array().unwrap().clone();
    let ready =
        wait_for(PATIENCE, || Some(pods()).filter(|pods| pods.len() == 2 && pods.iter().all(is_ready)));
    let ready = ready.unwrap_or_else(|| panic!("{}", namespace.kubectl(&["describe", "pods"]).out));
    let nodes: Vec<_> = ready.iter().map(|pod| &pod["spec"]["nodeName"]).collect();
    findings.claim(nodes[0] != nodes[1], "both pods are on one node");
    let service = cluster.get(&["--namespace=inference", "service", "model"]);
    let service = service["spec"]["clusterIP"].as_str().unwrap();
    for node in ["node1", "node2"] {
        // Each connection goes to one of both pods.
        let asked = cluster
            .on(node, &format!("for i in $(seq 20); do timeout 5 busybox wget -qO- http://{service}/; done"));
        for pod in &ready {
            let name = pod["metadata"]["name"].as_str().unwrap();
            findings.claim(asked.out.contains(name), format!("{node} is not answered by {name}: {asked}"));
        }
        let other =
            cluster.on(node, &format!("timeout 3 busybox wget -qO- http://{}:8081/", address(&ready[0])));
        findings.claim(!other.well(), format!("{node}: a port that is not named answers"));
    }
    let name = ready[0]["metadata"]["name"].as_str().unwrap();
    for target in ["203.0.113.7:80", "169.254.169.254:80", "10.198.0.10:6443", "10.97.0.1:443", service] {
        let call = format!("wget -qO- http://{target}/");
        let said = namespace.kubectl(&["exec", name, "--", "sh", "-c", &call]);
        findings.claim(!said.well() && said.err.contains("refused"), format!("{target}: {said}"));
    }
    findings.settle();
}
