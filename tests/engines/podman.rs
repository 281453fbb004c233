//! Podman 4.3, which prepares the network namespace before it calls the runtime.

use serde_json::json;

use crate::harness::capture::Capture;
use crate::harness::findings::Findings;
use crate::harness::host::Kind;
use crate::harness::podman::{Podman, User};
use crate::harness::probe::{ITSELF, NAMELESS, OPEN, Report, credentials_in};
use crate::harness::{CREDENTIALS, ISOLATE};

/// The name under which containers.conf knows the shim, and the one of the runtime itself.
const SHIM: &str = "oci-isolate";
const BARE: &str = "bare";
const RUNC: &str = "/usr/sbin/runc";

fn rootful() -> Podman {
    Podman::new(Kind::Machine, User::Root, RUNC)
}

#[test]
fn with_bare_runc_and_with_the_shim_unasked_everything_gets_out() {
    let podman = rootful();
    let mut findings = Findings::default();
    podman.must(&["network", "create", "own"]);
    let capture = Capture::start(&podman.host);
    for runtime in [BARE, SHIM] {
        for network in ["podman", "own", "host"] {
            let tag = format!("{runtime}-{network}");
            let report = podman.probe(runtime, &tag, &["--network", network, "--cap-add=NET_RAW"]);
            findings.about(&tag, report.reaches(&OPEN));
            findings
                .claim(report.has_credentials().len() == 4, format!("{tag}: the credentials are not there"));
            let name = format!("{tag}-libc.outside.example");
            let asked = podman.host.world.questions().contains(&name);
            findings.claim(asked, format!("no DNS server was asked for {name}"));
        }
    }
    findings.claim(capture.finish().len() > 20, "the capture saw next to nothing");
    findings.settle();
}

#[test]
fn nothing_gets_out_of_an_isolated_container_whatever_its_network() {
    let podman = rootful();
    let mut findings = Findings::default();
    podman.must(&["network", "create", "own"]);
    let pod = ["pod", "create", "--name=pod", "--infra-image=probe", "--infra-command=sleep 1000"];
    let runtime = ["--runtime", BARE];
    podman.must(&[&runtime[..], &pod].concat());
    podman.must(&["pod", "start", "pod"]);
    let capture = Capture::start(&podman.host);
    let networks = ["--network=podman", "--network=own", "--network=host", "--network=none"];
    for network in networks {
        let report = podman.probe(SHIM, "isolated", &["--annotation", ISOLATE, network]);
        let itself = if network == "--network=none" { &NAMELESS[..] } else { &ITSELF[..] };
        findings.about(network, report.sealed(itself));
    }
    // All containers of a pod are isolated or none: its IPC namespace is shared.
    let said = podman.run(SHIM, &[&["--rm", "--annotation", ISOLATE, "--pod=pod", "probe", "true"]]);
    let refused =
        !said.well() && said.err.contains("oci-isolate: container ") && said.err.contains("host-ipc: ");
    findings.claim(refused, format!("a pod that is not isolated was joined: {said}"));
    findings.about("host", capture.saw_nothing());
    findings.settle();
}

#[test]
fn in_mode_always_the_containers_of_a_pod_share_localhost_and_nothing_else() {
    let podman = rootful();
    let mut findings = Findings::default();
    podman.host.settings("mode = \"always\"\n");
    let capture = Capture::start(&podman.host);
    let pod = ["pod", "create", "--name=pod", "--infra-image=probe", "--infra-command=sleep 1000"];
    podman.must(&[&["--runtime", SHIM][..], &pod].concat());
    podman.run(SHIM, &[&["-d", "--pod=pod", "probe", "httpd", "-f", "-h", "/www"]]).must();
    findings.about("pod", podman.probe(SHIM, "pod", &["--pod=pod"]).sealed(&ITSELF));
    let call = ["--pod=pod", "probe", "bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/80"];
    let said = podman.run(SHIM, &[&["--rm"], &call]);
    findings.claim(said.well(), format!("the containers of the pod do not reach each other: {said}"));
    findings.about("host", capture.saw_nothing());
    findings.settle();
}

#[test]
fn exec_sees_no_credentials_and_no_secret_that_is_one() {
    let podman = rootful();
    let mut findings = Findings::default();
    // The name gives it away, as in `--secret ...,target=AWS_SECRET_ACCESS_KEY`; Podman adds it again on exec.
    let secret = podman.host.write("secret", CREDENTIALS[1].split_once('=').unwrap().1);
    podman.must(&["secret", "create", "key", &secret]);
    let flags = ["-d", "--secret=key,type=env,target=AWS_SECRET_ACCESS_KEY", "-e", "HARMLESS=1"];
    for (name, runtime, asked) in [("bare", BARE, &[][..]), ("isolated", SHIM, &["--annotation", ISOLATE])] {
        podman.run(runtime, &[&["--name", name], &flags, asked, &["probe", "sleep", "1000"]]).must();
        let exec = podman.podman(&["exec", "-e", CREDENTIALS[2], name, "sh", "-c", "env; exit 7"]);
        let seen = credentials_in(exec.out.lines());
        if name == "bare" {
            findings.claim(seen.len() == 4, format!("exec has only {seen:?} without the shim"));
        } else {
            findings.about("exec", seen);
            findings
                .about("exec", Report::parse(&podman.must(&["exec", name, "probe", "exec"])).sealed(&ITSELF));
        }
        findings.claim(exec.status == Some(7), format!("exec lost its exit status: {exec}"));
        findings.claim(exec.out.lines().any(|line| line == "HARMLESS=1"), "exec lost HARMLESS=1");
        podman.must(&["restart", "-t=0", name]);
        podman.must(&["rm", "-f", "-t=0", name]);
    }
    let records =
        podman.host.sh("find /run/oci-isolate -type f ! -name 'runtime-*' 2>/dev/null || true").must();
    findings.claim(records.is_empty(), format!("records stayed behind: {records}"));
    findings.settle();
}

