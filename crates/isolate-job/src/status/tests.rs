//! Every status that a job can have is an answer of the API's type, and only valid transitions happen.

use proptest::prelude::*;

use super::*;
use crate::request::{Request, answer, read};

const TRAINING: &str = include_str!("../request/tests/training.json");
const TUNING: &str = include_str!("../request/tests/tuning.json");
const ALL: [Secondary; 9] = [
    Secondary::Starting,
    Secondary::Downloading,
    Secondary::Training,
    Secondary::Uploading,
    Secondary::Stopping,
    Secondary::Completed,
    Secondary::Failed,
    Secondary::Stopped,
    Secondary::MaxRuntimeExceeded,
];

fn scope() -> Scope {
    Scope::of_role("arn:aws-cn:iam::111122223333:role/x", "cn-north-1")
}

fn at(seconds: u64) -> Time {
    Time::from_millis(1_764_446_210_123 + seconds * 1000)
}

fn job() -> TrainingStatus {
    let Request::Training(job) = read(TRAINING.as_bytes()).unwrap() else { panic!() };
    TrainingStatus::new(&job, &scope(), at(0))
}

/// Written, it is an answer of the API's type, and read again it is the same.
fn assert_answers(
    operation: &str,
    status: &(impl Serialize + for<'de> Deserialize<'de> + PartialEq + std::fmt::Debug),
) {
    let text = serde_json::to_string(status).unwrap();
    assert_eq!(answer(operation, &text), [], "{text}");
    let back = serde_json::from_str(&text).unwrap();
    assert_eq!(*status, back);
}

#[test]
fn a_job_that_completes_says_when_and_where() {
    let mut status = job();
    for (index, next) in
        [Secondary::Downloading, Secondary::Training, Secondary::Uploading, Secondary::Completed]
            .iter()
            .enumerate()
    {
        status.to(*next, "on it", at(10 * (index as u64 + 1))).unwrap();
        assert_answers("DescribeTrainingJob", &status);
    }
    assert_eq!(status.training_job_status, JobStatus::Completed);
    assert_eq!(
        status.training_job_arn,
        "arn:aws-cn:sagemaker:cn-north-1:111122223333:training-job/boston-2026"
    );
    assert_eq!(status.training_time_in_seconds, Some(20));
    assert_eq!(status.exit(true), Some(Exit::Completed));
    let artifacts = "s3://results/boston/boston-2026/output/model.tar.gz";
    assert_eq!(status.model_artifacts.s3_model_artifacts, artifacts);
    let transitions = status.secondary_status_transitions;
    assert_eq!(transitions.len(), 5);
    assert!(transitions.windows(2).all(|pair| pair[0].end_time == Some(pair[1].start_time)));
    assert_eq!(transitions[4].end_time, Some(at(40)));
}

#[test]
fn a_program_that_failed_is_uploaded_and_failed() {
    let mut status = job();
    status.to(Secondary::Training, "", at(1)).unwrap();
    status.to(Secondary::Uploading, "", at(2)).unwrap();
    let container = Container { exit_code: 1, oom_killed: false };
    status.fail(&Reason::Algorithm { failure: Some(b"no"), container }, at(3)).unwrap();
    assert_eq!(status.failure_reason.as_deref(), Some("AlgorithmError: no, exit code: 1"));
    assert_eq!((status.exit(true), status.exit(false)), (Some(Exit::Failed), Some(Exit::NotUploaded)));
    assert_answers("DescribeTrainingJob", &status);
    // Results that were kept are uploaded later.
    status.to(Secondary::Uploading, "", at(4)).unwrap();
    assert_eq!((&status.failure_reason, status.exit(true)), (&None, None));
}

#[test]
fn a_job_that_was_stopped_uploads_and_is_stopped() {
    for end in [Secondary::Stopped, Secondary::MaxRuntimeExceeded] {
        let mut status = job();
        for next in [Secondary::Training, Secondary::Stopping, Secondary::Uploading, end] {
            status.to(next, "", at(1)).unwrap();
            assert_answers("DescribeTrainingJob", &status);
            let expected = match next {
                Secondary::Training => JobStatus::InProgress,
                next if next == end => JobStatus::Stopped,
                _ => JobStatus::Stopping,
            };
            assert_eq!(status.training_job_status, expected, "{next:?}");
        }
        assert_eq!(status.exit(true), Some(Exit::Stopped));
    }
}

#[test]
fn what_is_no_transition_changes_nothing() {
    let mut status = job();
    let before = status.clone();
    let error = status.to(Secondary::Completed, "", at(1)).unwrap_err();
    assert_eq!(error.to_string(), "a job that is Starting does not become Completed");
    assert_eq!(status, before);
}

#[test]
fn exit_statuses_are_those_of_the_manual() {
    let all = [Exit::Completed, Exit::Failed, Exit::Refused, Exit::Stopped, Exit::NotUploaded];
    assert_eq!(all.map(|exit| exit as u8), [0, 1, 2, 3, 4]);
}

