//! What `hack/kubernetes` holds for others to apply.

use std::path::Path;

use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::node::cache;
use test_support::command::{Finished, command, say};

pub(crate) const HACK: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/hack/kubernetes");

/// A manifest, as the API server would store it.
pub(crate) fn manifest(name: &str) -> Value {
    documents(name).swap_remove(0)
}

/// All manifests of a file.
fn documents(name: &str) -> Vec<Value> {
    let script = "import json, sys, yaml; print(json.dumps(list(yaml.safe_load_all(open(sys.argv[1])))))";
    python(script, &[&format!("{HACK}/{name}")])
}

fn python<T: DeserializeOwned>(script: &str, args: &[&str]) -> T {
    let mut python = command(cache().join("venv/bin/python"));
    serde_json::from_str(&say(python.args(["-c", script]).args(args)).must()).unwrap()
}

/// The YAML files of a directory of `hack/kubernetes` that hold manifests.
fn files(dir: &str) -> Vec<String> {
    let entries = std::fs::read_dir(Path::new(HACK).join(dir)).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let manifests = names.filter(|name| name.ends_with(".yaml") && name != "kustomization.yaml");
    let mut files: Vec<_> =
        manifests.map(|name| Path::new(dir).join(name).to_str().unwrap().to_owned()).collect();
    files.sort();
    files
}

/// Checks manifests against the schemas of a version of Kubernetes.
fn validate(version: &str, manifests: &[Value]) -> Finished {
    let file = tempfile::Builder::new().suffix(".yaml").tempfile().unwrap();
    let text: Vec<_> = manifests.iter().map(Value::to_string).collect();
    std::fs::write(file.path(), text.join("\n---\n")).unwrap();
    let mut program = command(cache().join("venv/bin/kubernetes-validate"));
    say(program.args(["--strict", "--kubernetes-version", version]).arg(file.path()))
}

/// The pod templates in a manifest whose own schema is not Kubernetes'.
fn pod_templates(value: &Value, found: &mut Vec<Value>) {
    if value["spec"]["containers"].is_array() {
        found.push(json!({
            "apiVersion": "v1", "kind": "PodTemplate", "metadata": { "name": "template" },
            "template": { "metadata": value["metadata"], "spec": value["spec"] },
        }));
    }
    match value {
        Value::Object(members) => members.values().for_each(|member| pod_templates(member, found)),
        Value::Array(items) => items.iter().for_each(|item| pod_templates(item, found)),
        _ => {}
    }
}

#[test]
fn the_manifests_are_what_the_kubernetes_api_takes() {
    for file in files("") {
        validate("1.30", &documents(&file)).must();
    }
    let mut wrong = manifest("pod.yaml");
    wrong["spec"]["runtimeClass"] = wrong["spec"]["runtimeClassName"].take();
    assert!(!validate("1.30", &[wrong]).well(), "a field that is not there passes");
    for file in files("policies") {
        validate("1.36", &documents(&file)).must();
    }
}

#[test]
fn the_samples_ask_for_isolation_in_pods_that_the_kubernetes_api_takes() {
    let mut of_operators = 0;
    for file in files("samples") {
        let documents = documents(&file);
        let is_of = |version: &Value| ["v1", "apps/v1", "batch/v1"].contains(&version.as_str().unwrap());
        let (known, others): (Vec<_>, Vec<_>) =
            documents.into_iter().partition(|document| is_of(&document["apiVersion"]));
        if !known.is_empty() {
            validate("1.36", &known).must();
        }
        let mut templates = Vec::new();
        others.iter().for_each(|document| pod_templates(document, &mut templates));
        of_operators += templates.len();
        if !templates.is_empty() {
            validate("1.36", &templates).must();
        }
        known.iter().for_each(|document| pod_templates(document, &mut templates));
        assert!(!templates.is_empty(), "{file} has no pod");
        for template in templates {
            let (metadata, spec) = (&template["template"]["metadata"], &template["template"]["spec"]);
            let annotations = &metadata["annotations"];
            assert_eq!(annotations["io.oci-isolate.network-isolation"], "true", "{file}");
            assert_eq!(spec["runtimeClassName"], manifest("runtimeclass.yaml")["metadata"]["name"], "{file}");
            let (job, label) =
                (&annotations["io.oci-isolate.job"], &metadata["labels"]["io.oci-isolate.job"]);
            assert_eq!(job, label, "{file}: annotation and label differ");
        }
    }
    // Two of MPIJob, of LeaderWorkerSet and of Ray, one of JobSet, of Trainer and of Volcano.
    assert_eq!(of_operators, 9);
}

