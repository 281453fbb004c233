//! Tuning jobs: their training jobs are ordinary ones, and their sequence is the same after whatever was killed.

use std::fs;
use std::time::Duration;

use serde_json::{Value, json};
use test_support::command::wait_for;

use crate::site::canaries::only_in;
use crate::site::{Site, definition};

/// An image whose program is this. `_tuning_objective_metric` is a hyperparameter, too.
pub(crate) fn image(site: &Site, program: &str) {
    let entrypoint =
        json!(["bash", "-c", format!("text=$(cat /opt/ml/input/config/hyperparameters.json); {program}")]);
    let change = format!("ENTRYPOINT {entrypoint}");
    site.engine(&["import", "--change", &change, &site.host().at("probe.tar"), "tuned"]).must();
}

/// A parabola whose lowest point is at 37.
pub(crate) const PARABOLA: &str = "[[ $text =~ '\"x\":\"'([0-9]+) ]]; x=${BASH_REMATCH[1]}; echo x=$x >/opt/ml/model/weights; echo \"loss=$(((x - 37) * (x - 37)))\"";

/// Of random numbers.
pub(crate) fn request(site: &Site, name: &str, more: &[(&str, Value)]) -> String {
    let mut definition = definition(&json!({
        "TrainingImage": "tuned",
        "TrainingInputMode": "File",
        "MetricDefinitions": [{ "Name": "loss", "Regex": "loss=([0-9]+)" }],
    }));
    definition["StaticHyperParameters"] = json!({ "epochs": "1" });
    let mut request = json!({
        "HyperParameterTuningJobName": name,
        "HyperParameterTuningJobConfig": {
            "Strategy": "Random",
            "HyperParameterTuningJobObjective": { "Type": "Minimize", "MetricName": "loss" },
            "ResourceLimits": { "MaxNumberOfTrainingJobs": 6, "MaxParallelTrainingJobs": 2 },
            "ParameterRanges": { "IntegerParameterRanges": [{ "Name": "x", "MinValue": "0", "MaxValue": "100" }] },
            "RandomSeed": 7,
        },
        "TrainingJobDefinition": definition,
    });
    for (pointer, value) in more {
        *request.pointer_mut(pointer).unwrap() = value.clone();
    }
    site.host().write(&format!("{name}.json"), &request.to_string())
}

const RANGES: &str = "/HyperParameterTuningJobConfig/ParameterRanges";
const LIMITS: &str = "/HyperParameterTuningJobConfig/ResourceLimits";
const STRATEGY: &str = "/HyperParameterTuningJobConfig/Strategy";

/// Its training jobs, by `list`: names without the last word, and statuses.
fn training_jobs(site: &Site, name: &str) -> Vec<(String, Value)> {
    let listed: Vec<Value> = serde_json::from_str(&site.job(&["list", "--json"]).must()).unwrap();
    let arn = format!(":hyper-parameter-tuning-job/{name}");
    let is_its = |job: &&Value| job["TuningJobArn"].as_str().is_some_and(|own| own.ends_with(&arn));
    listed
        .iter()
        .filter(is_its)
        .map(|job| (job["TrainingJobName"].as_str().unwrap().to_owned(), job["TrainingJobStatus"].clone()))
        .collect()
}

/// The value of `x` of each training job.
fn chosen(site: &Site, name: &str) -> Vec<i64> {
    let x = |(name, _): &(String, Value)| {
        site.describe(name)["HyperParameters"]["x"].as_str().unwrap().parse().unwrap()
    };
    training_jobs(site, name).iter().map(x).collect()
}

fn counters(status: &Value) -> [u64; 4] {
    let counters = &status["TrainingJobStatusCounters"];
    ["Completed", "InProgress", "NonRetryableError", "Stopped"].map(|name| counters[name].as_u64().unwrap())
}

