//! Attempts of a container as engines make it: counted while it runs, and written down when it is removed.

use test_support::ISOLATE;
use test_support::attempts::{TRIES, counting, exact, written};
use test_support::capture::Capture;
use test_support::command::{Finished, say};
use test_support::containerd::{self, Containerd};
use test_support::docker::{Docker, Release};
use test_support::findings::Findings;
use test_support::host::EngineHost;
use test_support::podman::{self, Podman, User};
use test_support::shim;

/// Every process of the host, but the two that make it one.
const KILL_EVERYTHING: &str = r#"for pid in $(ls /proc | grep '^[1-9]'); do
        case "$pid $(tr '\0' ' ' </proc/$pid/cmdline 2>/dev/null || true)" in
        "1 "* | "$$ "* | *" sleep infinity ") ;;
        *) kill -KILL $pid 2>/dev/null || true ;;
        esac
    done"#;

/// The operator's program on the host.
fn ctl(host: &EngineHost, args: &[&str]) -> Finished {
    let program = host.at("isolatectl");
    if !std::path::Path::new(&program).exists() {
        std::fs::copy(test_support::isolatectl(), &program).unwrap();
    }
    say(host.command(&program).arg("--json").args(args))
}

fn docker(release: Release) {
    let docker = Docker::start_with(release, Some(""));
    let (host, mut findings) = (&docker.host, Findings::default());
    let settings = counting(host, "");
    host.write("settings.toml", &settings);
    host.write("always.toml", &format!("mode = \"always\"\n{settings}"));
    // Docker 20.10 disables IPv6 where the network has none.
    docker.must(&["network", "create", "--ipv6", "--subnet=fd00:77::/64", "own"]);
    let capture = Capture::start(host);
    let flags = [&["-d", "--name=web", "--network=own"], docker.isolation(), &["probe", "sleep", "1000"]];
    docker.run(&flags).must();
    docker.must(&["exec", "web", "bash", "-c", TRIES]);
    let id = docker.must(&["inspect", "-f", "{{.Id}}", "web"]);
    findings.about("running", exact(&ctl(host, &["attempts", &id])));
    findings.claim(ctl(host, &["verify", "--all"]).well(), "a container that counts does not hold");
    docker.must(&["rm", "-f", "web"]);
    findings.about("host", capture.saw_nothing());
    findings.about("removed", written(host, ""));
    findings.settle();
}

#[test]
fn what_a_container_of_docker_tried_is_counted_and_written_down() {
    docker(Release::Docker28);
}

#[test]
fn what_a_container_of_an_old_docker_tried_is_counted_and_written_down() {
    docker(Release::Docker20);
}

/// Its network namespace ends with its last process, but for the mount that keeps it.
#[test]
fn what_a_container_of_containerd_tried_is_there_whatever_is_killed() {
    let containerd = Containerd::start(containerd::Release::Containerd2);
    let (host, mut findings) = (&containerd.host, Findings::default());
    host.settings(&counting(host, ""));
    let capture = Capture::start(host);
    let flags = ["--detach", "--null-io", "--annotation", ISOLATE];
    containerd.run(&shim(), "web", &flags, &["sleep", "1000"]).must();
    containerd.ctr(&["task", "exec", "--exec-id", "one", "web", "bash", "-c", TRIES]).must();
    findings.about("running", exact(&ctl(host, &["attempts", "web"])));
    host.sh(KILL_EVERYTHING).must();
    findings.about("killed", exact(&ctl(host, &["attempts", "web"])));
    let root = "/run/containerd/runc/default";
    host.sh(&format!("{} --root {root} delete --force web", shim().display())).must();
    findings.about("host", capture.saw_nothing());
    findings.about("removed", written(host, ""));
    findings.settle();
}

fn podman(release: podman::Release, user: User) {
    let podman = Podman::start(release, user);
    let (host, mut findings) = (&podman.host, Findings::default());
    host.settings(&counting(host, "home/"));
    let capture = Capture::start(host);
    let flags = ["-d", "--name=web", "--annotation", ISOLATE, "probe", "sleep", "1000"];
    podman.run("oci-isolate", &[&flags]).must();
    podman.must(&["exec", "web", "bash", "-c", TRIES]);
    let id = podman.must(&["inspect", "-f", "{{.Id}}", "web"]);
    findings.about("running", exact(&podman.isolatectl(&["--json", "attempts", &id])));
    podman.must(&["rm", "-f", "-t=0", "web"]);
    findings.about("host", capture.saw_nothing());
    findings.about("removed", written(host, "home/"));
    findings.settle();
}

#[test]
fn what_a_container_of_podman_tried_is_counted_and_written_down() {
    podman(podman::Release::Podman4, User::Root);
}

/// The namespace is kept in the mount namespace that Podman has for its user.
#[test]
fn what_a_container_of_a_rootless_podman_tried_is_counted_and_written_down() {
    podman(podman::Release::Podman5, User::Rootless);
}
