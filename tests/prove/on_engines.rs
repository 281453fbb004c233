//! `isolatectl prove` on Podman, and on installations that do not isolate: `hack/test prove_engines`.

#![allow(clippy::unwrap_used, reason = "all of this crate is test code")]
#![allow(clippy::print_stderr, reason = "the tables are the proof")]

mod called;
mod scripts;

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::Value;

use test_support::command::say;
use test_support::findings::Findings;
use test_support::podman::{Podman, Release, User};

/// Podman as its user calls it: without the options that keep it from the machine's own.
fn podman(release: Release, not_shown: &[&str]) {
    let podman = Podman::start(release, User::Root);
    let host = &podman.host;
    fs::create_dir(host.dir().join("bin")).unwrap();
    let script = format!(
        "#!/bin/bash\nwords=()\nfor word; do words+=(\"$word\"); [ \"$word\" != run ] || [ -n \"${{done:-}}\" ] || \
         {{ words+=(--cgroup-parent {} --ulimit=host); done=1; }}; done\n\
         exec /usr/bin/podman --root {1}/storage --runroot {1}/state --storage-driver overlay \"${{words[@]}}\"\n",
        host.world.name,
        host.at("home"),
    );
    fs::set_permissions(host.write("bin/podman", &script), fs::Permissions::from_mode(0o755)).unwrap();
    let mut call = podman.client(&called::brought(host));
    call.env("PATH", format!("{}:/usr/sbin:/usr/bin:/sbin:/bin", host.at("bin")));
    let left = || {
        podman.must(&["ps", "--all", "--quiet"])
            + &podman.must(&["network", "ls", "--format", "{{.Name}}"])
            + &podman.must(&["images", "--format", "{{.Repository}}"])
            + &host.sh("ls /tmp /dev/shm | grep oci-isolate-prove || true").must()
    };
    let before = left();
    let said = say(call.args(["prove", "--json", "--engine=podman"]));
    let reports: Value = serde_json::from_str(&said.out).unwrap_or_else(|error| panic!("{error}: {said}"));
    assert_eq!(reports[0]["error"], Value::Null, "{said}");
    let rows = reports[0]["ways"].as_array().unwrap();
    let mut findings = Findings::default();
    for row in rows {
        let [way, state, says] = ["way", "state", "says"].map(|key| row[key].as_str().unwrap());
        eprintln!("{way:<26} {state:<10} {says}");
        let wanted = if not_shown.contains(&way) { "not-shown" } else { "closed" };
        findings.claim(state == wanted, format!("{way} is {state}: {says}"));
    }
    eprintln!("{:?}", said.took);
    findings.settle();
    assert!(said.well() && rows.len() > 30, "{said}");
    assert_eq!(left(), before);
}

#[test]
fn with_podman_5_every_way_is_open_without_and_closed_with_the_annotation_and_nothing_is_left() {
    podman(Release::Podman5, &["ping", "alg"]);
}

#[test]
fn with_podman_4_every_way_is_open_without_and_closed_with_the_annotation_and_nothing_is_left() {
    podman(Release::Podman4, &["ping", "alg"]);
}