#[test]
fn a_tuning_job_finds_the_best_and_continues_with_the_same_sequence_after_a_kill() {
    let site = Site::docker();
    image(&site, &format!("sleep 0.5; {PARABOLA}"));
    let done = site.job(&["tune", &request(&site, "tune", &[])]);
    assert_eq!((done.status, done.err.as_str()), (Some(0), ""), "{done}");
    let status = site.describe("tune");
    assert_eq!(status["HyperParameterTuningJobStatus"], "Completed");
    assert_eq!(counters(&status), [6, 0, 0, 0]);
    assert_eq!(status["ObjectiveStatusCounters"], json!({ "Succeeded": 6, "Pending": 0, "Failed": 0 }));
    let all = chosen(&site, "tune");
    let lowest = *all.iter().min_by_key(|x| (*x - 37).pow(2)).unwrap();
    let best = &status["BestTrainingJob"];
    assert_eq!(best["TunedHyperParameters"], json!({ "x": lowest.to_string() }));
    let metric = &best["FinalHyperParameterTuningJobObjectiveMetric"];
    assert_eq!(
        *metric,
        json!({ "Type": "Minimize", "MetricName": "loss", "Value": (lowest - 37).pow(2) as f64 })
    );
    // Two lines for each, and never more than two at a time.
    let (mut running, mut most) = (0, 0);
    for line in done.out.lines().filter(|line| !line.starts_with("best: ")) {
        running += if line.contains(" InProgress ") { 1 } else { -1 };
        most = most.max(running);
    }
    assert_eq!((running, most, done.out.lines().count()), (0, 2, 13), "{done}");
    // Ordinary training jobs, whose results are where those of training jobs are.
    let name = best["TrainingJobName"].as_str().unwrap();
    assert_eq!(site.archive(name, "model"), format!("x={lowest}"));
    let described = site.describe(name);
    let hyperparameters =
        json!({ "_tuning_objective_metric": "loss", "epochs": "1", "x": lowest.to_string() });
    assert_eq!(described["HyperParameters"], hyperparameters);
    assert_eq!(described["TuningJobArn"], status["HyperParameterTuningJobArn"]);

    // Killed at several moments: the process that tunes, those with the credentials, supervisors.
    for (number, victim) in
        ["[s]ession killed-0$", "[s]ession killed-1", "[s]upervise"].into_iter().enumerate()
    {
        let name = format!("killed-{number}");
        site.job(&["tune", "--detach", &request(&site, &name, &[])]).must();
        let begun = || (training_jobs(&site, &name).len() == 3 + number).then_some(());
        assert!(wait_for(Duration::from_secs(60), begun).is_some(), "{:?}", training_jobs(&site, &name));
        let _ = site.host().sh(&format!("pkill -KILL -f '{victim}'"));
        site.until_left(&name);
        let listed = site.job(&["list"]);
        assert!(listed.err.contains(&format!("{name} is interrupted")), "{listed}");
        // By `resume --all`, too, as at boot: it resumes its training jobs, and they are not resumed twice.
        if number == 0 {
            let resumed = site.job(&["resume", "--all"]);
            assert_eq!((resumed.out.as_str(), resumed.err.as_str()), ("killed-0", ""), "{resumed}");
            let ended =
                || (site.describe(&name)["HyperParameterTuningJobStatus"] == "Completed").then_some(());
            assert!(wait_for(Duration::from_secs(90), ended).is_some(), "{}", site.describe(&name));
            site.until_left(&name);
            assert_eq!(site.job(&["resume", "--all"]).must(), "");
        }
        let done = site.job(&["resume", &name]);
        assert_eq!(done.status, Some(0), "{name}: {done}");
        assert_eq!(chosen(&site, &name), all, "{name}");
        assert_eq!(counters(&site.describe(&name)), [6, 0, 0, 0]);
        assert_eq!(
            site.describe(&name)["BestTrainingJob"]["TunedHyperParameters"],
            best["TunedHyperParameters"]
        );
        assert_eq!(site.left_over(&name), [""; 0]);
    }
    let again = site.job(&["tune", &request(&site, "tune", &[])]);
    assert!(again.status == Some(2) && again.err.contains("ResourceInUse: tune exists"), "{again}");
    let logs = site.job(&["logs", "tune"]);
    assert!(logs.err.contains("its training jobs have the logs"), "{logs}");
    site.job(&["remove", "tune"]).must();
    assert!(site.job(&["describe", "tune"]).err.contains("there is no job"));
}

