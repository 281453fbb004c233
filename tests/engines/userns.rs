//! dockerd with `userns-remap`: root of every container is nobody on the host.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::{Value, json};

use crate::harness::capture::Capture;
use crate::harness::docker::{Docker, Release};
use crate::harness::findings::Findings;
use crate::harness::probe::{ITSELF, NAMELESS, OPEN, credentials_in};
use crate::verified::{hold, verify};

/// A Docker 28 whose containers are in a user namespace that begins at the host's user 100000.
fn remapped() -> Docker {
    let docker = Docker::start(Release::Docker28);
    let users = "echo 'dockremap:x:999:999::/:/bin/false' >>/etc/passwd; echo 'dockremap:x:999:' >>/etc/group
        for file in /etc/subuid /etc/subgid; do echo 'dockremap:100000:65536' >>$file; done";
    docker.host.sh(users).must();
    // Containers of the host's user 100000 have to reach their root file system.
    fs::set_permissions(docker.host.dir(), fs::Permissions::from_mode(0o711)).unwrap();
    let file = docker.host.dir().join("daemon.json");
    let mut config: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    config["userns-remap"] = json!("dockremap");
    fs::write(&file, config.to_string()).unwrap();
    docker.restart();
    docker.must(&["import", &docker.host.at("probe.tar"), "probe"]);
    docker
}

#[test]
fn a_remapped_container_is_not_refused_and_is_isolated_like_any_other() {
    let docker = remapped();
    let mut findings = Findings::default();
    let bare = docker.probe("bare", &["--runtime=bare"]);
    findings.about("bare", bare.reaches(&OPEN));
    findings.claim(bare.has_credentials().len() == 4, "bare: the credentials are not there");

    let capture = Capture::start(&docker.host);
    docker.must(&["network", "create", "own"]);
    for network in ["bridge", "own", "none"] {
        // CAP_SYS_ADMIN is confined here, so it is no reason to refuse.
        let args = [docker.isolation(), &["--network", network, "--cap-add=SYS_ADMIN"]].concat();
        let name = &*format!("web-{network}");
        docker.background(name, &args);
        let itself = if network == "none" { &NAMELESS[..] } else { &ITSELF[..] };
        findings.about(network, docker.probe_in(name, network).sealed(itself));
        let map = docker.must(&["exec", name, "cat", "/proc/self/uid_map"]);
        findings.claim(
            map.split_whitespace().eq(["0", "100000", "65536"]),
            format!("{network}: it is not remapped: {map}"),
        );
        let environ = docker.must(&["exec", name, "env"]);
        findings.about(&format!("exec in {name}"), credentials_in(environ.lines()));
    }
    findings.about("host", capture.saw_nothing());

    hold(&verify(&docker.host), 3);
    findings.settle();
}

/// Whoever opts out of the remapping is judged like everybody else.
#[test]
fn a_container_that_stays_in_the_hosts_user_namespace_is_refused_what_reaches_out_of_it() {
    let docker = remapped();
    let said = docker.run(&[
        &["--rm", "--userns=host", "--cap-add=SYS_ADMIN"],
        docker.isolation(),
        &["probe", "echo", "it runs"],
    ]);
    let why = "host-capabilities: CAP_SYS_ADMIN is in the bounding set";
    assert!(!said.well() && said.err.contains(why) && !said.out.contains("it runs"), "{said}");
    docker.run(&[&["--rm", "--userns=host"], docker.isolation(), &["probe", "true"]]).must();
}
