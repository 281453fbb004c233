//! SDK 2: `fit`, `deploy` and `predict` of unmodified code, with the lines that `isolatectl install` prints.
//!
//! The reports on stderr are those of docs/sagemaker-sdk.md.

use serde_json::{Value, json};

use crate::sdk::Sdk;
use test_support::docker::Release;
use test_support::findings::Findings;

/// Within this the hosts of a job have to find each other, in seconds from the start of the program.
const SOON: f64 = 1.0;

/// What the SDK says of a job without the runtime.
const OPEN: &str = "local:\n  container_config: {}";

/// Complaints unless a container had a secret and reached all there is.
fn open(report: &Value) -> Vec<String> {
    let mut complaints = Vec::new();
    let reached = report["reached"].as_object().unwrap();
    complaints.extend(
        reached
            .iter()
            .filter(|(_, came)| *came != "reached")
            .map(|(what, came)| format!("{what} is {came}: the test shows nothing")),
    );
    let has_key = report["secrets"].as_array().unwrap().contains(&json!("AWS_SECRET_ACCESS_KEY"));
    complaints.extend((!has_key).then(|| format!("it has no key: the test shows nothing: {report}")));
    complaints
}

/// Complaints unless a container has no secret, and reaches nothing.
pub(crate) fn closed(report: &Value) -> Vec<String> {
    let mut complaints = Vec::new();
    for (what, came) in report["reached"].as_object().unwrap() {
        let wanted = if what == "name" { "gaierror" } else { "ConnectionRefusedError" };
        complaints.extend((came != wanted).then(|| format!("{what} is {came} instead of {wanted}")));
    }
    complaints.extend((report["secrets"] != json!([])).then(|| format!("it has {}", report["secrets"])));
    complaints
        .extend((report["links"] != json!(["eth0", "lo"])).then(|| format!("it has {}", report["links"])));
    complaints
}

/// The reports of a job's hosts, out of the files of its model.
pub(crate) fn hosts(model: &Value) -> Vec<Value> {
    let files = model.as_object().unwrap().iter();
    let reports = files.filter(|(name, _)| name.ends_with(".json"));
    reports.map(|(_, text)| serde_json::from_str(text.as_str().unwrap()).unwrap()).collect()
}

/// Complaints unless these are the reports of so many hosts, closed, that found and met each other soon.
pub(crate) fn a_job_of(count: usize, model: &Value) -> Vec<String> {
    let reports = hosts(model);
    let mut complaints = Vec::new();
    complaints.extend((reports.len() != count).then(|| format!("{} hosts report: {model}", reports.len())));
    for report in &reports {
        let host = &report["host"];
        complaints.extend(closed(report).into_iter().map(|complaint| format!("{host}: {complaint}")));
        for (name, took) in report["names"].as_object().unwrap() {
            let soon = took.as_f64().is_some_and(|took| took < SOON);
            complaints.extend((!soon).then(|| format!("{host} knows {name} after {took} seconds")));
        }
        let (names, met) = (&report["names"], report["met"].as_object().unwrap());
        complaints
            .extend((names.as_object().unwrap().len() != count).then(|| format!("{host}: names {names}")));
        let missed = met.iter().filter(|(_, met)| **met != json!(true));
        complaints.extend(missed.map(|(name, _)| format!("{host} does not reach {name}")));
    }
    complaints
}