#[test]
fn a_grid_tries_all_and_failed_training_jobs_are_counted() {
    let site = Site::docker();
    image(
        &site,
        "[[ $text != *'\"way\":\"fails\"'* ]] || exit 3; [[ $text != *'\"way\":\"silent\"'* ]] && echo loss=4; exit 0",
    );
    let grid = |values: &[&str]| {
        [
            (STRATEGY, json!("Grid")),
            (LIMITS, json!({ "MaxParallelTrainingJobs": 2 })),
            (RANGES, json!({ "CategoricalParameterRanges": [{ "Name": "way", "Values": values }] })),
        ]
    };
    let done = site.job(&["--json", "tune", &request(&site, "grid", &grid(&["fails", "silent", "speaks"]))]);
    assert_eq!(done.status, Some(0), "{done}");
    let ended: Vec<Value> = done.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let failed = ended.iter().find(|tuned| tuned["TrainingJobStatus"] == "Failed").unwrap();
    assert_eq!(failed["FailureReason"], "AlgorithmError: exit code: 3");
    let status = site.describe("grid");
    assert_eq!(counters(&status), [2, 0, 1, 0]);
    assert_eq!(status["ObjectiveStatusCounters"], json!({ "Succeeded": 1, "Pending": 0, "Failed": 2 }));
    assert_eq!(status["BestTrainingJob"]["TunedHyperParameters"], json!({ "way": "speaks" }));

    for (name, values, why) in [
        ("fail", &["fails"][..], "ClientError: no training job is completed; see their FailureReason"),
        ("mute", &["silent"], "ClientError: no objective metric was found in the logs of 1 training jobs"),
    ] {
        let mut more = grid(values).to_vec();
        more[1].1 = json!({ "MaxParallelTrainingJobs": 1 });
        let done = site.job(&["tune", &request(&site, name, &more)]);
        assert!(done.status == Some(1) && done.err.lines().last().unwrap().starts_with(why), "{done}");
        assert_eq!(site.describe(name)["HyperParameterTuningJobStatus"], "Failed");
    }
}

#[test]
fn a_tuning_job_is_stopped_with_its_training_jobs_and_has_no_credentials_elsewhere() {
    let site = Site::docker();
    image(
        &site,
        "trap 'echo told >/opt/ml/model/told; exit 9' TERM; echo ready; while :; do sleep 0.1; done",
    );
    site.job(&["tune", "--detach", &request(&site, "stopped", &[])]).must();
    let running = || {
        let all = training_jobs(&site, "stopped");
        let is_ready = |(name, _): &(String, Value)| {
            fs::read_to_string(site.path(&format!("jobs/{name}/log/algo-1.log")))
                .is_ok_and(|log| log.contains("ready"))
        };
        (all.iter().filter(|job| is_ready(job)).count() == 2).then_some(all)
    };
    let all = wait_for(Duration::from_secs(60), running).expect("two training jobs run");
    // Credentials are in the processes that start transfers, and nowhere else.
    let sessions = [
        vec![" resume --session stopped".to_owned()],
        all.iter().map(|(name, _)| format!("--session {name}")).collect(),
    ];
    only_in(site.host(), &sessions.iter().flatten().map(String::as_str).collect::<Vec<_>>());

    let removed = site.job(&["remove", &all[0].0]);
    assert!(removed.status == Some(2) && removed.err.contains("has not ended"), "{removed}");
    site.job(&["stop", "stopped"]).must();
    site.until_left("stopped");
    let status = site.describe("stopped");
    assert_eq!(
        (&status["HyperParameterTuningJobStatus"], counters(&status)),
        (&json!("Stopped"), [0, 0, 0, 2])
    );
    for (name, _) in &all {
        assert_eq!(site.archive(name, "model"), "told");
    }
    assert_eq!(site.left_over("stopped"), [""; 0]);
    assert_eq!(site.job(&["resume", "stopped"]).status, Some(3));
    let again = site.job(&["stop", "stopped"]);
    assert!(again.status == Some(1) && again.err.contains("has ended already: it is Stopped"), "{again}");

    // After its time, too, which is that of a tuning job that was created earlier.
    let limit =
        json!({ "MaxNumberOfTrainingJobs": 6, "MaxParallelTrainingJobs": 1, "MaxRuntimeInSeconds": 120 });
    site.job(&["tune", "--detach", &request(&site, "limited", &[(LIMITS, limit)])]).must();
    let _ = site.host().sh("pkill -KILL -f '[s]ession limited'");
    site.until_left("limited");
    let path = site.path("jobs/limited/status.json");
    let mut status: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    status["CreationTime"] = json!(status["CreationTime"].as_f64().unwrap() - 121.0);
    fs::write(&path, status.to_string()).unwrap();
    assert_eq!(site.job(&["resume", "limited"]).status, Some(3));
    assert_eq!(site.describe("limited")["HyperParameterTuningJobStatus"], "Stopped");

    // What is refused creates nothing.
    let huge = [("/TrainingJobDefinition/ResourceConfig/VolumeSizeInGB", json!(10_000_000))];
    let done = site.job(&["tune", &request(&site, "huge", &huge)]);
    let why = "TrainingJobDefinition.ResourceConfig.VolumeSizeInGB: insufficient disk space";
    assert!(done.status == Some(2) && done.err.contains(why), "{done}");
    assert!(!site.path("jobs/huge").exists());
}

