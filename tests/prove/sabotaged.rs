//! Installations that do not isolate, by their settings: each is found by the name of a way. And an engine that is not this host's.

use serde_json::Value;

use test_support::command::say;
use test_support::docker::{Docker, Release};

use crate::called::{brought, finds, prove};

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
    host.sh("rm -f /run/oci-isolate").must();

    // What was found is printed also if it cannot be written.
    finds(&prove(&docker, "shim", &["--way=tcp", "--junit=/dev/full"]), "tcp", "closed", "unreachable");

    // Its processes are not here, as those of an engine by DOCKER_HOST.
    let mut elsewhere = docker.client("unshare");
    elsewhere.args(["--fork", "--pid", "--mount-proc", &brought(host), "prove", "--json"]);
    let said = say(elsewhere.args(["--engine=docker", "--runtime=shim", "--way=tcp"]));
    let reports: Value = serde_json::from_str(&said.out).unwrap_or_else(|error| panic!("{error}: {said}"));
    assert!(reports[0]["error"].as_str().unwrap().starts_with("the engine is not this host's"), "{said}");
    assert_eq!(docker.must(&["ps", "--all", "--quiet"]), "");
}