fn local_mode(release: Release) {
    let sdk = Sdk::start(release);
    let docker = &sdk.docker;
    let mut findings = Findings::default();
    let address = |name: &str| {
        docker.must(&["inspect", "-f", "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}", name])
    };

    // The flag alone does nothing.
    sdk.configure(OPEN);
    let model = sdk.report("v2", &["fit", "1"], &[]);
    eprintln!("without the runtime: {model}");
    findings.about("fit without the runtime", hosts(&model).iter().flat_map(open).collect());
    docker.background("neighbour", &["--runtime=bare", "--network=sagemaker-local"]);
    let model = sdk.report("v2", &["fit", "1"], &[("NEIGHBOUR", &address("neighbour"))]);
    findings.about("fit beside another", hosts(&model).iter().flat_map(open).collect());

    let said = sdk.install(&["--sagemaker"], "sagemaker");
    let lines: Vec<&str> = said.lines().skip_while(|line| *line != "local:").collect();
    assert_eq!(lines.len(), 3, "{said}");
    sdk.configure(&lines.join("\n"));
    // A host of another job on the same network.
    let of_another = ["--runtime=sagemaker", "--network=sagemaker-local", "-e=TRAINING_JOB_NAME=another"];
    docker.background("another", &of_another);
    for (count, neighbour) in [("1", "neighbour"), ("2", "another")] {
        let model = sdk.report("v2", &["fit", count], &[("NEIGHBOUR", &address(neighbour))]);
        eprintln!("fit x{count}: {model}");
        findings.about(&format!("fit x{count}"), a_job_of(count.parse().unwrap(), &model));
    }
    let answer = sdk.report("v2", &["deploy"], &[]);
    eprintln!("predict: {answer}");
    findings.about("predict", closed(&answer));
    findings.claim(answer["asked"] == "one, two", format!("predict: {answer}"));
    let has_model =
        answer["model"].as_array().unwrap().iter().any(|name| name.as_str().unwrap().ends_with(".json"));
    findings.claim(has_model, format!("the model is not there: {answer}"));
    findings.settle();
}

#[test]
fn docker_20_fit_deploy_and_predict_are_isolated_with_the_lines_that_install_prints() {
    local_mode(Release::Docker20);
}

#[test]
fn docker_28_fit_deploy_and_predict_are_isolated_with_the_lines_that_install_prints() {
    local_mode(Release::Docker28);
}

/// docs/threats.md: what the SDK does with the container's files is out of the shim's reach.
#[test]
fn the_sdks_upload_follows_a_link_that_the_container_wrote() {
    let sdk = Sdk::start(Release::Docker28);
    sdk.install(&["--sagemaker"], "sagemaker");
    sdk.configure("local:\n  container_config:\n    runtime: sagemaker");
    let secret = sdk.docker.host.write("secret", "of the host");
    let model = sdk.report("v2", &["fit", "1"], &[("LEAK", &secret)]);
    // If this fails the SDK has changed: say so in docs/sagemaker-sdk.md and docs/threats.md.
    assert_eq!(model["leak"], "of the host", "{model}");
}

/// SageMaker's own training toolkit, which resolves the names of all hosts before it starts the user's program.
#[test]
fn the_training_toolkit_starts_a_job_of_two_hosts() {
    let sdk = Sdk::start(Release::Docker28);
    let docker = &sdk.docker;
    sdk.install(&["--sagemaker"], "sagemaker");
    sdk.configure("local:\n  container_config:\n    runtime: sagemaker");
    let host = &docker.host;
    std::fs::create_dir(host.dir().join("code")).unwrap();
    host.write("code/script.py", include_str!("script.py"));
    host.write("train", "#!/bin/sh\nPYTHONPATH=/opt/toolkit exec /usr/bin/python3 /opt/toolkit/bin/train\n");
    host.sh(&format!("chmod 755 {}", host.at("train"))).must();
    docker.must(&["create", "--name=toolkit", "python", "true"]);
    docker.must(&["cp", &host.at("train"), "toolkit:/usr/local/bin/train"]);
    docker.must(&["commit", "toolkit", "toolkit"]);
    let model = sdk.report("v2", &["toolkit", &host.at("code")], &[("IMAGE", "toolkit")]);
    let reports = hosts(&model);
    assert_eq!(reports.len(), 2, "{model}");
    for report in reports {
        assert_eq!(report["names"].as_object().unwrap().len(), 2, "{report}");
    }
}
