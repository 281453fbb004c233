//! Real engines, started privately: what is installed is there after the reload that the program names, and gone after
//! the next.

use std::fs;
use std::time::Duration;

use crate::harness::docker::{Docker, Release};
use crate::harness::said::wait_for;
use crate::harness::{ISOLATE, shim};
use crate::installed;

fn docker(release: Release) {
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
    let links = |args: &[&str]| docker.run(&[&["--rm"], args, &["probe", "ls", "/sys/class/net"]]).must();
    let open = links(&["--runtime=oci-isolate"]);
    assert!(open.contains("eth0"), "a container without the annotation lost its network: {open}");
    let closed = links(&["--runtime=isolated"]);
    assert!(!closed.contains("eth0"), "{closed}");
    if release == Release::Docker28 {
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
    docker(Release::Docker20);
}

#[test]
fn docker_28_starts_containers_through_it_after_a_reload() {
    docker(Release::Docker28);
}
