//! `isolate-job pod out`: how the end of the isolated container is learnt, and what becomes of its results.

use std::fs;
use std::net::TcpListener;
use std::thread::sleep;
use std::time::Duration;

use serde_json::{Value, json};

use crate::api::{Answer, Api, ended, event, pod, running, status, waiting};
use crate::place::{Ended, Place, terminate, training};
use crate::server::shared;

/// A container that wrote a model, and how its pod is seen.
fn place(bucket: &str, answers: Vec<Answer>) -> Place {
    shared().bucket(bucket);
    let place = Place::new(&training(bucket), Api::start(answers));
    place.write("model/weights", "w");
    place.write("output/data/log", "l");
    place
}

#[track_caller]
fn is_uploaded(bucket: &str) {
    assert_eq!(shared().keys(bucket), ["out/job/output/model/weights", "out/job/output/output/log"]);
}

#[track_caller]
fn is(ended: &Ended, code: i32, secondary: &str, reason: Option<&str>) {
    assert_eq!(ended.code, Some(code), "{} {}", ended.stderr, ended.message);
    assert_eq!(ended.message["SecondaryStatus"], secondary, "{}", ended.message);
    assert_eq!(ended.message.get("FailureReason").and_then(Value::as_str), reason);
}

fn seen(object: Value) -> Answer {
    Answer::Document(200, object)
}

#[test]
fn results_of_a_completed_container_are_uploaded() {
    let place = place(
        "pod-completed",
        vec![seen(running()), Answer::Silent(vec![event("MODIFIED", ended(0, "Completed"))])],
    );
    let ended = place.run("out");
    is(&ended, 0, "Completed", None);
    assert_eq!(ended.message["TrainingJobStatus"], "Completed");
    assert_eq!(
        ended.message["ModelArtifacts"]["S3ModelArtifacts"],
        "s3://pod-completed/out/job/output/model/"
    );
    // As the API server has them.
    assert!(ended.message["TrainingTimeInSeconds"].as_u64().unwrap() >= 42, "{}", ended.message);
    assert_eq!(ended.stderr, "");
    is_uploaded("pod-completed");
    let asked: Vec<_> = place.api.asked().into_iter().map(|(line, _)| line).collect();
    let watch = "GET /api/v1/namespaces/team/pods?watch=true&fieldSelector=metadata.name%3Djob-x&resourceVersion=41\
                 &timeoutSeconds=240&allowWatchBookmarks=true HTTP/1.1";
    assert_eq!(asked, ["GET /api/v1/namespaces/team/pods/job-x HTTP/1.1", watch]);
}

#[test]
fn results_of_a_failed_container_are_uploaded_and_the_pod_fails() {
    let place = place("pod-failed", vec![seen(ended(3, "Error"))]);
    place.write("output/failure", "no such column\n");
    is(&place.run("out"), 1, "Failed", Some("AlgorithmError: no such column, exit code: 3"));
    is_uploaded("pod-failed");
}

#[test]
fn a_container_out_of_memory_is_said_to_be() {
    let place = place("pod-oom", vec![seen(ended(137, "OOMKilled"))]);
    is(&place.run("out"), 1, "Failed", Some("AlgorithmError: exit code: 137, out of memory"));
    is_uploaded("pod-oom");
}

#[test]
fn a_container_that_kubelet_cannot_start_is_not_waited_for_until_the_deadline() {
    // The cause comes first, and then that kubelet waits before it tries again.
    let back_off = event("MODIFIED", waiting("ImagePullBackOff", "Back-off pulling image \"train:1\""));
    let place = place(
        "pod-unpulled",
        vec![
            seen(waiting("ErrImagePull", "train:1: not found")),
            Answer::Silent(vec![back_off]),
            seen(waiting("ImagePullBackOff", "Back-off pulling image \"train:1\"")),
        ],
    );
    let reason = "ClientError: the container was not started: ErrImagePull: train:1: not found";
    is(&place.run("out"), 1, "Failed", Some(reason));
    let asked: Vec<_> = place.api.asked().into_iter().map(|(line, _)| line).collect();
    assert_eq!(asked[2], "GET /api/v1/namespaces/team/pods/job-x HTTP/1.1", "it was not asked again");
}

