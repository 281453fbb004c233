//! What `isolate-job render` prints, by the schemas of the Kubernetes API (`hack/kubernetes/prepare`).

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Value, json};

use crate::place::training;

fn render(request: &Value, words: &[&str]) -> Output {
    let directory = tempfile::tempdir().unwrap();
    let (file, settings) = (directory.path().join("request.json"), directory.path().join("job.toml"));
    fs::write(&file, request.to_string()).unwrap();
    fs::write(&settings, "[instances.'ml.m5.large']\ncpus = 2.0\nmemory-gib = 8.0\nshm-gib = 1.0\n").unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_isolate-job"));
    command.arg("--config").arg(settings).arg("render").arg(file).args(words);
    command.env_clear().env("AWS_SECRET_ACCESS_KEY", "canary-secret").output().unwrap()
}

/// What is wrong with a manifest, by the schemas of one version.
fn wrong(item: &Path, version: &str) -> Option<String> {
    let cache = std::env::var_os("OCI_ISOLATE_CACHE").map(PathBuf::from);
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..");
    let program =
        cache.unwrap_or_else(|| root.join(".cache")).join("kubernetes/venv/bin/kubernetes-validate");
    assert!(program.exists(), "{} is missing; run hack/kubernetes/prepare", program.display());
    let done =
        Command::new(program).args(["--strict", "--kubernetes-version", version]).arg(item).output().unwrap();
    let text = String::from_utf8_lossy(&done.stdout).into_owned() + &String::from_utf8_lossy(&done.stderr);
    (!done.status.success()).then_some(text)
}

#[test]
fn every_manifest_is_what_the_kubernetes_api_takes() {
    let mut request = training("results");
    request["CheckpointConfig"] = json!({ "S3Uri": "s3://results/c", "LocalPath": "/checkpoints" });
    request["AlgorithmSpecification"]["ContainerEntrypoint"] = json!(["python3", "/train.py"]);
    let output = render(&request, &["--namespace", "team", "--secret", "aws"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let list: Value = serde_json::from_slice(&output.stdout).unwrap();
    let items = list["items"].as_array().unwrap();
    let kinds: Vec<_> = items.iter().map(|item| item["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["ServiceAccount", "Role", "RoleBinding", "ConfigMap", "Job"]);
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("item.json");
    for version in ["1.25", "1.37"] {
        for item in items {
            fs::write(&file, item.to_string()).unwrap();
            assert_eq!(wrong(&file, version), None, "{version}: {item:#}");
        }
    }
    let mut unknown = items[4].clone();
    unknown["spec"]["template"]["spec"]["runtimeClass"] = json!("oci-isolate");
    fs::write(&file, unknown.to_string()).unwrap();
    assert!(wrong(&file, "1.37").is_some(), "a field that is not there passes");
    assert!(!String::from_utf8(output.stdout).unwrap().contains("canary"));
}

#[test]
fn a_request_that_is_refused_prints_nothing_to_apply() {
    let mut request = training("results");
    request["ResourceConfig"]["InstanceCount"] = json!(2);
    request["EnableNetworkIsolation"] = json!(false);
    let output = render(&request, &[]);
    assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(2), &b""[..]));
    let mut request = training("results");
    request["ResourceConfig"]["InstanceCount"] = json!(2);
    let output = render(&request, &["--json"]);
    let refused: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (output.status.code(), &refused["refused"][0]["path"]),
        (Some(2), &json!("ResourceConfig.InstanceCount"))
    );
}
