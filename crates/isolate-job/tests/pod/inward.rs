//! `isolate-job pod in`: what the isolated container finds, and what keeps it from starting.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::{Value, json};

use crate::api::{Answer, Api, pod, running, status};
use crate::place::{Place, line, training};
use crate::server::shared;

fn known() -> Api {
    Api::start(vec![Answer::Document(200, running())])
}

#[test]
fn the_volume_is_as_the_container_of_a_host_has_it() {
    let moto = shared();
    moto.bucket("pod-in");
    moto.put("pod-in", "in/a/rows.csv", b"1,2\n");
    let place = Place::new(&training("pod-in"), known());
    let ended = place.run("in");
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
    let at = |name: &str| place.path("data/opt-ml").join(name);
    assert_eq!(fs::read(at("input/data/train/a/rows.csv")).unwrap(), b"1,2\n");
    let resources: Value =
        serde_json::from_slice(&fs::read(at("input/config/resourceconfig.json")).unwrap()).unwrap();
    assert_eq!(
        (&resources["current_host"], &resources["network_interface_name"]),
        (&json!("algo-1"), &json!("lo"))
    );
    assert_eq!(fs::read(at("input/config/hyperparameters.json")).unwrap(), br#"{"epochs":"3"}"#);
    // The program may run as any user.
    for name in ["model", "output/data", "input/config"] {
        assert_eq!(at(name).metadata().unwrap().permissions().mode() & 0o777, 0o777, "{name}");
    }
    assert_eq!(
        place.api.asked(),
        [("GET /api/v1/namespaces/team/pods/job-x HTTP/1.1".to_owned(), "first".to_owned())]
    );
}

#[test]
fn a_failed_download_is_the_reason_of_the_pods_failure() {
    shared().bucket("pod-in-empty");
    let place = Place::new(&training("pod-in-empty"), known());
    let ended = place.run("in");
    assert_eq!(ended.code, Some(1));
    let reason = "ClientError: Data download failed: channel train: No S3 objects found under S3 URL \"s3://pod-in-empty/in/\"";
    assert_eq!(
        (&ended.message["TrainingJobStatus"], &ended.message["FailureReason"]),
        (&json!("Failed"), &json!(reason))
    );
    assert_eq!(ended.stderr, format!("isolate-job: {reason}\n"));
}

/// The end of the isolated container could not be learnt, and its results would never be uploaded.
#[test]
fn nothing_is_downloaded_if_the_pod_cannot_be_read() {
    let forbidden =
        "pods \"job-x\" is forbidden: User \"system:serviceaccount:team:job\" cannot get resource";
    let refused = || Answer::Document(403, status(403, forbidden));
    let wrong = json!({ "metadata": { "name": "job-x" }, "spec": { "containers": [{ "name": "train" }] } });
    for (answers, expected) in [
        (std::iter::repeat_with(refused).take(12).collect(), forbidden),
        (vec![Answer::Document(404, status(404, "not found"))], "the pod job-x is not there"),
        (vec![Answer::Document(200, wrong)], "the pod has no container \"algorithm\""),
    ] {
        let place = Place::new(&training("pod-in-none"), Api::start(answers));
        let ended = place.run("in");
        assert_eq!(ended.code, Some(1), "{}", ended.stderr);
        let reason = ended.message["FailureReason"].as_str().unwrap();
        assert!(
            reason.starts_with("InternalServerError: the end of algorithm could not be learnt: "),
            "{reason}"
        );
        assert!(reason.contains(expected), "{reason}");
        assert!(!place.path("data/opt-ml").exists());
    }
}

#[test]
fn an_outage_of_the_api_server_is_waited_for() {
    shared().bucket("pod-in-outage");
    shared().put("pod-in-outage", "in/x", b"x");
    let answers = vec![
        Answer::Document(500, status(500, "etcdserver: leader changed")),
        Answer::Document(403, status(403, "not yet")),
        Answer::Document(200, running()),
    ];
    let place = Place::new(&training("pod-in-outage"), Api::start(answers));
    let ended = place.run("in");
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let lines: Vec<_> = ended.stderr.lines().collect();
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(
        lines[0].ends_with("500 Internal Server Error: etcdserver: leader changed; trying again"),
        "{lines:?}"
    );
}

#[test]
fn the_token_is_not_shown_to_another_server() {
    let other = Api::start(vec![Answer::Document(200, pod(json!({}), json!({})))]);
    let place = Place::new(&training("pod-in-none"), Api::start(vec![Answer::Document(200, running())]));
    // The authority of the other one.
    let mut child = place.start("in", other.directory.path());
    let complaint = line(&mut child);
    assert!(complaint.contains("invalid peer certificate"), "{complaint}");
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(place.api.asked(), []);
}
