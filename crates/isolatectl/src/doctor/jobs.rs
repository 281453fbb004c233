//! Jobs: `isolate-job doctor`, if that program is installed. It is a package of its own, which knows its settings best.

use std::path::Path;
use std::process::Command;

use super::Finding;
use crate::program_version;

/// Its name, beside this program.
pub(super) const PROGRAM: &str = "isolate-job";

/// Its settings.
const FILE: &str = "etc/oci-isolate/job.toml";

pub(super) fn check(root: &Path, program: &Path) -> Vec<Finding> {
    let file = root.join(FILE);
    let (shown, name) = (file.display(), program.display());
    match (file.exists(), program.exists()) {
        (false, false) => return vec![Finding::ok("jobs", "isolate-job is not installed")],
        (false, true) => {
            let says =
                format!("not checked: {shown} does not exist; `isolate-job doctor` checks by the defaults");
            return vec![Finding::ok("jobs", says)];
        }
        (true, false) => {
            let what = "install isolate-job beside isolatectl, or remove its settings";
            return vec![Finding::warn("jobs", format!("{shown} exists and {name} does not"), what)];
        }
        (true, true) => {}
    }
    let mut command = Command::new(program);
    let answer = program_version::output(command.args(["--json", "doctor", "--config"]).arg(&file));
    serde_json::from_slice(&answer.unwrap_or_default()).unwrap_or_else(|error| {
        let what = "run `isolate-job doctor`, and install both programs in the same version";
        vec![Finding::fail("jobs", format!("the answer of {name} cannot be used: {error}"), what)]
    })
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::doctor::CheckStatus;

    #[test]
    fn jobs_are_checked_if_they_are_installed() {
        let root = tempfile::tempdir().unwrap();
        let (file, program) = (root.path().join(FILE), root.path().join(PROGRAM));
        let found = || {
            let found = check(root.path(), &program);
            let finding = &found[0];
            (found.len(), finding.state, finding.says.clone())
        };
        assert_eq!(found(), (1, CheckStatus::Ok, "isolate-job is not installed".to_owned()));
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, "").unwrap();
        let (_, state, says) = found();
        assert!(state == CheckStatus::Warn && says.ends_with("/isolate-job does not"), "{says}");
        let script = format!("[ \"$*\" = '--json doctor --config {}' ] && echo \"$ANSWER\"", file.display());
        let write = |answer: &str| {
            fs::write(&program, format!("#!/bin/sh\n{}\n", script.replace("\"$ANSWER\"", answer))).unwrap();
            fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        };
        for nonsense in ["", "words", "'[{\"check\": \"job-state\"}]'"] {
            write(nonsense);
            let (_, state, says) = found();
            assert!(state == CheckStatus::Fail && says.contains("cannot be used"), "{nonsense}: {says}");
        }
        write(r#"'[{"check": "job-state", "state": "fail", "says": "a", "do": "b"}]'"#);
        assert_eq!(found(), (1, CheckStatus::Fail, "a".to_owned()));
        fs::remove_file(&file).unwrap();
        assert_eq!(found().1, CheckStatus::Ok);
    }
}
