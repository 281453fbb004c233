//! On Podman, as root and as another user.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use test_support::command::say;
use test_support::host::EngineHost;
use test_support::podman::{Podman, Release, User};

use crate::called::{PATIENT, all_are_closed, brought};

/// Podman as its user calls it: without the options that keep it from the machine's own.
fn caller(podman: &Podman, options: &str, driver: &str) -> String {
    let host = &podman.host;
    fs::create_dir(host.dir().join("bin")).unwrap();
    let script = format!(
        "#!/bin/bash\nwords=()\nfor word; do words+=(\"$word\"); [ \"$word\" != run ] || [ -n \"${{done:-}}\" ] || \
         {{ words+=({options} --ulimit=host); done=1; }}; done\n\
         exec /usr/bin/podman --root {0}/storage --runroot {0}/state --storage-driver {driver} \"${{words[@]}}\"\n",
        host.at("home"),
    );
    fs::set_permissions(host.write("bin/podman", &script), fs::Permissions::from_mode(0o755)).unwrap();
    format!("{}:/usr/sbin:/usr/bin:/sbin:/bin", host.at("bin"))
}

/// What is not shown of Podman: its default capabilities have no ping, and the kernel of the tests no AF_ALG.
const NOT_SHOWN: [&str; 2] = ["ping", "alg"];

fn left(podman: &Podman) -> String {
    podman.must(&["ps", "--all", "--quiet"])
        + &podman.must(&["network", "ls", "--format", "{{.Name}}"])
        + &podman.must(&["images", "--format", "{{.Repository}}"])
        + &in_directories(&podman.host)
}

fn in_directories(host: &EngineHost) -> String {
    host.sh("ls /tmp /dev/shm | grep oci-isolate-prove || true").must()
}

fn of_root(release: Release) {
    let podman = Podman::start(release, User::Root);
    let path = caller(&podman, &format!("--cgroup-parent {}", podman.host.world.name), "overlay");
    let mut call = podman.client(&brought(&podman.host));
    let before = left(&podman);
    let said = say(call.env("PATH", path).args(["prove", "--json", "--engine=podman", PATIENT]));
    all_are_closed(&said, &NOT_SHOWN);
    assert_eq!(left(&podman), before);
}

#[test]
fn with_podman_5_every_way_is_open_without_and_closed_with_the_annotation_and_nothing_is_left() {
    of_root(Release::Podman5);
}

#[test]
fn with_podman_4_every_way_is_open_without_and_closed_with_the_annotation_and_nothing_is_left() {
    of_root(Release::Podman4);
}

/// Not open to a user's containers at all, whatever they are given.
const NOT_OF_A_USER: [&str; 5] =
    ["mount-by-sys-admin", "kernel-log", "vsock-device", "disk", "kernel-settings"];

fn rootless(release: Release) {
    let podman = Podman::start(release, User::Rootless);
    // As on every host with systemd; such a Podman takes it from there.
    podman.host.sh("mkdir -p /dev/mqueue; mount -t mqueue mqueue /dev/mqueue").must();
    let path = caller(&podman, "", "vfs");
    let before = left(&podman);
    let program = brought(&podman.host);
    let path = format!("PATH={path}");
    let said =
        podman.podman(&["unshare", "env", &path, &program, "prove", "--json", "--engine=podman", PATIENT]);
    all_are_closed(&said, &[&NOT_SHOWN[..], &NOT_OF_A_USER].concat());
    assert_eq!(left(&podman), before);
}

#[test]
fn with_rootless_podman_5_every_way_is_open_without_and_closed_with_the_annotation() {
    rootless(Release::Podman5);
}

#[test]
fn with_rootless_podman_4_every_way_is_open_without_and_closed_with_the_annotation() {
    rootless(Release::Podman4);
}