/// Who has a token must not have the node: in the node's process namespace, it could read those of others with its uid.
#[test]
fn the_pod_with_a_token_has_nothing_of_the_node_but_a_directory() {
    let documents = documents("node-agent.yaml");
    let pod = |name: &str| {
        let found =
            documents.iter().find(|one| one["kind"] == "DaemonSet" && one["metadata"]["name"] == name);
        &found.unwrap()["spec"]["template"]["spec"]
    };
    let (watch, put) = (pod("oci-isolate-node"), pod("oci-isolate-node-put"));
    for host in ["hostPID", "hostIPC", "hostNetwork"] {
        assert_eq!(watch[host], Value::Null, "{host}");
    }
    let [container] = &watch["containers"].as_array().unwrap()[..] else { panic!("{watch}") };
    let context = &container["securityContext"];
    assert_eq!(context["privileged"], Value::Null);
    assert_eq!(context["allowPrivilegeEscalation"], false);
    assert_eq!(context["capabilities"], json!({ "drop": ["ALL"] }));
    assert_eq!(context["runAsNonRoot"], true);
    assert_eq!(watch["initContainers"], Value::Null);
    let host_paths: Vec<_> =
        watch["volumes"].as_array().unwrap().iter().filter_map(|one| one.get("hostPath")).collect();
    // Not one that kubelet would make, which root alone could write.
    let directory =
        |name: &str| json!({ "path": format!("/run/oci-isolate-jobs/{name}"), "type": "Directory" });
    assert_eq!(host_paths, [&directory("shared"), &directory("put")]);
    let mounts = container["volumeMounts"].as_array().unwrap();
    let mount = |name: &str| mounts.iter().find(|mount| mount["name"] == name).unwrap();
    assert_eq!((&mount("put")["readOnly"], &mount("shared")["readOnly"]), (&json!(true), &Value::Null));
    // The other one has the node, so no token; the directory is given to the user of the first one.
    assert_eq!((&put["hostPID"], &put["automountServiceAccountToken"]), (&json!(true), &json!(false)));
    assert_eq!((&put["serviceAccountName"], &put["volumes"]), (&Value::Null, &Value::Null));
    let user = context["runAsUser"].to_string();
    assert_eq!(put["containers"][0]["args"], json!(["follow", "/run/oci-isolate-jobs", user]));
}

/// What Helm makes of the chart with these values.
fn chart(values: &Value) -> Vec<Value> {
    let script = "import json, sys, yaml, helm_python
with helm_python.Chart.load(sys.argv[1]) as chart:
    files = chart.render(json.loads(sys.argv[2]), name='release', namespace='kube-system')
print(json.dumps([one for file in files.values() for one in yaml.safe_load_all(file) if one]))";
    python(script, &[&format!("{HACK}/chart"), &values.to_string()])
}

#[test]
fn the_chart_is_the_manifests_with_its_values_in_them() {
    let sorted = |mut all: Vec<Value>| {
        all.sort_by_key(|one| format!("{} {}", one["kind"], one["metadata"]["name"]));
        all
    };
    let nodes = ["daemonset.yaml", "node-agent.yaml", "runtimeclass.yaml"].map(String::from);
    let plain = files("policies").into_iter().chain(nodes);
    let plain = plain.flat_map(|file| documents(&file)).collect();
    assert_eq!(sorted(chart(&json!({}))), sorted(plain));

    let rendered = chart(&json!({
        "image": { "repository": "registry.example.com/node", "digest": "sha256:0123" },
        "env": { "RESTART": "systemctl restart k3s", "BIN": "/opt/bin" },
        "nodeSelector": { "oci-isolate": "true" },
        "agent": { "args": ["--cluster-domain=cluster.example"] },
        "policies": { "jobFrom": false, "settings": { "peers-within": "10.88.0.0/16" } },
    }));
    let of = |kind: &str| rendered.iter().find(|one| one["kind"] == kind);
    let sets = rendered.iter().filter(|one| one["kind"] == "DaemonSet");
    let pods: Vec<_> = sets.map(|set| &set["spec"]["template"]["spec"]).collect();
    assert_eq!(pods.len(), 3);
    for pod in &pods {
        assert_eq!(pod["containers"][0]["image"], "registry.example.com/node@sha256:0123");
        assert_eq!(pod["nodeSelector"], json!({ "kubernetes.io/os": "linux", "oci-isolate": "true" }));
    }
    let container = |name: &str| {
        let mut all = pods.iter().flat_map(|pod| pod["containers"].as_array().unwrap());
        all.find(|one| one["name"] == name).unwrap()
    };
    let env = container("installer")["env"].as_array().unwrap();
    assert!(env.contains(&json!({ "name": "RESTART", "value": "systemctl restart k3s" })), "{env:?}");
    let bin = json!({ "name": "BIN", "value": "/opt/bin" });
    assert!(env.contains(&bin) && container("put")["env"] == json!([bin]), "{env:?}");
    let command = container("watch")["command"].as_array().unwrap();
    assert_eq!(command.last().unwrap(), "--cluster-domain=cluster.example");
    assert_eq!(of("RuntimeClass").unwrap()["scheduling"]["nodeSelector"], json!({ "oci-isolate": "true" }));
    assert_eq!(of("ConfigMap").unwrap()["data"]["peers-within"], "10.88.0.0/16");
    assert_eq!(of("MutatingAdmissionPolicy"), None);
    let less = |without: &[&str]| {
        let values = without.iter().map(|name| ((*name).to_owned(), json!({ "enabled": false })));
        chart(&values.collect()).len()
    };
    assert_eq!((less(&["policies"]), less(&["policies", "agent"])), (7, 2));
}

