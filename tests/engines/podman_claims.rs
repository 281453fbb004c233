//! What holds on every Podman, which prepares the network namespace before it calls the runtime. `podman_4`
//! and `podman_5` say on which.

use std::time::Duration;

use serde_json::json;

use test_support::capture::Capture;
use test_support::command::wait_for;
use test_support::findings::Findings;
use test_support::podman::{Podman, Release, User};
use test_support::probe::{ITSELF, NAMELESS, OPEN, Report, credentials_in};
use test_support::{CREDENTIALS, ISOLATE};

/// The name under which containers.conf knows the shim, and the one of the runtime itself.
const SHIM: &str = "oci-isolate";
const BARE: &str = "bare";

/// What gets out of a user's container: no ICMP. slirp4netns is the resolver itself, and pasta carries IPv6
/// too.
pub(crate) fn carried(release: Release) -> &'static [&'static str] {
    match release {
        Release::Podman4 => &["tcp", "udp", "metadata", "getaddrinfo"],
        Release::Podman5 => &[
            "tcp",
            "udp",
            "metadata",
            "getaddrinfo",
            "tcp6",
            "metadata6",
            "credentials",
            "resolver",
            "nslookup",
        ],
    }
}

pub(crate) fn with_bare_runc_and_with_the_shim_unasked_everything_gets_out(podman: &Podman) {
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

pub(crate) fn nothing_gets_out_of_an_isolated_container_whatever_its_network(podman: &Podman) {
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

pub(crate) fn in_mode_always_the_containers_of_a_pod_share_localhost_and_nothing_else(podman: &Podman) {
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

/// `podman kube play` gives the pod's annotations to its containers and not to the one that holds the
/// namespaces: by them alone none of the pod's starts, and by the settings all are isolated, with what those
/// open.
pub(crate) fn a_pod_of_kube_play_is_isolated_by_the_settings_or_does_not_start(podman: &Podman) {
    let mut findings = Findings::default();
    let host = &podman.host;
    podman.must(&["import", "--change", "CMD=[\"sleep\",\"1000\"]", &host.at("probe.tar"), "pause"]);
    let config = std::fs::read_to_string(host.at("containers.conf")).unwrap();
    host.write(
        "containers.conf",
        &config.replacen("[engine]", "[engine]\ninfra_image = \"localhost/pause\"", 1),
    );
    // Podman 4.3 gives them no PATH.
    let container = |name: &str, command: &str| {
        let path = "env: [{name: PATH, value: /bin}]";
        format!("  - {{name: {name}, image: localhost/probe, command: {command}, {path}, ports: [PORT]}}\n")
    };
    let web =
        container("web", "[httpd, -f, -h, /www]").replace("PORT", "{containerPort: 80, hostPort: 8080}");
    let side = container("side", "[sleep, \"1000\"]").replace("PORT", "");
    let pod = |annotations: &str| {
        format!(
            "apiVersion: v1\nkind: Pod\nmetadata:\n  name: pod\n  annotations: {{{annotations}}}\n\
             spec:\n  containers:\n{web}{side}"
        )
    };
    let (key, value) = ISOLATE.split_once('=').unwrap();
    let asking = host.write("asking.yaml", &pod(&format!("{key}: \"{value}\"")));
    let silent = host.write("silent.yaml", &pod(""));
    let play = |runtime: &str, file: &str| {
        let network = if podman.is_rootless() { &["--network", by_user(podman.release)][..] } else { &[] };
        podman.podman(
            &[&["--runtime", runtime, "kube", "play", "--log-driver=none"], network, &[file]].concat(),
        )
    };
    let probe = || Report::parse(&podman.must(&["exec", "pod-side", "probe", "side"]));
    let answers = || host.world.can_connect("198.51.100.2:8080");
    let comes_to_answer = || wait_for(Duration::from_secs(30), || answers().then_some(())).is_some();

    play(BARE, &silent).must();
    findings.claim(comes_to_answer(), "the port of a bare pod does not answer");
    let open =
        if podman.is_rootless() { carried(podman.release) } else { &["tcp", "udp", "metadata", "resolver"] };
    findings.about("bare", probe().reaches(open));
    podman.must(&["pod", "rm", "-f", "-t=0", "pod"]);

    let said = play(SHIM, &asking);
    let refused = said.err.contains("oci-isolate: container ") && said.err.contains("host-ipc: ");
    findings.claim(refused, format!("a pod whose first container is not isolated was joined: {said}"));
    findings.claim(!podman.podman(&["exec", "pod-side", "true"]).well(), "a refused container runs");
    podman.must(&["pod", "rm", "-f", "-t=0", "pod"]);

    for opening in [false, true] {
        let openings = if opening { "[openings]\ningress = \"80/tcp\"\n" } else { "" };
        host.settings(&format!("mode = \"always\"\n{openings}"));
        play(SHIM, &silent).must();
        let page = ["exec", "pod-side", "bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/80"];
        let said = wait_for(Duration::from_secs(30), || podman.podman(&page).well().then_some(()));
        findings.claim(said.is_some(), "the pod's containers do not reach each other");
        if opening {
            findings.claim(comes_to_answer(), "the port that the settings open does not answer");
        } else {
            findings.claim(!answers(), "a published port answers that nothing opens");
        }
        let capture = Capture::start(host);
        let report = probe();
        findings.about("pod", if opening { report.silent(&ITSELF) } else { report.sealed(&ITSELF) });
        findings.about("host", capture.saw_nothing());
        podman.must(&["pod", "rm", "-f", "-t=0", "pod"]);
    }
    findings.settle();
}

/// Who carries the network of a user's container, where published ports lead through no process in the
/// namespace.
fn by_user(release: Release) -> &'static str {
    match release {
        Release::Podman4 => "slirp4netns:port_handler=slirp4netns",
        Release::Podman5 => "pasta",
    }
}

pub(crate) fn a_rootless_pod_of_kube_play_is_isolated_by_the_settings_or_does_not_start(podman: &Podman) {
    a_pod_of_kube_play_is_isolated_by_the_settings_or_does_not_start(podman);
}

pub(crate) fn exec_sees_no_credentials_and_no_secret_that_is_one(podman: &Podman) {
    let mut findings = Findings::default();
    // The name gives it away, as in `--secret ...,target=AWS_SECRET_ACCESS_KEY`; Podman adds it again on
    // exec.
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

pub(crate) fn a_network_connected_later_carries_nothing(podman: &Podman) {
    let mut findings = Findings::default();
    podman.must(&["network", "create", "late"]);
    podman.must(&["network", "create", "own"]);
    let flags = ["-d", "--name=web", "--network=own", "--annotation", ISOLATE];
    podman.run(SHIM, &[&flags, &["probe", "sleep", "1000"]]).must();
    let capture = Capture::start(&podman.host);
    // Podman plumbs into the namespace that it prepared, not into the container's: there it may do as it
    // likes.
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

pub(crate) fn hooks_of_others_still_run(podman: &Podman) {
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

pub(crate) fn with_crun_behind_the_shim_it_is_the_same(release: Release) {
    let podman = Podman::start_with_crun(release, User::Root);
    let mut findings = Findings::default();
    for runtime in [BARE, SHIM] {
        let report = podman.probe(runtime, runtime, &["--cap-add=NET_RAW"]);
        findings.about(runtime, report.reaches(&OPEN));
    }
    let capture = Capture::start(&podman.host);
    findings.about("isolated", podman.probe(SHIM, "isolated", &["--annotation", ISOLATE]).sealed(&ITSELF));
    findings.about("host", capture.saw_nothing());
    findings.settle();
}

pub(crate) fn rootless_it_is_the_same(podman: &Podman) {
    let mut findings = Findings::default();
    for runtime in [BARE, SHIM] {
        let complaints = || podman.probe(runtime, runtime, &[]).reaches(carried(podman.release));
        // pasta loses an answer now and then, whatever the runtime.
        let first = complaints();
        findings.about(runtime, if first.is_empty() { first } else { complaints() });
    }
    let capture = Capture::start(&podman.host);
    let by_user =
        if podman.release == Release::Podman4 { "--network=slirp4netns" } else { "--network=pasta" };
    for network in [by_user, "--network=host", "--network=none"] {
        let report = podman.probe(SHIM, "isolated", &["--annotation", ISOLATE, network]);
        let itself = if network == "--network=none" { &NAMELESS[..] } else { &ITSELF[..] };
        findings.about(network, report.sealed(itself));
    }
    findings.about("host", capture.saw_nothing());
    findings.settle();
}

pub(crate) fn a_refusal_is_shown_by_podman(podman: &Podman) {
    let maybe = ISOLATE.replace("=true", "=maybe");
    let said = podman.run(SHIM, &[&["--rm", "--annotation", &maybe, "probe", "probe", "maybe"]]);
    assert!(!said.well() && said.out.is_empty(), "the container ran: {said}");
    assert!(said.err.contains("oci-isolate:") && said.err.contains("maybe"), "the error is silent: {said}");
}
