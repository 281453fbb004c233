//! `isolatectl prove` for a Docker, and what it reports of an engine.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use test_support::command::{Finished, command as command_of, say};
use test_support::docker::Docker;
use test_support::findings::Findings;
use test_support::host::EngineHost;
use test_support::isolatectl;

/// The program where the host sees it. Not copied by this process, whose children in other threads would have the copy open
/// for writing when it is started.
pub(crate) fn brought(host: &EngineHost) -> String {
    let program = host.at("isolatectl");
    if !Path::new(&program).exists() {
        say(command_of("cp").arg(isolatectl()).arg(&program)).must();
    }
    program
}

/// On a machine that does other things, too, nothing is left out.
pub(crate) const PATIENT: &str = "--seconds=200";

/// The command line, with the name of a runtime.
pub(crate) fn command(docker: &Docker, runtime: &str) -> Command {
    let program = brought(&docker.host);
    let mut command = docker.host.patient_command(&program);
    command.env("DOCKER_HOST", docker.socket()).env("HOME", docker.host.dir());
    command.args(["prove", "--json", "--engine=docker", PATIENT, "--runtime", runtime]);
    command
}

/// Runs it to its end.
pub(crate) fn prove(docker: &Docker, runtime: &str, words: &[&str]) -> Finished {
    say(command(docker, runtime).args(words))
}

/// The rows of the one engine: way, state, what is said of it.
pub(crate) fn rows(said: &Finished) -> Vec<[String; 3]> {
    let reports: Value = serde_json::from_str(&said.out).unwrap_or_else(|error| panic!("{error}: {said}"));
    let [report] = &reports.as_array().unwrap()[..] else { panic!("{said}") };
    assert_eq!(report["error"], Value::Null, "{said}");
    let text = |row: &Value, key: &str| row[key].as_str().unwrap().to_owned();
    let rows = report["ways"].as_array().unwrap().iter();
    rows.map(|row| ["way", "state", "says"].map(|key| text(row, key))).collect()
}

/// Fails if it is content, or finds something else.
#[track_caller]
pub(crate) fn finds(said: &Finished, way: &str, state: &str, words: &str) {
    assert_eq!(said.status, Some(1), "{said}");
    let rows = rows(said);
    let [_, is, says] = rows.iter().find(|[name, ..]| name == way).unwrap();
    assert!(is == state && says.contains(words), "{way} is {is}: {says}");
}

/// Prints the rows, and fails if a way is neither closed nor on the list of those that are not open without the annotation.
#[track_caller]
pub(crate) fn all_are_closed(said: &Finished, not_shown: &[&str]) {
    let rows = rows(said);
    let mut findings = Findings::default();
    for [way, state, says] in &rows {
        eprintln!("{way:<26} {state:<10} {says}");
        let wanted = if not_shown.contains(&way.as_str()) { "not-shown" } else { "closed" };
        findings.claim(state == wanted, format!("{way} is {state}: {says}"));
    }
    eprintln!("{:?}", said.took);
    findings.settle();
    assert!(said.well() && rows.len() > 30, "{said}");
}
