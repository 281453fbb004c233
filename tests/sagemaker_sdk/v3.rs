//! SDK 3, whose local mode cannot name a runtime: the engine's default runtime and `[[require]] env` isolate its jobs.

use crate::sdk::Sdk;
use crate::v2::{a_job_of, hosts};
use test_support::docker::Release;
use test_support::findings::Findings;

const SETTINGS: &str = "[[require]]\nenv = \"TRAINING_JOB_NAME\"\nmatches = \"*\"\n\
                        [openings]\njob = \"${TRAINING_JOB_NAME}\"\n";

#[test]
fn docker_28_a_job_is_isolated_by_its_environment_under_the_default_runtime_and_nothing_else_is() {
    let sdk = Sdk::start(Release::Docker28);
    let docker = &sdk.docker;
    let mut findings = Findings::default();
    sdk.install(&["--default"], "oci-isolate");

    let model = sdk.report("v3", &["1"], &[]);
    for report in hosts(&model) {
        let reached = report["reached"]["internet"] == "reached" && report["reached"]["s3"] == "reached";
        findings.claim(reached, format!("not open without the settings: {report}"));
    }
    docker.host.settings(SETTINGS);
    for count in ["1", "2"] {
        let model = sdk.report("v3", &[count], &[]);
        eprintln!("train x{count}: {model}");
        findings.about(&format!("train x{count}"), a_job_of(count.parse().unwrap(), &model));
    }
    let fetch =
        "exec 3<>/dev/tcp/203.0.113.7/80 && printf 'GET / HTTP/1.0\\r\\n\\r\\n' >&3 && grep outside <&3";
    let said = docker.run(&[&["--rm", "probe", "bash", "-c", fetch]]);
    findings.claim(said.out == "outside", format!("a container of no job is isolated: {said}"));
    findings.settle();
}
