//! The pod and the job of `hack/kubernetes`, asked for as kubelet would from their manifests.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};

use crate::manifests::manifest;
use crate::node::{Node, Pod, Release, exec};
use crate::platform::ctl;
use test_support::command::wait_for;
use test_support::findings::Findings;
use test_support::probe::{ITSELF, OPEN, Report};

/// The pod's sandbox, by the handler that the manifest's RuntimeClass names.
fn sandbox<'n>(node: &'n Node, template: &Value) -> Pod<'n> {
    let class = manifest("runtimeclass.yaml");
    assert_eq!(template["spec"]["runtimeClassName"], class["metadata"]["name"]);
    let annotations = json!({ "annotations": template["metadata"]["annotations"] });
    node.pod(class["handler"].as_str().unwrap(), "isolated", &annotations)
}

/// Runs a container of the manifest and says its id.
fn run(pod: &Pod, container: &Value) -> String {
    let words: Vec<_> =
        container["command"].as_array().unwrap().iter().map(|word| word.as_str().unwrap()).collect();
    run_as(pod, container, &words)
}

/// The same with another command.
fn run_as(pod: &Pod, container: &Value, words: &[&str]) -> String {
    let mounts = container["volumeMounts"].as_array().into_iter().flatten().map(|mount| {
        let name = mount["name"].as_str().unwrap();
        let path = format!("{}/volumes/kubernetes.io~empty-dir/{name}", pod.kubelet());
        json!({ "container_path": mount["mountPath"], "host_path": path })
    });
    let mounts: Vec<_> = mounts.collect();
    let image = json!({ "image": { "image": container["image"] } });
    let more = if mounts.is_empty() { image } else { json!({ "image": image["image"], "mounts": mounts }) };
    pod.run(container["name"].as_str().unwrap(), words, &more)
}

pub(crate) fn the_sample_pod_and_job_do_what_their_comments_say(release: Release) {
    let node = Node::start(release);
    let mut findings = Findings::default();
    let wait = |pod: &Pod, name: &str, words: &str| {
        wait_for(Duration::from_secs(20), || pod.log(name).contains(words).then_some(())).is_some()
    };
    let template = manifest("pod.yaml");
    let containers = template["spec"]["containers"].as_array().unwrap();
    node.tag(containers[0]["image"].as_str().unwrap());
    let pod = sandbox(&node, &template);
    let ids: Vec<_> = containers.iter().map(|container| run(&pod, container)).collect();
    let probe = &containers[0]["readinessProbe"]["exec"]["command"];
    let probe: Vec<_> = probe.as_array().unwrap().iter().map(|word| word.as_str().unwrap()).collect();
    let answers = wait_for(Duration::from_secs(10), || (exec(&node, &ids[0], &probe).0 == 0).then_some(()));
    findings.claim(answers.is_some(), "the readiness probe fails");
    let log = || pod.log("client");
    findings.claim(wait(&pod, "client", "stdout F isolated"), format!("the client hears {:?}", log()));
    pod.remove();

    let template = &manifest("job.yaml")["spec"]["template"];
    let pod = sandbox(&node, template);
    pod.volume("empty-dir", "data", "input", "one two three");
    run(&pod, &template["spec"]["initContainers"][0]);
    findings
        .claim(wait(&pod, "look", "link/loopback"), format!("the init container says {:?}", pod.log("look")));
    findings.claim(!pod.log("look").contains("eth0"), format!("there is a network: {:?}", pod.log("look")));
    run(&pod, &template["spec"]["containers"][0]);
    let result = format!("{}/volumes/kubernetes.io~empty-dir/data/result", pod.kubelet());
    let said = wait_for(Duration::from_secs(20), || {
        let said = node.host.sh(&format!("cat {result}"));
        (said.well() && !said.out.is_empty()).then_some(said.out)
    });
    findings.claim(
        said.as_deref().is_some_and(|said| said.contains("/data/input")),
        format!("the job wrote {said:?}"),
    );
    findings.settle();
}

/// The shape of the pods with the tests' own image: containers, volumes and order are those of the manifests.
pub(crate) fn the_platforms_containers_of_the_samples_have_a_network_and_the_others_have_none(
    release: Release,
) {
    let node = Node::start(release);
    let mut findings = Findings::default();
    let mut images = BTreeSet::new();
    for name in ["platform.yaml", "kserve.yaml", "argo.yaml"] {
        let manifest = manifest(name);
        let template = if manifest["kind"] == "Job" { &manifest["spec"]["template"] } else { &manifest };
        let platform = template["metadata"]["annotations"]["io.oci-isolate.platform"].as_str().unwrap();
        let platform: Vec<_> = platform.split(", ").collect();
        let pod = sandbox(&node, template);
        for volume in template["spec"]["volumes"].as_array().unwrap() {
            pod.volume("empty-dir", volume["name"].as_str().unwrap(), "by-kubelet", "");
        }
        let all = ["initContainers", "containers"].map(|kind| template["spec"][kind].as_array().unwrap());
        for container in all.into_iter().flatten() {
            if images.insert(container["image"].to_string()) {
                node.tag(container["image"].as_str().unwrap());
            }
            let id = run_as(&pod, container, &["sleep", "1000"]);
            let report = Report::parse(&exec(&node, &id, &["probe", "x"]).1);
            let container = container["name"].as_str().unwrap();
            let complaints = match platform.contains(&container) {
                true => report.reaches(&OPEN),
                false => report.sealed(&ITSELF),
            };
            findings.about(&format!("{name}, {container}"), complaints);
        }
        let listed = ctl(&node, &["list"]).must();
        findings.claim(!listed.contains("no container of that name"), format!("{name}: {listed}"));
        pod.remove();
    }
    findings.claim(node.records().is_empty(), format!("records stayed: {}", node.records()));
    findings.settle();
}
