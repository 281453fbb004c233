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

    // Ended before it could be verified; nothing of /opt/ml is left to upload but what the platform made.
    ends(site, &asked("short", "exit 0"), 0);
    assert_eq!(site.archive("short", "model"), "");

    let script = "trap 'echo told >>/opt/ml/model/told; exit 0' TERM; touch /opt/ml/model/told; while :; do sleep 0.1; done";
    let limit = json!({ "StoppingCondition": { "MaxRuntimeInSeconds": 1 } });
    ends(site, &Asked { more: limit, ..asked("limited", script) }, 3);
    let status = site.describe("limited");
    let expected = ["Starting", "Downloading", "Training", "Stopping", "Uploading", "MaxRuntimeExceeded"];
    assert_eq!(
        (status["TrainingJobStatus"].as_str(), transitions(&status)),
        (Some("Stopped"), expected.map(str::to_owned).to_vec())
    );
    assert_eq!(site.archive("limited", "model"), "told");
}

/// Failure files that are none, and one that is too long.
fn hostile_failure_files(site: &Site) {
    site.host().sh("echo host-secret >/etc/secret").must();
    for (name, script) in [
        ("link", "ln -s /etc/passwd /opt/ml/output/failure"),
        ("absolute", "ln -s /proc/1/root/etc/secret /opt/ml/output/failure"),
        ("above", "rm -r /opt/ml/output && ln -s /etc /opt/ml/output"),
        ("fifo", "mkfifo /opt/ml/output/failure"),
        ("device", "mknod /opt/ml/output/failure c 1 5"),
        ("directory", "mkdir /opt/ml/output/failure"),
    ] {
        let done = site.train(&asked(name, &format!("{script}; exit 7")));
        let reason = site.describe(name)["FailureReason"].as_str().unwrap().to_owned();
        // The results are behind that link, too, and stay there.
        let expected =
            if name == "above" { (4, "Data upload failed: ") } else { (1, "AlgorithmError: exit code: 7") };
        assert!(done.status == Some(expected.0) && reason.contains(expected.1), "{name}: {reason} {done}");
        assert!(!reason.contains("host-secret") && !reason.contains("root:"), "{name}: {reason}");
    }
    let script = "printf %02000d 1 >/opt/ml/output/failure; truncate -s 1G /opt/ml/output/failure; exit 7";
    let done = ends(site, &asked("long", script), 1);
    assert!(done.err.starts_with("AlgorithmError: 0000") && done.err.ends_with("…, exit code: 7"), "{done}");
    assert!(done.err.chars().count() <= 1024);
}

/// More memory than the instance type has.
fn out_of_memory(site: &Site) {
    let more = json!({ "ResourceConfig": { "InstanceType": "ml.m4.xlarge", "InstanceCount": 1, "VolumeSizeInGB": 1 } });
    let script = "df -m /dev/shm | tail -1 >/opt/ml/model/shm; a=0123456789abcdef; while :; do a=$a$a; done";
    let done = ends(site, &Asked { more, ..asked("greedy", script) }, 1);
    assert_eq!(done.err, "AlgorithmError: exit code: 137, out of memory");
    assert!(
        site.archive("greedy", "model").split_whitespace().nth(1) == Some("8"),
        "{}",
        site.archive("greedy", "model")
    );
}

/// Data that cannot be read, and results that cannot be written.
fn transfers_that_fail(site: &Site) {
    let deny = |direction: &str, why: Option<&str>| {
        let path = site.path(&format!("s3/deny-{direction}"));
        why.map_or_else(|| std::fs::remove_file(&path).unwrap(), |why| std::fs::write(&path, why).unwrap());
    };
    deny("in", Some("AccessDenied: s3://data/train"));
    let done = ends(site, &asked("denied", "echo ran"), 1);
    deny("in", None);
    assert_eq!(done.err, "ClientError: Data download failed: channel train: AccessDenied: s3://data/train");
    assert_eq!(done.out, "");
    assert_eq!(transitions(&site.describe("denied")), ["Starting", "Downloading", "Failed"]);

    deny("out", Some("NoSuchBucket: results"));
    for (name, code, then) in [("kept", 0, 0), ("kept-failed", 5, 1)] {
        let script = format!("echo kept >/opt/ml/model/weights; exit {code}");
        let done = ends(site, &asked(name, &script), 4);
        let last = "ClientError: Data upload failed: model: NoSuchBucket: results";
        assert_eq!(done.err.lines().last(), Some(last), "{done}");
        assert!(done.err.contains(&format!("`isolate-job resume {name}` uploads them")), "{done}");
        let described = site.job(&["describe", name]);
        assert!(described.err.contains("are not uploaded"), "{described}");
        let removed = site.job(&["remove", name]);
        assert!(removed.status == Some(2) && removed.err.contains("--force removes them"), "{removed}");
        assert_eq!(site.job(&["resume", name]).status, Some(4));
        let path = site.path("s3/deny-out");
        std::fs::rename(&path, site.path("s3/allow-out")).unwrap();
        let resumed = site.job(&["resume", name]);
        std::fs::rename(site.path("s3/allow-out"), &path).unwrap();
        assert_eq!(resumed.status, Some(then), "{resumed}");
        assert_eq!(site.archive(name, "model"), "kept");
        assert!(site.left_over(name).is_empty(), "{:?}", site.left_over(name));
        site.job(&["remove", name]).must();
        assert!(site.job(&["describe", name]).err.contains("there is no job"));
    }
}

fn all(site: &Site) {
    every_way(site);
    hostile_failure_files(site);
    out_of_memory(site);
    transfers_that_fail(site);
}

#[test]
fn docker_28_a_job_ends_in_every_way() {
    all(&Site::docker());
}

#[test]
fn podman_5_a_job_ends_in_every_way() {
    all(&Site::podman());
}
