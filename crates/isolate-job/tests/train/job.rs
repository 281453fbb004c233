//! One container: every way in which a job ends.

use serde_json::json;

use crate::site::{Asked, Site, asked, transitions};

#[track_caller]
fn ends(site: &Site, asked: &Asked, exit: i32) -> test_support::command::Finished {
    let done = site.train(asked);
    assert_eq!(done.status, Some(exit), "{}: {done}", asked.name);
    let left = site.left_over(asked.name);
    assert!(exit == 4 || left.is_empty(), "{}: {left:?}", asked.name);
    done
}

fn every_way(site: &Site) {
    let script = "cat /opt/ml/input/data/train/x.csv; ls /sys/class/net; echo loss=0.5 >&2; \
                  env | grep -c ^AWS_[AS]; stat -c %a /opt/ml/model; df -m /dev/shm | tail -1 | cut -c1-5; \
                  echo trained >/opt/ml/model/weights; echo more >/opt/ml/output/data/more";
    let metrics = json!({
        "AlgorithmSpecification": {
            "TrainingImage": "probe", "TrainingInputMode": "File",
            "ContainerEntrypoint": ["bash", "-c"], "ContainerArguments": [script],
            "MetricDefinitions": [{ "Name": "loss", "Regex": "loss=([0-9.]+)" }],
        },
    });
    let done = ends(site, &Asked { more: metrics, ..asked("completes", script) }, 0);
    let mut lines: Vec<_> = done.out.lines().collect();
    lines.sort_unstable();
    assert_eq!(lines[..5], ["0", "1,2,3", "777", "lo", "loss=0.5"], "{done}");
    assert_eq!(done.err, "");
    let status = site.describe("completes");
    assert_eq!(transitions(&status), ["Starting", "Downloading", "Training", "Uploading", "Completed"]);
    assert_eq!(status["FinalMetricDataList"][0]["Value"], 0.5);
    assert_eq!(site.archive("completes", "model"), "trained");
    assert_eq!(site.archive("completes", "output"), "more");
    assert_eq!(site.job(&["logs", "completes"]).must(), done.out);

    // The same name again.
    let again = site.train(&asked("completes", "true"));
    assert_eq!(again.status, Some(2));
    assert!(again.err.contains("ResourceInUse: completes exists in "), "{again}");

    let script = "echo no such column >/opt/ml/output/failure; echo half >/opt/ml/model/weights; exit 3";
    let done = ends(site, &asked("fails", script), 1);
    assert_eq!(done.err, "AlgorithmError: no such column, exit code: 3");
    assert_eq!(site.describe("fails")["FailureReason"], json!(done.err));
    assert_eq!(site.archive("fails", "model"), "half");
}

#[test]
fn docker_28_a_job_ends_in_every_way() {
    every_way(&Site::docker());
}

#[test]
fn podman_5_a_job_ends_in_every_way() {
    every_way(&Site::podman());
}
