//! `isolatectl verify` of containers as engines make them: nothing that an engine does by itself is named.

use test_support::ISOLATE;
use test_support::command::Finished;
use test_support::containerd::{self, Containerd};
use test_support::docker::{Docker, Release};
use test_support::host::{EngineHost, Kind};
use test_support::podman::{Podman, User};
use test_support::shim;

#[track_caller]
pub(crate) fn hold(verified: &Finished, count: usize) {
    let holding = verified.out.lines().filter(|line| line.ends_with(": holds")).count();
    assert!(verified.well() && holding == count, "{count} containers should hold: {verified}");
}

/// What an operator calls there.
pub(crate) fn verify(host: &EngineHost) -> Finished {
    let isolatectl = host.at("isolatectl");
    std::fs::copy(test_support::isolatectl(), &isolatectl).unwrap();
    test_support::command::say(host.command(&isolatectl).args(["verify", "--all"]))
}

#[test]
fn containers_of_docker_hold() {
    for release in [Release::Docker20, Release::Docker28] {
        let docker = Docker::start(release);
        docker.background("web", &[docker.isolation(), &["--health-cmd=true"]].concat());
        docker.background("tty", &[docker.isolation(), &["-t", "--init", "--read-only"]].concat());
        let pod = [&["-d", "--network=container:web"], docker.isolation(), &["probe", "sleep", "1000"]];
        docker.run(&pod).must();
        hold(&verify(&docker.host), 3);
    }
}

#[test]
fn containers_of_podman_hold() {
    for kind in Kind::RUNTIMES {
        let runtime = kind.runtime().to_str().unwrap();
        let podman = Podman::new(kind, User::Root, runtime);
        podman.host.settings(&format!("runtime = [{runtime:?}]\n"));
        for (name, flags) in [("web", &["-d"][..]), ("tty", &["-dt", "--read-only"])] {
            let args =
                [&["--name", name, "--annotation", ISOLATE], flags, &["probe", "sleep", "1000"]].concat();
            podman.run("oci-isolate", &[&args]).must();
        }
        hold(&podman.isolatectl(&["verify", "--all"]), 2);
    }
}

#[test]
fn containers_of_a_rootless_podman_hold() {
    for kind in [Kind::Machine, Kind::Sid] {
        let podman = Podman::new(kind, User::Rootless, "/usr/sbin/runc");
        let args = ["-d", "--annotation", ISOLATE, "probe", "sleep", "1000"];
        podman.run("oci-isolate", &[&args]).must();
        hold(&podman.isolatectl(&["verify", "--all"]), 1);
    }
}

#[test]
fn containers_of_containerd_hold() {
    for release in [containerd::Release::Containerd1, containerd::Release::Containerd2] {
        let containerd = Containerd::start(release);
        let flags = ["--detach", "--null-io", "--annotation", ISOLATE];
        containerd.run(&shim(), "web", &flags, &["sleep", "1000"]).must();
        hold(&verify(&containerd.host), 1);
    }
}