#[test]
fn results_of_a_container_that_has_started_unnoticed_are_uploaded() {
    let stuck = || seen(waiting("ErrImagePull", "the registry is away"));
    let away = || Answer::Document(503, status(503, "the server is currently unable to handle the request"));
    for (bucket, answers) in [
        // The watch tells nothing any more.
        ("pod-unnoticed", vec![]),
        // Nor does the server answer at once, and then it has what kubelet wrote before: that it was away does not count.
        ("pod-unnoticed-away", vec![away(), stuck()]),
    ] {
        let answers = [vec![stuck(), Answer::Silent(vec![])], answers, vec![seen(ended(0, "Completed"))]];
        let place = place(bucket, answers.into_iter().flatten().collect());
        is(&place.run("out"), 0, "Completed", None);
        is_uploaded(bucket);
    }
}

#[test]
fn a_container_that_kubelet_starts_at_a_later_attempt_is_waited_for() {
    let later = vec![event("MODIFIED", running())];
    let place = place(
        "pod-pulled",
        vec![seen(waiting("ErrImagePull", "the registry is away")), Answer::Silent(later)],
    );
    let mut child = place.start("out", place.api.directory.path());
    // Longer than attempts may fail (--start).
    sleep(Duration::from_secs(2));
    assert_eq!(child.try_wait().unwrap(), None);
    terminate(&child);
    assert_ne!(place.end(child).message["FailureReason"], Value::Null);
}

#[test]
fn the_end_is_learnt_whatever_becomes_of_the_server_the_connection_and_the_token() {
    let bookmark = event("BOOKMARK", json!({ "metadata": { "resourceVersion": "44" } }));
    let place = place(
        "pod-outages",
        vec![
            Answer::Document(503, status(503, "the server is currently unable to handle the request")),
            seen(running()),
            Answer::Document(410, status(410, "too old resource version")),
            seen(running()),
            Answer::Broken(vec![event("MODIFIED", running())]),
            seen(running()),
            Answer::Watch(vec![bookmark, event("ERROR", status(410, "too old resource version"))]),
            Answer::Document(401, status(401, "Unauthorized")),
        ],
    );
    let child = place.start("out", place.api.directory.path());
    while place.api.asked().len() < 8 {
        sleep(Duration::from_millis(50));
    }
    fs::write(place.api.token(), "second").unwrap();
    place.api.answer(seen(running()));
    place.api.answer(Answer::Silent(vec![event("MODIFIED", ended(0, "Completed"))]));
    let ended = place.end(child);
    is(&ended, 0, "Completed", None);
    is_uploaded("pod-outages");
    let tokens: Vec<_> = place.api.asked().into_iter().map(|(_, token)| token).collect();
    assert_eq!((tokens[7].as_str(), tokens[9].as_str()), ("first", "second"));
    let said: Vec<_> =
        ended.stderr.lines().map(|line| line.rsplit_once("; trying again").unwrap().0).collect();
    assert_eq!(said.len(), 3, "{said:?}");
    assert!(said[1].contains("the watch was interrupted"), "{said:?}");
    assert!(said[2].ends_with("401 Unauthorized: Unauthorized"), "{said:?}");
}

/// SIGTERM, once the pod is seen, and what it is to become then.
fn interrupted(bucket: &str, object: Value) -> Ended {
    let place = place(bucket, vec![seen(running())]);
    let child = place.start("out", place.api.directory.path());
    while place.api.asked().len() < 2 {
        sleep(Duration::from_millis(20));
    }
    place.api.answer(Answer::Silent(vec![event("MODIFIED", object)]));
    // kubelet learns it from the API server, too.
    sleep(Duration::from_millis(200));
    terminate(&child);
    place.end(child)
}

#[test]
fn a_pod_that_is_deleted_is_stopped_and_what_there_is_is_uploaded() {
    let deleted = pod(json!({ "deletionTimestamp": "2026-11-30T06:00:00Z" }), json!({}));
    is(&interrupted("pod-deleted", deleted), 3, "Stopped", None);
    is_uploaded("pod-deleted");
}

#[test]
fn a_pod_beyond_its_deadline_is_stopped_for_that_reason() {
    let mut late = pod(json!({}), json!({ "startTime": "2026-11-30T06:00:00Z" }));
    late["spec"]["activeDeadlineSeconds"] = json!(60);
    is(&interrupted("pod-late", late), 3, "MaxRuntimeExceeded", None);
    is_uploaded("pod-late");
}

