//! The program `isolate-job`, as it is run.

#![allow(clippy::unwrap_used, reason = "all of this crate is test code")]

use std::io::Write;
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};

const TRAINING: &str = include_str!("../src/request/tests/training.json");
const MODEL: &str = include_str!("../src/request/tests/model.json");
const TUNING: &str = include_str!("../src/request/tests/tuning.json");
const TRANSFORM: &str = include_str!("../src/request/tests/transform.json");

fn check(document: &str, flags: &[&str]) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_isolate-job"))
        .args(["check", "-"])
        .args(flags)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    // A document that is too long is not read to its end.
    let _ = stdin.write_all(document.as_bytes());
    drop(stdin);
    child.wait_with_output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[track_caller]
fn said(document: &str, flags: &[&str]) -> String {
    let output = check(document, flags);
    assert_eq!((output.status.code(), text(&output.stderr).as_str()), (Some(0), ""));
    text(&output.stdout)
}

#[track_caller]
fn refused(document: &str) -> String {
    let output = check(document, &[]);
    assert_eq!((output.status.code(), text(&output.stdout).as_str()), (Some(2), ""));
    text(&output.stderr)
}

#[test]
fn a_training_job_is_shown_as_a_person_reads_it() {
    let expected = include_str!("data/training.txt");
    let said = said(TRAINING, &[]);
    if std::env::var_os("OCI_ISOLATE_TEST_BLESS").is_some() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/training.txt");
        std::fs::write(path, &said).unwrap();
    }
    assert_eq!(said, expected);
}

#[test]
fn json_has_everything_that_the_text_has() {
    let report: Value = serde_json::from_str(&said(TRAINING, &["--json"])).unwrap();
    assert_eq!(report["operation"], "CreateTrainingJob");
    assert_eq!(report["moves"].as_array().unwrap().len(), 6);
    assert_eq!(report["starts"].as_array().unwrap().len(), 3);
    let policy = &report["moves"][0]["session_policy"]["Statement"];
    assert_eq!(policy[0]["Condition"], json!({ "StringEquals": { "s3:prefix": "boston/train" } }));
    let without_effect = report["without_effect"].as_object().unwrap();
    assert!(without_effect.contains_key("VpcConfig.SecurityGroupIds"), "{without_effect:?}");
    assert!(report["api"].as_str().unwrap().starts_with("botocore "));
}

#[test]
fn models_tuning_and_transform_jobs_are_shown() {
    let model = said(MODEL, &["--engine", "podman"]);
    assert!(
        model.contains("\n  podman --runtime=oci-isolate create --name=isolate-boston-boston "),
        "{model}"
    );
    assert!(model.contains("io.oci-isolate.ingress=8080/tcp"), "{model}");
    let tuning = said(TUNING, &["--runtime", "shim"]);
    assert!(tuning.contains("8 training jobs, 2 at a time, by Random; the first is shown"), "{tuning}");
    assert!(tuning.contains("docker create --runtime=shim --name=isolate-tune-001-algo-1 "), "{tuning}");
    assert!(tuning.contains("--network=none"), "{tuning}");
    let transform = said(TRANSFORM, &[]);
    assert!(transform.contains("are those of model boston"), "{transform}");
}

#[test]
fn a_document_that_is_refused_says_every_path_and_exits_with_2() {
    let document =
        TRAINING.replace("\"RoleArn\"", "\"RoleARN\"").replace("s3://results/checkpoints", "results");
    let said = refused(&document);
    let lines: Vec<_> = said.lines().collect();
    assert_eq!(lines.len(), 3, "{said}");
    assert!(lines.iter().all(|line| line.starts_with("isolate-job: -: ")), "{said}");
    assert!(
        said.contains("RoleARN: is not a member of CreateTrainingJobRequest; did you mean RoleArn?"),
        "{said}"
    );
    assert!(said.contains("CheckpointConfig.S3Uri: \"results\" does not match"), "{said}");
    assert!(refused(&" ".repeat(5 << 20)).contains("more than 4 MiB"));
    // What a document has for a terminal does not get there.
    assert!(!refused("{\"\\u001b[2J\": 1, \"ModelName\": \"a\"}").contains('\x1b'));
}