/// The engine has no image for some of the training jobs: they have failed, and the others go on.
#[test]
fn a_training_job_that_is_refused_is_one_that_failed() {
    let site = Site::docker();
    image(&site, "echo loss=4");
    let host = site.host();
    // Each training job asks once for the image; the tuning job has asked before.
    let engine = host.write(
        "engine.sh",
        &format!(
            "#!/bin/bash\ncase \" $* \" in\n*' pull '*) echo 'no such image' >&2; exit 1 ;;\n\
             *' image inspect '*) n=$(cat {0} 2>/dev/null); echo $((n + 1)) >{0}; [[ ,$(cat {1}), != *,$((n)),* ]] || exit 1 ;;\nesac\n\
             exec docker \"$@\"\n",
            host.at("asked"),
            host.at("refused"),
        ),
    );
    host.sh(&format!("chmod 755 {engine}")).must();
    site.settings(&format!("engine-path = {engine:?}\nruntime = \"shim\"\n"));
    let tune = |name: &str, refused: &str| {
        let _ = fs::remove_file(site.path("asked"));
        fs::write(site.path("refused"), refused).unwrap();
        let limits = json!({ "MaxNumberOfTrainingJobs": 3, "MaxParallelTrainingJobs": 1 });
        site.job(&["tune", &request(&site, name, &[(LIMITS, limits)])])
    };
    let done = tune("some", "2");
    assert_eq!(done.status, Some(0), "{done}");
    let status = site.describe("some");
    assert_eq!(counters(&status), [2, 0, 1, 0]);
    let all = training_jobs(&site, "some");
    let failed = all.iter().find(|(_, status)| status == "Failed").unwrap();
    let reason = site.describe(&failed.0)["FailureReason"].clone();
    assert!(
        reason.as_str().unwrap().starts_with("InternalServerError: AlgorithmSpecification.TrainingImage: ")
            && reason.as_str().unwrap().ends_with("no such image"),
        "{reason}"
    );
    let done = tune("none", "1,2,3");
    assert_eq!(done.status, Some(1), "{done}");
    assert!(
        done.err.ends_with("ClientError: no training job is completed; see their FailureReason"),
        "{done}"
    );
    assert_eq!(counters(&site.describe("none")), [0, 0, 3, 0]);
    site.job(&["remove", &failed.0]).must();
}

#[test]
fn podman_5_a_tuning_job_finds_the_best() {
    let site = Site::podman();
    image(&site, PARABOLA);
    let limits = json!({ "MaxNumberOfTrainingJobs": 3, "MaxParallelTrainingJobs": 2 });
    let done = site.job(&["tune", &request(&site, "tune", &[(LIMITS, limits)])]);
    assert_eq!((done.status, done.err.as_str()), (Some(0), ""), "{done}");
    let status = site.describe("tune");
    assert_eq!(counters(&status), [3, 0, 0, 0]);
    let lowest = *chosen(&site, "tune").iter().min_by_key(|x| (*x - 37).pow(2)).unwrap();
    assert_eq!(status["BestTrainingJob"]["TunedHyperParameters"], json!({ "x": lowest.to_string() }));
    assert_eq!(site.left_over("tune"), [""; 0]);
}