#[test]
fn models_and_transform_jobs_answer() {
    let Request::Model(model) = read(include_bytes!("../request/tests/model.json")).unwrap() else {
        panic!()
    };
    assert_answers("DescribeModel", &ModelStatus::new(&model, &scope(), at(0)));
    let Request::Transform(job) = read(include_bytes!("../request/tests/transform.json")).unwrap() else {
        panic!()
    };
    let mut status = TransformStatus::new(&job, &scope(), at(0));
    assert_answers("DescribeTransformJob", &status);
    status.start(at(1));
    status.fail(&Reason::Client("no such key"), at(2)).unwrap();
    assert_answers("DescribeTransformJob", &status);
    assert!(status.to(JobStatus::Completed, at(3)).is_err());
}

#[test]
fn a_tuning_job_counts_and_finds_the_best() {
    let Request::Tuning(tuning) = read(TUNING.as_bytes()).unwrap() else { panic!() };
    let objective = &tuning.data.hyper_parameter_tuning_job_config.hyper_parameter_tuning_job_objective;
    let ended = |value: Option<f64>, end: Secondary| {
        let mut status = job();
        status.to(Secondary::Training, "", at(1)).unwrap();
        if end != Secondary::Training {
            status.to(Secondary::Uploading, "", at(2)).unwrap();
            status.to(end, "", at(3)).unwrap();
        }
        let metric = |value| MetricData { metric_name: "loss".to_owned(), value, timestamp: at(2) };
        status.final_metric_data_list = value.map(metric).into_iter().collect();
        status
    };
    let jobs = [
        ended(Some(0.5), Secondary::Completed),
        ended(Some(0.25), Secondary::Completed),
        ended(Some(0.1), Secondary::Failed),
        ended(None, Secondary::Completed),
        ended(None, Secondary::Training),
        ended(Some(0.2), Secondary::Stopped),
    ];
    let chosen: Vec<_> = (0..6).map(|index| [("depth".to_owned(), index.to_string())].into()).collect();
    let mut status = TuningStatus::new(&tuning, &scope(), at(0));
    assert_answers("DescribeHyperParameterTuningJob", &status);
    status.count(objective, jobs.iter().zip(&chosen), at(4));
    assert_answers("DescribeHyperParameterTuningJob", &status);
    let expected =
        Counters { completed: 3, in_progress: 1, retryable_error: 0, non_retryable_error: 1, stopped: 1 };
    assert_eq!(status.training_job_status_counters, expected);
    let expected = ObjectiveCounters { succeeded: 2, pending: 1, failed: 3 };
    assert_eq!(status.objective_status_counters, expected);
    let best = status.best_training_job.clone().unwrap();
    assert_eq!((best.metric.unwrap().value, best.tuned_hyper_parameters["depth"].as_str()), (0.25, "1"));

    // How it ends: by what is known of its training jobs.
    let ends = |jobs: &[TrainingStatus], is_stopping: bool| {
        let mut status = TuningStatus::new(&tuning, &scope(), at(0));
        status.count(objective, jobs.iter().zip(&chosen), at(4));
        if is_stopping {
            status.to(JobStatus::Stopping, at(4)).unwrap();
        }
        status.finish(at(5)).unwrap();
        assert_answers("DescribeHyperParameterTuningJob", &status);
        (status.hyper_parameter_tuning_job_status, status.failure_reason.unwrap_or_default())
    };
    assert_eq!(ends(&jobs[..3], false), (JobStatus::Completed, String::new()));
    assert_eq!(ends(&jobs[..3], true), (JobStatus::Stopped, String::new()));
    let (end, why) = ends(&jobs[2..3], false);
    assert!(end == JobStatus::Failed && why.contains("no training job is completed"), "{why}");
    let (end, why) = ends(&jobs[3..4], false);
    assert!(end == JobStatus::Failed && why.contains("in the logs of 1 training jobs"), "{why}");
}

#[test]
fn an_answer_with_a_stranger_is_noticed() {
    assert_eq!(answer("DescribeModel", "{\"Nonsense\": 1}").len(), 4);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Wherever a job is sent, its status is an answer of the API's type, and one that has ended stays so.
    #[test]
    fn any_walk_gives_answers(steps in prop::collection::vec(0usize..ALL.len(), 0..20), message in ".{0,40}") {
        let mut status = job();
        let mut uploads = 0;
        for (second, step) in steps.into_iter().enumerate() {
            let before = status.clone();
            if status.to(ALL[step], &message, at(second as u64)).is_ok() {
                prop_assert!(!before.secondary_status.is_final() || before.secondary_status == Secondary::Failed);
                uploads += usize::from(status.secondary_status == Secondary::Uploading);
                prop_assert!(status.training_job_status != JobStatus::Completed || uploads > 0);
            } else {
                prop_assert_eq!(&before, &status);
            }
            let is_over = !matches!(status.training_job_status, JobStatus::InProgress | JobStatus::Stopping);
            prop_assert_eq!(is_over, status.secondary_status.is_final());
            prop_assert_eq!(is_over, status.training_end_time.is_some());
            prop_assert_eq!(is_over, status.exit(true).is_some());
            prop_assert_eq!(answer("DescribeTrainingJob", &serde_json::to_string(&status).unwrap()), vec![]);
        }
    }
}