#[test]
fn refusals_are_json_too() {
    let output = check(&TRAINING.replace("\"RoleArn\"", "\"RoleARN\""), &["--json"]);
    assert_eq!(output.status.code(), Some(2));
    let said: Value = serde_json::from_str(&text(&output.stdout)).unwrap();
    assert_eq!(said["refused"][0]["path"], "RoleARN");
    assert_eq!(said["refused"][1], json!({ "path": "RoleArn", "why": "is missing" }));
}

#[test]
fn a_session_policy_that_is_too_long_is_refused_by_the_member() {
    let long = format!("s3://data/{}", "k".repeat(950));
    let said = refused(&TRAINING.replace("s3://data/boston/train", &long));
    assert!(
        said.contains("InputDataConfig[0].DataSource.S3DataSource.S3Uri: the session policy has "),
        "{said}"
    );
}

#[test]
fn what_is_not_isolated_is_refused() {
    for (document, path) in [
        (TRAINING, "EnableNetworkIsolation"),
        (MODEL, "EnableNetworkIsolation"),
        (TUNING, "TrainingJobDefinition.EnableNetworkIsolation"),
    ] {
        let said = refused(
            &document.replace("\"EnableNetworkIsolation\": true", "\"EnableNetworkIsolation\": false"),
        );
        assert!(said.contains(&format!("{path}: is not true")), "{said}");
        let mut value: Value = serde_json::from_str(document).unwrap();
        let holder = if path.contains('.') { &mut value["TrainingJobDefinition"] } else { &mut value };
        holder.as_object_mut().unwrap().remove("EnableNetworkIsolation");
        assert!(refused(&value.to_string()).contains(&format!("{path}: is not true")));
    }
}

#[test]
fn what_cannot_be_read_and_what_is_no_command_line_exits_with_2() {
    let run = |words: &[&str]| Command::new(env!("CARGO_BIN_EXE_isolate-job")).args(words).output().unwrap();
    for file in ["/nonexistent", "/", "/proc/self/mem"] {
        let output = run(&["check", file]);
        assert_eq!(output.status.code(), Some(2), "{file}");
        assert!(text(&output.stderr).starts_with(&format!("isolate-job: cannot read {file}: ")));
    }
    for words in [&[][..], &["check"], &["train"], &["resume"], &["check", "-", "--engine", "lxc"]] {
        assert_eq!(run(words).status.code(), Some(2), "{words:?}");
    }
}

