//! The shim's own prerequisites: settings, the real runtime, the state directory.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::Finding;
use crate::program_version;
use oci_isolate::record;
use oci_isolate::runtime::Runtime;
use oci_isolate::settings::{DEFAULT_PATH, Mode, PATH_VARIABLE, Settings};

/// The settings; the defaults if they are not usable.
pub(super) fn settings() -> (Settings, Vec<Finding>) {
    let named = std::env::var_os(PATH_VARIABLE).unwrap_or(DEFAULT_PATH.into());
    let path = Path::new(&named);
    match oci_isolate::bundle::load_settings(None) {
        Ok(settings) => {
            let there = if path.exists() { "valid" } else { "not there, so the defaults hold" };
            let mode = match settings.mode {
                Mode::Annotation => "containers ask by annotation",
                Mode::Always => "every container is isolated",
            };
            let found = Finding::ok("settings", format!("{} is {there}; {mode}", path.display()));
            (settings, vec![found])
        }
        Err(error) => {
            let what = "correct it (oci-isolate.toml(5)): no container starts behind the shim meanwhile";
            (Settings::default(), vec![Finding::fail("settings", format!("{error:#}"), what)])
        }
    }
}

pub(super) fn runtime(shim: &Path, settings: &Settings, findings: &mut Vec<Finding>) -> Option<Runtime> {
    if let Some(why) = super::unusable(shim) {
        findings.push(Finding::warn("shim", why, "install oci-isolate beside isolatectl"));
    }
    let shim = if shim.exists() { shim } else { Path::new("/proc/self/exe") };
    match Runtime::find_for(shim, &settings.runtime, true) {
        Ok(runtime) => {
            let path = runtime.path().display();
            findings.push(match program_version::query(runtime.path()) {
                Some(version) => Finding::ok("runtime", format!("{path}, {version}")),
                None => Finding::fail(
                    "runtime",
                    format!("{path} does not report its version"),
                    "see whether it runs, or name another as `runtime` in the settings",
                ),
            });
            Some(runtime)
        }
        Err(error) => {
            let what = "install runc, or name the runtime as `runtime` in the settings";
            findings.push(Finding::fail("runtime", format!("{error:#}"), what));
            None
        }
    }
}

pub(super) fn state() -> Finding {
    match record::check_state() {
        Ok((path, false)) => Finding::ok(
            "state-directory",
            format!("{} does not exist; the first container creates it", path.display()),
        ),
        Ok((path, true)) => {
            let shown = path.display();
            let seen = std::fs::symlink_metadata(&path)
                .map(|meta| format!("{shown} is of user {}, mode {:04o}", meta.uid(), meta.mode() & 0o7777));
            Finding::ok("state-directory", seen.unwrap_or_else(|_| format!("{shown} is gone meanwhile")))
        }
        Err(error) => Finding::fail(
            "state-directory",
            format!("{error:#}"),
            "find out who made it so, then give it to the user of the engine with mode 0700",
        ),
    }
}
