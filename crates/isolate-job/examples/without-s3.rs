//! `isolate-job` for tests, whose transfer step has a directory in place of Amazon S3: `AWS_ENDPOINT_URL_S3` names it, and buckets are
//! directories in it. Files beside them say how it behaves: `deny-in` and `deny-out` have the error of a step that fails, `slow` the
//! seconds that each step takes.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "test code")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use isolate_job::plan::{Direction, Form, Step, steps_of_training};
use isolate_job::progress::{Amount, Event, Failure, Fault, Line};
use isolate_job::request::read_training;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().collect();
    if words.iter().any(|word| word == "stage") { stage(&words) } else { isolate_job::cli::main() }
}

fn stage(words: &[String]) -> ExitCode {
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL)).unwrap();
    let after = |flag: &str| words.iter().skip_while(|word| *word != flag).nth(1).cloned();
    assert!(std::env::var_os("AWS_SECRET_ACCESS_KEY").is_some(), "the transfer has no credentials");
    let s3 = PathBuf::from(std::env::var_os("AWS_ENDPOINT_URL_S3").unwrap());
    let direction = after("stage").unwrap();
    let job = read_training(&fs::read(after("--request").unwrap()).unwrap()).unwrap();
    let name = after("--step").unwrap();
    let steps = steps_of_training(&job.data).unwrap();
    let wanted = if direction == "in" { Direction::In } else { Direction::Out };
    let step = steps.into_iter().find(|step| step.name == name && step.direction == wanted).unwrap();
    let say = |event| {
        println!("{}", serde_json::to_string(&Line { step: name.clone(), event }).unwrap());
    };
    say(Event::Total(Amount { files: 1, bytes: 1 }));
    if let Ok(seconds) = fs::read_to_string(s3.join("slow")) {
        std::thread::sleep(std::time::Duration::from_secs_f64(seconds.trim().parse().unwrap()));
    }
    if let Ok(message) = fs::read_to_string(s3.join(format!("deny-{direction}"))) {
        say(Event::Failed(Failure { fault: Fault::Client, message }));
        return ExitCode::FAILURE;
    }
    let root = PathBuf::from(after("--root").unwrap());
    let directory = match step.directory.strip_prefix("/opt/ml/") {
        Some(below) => root.join(below),
        None => after("--checkpoints").unwrap().into(),
    };
    transfer(&s3, &step, &directory);
    say(Event::Complete(Amount { files: 1, bytes: 1 }));
    ExitCode::SUCCESS
}

fn transfer(s3: &Path, step: &Step, directory: &Path) {
    let object = s3.join(&step.uri.bucket).join(&step.uri.key);
    let copy = |from: &Path, to: &Path| {
        fs::create_dir_all(to).unwrap();
        assert!(Command::new("cp").arg("-r").arg(from.join(".")).arg(to).status().unwrap().success());
    };
    match (step.direction, step.form) {
        (Direction::In, _) if object.exists() => {
            // Whole or not at all.
            let part = directory.with_extension("part");
            drop(fs::remove_dir_all(&part));
            copy(&object, &part);
            drop(fs::remove_dir_all(directory));
            fs::rename(&part, directory).unwrap();
        }
        (Direction::In, _) => fs::create_dir_all(directory).unwrap(),
        (Direction::Out, Form::Archive) => {
            fs::create_dir_all(object.parent().unwrap()).unwrap();
            let part = object.with_extension("part");
            let mut tar = Command::new("tar");
            tar.arg("-czf").arg(&part).arg("-C").arg(directory).arg(".");
            assert!(tar.status().unwrap().success());
            fs::rename(part, object).unwrap();
        }
        (Direction::Out, _) => copy(directory, &object),
        (Direction::Stream, _) => panic!("channels in Pipe mode have tests with an S3 server"),
    }
}
