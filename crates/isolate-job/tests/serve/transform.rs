//! `isolate-job transform`, end to end.

use std::time::Duration;

use serde_json::{Value, json};
use test_support::command::wait_for;

use crate::deploy::removals_fail;
use crate::site::Site;
use crate::site::canaries::only_in;

/// Objects and a model in the bucket.
const OBJECTS: &str = r#"
import boto3, io, tarfile
s3 = boto3.client("s3", endpoint_url="http://127.0.0.1:5000")
s3.create_bucket(Bucket="results", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
archive = io.BytesIO()
with tarfile.open(fileobj=archive, mode="w:gz") as tar:
    entry = tarfile.TarInfo("weights")
    entry.size = 6
    tar.addfile(entry, io.BytesIO(b"1,2,3\n"))
s3.put_object(Bucket="data", Key="model.tar.gz", Body=archive.getvalue())
objects = {"batch/a.csv": b"1\n2\n3\n4\n5", "batch/sub/b.csv": b"6\n", "batch/none": b"", "fails/a": b"1\nfail\n2\n", "waits/a": b"wait\n", "large/a": b"large\n", "pause/a": b"pause\n"}
for key, body in objects.items():
    s3.put_object(Bucket="data", Key=key, Body=body)
print("done")
"#;

/// Of each object below a prefix, the lines that begin with these words, and empty ones.
const ANSWERS: &str = r#"
import boto3, json
s3 = boto3.client("s3", endpoint_url="http://127.0.0.1:5000")
listed = s3.list_objects_v2(Bucket="results", Prefix=prefix).get("Contents", [])
found = {one["Key"]: s3.get_object(Bucket="results", Key=one["Key"])["Body"].read().decode().split("\n") for one in listed}
found = {key: [line for line in lines if line.split(" ")[0] in ("body", "secrets", "batch", "reached", "")] for key, lines in found.items()}
assert found == expected, found
print("done")
"#;

fn answered(site: &Site, prefix: &str, expected: &Value) {
    site.python(&format!("prefix, expected = {prefix:?}, {expected}\n{ANSWERS}"));
}

fn request(site: &Site, name: &str, prefix: &str, more: &Value) -> String {
    let mut request = json!({
        "TransformJobName": name,
        "ModelName": "boston",
        "ModelClientConfig": { "InvocationsMaxRetries": 0 },
        "Environment": { "MODE": "slow" },
        "TransformInput": {
            "DataSource": { "S3DataSource": { "S3DataType": "S3Prefix", "S3Uri": format!("s3://data/{prefix}/") } },
            "ContentType": "text/csv",
            "SplitType": "Line",
        },
        "TransformOutput": { "S3OutputPath": format!("s3://results/{name}"), "AssembleWith": "None" },
        "TransformResources": { "InstanceType": "ml.m5.large", "InstanceCount": 1 },
    });
    for (member, value) in more.as_object().unwrap() {
        request[member] = value.clone();
    }
    site.host().write(&format!("{name}.json"), &request.to_string())
}

fn described(site: &Site, name: &str) -> Value {
    serde_json::from_str(&site.job(&["describe", name]).must()).unwrap()
}

/// What the container answers to these bodies.
fn lines(bodies: &[&str], batch: &str, is_line: bool) -> Vec<String> {
    let answer = |body: &&str| {
        let end = is_line.then(String::new);
        [format!("body {body}"), "secrets 0".to_owned(), batch.to_owned()].into_iter().chain(end)
    };
    bodies.iter().flat_map(answer).chain([String::new()]).collect()
}

#[test]
fn transform_sends_objects_to_an_isolated_container_and_uploads_its_answers() {
    let site = Site::new();
    site.python(OBJECTS);
    let model = site.model("boston", &json!({}));
    let run = |name: &str, prefix: &str, more: Value| {
        site.job(&["transform", "--model", &model, &request(&site, name, prefix, &more)])
    };
    // As the container chooses: each line by itself, two at a time, in their order.
    let done = run("lines", "batch", json!({}));
    assert_eq!((done.status, done.err.as_str()), (Some(0), ""), "{done}");
    let own = "batch slow";
    let expected = json!({
        "lines/a.csv.out": lines(&["1", "2", "3", "4", "5"], own, false),
        "lines/sub/b.csv.out": lines(&["6"], own, false),
        "lines/none.out": [""],
    });
    answered(&site, "lines/", &expected);
    let status = described(&site, "lines");
    assert_eq!(status["TransformJobStatus"], "Completed");
    assert!(status["TransformEndTime"].as_f64() > status["TransformStartTime"].as_f64(), "{status}");
    assert_eq!(site.job(&["logs", "lines"]).must(), "listening");
    let listed = site.job(&["list"]).must();
    assert!(listed.lines().any(|line| line.starts_with("lines") && line.contains("Completed")), "{listed}");
    assert_eq!(site.containers("isolate-"), [""; 0]);
    assert!(!site.path("jobs/lines/batch").exists() && !site.path("jobs/lines/opt-ml").exists());

    // As the request has it: as many lines as fit, and a line's end after each answer.
    let more = json!({
        "BatchStrategy": "MultiRecord",
        "MaxPayloadInMB": 6,
        "TransformOutput": { "S3OutputPath": "s3://results/many", "AssembleWith": "Line" },
    });
    let done = run("many", "batch/a", more);
    // The prefix has a slash at its end, and no object begins so.
    assert!(done.status == Some(1) && done.err.contains("No S3 objects found"), "{done}");
    let more = json!({
        "BatchStrategy": "MultiRecord",
        "MaxPayloadInMB": 6,
        "TransformOutput": { "S3OutputPath": "s3://results/several", "AssembleWith": "Line" },
    });
    let done = run("several", "batch", more);
    assert_eq!(done.status, Some(0), "{done}");
    let batch = "batch MULTI_RECORD slow";
    let expected = json!({
        "several/a.csv.out": lines(&["1 2 3 4 5"], batch, true),
        "several/sub/b.csv.out": lines(&["6"], batch, true),
        "several/none.out": [""],
    });
    answered(&site, "several/", &expected);

    // A model's error fails the job, and nothing is uploaded.
    let done = run("fails", "fails", json!({}));
    let why = "AlgorithmError: a: POST /invocations was answered with 500: no such column";
    assert_eq!((done.status, done.err.as_str()), (Some(1), why), "{done}");
    assert_eq!(described(&site, "fails")["FailureReason"], why);
    answered(&site, "fails/", &json!({}));
    assert_eq!(site.containers("isolate-"), [""; 0]);

    // What is refused creates nothing.
    let refused = |words: &[&str], why: &str| {
        let done = site.job(words);
        assert!(done.status == Some(2) && done.err.contains(why), "{done}");
        assert!(!site.path("jobs/refused").exists());
    };
    let request = request(&site, "refused", "batch", &json!({}));
    refused(&["transform", &request], "ModelName: there is no model \"boston\"");
    let open = site.model("boston", &json!({ "EnableNetworkIsolation": false }));
    refused(&["transform", "--model", &open, &request], "EnableNetworkIsolation: is not true");
    let other = site.model("other", &json!({}));
    refused(&["transform", "--model", &other, &request], "the model's document has \"other\"");
    site.job(&["remove", "lines"]).must();
}

#[test]
fn transform_is_stopped_and_continued_after_a_kill() {
    let site = Site::new();
    site.python(OBJECTS);
    let model = site.model("boston", &json!({}));
    let waiting = |name: &str| {
        let request = request(&site, name, "waits", &json!({}));
        site.job(&["transform", "--detach", "--model", &model, &request]).must();
        let logs = || site.job(&["logs", name]).out.contains("waiting").then_some(());
        assert!(wait_for(Duration::from_secs(60), logs).is_some(), "{}", described(&site, name));
    };
    waiting("stopped");
    // The process that sends objects has no credentials, nor has the container.
    only_in(site.host(), &["resume --session stopped"]);
    site.job(&["stop", "stopped"]).must();
    let ended = || (described(&site, "stopped")["TransformJobStatus"] == "Stopped").then_some(());
    assert!(wait_for(Duration::from_secs(60), ended).is_some(), "{}", described(&site, "stopped"));
    // The process that has written this has the job until it ends, for which `resume` waits.
    let resumed = site.job(&["resume", "stopped"]);
    assert_eq!(resumed.status, Some(3), "{resumed}");

    waiting("killed");
    site.host().sh("pkill -KILL -f '[s]ession killed'").must();
    let left = || site.job(&["list"]).err.contains("killed is interrupted").then_some(());
    assert!(wait_for(Duration::from_secs(20), left).is_some());
    assert_eq!(site.containers("isolate-"), ["isolate-killed-model"]);
    // The objects are sent again, now to a container that answers.
    std::fs::write(site.path("jobs/killed/environment"), "MODE=quick\nSAGEMAKER_BATCH=true\n").unwrap();
    let done = site.job(&["resume", "killed"]);
    assert_eq!(done.status, Some(0), "{done}");
    answered(&site, "killed/", &json!({ "killed/a.out": ["body wait", "secrets 0", "batch quick", ""] }));
    assert_eq!(site.containers("isolate-"), [""; 0]);
}

#[test]
fn answers_are_bounded_and_uploaded_whole_or_kept() {
    let site = Site::new();
    let host = site.host();
    site.python(OBJECTS);
    let model = site.model("boston", &json!({}));
    let settings = std::fs::read_to_string(site.path("job.toml")).unwrap();
    host.write("job.toml", &format!("transform-output-gib = 0.004\n{settings}"));
    let done = site.job(&["transform", "--model", &model, &request(&site, "large", "large", &json!({}))]);
    let why = "AlgorithmError: a: cannot write an answer: the answers are larger than transform-output-gib";
    assert!(done.status == Some(1) && done.err.contains(why), "{done}");
    host.write("job.toml", &settings);

    // There is no such bucket yet.
    let more = json!({ "TransformOutput": { "S3OutputPath": "s3://late/kept", "AssembleWith": "None" } });
    let done = site.job(&["transform", "--model", &model, &request(&site, "kept", "batch", &more)]);
    assert_eq!(done.status, Some(4), "{done}");
    let described = described_as(&site, "kept", "Failed");
    assert!(described["FailureReason"].as_str().unwrap().contains("Data upload failed"), "{described}");
    let refused = site.job(&["remove", "kept"]);
    assert!(refused.status == Some(2) && refused.err.contains("are not uploaded"), "{refused}");
    assert_eq!(site.job(&["resume", "kept"]).status, Some(4));
    site.python(
        "import boto3\nboto3.client('s3', endpoint_url='http://127.0.0.1:5000').create_bucket(Bucket='late', \
         CreateBucketConfiguration={'LocationConstraint': 'eu-west-1'})\nprint('done')\n",
    );
    let done = site.job(&["resume", "kept"]);
    assert_eq!((done.status, done.err.as_str()), (Some(0), ""), "{done}");
    let described = described_as(&site, "kept", "Completed");
    assert!(described.get("FailureReason").is_none(), "{described}");
    assert!(!site.path("jobs/kept/batch").exists());

    // What is being uploaded is not stopped half way.
    let request_of = request(&site, "uploads", "pause", &json!({}));
    site.job(&["transform", "--detach", "--model", &model, &request_of]).must();
    let sent = || host.sh("pgrep -f '[i]nfer uploads'").well().then_some(());
    assert!(wait_for(Duration::from_secs(60), sent).is_some());
    let rule = "INPUT -i lo -p tcp --dport 5000 -j DROP";
    host.sh(&format!("iptables -I {rule}")).must();
    let uploads = || host.sh("pgrep -f '[s]tage out'").well().then_some(());
    assert!(wait_for(Duration::from_secs(60), uploads).is_some(), "{}", described_as(&site, "uploads", ""));
    site.job(&["stop", "uploads"]).must();
    std::thread::sleep(Duration::from_secs(1));
    assert!(uploads().is_some(), "the upload was ended");
    host.sh(&format!("iptables -D {rule}")).must();
    described_as(&site, "uploads", "Completed");
    let expected = json!({ "uploads/a.out": ["body pause", "secrets 0", "batch slow", ""] });
    answered(&site, "uploads/", &expected);

    // A container that does not answer GET /execution-parameters.
    let more = json!({ "Environment": { "MODE": "silent" } });
    let request_of = request(&site, "silent", "batch", &more);
    site.job(&["transform", "--detach", "--model", &model, &request_of]).must();
    let asked = || site.job(&["logs", "silent"]).out.contains("listening").then_some(());
    assert!(wait_for(Duration::from_secs(60), asked).is_some());
    std::thread::sleep(Duration::from_secs(2));
    let start = std::time::Instant::now();
    site.job(&["stop", "silent"]).must();
    described_as(&site, "silent", "Stopped");
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
    assert_eq!(site.containers("isolate-"), [""; 0]);
}

/// Waits until a job is this; any status if it is empty.
#[track_caller]
fn described_as(site: &Site, name: &str, status: &str) -> Value {
    let is = || {
        let described = described(site, name);
        (status.is_empty() || described["TransformJobStatus"] == status).then_some(described)
    };
    wait_for(Duration::from_secs(60), is).unwrap_or_else(|| panic!("{}", described(site, name)))
}

#[test]
fn podman_5_a_model_is_deployed_and_transforms() {
    let site = Site::podman();
    site.python(OBJECTS);
    let model = site.model("boston", &json!({}));
    let done = site.job(&["transform", "--model", &model, &request(&site, "lines", "batch", &json!({}))]);
    assert_eq!((done.status, done.err.as_str()), (Some(0), ""), "{done}");
    let expected = json!({
        "lines/a.csv.out": lines(&["1", "2", "3", "4", "5"], "batch slow", false),
        "lines/sub/b.csv.out": lines(&["6"], "batch slow", false),
        "lines/none.out": [""],
    });
    answered(&site, "lines/", &expected);

    site.background("deploy", &["deploy", &model]);
    site.until_logged("deploy", "is served on");
    let answer = crate::deploy::invoked(&site, "4,5,6");
    assert!(answer.contains("weights 1,2,3\nbody 4,5,6") && !answer.contains("reached"), "{answer}");
    site.job(&["stop", "boston"]).must();
    let removed = || (!site.path("jobs/boston").exists()).then_some(());
    assert!(wait_for(Duration::from_secs(60), removed).is_some());
    assert_eq!(site.containers("isolate-"), [""; 0]);
}

/// By two signals, on a host whose containers are not isolated.
pub(crate) fn an_unproven_container_is_removed_after_its_user_has_left(site: &Site) {
    site.python(OBJECTS);
    let host = site.host();
    removals_fail(site, 1_000_000);
    let model = site.model("boston", &json!({}));
    site.background("left", &["transform", "--model", &model, &request(site, "left", "batch", &json!({}))]);
    site.until_logged("left", "isolate-left-model may run without proof of its isolation");
    let own = "bin/isolate-jo[b] .* transform ";
    host.sh(&format!("pkill -TERM --full '{own}'")).must();
    let is_stopped = || site.path("jobs/left/stop").exists().then_some(());
    assert!(wait_for(Duration::from_secs(20), is_stopped).is_some());
    host.sh(&format!("pkill -TERM --full '{own}'")).must();
    let has_ended = || (!host.sh(&format!("pgrep --full '{own}'")).well()).then_some(());
    assert!(wait_for(Duration::from_secs(20), has_ended).is_some());
    // The other process has not.
    let again = site.job(&["resume", "left"]);
    assert!(again.err.contains("left is supervised by another process"), "{again}");
    assert_eq!(site.containers("isolate-left"), ["isolate-left-model"]);
    removals_fail(site, 0);
    let is_left = || site.job(&["list"]).err.contains("left is interrupted").then_some(());
    assert!(wait_for(Duration::from_secs(60), is_left).is_some(), "{}", host.log("left.log"));
    assert_eq!(site.containers("isolate-left"), [""; 0]);
}
