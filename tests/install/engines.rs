//! Real engines, started privately: what is installed is there after the reload that the program names, and gone after
//! the next.

use std::fs;
use std::time::Duration;

use test_support::isolatectl;

use crate::installed;
use test_support::command::{say, wait_for};
use test_support::docker::{self, Docker};
use test_support::host::Kind;
use test_support::podman::{Podman, Release, User};
use test_support::{ISOLATE, shim};

/// Says which network interfaces are up.
const UP_LINKS: [&str; 4] =
    ["probe", "sh", "-c", "ip -o link show up | cut -d: -f2 | cut -d@ -f1 | tr -d ' ' | sort"];

fn docker(release: docker::Release) {
    let docker = Docker::start(release);
    let file = docker.host.dir().join("daemon.json");
    let before = fs::read(&file).unwrap();
    let shim = shim();
    let path = ["--runtime-path", shim.to_str().unwrap()];
    let knows = |name: &str| {
        docker.must(&["info", "--format", "{{json .Runtimes}}"]).contains(&format!("\"{name}\""))
    };
    let reload = |until: &dyn Fn() -> bool| {
        docker.host.sh(&format!("kill -HUP $(cat {})", docker.host.at("docker.pid"))).must();
        assert!(
            wait_for(Duration::from_secs(20), || until().then_some(())).is_some(),
            "{}",
            docker.host.log("dockerd.log")
        );
    };
    assert!(!knows("oci-isolate"));

    installed("docker", &file, &path);
    installed("docker", &file, &[&path[..], &["--name=isolated", "--always"]].concat());
    reload(&|| knows("oci-isolate") && knows("isolated"));
    let links = |args: &[&str]| docker.run(&[&["--rm"], args, &UP_LINKS]).must();
    let open = links(&["--runtime=oci-isolate"]);
    assert!(open.contains("eth0"), "a container without the annotation lost its network: {open}");
    let closed = links(&["--runtime=isolated"]);
    assert!(!closed.contains("eth0"), "{closed}");
    if release == docker::Release::Docker28 {
        let closed = links(&["--runtime=oci-isolate", "--annotation", ISOLATE]);
        assert!(!closed.contains("eth0"), "{closed}");
    }
    let default = || docker.must(&["info", "--format", "{{.DefaultRuntime}}"]);
    installed("docker", &file, &[&path[..], &["--default"]].concat());
    reload(&|| default() == "oci-isolate");

    installed("docker", &file, &["--uninstall", "--name=isolated"]);
    let said = installed("docker", &file, &["--uninstall"]);
    assert!(said.contains("systemctl restart docker"), "{said}");
    assert_eq!(fs::read(&file).unwrap(), before);
    docker.restart();
    assert!(!knows("oci-isolate") && !knows("isolated"));
    assert_eq!(default(), "runc");
}

#[test]
fn docker_20_starts_containers_through_it_after_a_reload() {
    docker(docker::Release::Docker20);
}

#[test]
fn docker_28_starts_containers_through_it_after_a_reload() {
    docker(docker::Release::Docker28);
}

/// Not by the file that CONTAINERS_CONF names, besides which Podman reads no other.
fn podman(kind: Kind) {
    let podman = Podman::new(kind, User::Root, "/usr/sbin/runc");
    let host = &podman.host;
    // The shim is beside it.
    let ctl = host.at("isolatectl");
    fs::copy(isolatectl(), &ctl).unwrap();
    let plain = "[engine]\nruntime = \"runc\"\ncgroup_manager = \"cgroupfs\"\nevents_logger = \"file\"\n\
                 [network]\nnetwork_backend = \"netavark\"\n";
    let file = host.write("plain.conf", plain);
    host.sh(&format!("mkdir -p /etc/containers; cp {file} /etc/containers/containers.conf")).must();
    let ctl = |args: &[&str]| say(host.command(&ctl).args(args).env("HOME", host.at("home")));
    let call = |args: &[&str]| {
        let mut call = host.command("podman");
        let (root, state) = (host.at("home/storage"), host.at("home/state"));
        call.args(["--root", &root, "--runroot", &state, "--storage-driver", "overlay"]);
        say(call.args(args).env("HOME", host.at("home")).env("PODMAN_IGNORE_CGROUPSV1_WARNING", "1"))
    };
    let links = |runtime: &[&str], annotation: &str| {
        let annotation = ["--annotation", annotation, "--cgroup-parent", &host.world.name];
        let run = ["run", "--rm", "--ulimit=host"];
        call(&[runtime, &run, &annotation, &UP_LINKS].concat())
    };
    let files = || host.sh("cd /etc/containers; find . -type f | sort | xargs md5sum").must();
    let doctor = || {
        let all = ctl(&["doctor"]).out;
        all.lines().find(|line| line.contains(" podman: ")).unwrap().to_owned()
    };
    let before = files();
    let named = ["--runtime", "oci-isolate"];
    assert!(!links(&named, ISOLATE).well());
    assert!(doctor().contains("no runtime of it is oci-isolate"), "{}", doctor());

    ctl(&["install", "podman"]).must();
    assert_eq!(links(&named, ISOLATE).must(), "lo");
    assert_eq!(links(&named, "example.org/none=1").must(), "eth0\nlo");
    assert_eq!(links(&[], ISOLATE).must(), "eth0\nlo", "it is the default without being asked to be");
    // What the runtime says, and not the JSON in which it says it.
    let said = links(&named, &ISOLATE.replace("true", "maybe"));
    let words = "oci-isolate: container ";
    assert!(!said.well() && said.err.contains(words) && !said.err.contains("level"), "{said}");
    assert!(doctor().starts_with("ok "), "{}", doctor());

    // Root's own files count for Podman 5, and say another program here.
    let own = host.dir().join("home/.config/containers/containers.conf.d");
    fs::create_dir_all(&own).unwrap();
    fs::write(own.join("mine.conf"), "[engine.runtimes]\noci-isolate = [\"/usr/sbin/runc\"]\n").unwrap();
    if podman.release == Release::Podman5 {
        assert_eq!(links(&named, ISOLATE).must(), "eth0\nlo");
        assert!(doctor().contains("no runtime of it is oci-isolate"), "{}", doctor());
    } else {
        assert_eq!(links(&named, ISOLATE).must(), "lo");
        assert!(doctor().starts_with("ok "), "{}", doctor());
    }
    fs::remove_dir_all(host.dir().join("home/.config")).unwrap();

    ctl(&["install", "podman", "--default"]).must();
    assert_eq!(links(&[], ISOLATE).must(), "lo");
    assert_eq!(call(&["info", "--format", "{{.Host.OCIRuntime.Name}}"]).must(), "oci-isolate");
    ctl(&["install", "podman", "--uninstall"]).must();
    assert_eq!(files(), before);
    assert!(!links(&named, ISOLATE).well());
    assert_eq!(links(&[], ISOLATE).must(), "eth0\nlo");
}

#[test]
fn podman_4_starts_containers_through_it_by_name_and_by_default() {
    podman(Kind::Machine);
}

#[test]
fn podman_5_starts_containers_through_it_by_name_and_by_default() {
    podman(Kind::Sid);
}
