//! What `hack/kubernetes` holds for others to apply.

use std::path::Path;

use serde_json::Value;

use crate::node::cache;
use test_support::command::{command, say};

pub(crate) const HACK: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/hack/kubernetes");

/// A manifest, as the API server would store it.
pub(crate) fn manifest(name: &str) -> Value {
    let script = "import json, sys, yaml; print(json.dumps(yaml.safe_load(open(sys.argv[1]))))";
    let mut python = command(cache().join("venv/bin/python"));
    serde_json::from_str(&say(python.args(["-c", script, &format!("{HACK}/{name}")])).must()).unwrap()
}

#[test]
fn the_manifests_are_what_the_kubernetes_api_takes() {
    let validate = |file: &Path| {
        let mut program = command(cache().join("venv/bin/kubernetes-validate"));
        say(program.args(["--strict", "--kubernetes-version", "1.30"]).arg(file))
    };
    let dir = Path::new(HACK);
    let names = ["daemonset", "runtimeclass", "pod", "job", "platform", "kserve", "argo"];
    for name in names.map(|name| format!("{name}.yaml")) {
        validate(&dir.join(&name)).must();
    }
    let wrong = tempfile::Builder::new().suffix(".yaml").tempfile().unwrap();
    let text = std::fs::read_to_string(dir.join("pod.yaml")).unwrap();
    std::fs::write(wrong.path(), text.replace("runtimeClassName", "runtimeClass")).unwrap();
    assert!(!validate(wrong.path()).well(), "a field that is not there passes");
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
