//! `isolate-job doctor`: what would keep jobs from running on this host. It changes nothing. `isolatectl doctor` runs it, and adds its
//! findings, which have the same form, to its own.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use serde::Serialize;

use crate::client;
use crate::listen;
use crate::settings::{PATH, Settings};
use crate::stage;
use crate::train::{self, NotAccepted};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum State {
    /// Correct, or absent and not needed.
    Ok,
    /// Works, but differently than may be expected.
    Warn,
    /// Jobs are refused, or fail.
    Fail,
}

/// The result of one check.
#[derive(Debug, Serialize)]
pub struct Finding {
    check: &'static str,
    state: State,
    says: String,
    r#do: Option<&'static str>,
}

impl Finding {
    fn ok(check: &'static str, says: impl Into<String>) -> Self {
        Self { check, state: State::Ok, says: says.into(), r#do: None }
    }

    fn warn(check: &'static str, says: impl Into<String>, what: &'static str) -> Self {
        Self { check, state: State::Warn, says: says.into(), r#do: Some(what) }
    }

    fn fail(check: &'static str, says: impl Into<String>, what: &'static str) -> Self {
        Self { check, state: State::Fail, says: says.into(), r#do: Some(what) }
    }

    /// Whether jobs would be refused or fail.
    #[must_use]
    pub fn is_failure(&self) -> bool {
        self.state == State::Fail
    }

    /// A line for people.
    #[must_use]
    pub fn line(&self) -> String {
        let word = match self.state {
            State::Ok => "ok  ",
            State::Warn => "warn",
            State::Fail => "FAIL",
        };
        let what = self.r#do.map(|what| format!("; {what}")).unwrap_or_default();
        format!("{word}  {}: {}\n", self.check, format!("{}{what}", self.says).replace('\n', " "))
    }
}

/// Every finding. The rest is checked by the defaults if the settings cannot be used.
#[must_use]
pub fn doctor(file: Option<&Path>) -> Vec<Finding> {
    let shown = file.unwrap_or(Path::new(PATH));
    let (settings, found) = match train::settings(file) {
        Ok(settings) => {
            let there = if shown.exists() { "is valid" } else { "does not exist, so the defaults apply" };
            (settings, Finding::ok("job-settings", format!("{} {there}", shown.display())))
        }
        Err(why) => {
            let what = "correct it (job.toml of the package has every key): no job is accepted";
            (Settings::default(), Finding::fail("job-settings", words(why), what))
        }
    };
    let mut findings =
        vec![found, engine(&settings), certificates(&settings), state(Path::new(&settings.state))];
    findings.extend(settings.vpc.iter().map(|(name, subnet)| match stage::reachable(subnet) {
        Ok(()) => Finding::ok("job-vpc", format!("{name}: {} can be entered", subnet.netns)),
        Err(why) => {
            let what = "make the namespace before jobs that name the subnet, or remove its table";
            Finding::fail("job-vpc", format!("{name}: {why}"), what)
        }
    }));
    findings.push(keys(&settings));
    if Path::new("/run/systemd/system").exists() {
        findings.push(resume());
    }
    findings
}

fn words(why: NotAccepted) -> String {
    match why {
        NotAccepted::Host(why) => why,
        NotAccepted::Failed(error) => format!("{error:#}"),
        NotAccepted::Request(refusals) => refusals.0.iter().map(ToString::to_string).collect(),
    }
}

fn engine(settings: &Settings) -> Finding {
    train::ready(settings).map_or_else(
        |why| {
            let what = "see `engine` and `runtime` in the settings, and `isolatectl install`";
            Finding::fail("job-engine", words(why), what)
        },
        |found| Finding::ok("job-engine", found),
    )
}

/// By which Amazon S3 and STS are verified. That the host has none is a warning: jobs may get other endpoints by their variables and files.
fn certificates(settings: &Settings) -> Finding {
    const CHECK: &str = "job-certificates";
    match stage::verifiable(settings) {
        Ok(()) => Finding::ok(CHECK, "servers can be verified, or are reached by http:// only"),
        Err(why) if settings.s3.ca_bundle.is_some() => Finding::fail(CHECK, why, "every transfer would fail"),
        Err(why) => Finding::warn(CHECK, why, "jobs are refused unless their endpoints are http:// ones"),
    }
}

/// Requests, logs and data of jobs are below it.
fn state(directory: &Path) -> Finding {
    const CHECK: &str = "job-state";
    let shown = directory.display();
    match fs::symlink_metadata(directory) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            Finding::ok(CHECK, format!("{shown} does not exist; the first job creates it"))
        }
        Err(error) => {
            Finding::fail(CHECK, format!("cannot inspect {shown}: {error}"), "see `state` in the settings")
        }
        Ok(found) if !found.is_dir() => {
            Finding::fail(CHECK, format!("{shown} is not a directory"), "see `state` in the settings")
        }
        Ok(found) => {
            let (mode, user) = (found.mode() & 0o7777, found.uid());
            let says = format!("{shown} is of user {user}, mode {mode:04o}");
            if user == rustix::process::geteuid().as_raw() && mode & 0o077 == 0 {
                Finding::ok(CHECK, says)
            } else {
                Finding::fail(
                    CHECK,
                    says,
                    "give it to the user that runs jobs, with mode 0700: other users may see their data",
                )
            }
        }
    }
}

/// Only the listener needs them.
fn keys(settings: &Settings) -> Finding {
    const CHECK: &str = "job-keys";
    let file = &settings.listen.keys;
    if fs::symlink_metadata(file).is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound) {
        return Finding::ok(CHECK, format!("{file} does not exist, so `isolate-job listen` does not start"));
    }
    listen::has_keys(settings).map_or_else(
        |error| Finding::fail(CHECK, format!("{error:#}"), "`isolate-job listen` does not start with it"),
        |()| Finding::ok(CHECK, format!("{file} is valid")),
    )
}

/// Whether jobs go on after a reboot.
fn resume() -> Finding {
    const UNIT: &str = "isolate-job-resume.service";
    // By the files, whether or not the service manager answers.
    let argv = ["systemctl", "--root=/", "is-enabled", UNIT].map(str::to_owned);
    let answer = client::output(&argv, client::DEADLINE).map(|(_, out, _)| client::one_line(&out));
    match answer {
        Ok(answer) if answer == "enabled" => Finding::ok("job-units", format!("{UNIT} is enabled")),
        Ok(answer) => {
            let state = if answer.is_empty() { "not installed" } else { &answer };
            let what =
                "systemctl enable isolate-job-resume.service: jobs do not go on after a reboot otherwise";
            Finding::warn("job-units", format!("{UNIT} is {state}"), what)
        }
        Err(error) => Finding::warn("job-units", error.to_string(), "find out why systemctl does not answer"),
    }
}
