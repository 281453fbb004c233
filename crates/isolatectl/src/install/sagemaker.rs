//! The runtime for SageMaker's SDK in local mode (docs/sagemaker-sdk.md): its settings, and what users of the SDK write
//! into their own configuration.

use std::path::Path;

use anyhow::{Result, anyhow};

use super::change::FileChange;
use oci_isolate::bundle::load_settings;
use oci_isolate::settings::Settings;

/// The runtime's name in Docker.
pub(super) const RUNTIME: &str = "sagemaker";

/// The settings of the runtime.
pub(super) const SETTINGS: &str = "/etc/oci-isolate/sagemaker.toml";

/// How the shim is told of them.
pub(super) const FLAG: &str = "--isolate-config=/etc/oci-isolate/sagemaker.toml";

/// What the SDK reads from ~/.sagemaker/config.yaml, and from `LocalSession.config`.
pub(super) const SDK: &str = "local:\n  container_config:\n    runtime: sagemaker\n";

const TEXT: &str = include_str!("../../../../dist/sagemaker.toml");

/// The change of the settings file.
///
/// # Errors
/// It cannot be read.
pub(super) fn change(uninstall: bool) -> Result<FileChange> {
    FileChange::of_our_own(Path::new(SETTINGS), TEXT, uninstall)
}

/// The settings as they will be: a file that is there stays.
///
/// # Errors
/// The file that is there cannot be used.
pub(super) fn settings() -> Result<Settings> {
    let file = Path::new(SETTINGS);
    if file.exists() { load_settings(Some(file)) } else { Settings::parse(TEXT).map_err(|why| anyhow!(why)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use oci_isolate::policy::{Decision, decide};

    #[test]
    fn the_settings_isolate_every_container_and_open_the_port_and_the_job_of_the_contract() {
        let settings = Settings::parse(TEXT).unwrap();
        for (environment, job) in
            [(&["TRAINING_JOB_NAME=mnist-7".to_owned()][..], Some("mnist-7")), (&[], None)]
        {
            let Decision::Isolate(policy) = decide(&settings, &[], environment) else { panic!() };
            assert_eq!(policy.openings.job.map(|job| job.to_string()).as_deref(), job);
            let ports: Vec<_> = policy.openings.ingress.iter().map(ToString::to_string).collect();
            assert_eq!((ports, policy.openings.peers.is_empty()), (vec!["8080/tcp".to_owned()], true));
        }
    }

    #[test]
    fn the_flag_names_the_settings_and_the_lines_name_the_runtime() {
        assert_eq!(FLAG, format!("--isolate-config={SETTINGS}"));
        assert_eq!(SDK.lines().collect::<Vec<_>>()[2].trim(), format!("runtime: {RUNTIME}"));
    }
}
