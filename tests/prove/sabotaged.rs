//! Installations that do not isolate, by their settings: each is found by the name of a way.

use test_support::docker::{Docker, Release};

use crate::called::{finds, prove};

#[test]
fn another_runtime_a_waived_rule_and_no_place_for_state_are_found() {
    let docker = Docker::start(Release::Docker28);
    let host = &docker.host;

    finds(&prove(&docker, "bare", &["--way=tcp"]), "tcp", "open", "it leads out");

    host.settings("[rules]\nhost-pid = \"allow\"\n");
    let way = "host-pid-root";
    finds(&prove(&docker, "shim", &["--way", way, "--way=tcp"]), way, "open", "it leads out");
    host.settings("");

    host.sh("rm -rf /run/oci-isolate; touch /run/oci-isolate").must();
    finds(&prove(&docker, "shim", &["--way=tcp"]), "tcp", "failed", "/run/oci-isolate");
}
