//! What a terminal is shown of a job, by a shell with job control, and that it stops no job.

use std::fs;

use serde_json::json;

use crate::site::{Asked, Site, asked, transitions};

/// What is on a terminal by the end of a line of a shell, in a session of its own. In the line `$train` begins the command.
fn on_terminal(site: &Site, line: &str) -> String {
    let train =
        format!("{} --config {} train", site.host().at("bin/isolate-job"), site.host().at("job.toml"));
    let line = format!("stty cols 80 rows 24 tostop; set -m; {}", line.replace("$train", &train));
    let mut shell = site.user("/usr/bin/script");
    shell.args(["--quiet", "--return", "--command", &line, "/dev/null"]);
    let output = shell.env("TERM", "xterm").env("SHELL", "/bin/bash").output().unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// What is not the shell's word that the job has ended.
fn of_job(text: &str) -> Vec<&str> {
    text.lines().filter(|line| !line.starts_with("[1]")).collect()
}

#[test]
fn in_the_foreground_a_job_has_bars_and_transitions() {
    let site = Site::docker();
    fs::write(site.path("s3/slow"), "1").unwrap();
    let request = site.request(&asked("shown", "echo from the container"));
    let text = on_terminal(&site, &format!("$train {request}; echo status $?"));
    assert!(text.ends_with("status 0\r\n"), "{text:?}");
    assert!(text.contains("/1 B") && text.contains(" left") && text.contains("\x1b[2K"), "{text:?}");
    let lines =
        ["Downloading: ", "channel train: 1 file, 1 B", "Training: ", "from the container", "Completed: "];
    for line in lines {
        assert!(text.contains(line), "no {line}: {text:?}");
    }
}

/// As a shell runs `isolate-job train ... &`: a process that the terminal stops there would be continued by nobody.
#[test]
fn in_the_background_with_tostop_nothing_is_drawn_and_the_job_goes_on() {
    let site = Site::docker();
    let background = |asked: &Asked, more: &str| {
        // `wait` returns when the job is stopped, too, and then all of it is ended.
        let line = format!(
            "$train {more} {} & wait $!; echo status $?; kill -KILL -$! 2>/dev/null; true",
            site.request(asked)
        );
        on_terminal(&site, &line)
    };
    let text =
        background(&asked("fails", "echo from the container; echo why >/opt/ml/output/failure; exit 1"), "");
    assert_eq!(of_job(&text), ["status 1"], "{text:?}");
    let log = fs::read_to_string(site.path("jobs/fails/log/algo-1.log")).unwrap();
    assert!(log.contains("from the container"), "{log}");
    assert_eq!(transitions(&site.describe("fails")).last().unwrap(), "Failed");
    assert_eq!(site.left_over("fails"), [""; 0]);

    // What counts meanwhile is the deadline of the job.
    let more = json!({ "StoppingCondition": { "MaxRuntimeInSeconds": 2 } });
    let text = background(
        &Asked { name: "long", script: "trap 'exit 0' TERM; while echo on; do sleep 0.1; done", more },
        "--json",
    );
    assert_eq!(of_job(&text), ["status 3"], "{text:?}");
    assert_eq!(transitions(&site.describe("long")).last().unwrap(), "MaxRuntimeExceeded");
}