#[test]
fn a_state_directory_that_engines_would_take_apart_is_refused() {
    let output = check(TRAINING, &["--state", "/srv/a,readonly"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("cannot be passed to an engine"));
}

#[test]
fn pipe_mode_is_refused_by_the_member_that_gives_it_if_the_settings_say_so() {
    let directory = tempfile::tempdir().unwrap();
    let config = directory.path().join("job.toml");
    std::fs::write(&config, "pipe-mode = \"refused\"\n").unwrap();
    let flags = ["--config", config.to_str().unwrap()];
    let file = "\"TrainingInputMode\": \"File\"";
    let pipe = "\"TrainingInputMode\": \"Pipe\"";
    let (fast, channel) = ("\"InputMode\": \"FastFile\"", "\"InputMode\": \"Pipe\"");
    for (document, path) in [
        (TRAINING.replace(file, pipe), "AlgorithmSpecification.TrainingInputMode"),
        (TRAINING.replace(fast, channel), "InputDataConfig[0].InputMode"),
        (TUNING.replace(file, pipe), "TrainingJobDefinition.AlgorithmSpecification.TrainingInputMode"),
    ] {
        let output = check(&document, &flags);
        assert_eq!((output.status.code(), text(&output.stdout).as_str()), (Some(2), ""), "{path}");
        let expected = format!(
            "{path}: Pipe is refused by pipe-mode = \"refused\" in the settings; give File, or change the setting\n"
        );
        assert_eq!(text(&output.stderr), format!("isolate-job: -: {expected}"));
        // It is the setting that refuses it.
        said(&document, &[]);
        assert_eq!(check(&document.replace("Pipe", "File"), &flags).status.code(), Some(0));
    }
}

#[test]
fn values_of_variables_are_nowhere() {
    let document = TRAINING.replace("\"MODE\": \"full\"", "\"MODE\": \"sesame-opens\"");
    for flags in [&[][..], &["--json"]] {
        assert!(!said(&document, flags).contains("sesame-opens"));
    }
    let document = document.replace("sesame-opens", "sesame-opens\\n");
    assert!(!refused(&document).contains("sesame"));
}

#[test]
fn every_command_and_flag_is_in_the_manual_page() {
    let page = include_str!("../../../docs/man/isolate-job.8.md");
    let mut command = isolate_job::cli::command();
    command.build();
    for verb in command.get_subcommands().filter(|verb| !verb.is_hide_set() && verb.get_name() != "help") {
        let heading = format!("\n## {} ", verb.get_name());
        let bare = format!("\n## {}\n", verb.get_name());
        let start = page
            .find(&heading)
            .or_else(|| page.find(&bare))
            .unwrap_or_else(|| panic!("no {}", verb.get_name()));
        let section = page[start + 4..].split("\n# ").next().unwrap().split("\n## ").next().unwrap();
        for argument in
            verb.get_arguments().filter(|argument| !argument.is_hide_set() && !argument.is_global_set())
        {
            let Some(flag) =
                argument.get_long().filter(|flag| !matches!(*flag, "config" | "help" | "version"))
            else {
                continue;
            };
            assert!(section.contains(&format!("**--{flag}**")), "--{flag} of {}: {section}", verb.get_name());
        }
    }
}

/// Nothing is created, not even the directory of jobs: a volume is too large for the disk, and without an engine nothing runs.
#[test]
fn what_the_host_cannot_run_creates_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let state = directory.path().join("lib/oci-isolate/jobs");
    let config = directory.path().join("job.toml");
    std::fs::write(&config, format!("state = {state:?}\nengine-path = \"/nonexistent\"\n")).unwrap();
    let refused = |verb: &str, document: &str, definition: &str, size: u64, why: &str| {
        let mut document: Value = serde_json::from_str(document).unwrap();
        let job = document.pointer_mut(definition).unwrap();
        job.as_object_mut().unwrap().remove("VpcConfig");
        job["ResourceConfig"]["VolumeSizeInGB"] = json!(size);
        let request = directory.path().join("request.json");
        std::fs::write(&request, document.to_string()).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_isolate-job"));
        let output = command.arg("--config").arg(&config).arg(verb).arg(&request).output().unwrap();
        let said = text(&output.stderr);
        assert!(output.status.code() == Some(2) && said.contains(why), "{verb}: {said}");
        assert!(!directory.path().join("lib").exists(), "{verb}: {said}");
    };
    let full =
        format!("ResourceConfig.VolumeSizeInGB: insufficient disk space: the disk of {}", state.display());
    for (verb, document, definition, path) in [
        ("train", TRAINING, "", ": "),
        ("tune", TUNING, "/TrainingJobDefinition", ": TrainingJobDefinition."),
    ] {
        refused(verb, document, definition, 1, "");
        refused(verb, document, definition, 16384, &format!("{path}{full}"));
    }
}

/// A job whose status a program or a broken disk has changed is in the way of none, and can be removed.
#[test]
fn a_status_that_cannot_be_read_is_reported_and_its_job_removed_by_force() {
    let directory = tempfile::tempdir().unwrap();
    let state = directory.path().join("jobs");
    std::fs::create_dir_all(state.join("broken/log")).unwrap();
    std::fs::write(state.join("broken/request.json"), TRAINING).unwrap();
    std::fs::write(state.join("broken/status.json"), "{").unwrap();
    let config = directory.path().join("job.toml");
    // An engine that has no container.
    std::fs::write(&config, format!("state = {state:?}\nengine-path = \"true\"\n")).unwrap();
    let run = |words: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_isolate-job"));
        let output = command.arg("--config").arg(&config).args(words).output().unwrap();
        (output.status.code(), text(&output.stderr))
    };
    for words in [&["list"][..], &["resume", "--all"]] {
        let (status, said) = run(words);
        assert_eq!(status, Some(0), "{said}");
        assert!(
            said.contains("broken: cannot understand ") && said.contains("remove --force broken"),
            "{said}"
        );
    }
    let (status, said) = run(&["remove", "broken"]);
    assert!(status == Some(2) && said.contains("--force removes broken all the same"), "{said}");
    assert_eq!(run(&["remove", "--force", "broken"]), (Some(0), String::new()));
    assert!(!state.join("broken").exists());
}
