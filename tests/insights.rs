//! SECURITY-INSIGHTS.yml is YAML, has what the schema demands, and names files that are there.

#![allow(clippy::unwrap_used, reason = "all of this crate is test code")]

use std::path::Path;
use std::process::Command;

use serde_json::Value;

/// Where the file says that the repository is; RFC 6761 keeps the domain from ever being one.
const TOP: &str = "https://oci-isolate.invalid/";

/// What the schema (spec/schema.cue, version 2.2.0) does not make optional in the file of a single repository.
const DEMANDED: [&str; 25] = [
    "/header/last-reviewed",
    "/header/last-updated",
    "/header/schema-version",
    "/header/url",
    "/project/name",
    "/project/administrators/0/name",
    "/project/administrators/0/primary",
    "/project/repositories/0/name",
    "/project/repositories/0/comment",
    "/project/repositories/0/url",
    "/project/vulnerability-reporting/reports-accepted",
    "/project/vulnerability-reporting/bug-bounty-available",
    "/repository/status",
    "/repository/url",
    "/repository/accepts-change-request",
    "/repository/accepts-automated-change-request",
    "/repository/core-team/0/name",
    "/repository/core-team/0/primary",
    "/repository/license/url",
    "/repository/license/expression",
    "/repository/security/assessments/self/comment",
    "/repository/security/tools/0/name",
    "/repository/security/tools/0/rulesets/0",
    "/repository/security/tools/0/integration/ci",
    "/repository/security/tools/0/results",
];

/// Every text in it.
fn texts(value: &Value) -> Vec<&str> {
    match value {
        Value::String(text) => vec![text],
        Value::Array(items) => items.iter().flat_map(texts).collect(),
        Value::Object(members) => members.values().flat_map(texts).collect(),
        _ => vec![],
    }
}

#[test]
fn the_security_insights_are_complete_and_name_files_that_are_there() {
    let project = Path::new(env!("CARGO_MANIFEST_DIR"));
    // Where `hack/kubernetes/prepare` has put a Python that reads YAML.
    let python = test_support::cached("kubernetes/venv/bin/python", "hack/kubernetes/prepare");
    let script = "import json, sys, yaml; print(json.dumps(yaml.safe_load(open(sys.argv[1]))))";
    let file = project.join("SECURITY-INSIGHTS.yml");
    let output = Command::new(python).args(["-c", script]).arg(file).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let insights: Value = serde_json::from_slice(&output.stdout).unwrap();
    for member in DEMANDED {
        assert!(insights.pointer(member).is_some(), "{member} is missing");
    }
    let version = insights["header"]["schema-version"].as_str().unwrap();
    assert!(version.starts_with("2."), "{version} is another schema");

    let texts = texts(&insights);
    let paths: Vec<_> = texts.iter().filter_map(|text| text.strip_prefix(TOP)).collect();
    assert!(paths.len() > 10, "{paths:?}");
    let rulesets = insights["repository"]["security"]["tools"].as_array().unwrap().iter();
    let rulesets = rulesets.map(|tool| tool["rulesets"][0].as_str().unwrap()).filter(|set| *set != "default");
    for path in paths.into_iter().chain(rulesets) {
        assert!(project.join(path).exists(), "{path} is not there");
    }
    let elsewhere = texts.iter().find(|text| text.starts_with("http") && !text.starts_with(TOP));
    assert_eq!(elsewhere, None, "an address that the project does not have");

    let manifest = std::fs::read_to_string(project.join("Cargo.toml")).unwrap();
    let email = insights["project"]["administrators"][0]["email"].as_str().unwrap();
    assert!(manifest.contains(&format!("<{email}>")), "Cargo.toml has another address than {email}");
    let license = insights["repository"]["license"]["expression"].as_str().unwrap();
    assert!(manifest.contains(&format!("license = \"{license}\"")), "Cargo.toml has another licence");
}
