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
use rustix::fs::{Access, access};

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

/// The settings of the shim, if the environment names no others.
const SHIM_SETTINGS: &str = "/etc/oci-isolate/config.toml";

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
    let shim = std::env::var_os("OCI_ISOLATE_CONFIG").unwrap_or_else(|| SHIM_SETTINGS.into());
    findings.extend(settings.statement.iter().map(|file| statement(file, Path::new(&shim))));
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

/// Whether facts about jobs can be left, and are left where those about their containers are.
fn statement(file: &str, shim: &Path) -> Finding {
    const CHECK: &str = "job-statement";
    let of_shim = fs::read_to_string(shim).ok().and_then(|text| {
        let settings: toml::Table = toml::from_str(&text).ok()?;
        Some(settings.get("statement")?.get("file")?.as_str()?.to_owned())
    });
    let left = format!("{file}.d");
    let directory = Path::new(&left);
    // The shim makes it for the first container.
    let directory = if directory.exists() { Some(directory) } else { Path::new(file).parent() };
    let directory = directory.unwrap_or(Path::new("/"));
    match (of_shim, access(directory.join("."), Access::WRITE_OK)) {
        (Some(other), Ok(())) if other == file => {
            Finding::ok(CHECK, format!("facts about jobs are left beside {file}"))
        }
        (Some(other), _) if other == file => {
            let says = format!(
                "facts about jobs cannot be left: {} is no directory that can be written",
                directory.display()
            );
            Finding::warn(CHECK, says, "make it, or correct `statement`: there is no statement of any job")
        }
        (other, _) => {
            let of_shim = other.map_or_else(|| "nowhere".to_owned(), |other| format!("beside {other}"));
            let says = format!(
                "facts about jobs are left beside {file}, and those about containers {of_shim} ({})",
                shim.display()
            );
            Finding::warn(
                CHECK,
                says,
                "name one file in `statement` and `[statement] file`: no job is said to have held",
            )
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_about_jobs_are_left_where_the_shim_leaves_its_own_and_where_they_can_be() {
        let place = tempfile::tempdir().unwrap();
        let (shim, file) = (place.path().join("config.toml"), place.path().join("log/statements"));
        let file = file.to_str().unwrap();
        let found = || {
            let Finding { state, says, .. } = statement(file, &shim);
            (state, says)
        };
        let (state, says) = found();
        assert!(state == State::Warn && says.contains(" about containers nowhere ("), "{says}");
        fs::write(&shim, "[statement]\nfile = '/other'\n").unwrap();
        let (state, says) = found();
        assert!(state == State::Warn && says.contains(" about containers beside /other ("), "{says}");
        fs::write(&shim, format!("[statement]\nfile = {file:?}\n")).unwrap();
        let (state, says) = found();
        assert!(state == State::Warn && says.ends_with("/log is no directory that can be written"), "{says}");
        fs::create_dir(place.path().join("log")).unwrap();
        assert_eq!(found().0, State::Ok);
        fs::write(place.path().join("log/statements.d"), "").unwrap();
        assert_eq!(found().0, State::Warn);
    }
}
