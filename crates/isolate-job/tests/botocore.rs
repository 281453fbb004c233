//! The other side of the wire: what we take and answer, as botocore's own validator and parsers have it.
//! `hack/sagemaker-model --prepare` puts the version that the API's types were taken from into the cache.

#![allow(clippy::unwrap_used, reason = "all of this crate is test code")]

use std::io::Write;
use std::process::{Command, Stdio};

use isolate_job::request::{Request, read};
use isolate_job::status::{
    Container, JobStatus, MetricData, ModelStatus, Reason, Scope, Secondary, Time, TrainingStatus,
    TransformStatus, TuningStatus,
};
use serde_json::{Value, json};
use test_support::cached;

/// Validates requests, and parses answers as a client does: all of an answer has to arrive.
const PYTHON: &str = r#"
import botocore.parsers, botocore.session, botocore.validate, datetime, json, sys
service = botocore.session.get_session().get_service_model("sagemaker")
validator, parser = botocore.validate.ParamValidator(), botocore.parsers.create_parser("json")

def plain(value):
    if isinstance(value, datetime.datetime):
        return round(value.timestamp(), 3)
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items() if k != "ResponseMetadata"}
    return [plain(v) for v in value] if isinstance(value, list) else value

given = json.load(sys.stdin)
for operation, request in given["requests"]:
    report = validator.validate(request, service.operation_model(operation).input_shape)
    assert not report.has_errors(), (operation, report.generate_report())
for operation, answer in given["answers"]:
    response = {"status_code": 200, "headers": {}, "body": json.dumps(answer).encode()}
    parsed = plain(parser.parse(response, service.operation_model(operation).output_shape))
    assert parsed == answer, (operation, parsed, answer)
print(botocore.__version__, len(given["requests"]), "requests", len(given["answers"]), "answers")
"#;

const REQUESTS: [(&str, &str); 4] = [
    ("CreateTrainingJob", include_str!("../src/request/tests/training.json")),
    ("CreateModel", include_str!("../src/request/tests/model.json")),
    ("CreateHyperParameterTuningJob", include_str!("../src/request/tests/tuning.json")),
    ("CreateTransformJob", include_str!("../src/request/tests/transform.json")),
];

/// Every state of a job of each kind.
fn answers() -> Vec<(&'static str, Value)> {
    let scope = Scope::of_role("arn:aws:iam::111122223333:role/x", "eu-west-1");
    let at = |second: u64| Time::from_millis(1_764_446_210_123 + 1000 * second);
    let mut answers = Vec::new();
    for (_, text) in REQUESTS {
        match read(text.as_bytes()).unwrap() {
            Request::Training(job) => {
                let mut status = TrainingStatus::new(&job, &scope, at(0));
                for (second, next) in
                    [Secondary::Downloading, Secondary::Training, Secondary::Stopping, Secondary::Uploading]
                        .into_iter()
                        .enumerate()
                {
                    answers.push(("DescribeTrainingJob", json!(status)));
                    status.to(next, "a message", at(second as u64 + 1)).unwrap();
                }
                let metric = MetricData { metric_name: "loss".to_owned(), value: 0.25, timestamp: at(4) };
                status.final_metric_data_list.push(metric);
                let container = Container { exit_code: 137, oom_killed: true };
                let mut failed = status.clone();
                failed.fail(&Reason::Algorithm { failure: Some(b"no\xff"), container }, at(5)).unwrap();
                answers.push(("DescribeTrainingJob", json!(failed)));
                for end in [Secondary::Completed, Secondary::Stopped, Secondary::MaxRuntimeExceeded] {
                    let mut status = status.clone();
                    status.to(end, "", at(6)).unwrap();
                    answers.push(("DescribeTrainingJob", json!(status)));
                }
            }
            Request::Model(model) => {
                answers.push(("DescribeModel", json!(ModelStatus::new(&model, &scope, at(0)))));
            }
            Request::Tuning(job) => {
                let mut status = TuningStatus::new(&job, &scope, at(0));
                answers.push(("DescribeHyperParameterTuningJob", json!(status)));
                status.to(JobStatus::Completed, at(1)).unwrap();
                answers.push(("DescribeHyperParameterTuningJob", json!(status)));
            }
            Request::Transform(job) => {
                let mut status = TransformStatus::new(&job, &scope, at(0));
                answers.push(("DescribeTransformJob", json!(status)));
                status.start(at(1));
                status.fail(&Reason::Client("no such key"), at(2)).unwrap();
                answers.push(("DescribeTransformJob", json!(status)));
            }
        }
    }
    answers
}

#[test]
fn botocore_takes_the_requests_and_parses_every_answer() {
    let requests: Vec<_> = REQUESTS
        .map(|(operation, text)| json!([operation, serde_json::from_str::<Value>(text).unwrap()]))
        .into();
    let answers = answers();
    let count = answers.len();
    let given = json!({ "requests": requests, "answers": answers });
    let mut child = Command::new(cached("sagemaker/venv/bin/python3", "hack/sagemaker-model --prepare"))
        .args(["-c", PYTHON])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(given.to_string().as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.contains(&format!("4 requests {count} answers")), "{said}");
    // The version that the types were taken from.
    let model = include_str!("../src/request/sagemaker.json");
    let version = said.split(' ').next().unwrap();
    assert!(model.contains(&format!("botocore {version} ")), "the cache has botocore {version}");
}