/// A token that reads the pods of some namespaces only, and Roles for rendered jobs.
#[test]
fn the_chart_limits_what_tokens_read_to_namespaces() {
    let rendered = chart(&json!({
        "agent": { "namespaces": ["team-a", "team-b"], "nodeRanges": true },
        "jobs": { "namespaces": ["team-a"] },
    }));
    let of = |kind: &str| -> Vec<_> {
        let all = rendered.iter().filter(|one| one["kind"] == kind);
        all.map(|one| format!("{} {}", one["metadata"]["namespace"], one["metadata"]["name"])).collect()
    };
    let mut bindings = of("RoleBinding");
    bindings.sort();
    let expected =
        [r#""team-a" "isolate-job""#, r#""team-a" "oci-isolate-node""#, r#""team-b" "oci-isolate-node""#];
    assert_eq!(bindings, expected);
    // Only of nodes, by name.
    assert_eq!(of("ClusterRoleBinding"), [r#"null "oci-isolate-node-ranges""#]);
    let ranges = rendered.iter().find(|one| one["metadata"]["name"] == "oci-isolate-node-ranges").unwrap();
    assert_eq!(ranges["rules"], json!([{ "apiGroups": [""], "resources": ["nodes"], "verbs": ["get"] }]));
    let of_job = rendered.iter().find(|one| one["kind"] == "Role").unwrap();
    assert_eq!(
        of_job["rules"],
        json!([{ "apiGroups": [""], "resources": ["pods"], "verbs": ["get", "watch"] }])
    );
    for one in rendered.iter().filter(|one| one["kind"] == "RoleBinding") {
        let subject = &one["subjects"][0];
        let (name, namespace) = match one["metadata"]["name"].as_str().unwrap() {
            "isolate-job" => ("isolate-job", "team-a"),
            _ => ("oci-isolate-node", "kube-system"),
        };
        assert_eq!((&subject["name"], &subject["namespace"]), (&json!(name), &json!(namespace)));
    }
    let set = rendered
        .iter()
        .find(|one| one["kind"] == "DaemonSet" && one["metadata"]["name"] == "oci-isolate-node");
    let command = set.unwrap()["spec"]["template"]["spec"]["containers"][0]["command"].as_array().unwrap();
    assert!(command.ends_with(&[json!("--namespaces=team-a,team-b"), json!("--node-ranges")]), "{command:?}");
    validate(
        "1.30",
        &rendered.into_iter().filter(|one| one["kind"] != "MutatingAdmissionPolicy").collect::<Vec<_>>(),
    )
    .must();
}

#[test]
fn the_handlers_are_toml() {
    for text in [
        include_str!("../../hack/kubernetes/containerd-v2.toml"),
        include_str!("../../hack/kubernetes/containerd-v3.toml"),
    ] {
        let parsed: toml::Table = text.parse().unwrap();
        let handler = format!("{:?}", parsed["plugins"]);
        assert!(handler.contains("pod_annotations") && handler.contains("io.oci-isolate.*"), "{handler}");
    }
}
