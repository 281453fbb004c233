//! dockerd with `userns-remap`, where root of every container is nobody on the host, and dockerd of a user.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use serde_json::{Value, json};

use crate::verified::{hold, verify};
use test_support::capture::Capture;
use test_support::command::{say, wait_for};
use test_support::docker::{Docker, Release};
use test_support::findings::Findings;
use test_support::host::{EngineHost, Kind};
use test_support::probe::{ITSELF, NAMELESS, OPEN, Report, credentials_in};
use test_support::{CREDENTIALS, image, shim};

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
        // CAP_SYSLOG has no effect here, so it is no reason to refuse.
        let args = [docker.isolation(), &["--network", network, "--cap-add=SYSLOG"]].concat();
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
    // What would uncover its credential files is refused all the same.
    let said = docker.run(&[&["--rm", "--cap-add=SYS_ADMIN"], docker.isolation(), &["probe", "true"]]);
    let why = "host-capabilities: CAP_SYS_ADMIN is in the bounding set";
    findings.claim(!said.well() && said.err.contains(why), format!("CAP_SYS_ADMIN: {said}"));
    findings.settle();
}

/// A container that opts out of the remapping is judged like any other.
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

/// A daemon that a user runs, in a user namespace by rootlesskit, with slirp4netns for a network. It is Docker 20.10, which
/// has no annotations.
#[test]
fn a_rootless_daemons_container_is_not_refused_and_is_isolated_like_any_other() {
    let host = EngineHost::new(Kind::Machine);
    image::pack(&host.dir().join("probe.tar"));
    fs::copy(shim(), host.dir().join("oci-isolate")).unwrap();
    fs::set_permissions(host.dir(), fs::Permissions::from_mode(0o755)).unwrap();
    let home = host.at("home");
    let always = host.write("always.toml", "mode = \"always\"\n");
    let config = json!({
        "data-root": format!("{home}/data"), "exec-root": "/run/user/59999/docker", "pidfile": format!("{home}/pid"),
        "hosts": [format!("unix://{home}/docker.sock")], "storage-driver": "vfs",
        "runtimes": {
            "bare": { "path": "/usr/sbin/runc" },
            "always": { "path": host.at("oci-isolate"), "runtimeArgs": [format!("--isolate-config={always}")] },
        },
    });
    let config = host.write("daemon.json", &config.to_string());
    let user = format!(
        "echo 'tester:x:59999:59999::{home}:/bin/sh' >>/etc/passwd; echo 'tester:x:59999:' >>/etc/group
        echo tester:600000:65536 >/etc/subuid; echo tester:600000:65536 >/etc/subgid
        mkdir -p /run/user/59999 {home}; chmod 0700 /run/user/59999; chown 59999:59999 /run/user/59999 {home}"
    );
    host.sh(&user).must();
    let args = ["--reuid=59999", "--regid=59999", "--init-groups", ROOTLESS, "--config-file", &config];
    host.daemon("dockerd", "setpriv", &args, &[("HOME", &home), ("XDG_RUNTIME_DIR", "/run/user/59999")]);
    let docker = |args: &[&str]| {
        let mut docker = host.command("docker");
        say(docker.env("DOCKER_HOST", format!("unix://{home}/docker.sock")).env("HOME", &home).args(args))
    };
    let tar = host.at("probe.tar");
    let ready = wait_for(Duration::from_secs(40), || docker(&["import", &tar, "probe"]).well().then_some(()));
    assert!(ready.is_some(), "dockerd does not answer: {}", host.log("dockerd.log"));

    let mut findings = Findings::default();
    let environment = CREDENTIALS.map(|credential| ["-e", credential]).concat();
    let run = |runtime, tag| {
        let args = [&["run", "--rm", runtime], &environment[..], &["probe", "probe", tag]].concat();
        Report::parse(&docker(&args).must())
    };
    let bare = run("--runtime=bare", "bare");
    findings.about("bare", bare.reaches(&["tcp", "udp", "metadata", "getaddrinfo"]));
    findings.claim(bare.has_credentials().len() == 4, "bare: the credentials are not there");
    let capture = Capture::start(&host);
    findings.about("isolated", run("--runtime=always", "isolated").sealed(&ITSELF));
    findings.about("host", capture.saw_nothing());
    findings.settle();
}

const ROOTLESS: &str = "/usr/share/docker.io/contrib/dockerd-rootless.sh";