#[test]
fn an_evicted_pod_has_failed() {
    let condition =
        json!([{ "type": "DisruptionTarget", "status": "True", "message": "Preempted by pod 7" }]);
    let evicted = pod(json!({}), json!({ "conditions": condition }));
    let reason =
        "InternalServerError: the pod was interrupted: Preempted by pod 7; the results may be incomplete";
    is(&interrupted("pod-evicted", evicted), 1, "Failed", Some(reason));
    is_uploaded("pod-evicted");
}

#[test]
fn a_pod_that_is_gone_is_uploaded_at_once() {
    let place = place("pod-gone", vec![seen(running()), Answer::Silent(vec![event("DELETED", running())])]);
    is(&place.run("out"), 3, "Stopped", None);
    is_uploaded("pod-gone");
}

#[test]
fn results_that_cannot_be_uploaded_fail_the_pod_of_a_container_that_completed() {
    let place = Place::new(&training("pod-nowhere"), Api::start(vec![seen(ended(0, "Completed"))]));
    place.write("model/weights", "w");
    let ended = place.run("out");
    assert_eq!(ended.code, Some(4), "{}", ended.stderr);
    let reason = ended.message["FailureReason"].as_str().unwrap();
    assert!(reason.starts_with("ClientError: Data upload failed: model: "), "{reason}");
}

#[test]
fn checkpoints_are_uploaded_while_the_container_runs() {
    shared().bucket("pod-checkpoints");
    let mut request = training("pod-checkpoints");
    request["CheckpointConfig"] = json!({ "S3Uri": "s3://pod-checkpoints/c", "LocalPath": "/checkpoints" });
    let place = Place::new(&request, Api::start(vec![seen(running())]));
    place.write("model/weights", "w");
    place.write("output/data/log", "l");
    fs::create_dir(place.path("data/checkpoints")).unwrap();
    fs::write(place.path("data/checkpoints/epoch-1"), "1").unwrap();
    let child = place.start("out", place.api.directory.path());
    while shared().keys("pod-checkpoints") != ["c/epoch-1"] {
        sleep(Duration::from_millis(50));
    }
    fs::write(place.path("data/checkpoints/epoch-2"), "2").unwrap();
    place.api.answer(Answer::Silent(vec![event("MODIFIED", ended(0, "Completed"))]));
    is(&place.end(child), 0, "Completed", None);
    let expected = ["c/epoch-1", "c/epoch-2", "out/job/output/model/weights", "out/job/output/output/log"];
    assert_eq!(shared().keys("pod-checkpoints"), expected);
}

/// Amazon S3 accepts a connection, and answers nothing.
#[test]
fn an_upload_of_checkpoints_that_hangs_holds_up_neither_the_end_of_the_container_nor_that_of_the_pod() {
    for (bucket, is_deleted) in [("pod-hanging", false), ("pod-hanging-deleted", true)] {
        shared().bucket(bucket);
        let mut request = training(bucket);
        request["CheckpointConfig"] =
            json!({ "S3Uri": format!("s3://{bucket}/c"), "LocalPath": "/checkpoints" });
        let place = Place::new(&request, Api::start(vec![seen(running())]));
        place.write("model/weights", "w");
        place.write("output/data/log", "l");
        fs::create_dir(place.path("data/checkpoints")).unwrap();
        fs::write(place.path("data/checkpoints/epoch-1"), "1").unwrap();
        let silent = TcpListener::bind("127.0.0.1:0").unwrap();
        let settings = fs::read_to_string(place.path("job.toml")).unwrap();
        let (server, address) = (shared().address.to_string(), silent.local_addr().unwrap().to_string());
        // The endpoint of Amazon S3 is the first one.
        fs::write(place.path("job.toml"), settings.replacen(&server, &address, 1)).unwrap();
        let child = place.start("out", place.api.directory.path());
        let _connection = silent.accept().unwrap();
        fs::write(place.path("job.toml"), settings).unwrap();
        let deleted = pod(json!({ "deletionTimestamp": "2026-11-30T06:00:00Z" }), json!({}));
        let now = if is_deleted { deleted } else { ended(0, "Completed") };
        place.api.answer(Answer::Silent(vec![event("MODIFIED", now)]));
        let (code, secondary) = if is_deleted {
            sleep(Duration::from_millis(200));
            terminate(&child);
            (3, "Stopped")
        } else {
            (0, "Completed")
        };
        let ended = place.end(child);
        is(&ended, code, secondary, None);
        assert_eq!(ended.stderr, "");
        let expected = ["c/epoch-1", "out/job/output/model/weights", "out/job/output/output/log"];
        assert_eq!(shared().keys(bucket), expected);
    }
}