#[test]
fn a_network_connected_later_carries_nothing() {
    let podman = rootful();
    let mut findings = Findings::default();
    podman.must(&["network", "create", "late"]);
    podman.must(&["network", "create", "own"]);
    let flags = ["-d", "--name=web", "--network=own", "--annotation", ISOLATE];
    podman.run(SHIM, &[&flags, &["probe", "sleep", "1000"]]).must();
    let capture = Capture::start(&podman.host);
    // Podman plumbs into the namespace that it prepared, not into the container's: there it may do as it likes.
    let said = podman.podman(&["network", "connect", "late", "web"]);
    findings.claim(said.well(), format!("Podman lost its way: {said}"));
    findings
        .about("connected", Report::parse(&podman.must(&["exec", "web", "probe", "late"])).silent(&ITSELF));
    findings.about("host", capture.saw_nothing());
    let said = podman.podman(&["network", "disconnect", "late", "web"]);
    findings.claim(said.well(), format!("Podman lost its way: {said}"));
    podman.must(&["rm", "-f", "-t=0", "web"]);
    findings.settle();
}

#[test]
fn hooks_of_others_still_run() {
    let podman = rootful();
    let mut findings = Findings::default();
    let ran = podman.host.at("ran");
    let hooks = podman.host.at("hooks.d");
    std::fs::create_dir(&hooks).unwrap();
    for stage in ["prestart", "createRuntime", "createContainer", "poststop"] {
        let note = format!("cat >/dev/null; echo {stage} >>{ran}");
        let hook = json!({
            "version": "1.0.0",
            "hook": { "path": "/bin/sh", "args": ["sh", "-c", note] },
            "when": { "always": true },
            "stages": [stage],
        });
        std::fs::write(format!("{hooks}/{stage}.json"), hook.to_string()).unwrap();
    }
    let args =
        ["--hooks-dir", &hooks, "--runtime", SHIM, "run", "--rm", "--ulimit=host", "--annotation", ISOLATE];
    let words =
        [&args[..], &["--cgroup-parent", &podman.host.world.name, "probe", "probe", "hooks"]].concat();
    findings.about("isolated", Report::parse(&podman.must(&words)).sealed(&ITSELF));
    let text = std::fs::read_to_string(&ran).unwrap_or_default();
    for stage in ["prestart", "createRuntime", "createContainer", "poststop"] {
        findings
            .claim(text.lines().any(|line| line == stage), format!("the {stage} hook did not run: {text:?}"));
    }
    findings.settle();
}

#[test]
fn with_crun_behind_the_shim_it_is_the_same() {
    let podman = Podman::new(Kind::MachineForCrun, User::Root, "/usr/bin/crun");
    let mut findings = Findings::default();
    podman.host.settings("runtime = [\"crun\"]\n");
    for runtime in [BARE, SHIM] {
        let report = podman.probe(runtime, runtime, &["--cap-add=NET_RAW"]);
        findings.about(runtime, report.reaches(&OPEN));
    }
    let capture = Capture::start(&podman.host);
    findings.about("isolated", podman.probe(SHIM, "isolated", &["--annotation", ISOLATE]).sealed(&ITSELF));
    findings.about("host", capture.saw_nothing());
    findings.settle();
}

#[test]
fn rootless_it_is_the_same() {
    let podman = Podman::new(Kind::Machine, User::Rootless, RUNC);
    let mut findings = Findings::default();
    // What slirp4netns carries: no ICMP, and the resolver is its own.
    let carried = ["tcp", "udp", "metadata", "getaddrinfo"];
    for runtime in [BARE, SHIM] {
        findings.about(runtime, podman.probe(runtime, runtime, &[]).reaches(&carried));
    }
    let capture = Capture::start(&podman.host);
    for network in ["--network=slirp4netns", "--network=host", "--network=none"] {
        let report = podman.probe(SHIM, "isolated", &["--annotation", ISOLATE, network]);
        let itself = if network == "--network=none" { &NAMELESS[..] } else { &ITSELF[..] };
        findings.about(network, report.sealed(itself));
    }
    findings.about("host", capture.saw_nothing());
    findings.settle();
}

#[test]
fn a_refusal_is_shown_by_podman() {
    let podman = rootful();
    let maybe = ISOLATE.replace("=true", "=maybe");
    let said = podman.run(SHIM, &[&["--rm", "--annotation", &maybe, "probe", "probe", "maybe"]]);
    assert!(!said.well() && said.out.is_empty(), "the container ran: {said}");
    assert!(said.err.contains("oci-isolate:") && said.err.contains("maybe"), "the error is silent: {said}");
}
