//! `ingress`: a published port is answered, and the container starts nothing.

use super::{comes_to_answer, is_fetched_by_host, opened, strs};
use test_support::capture::Capture;
use test_support::docker::{Docker, Release};
use test_support::findings::Findings;
use test_support::host::EngineHost;
use test_support::probe::{ITSELF, OPEN};

/// Port 80 is the one that the containers serve; on 81 they do too, and it is closed.
pub(super) const PUBLISHED: [&str; 2] = ["-p=8080:80", "-p=8081:81"];

/// The host's own request, and those from the outside.
pub(super) fn answers_by_port_80_alone(host: &EngineHost) -> Vec<String> {
    let mut complaints = Vec::new();
    if !comes_to_answer(host, "198.51.100.2:8080") {
        complaints.push("the published port does not answer".to_owned());
    }
    complaints.extend(is_fetched_by_host(host, "198.51.100.2", "8080"));
    if host.world.can_connect("198.51.100.2:8081") {
        complaints.push("a published port answers that no ingress is asked for".to_owned());
    }
    complaints
}

fn a_published_port_is_answered_and_the_container_starts_nothing(docker: &Docker) {
    let mut findings = Findings::default();
    let serve_81 = |name: &str| docker.must(&["exec", name, "httpd", "-p", "81", "-h", "/www"]);

    docker.background("bare", &[&["--runtime=bare"], &PUBLISHED[..]].concat());
    serve_81("bare");
    for port in [8080, 8081] {
        let answers = comes_to_answer(&docker.host, &format!("198.51.100.2:{port}"));
        findings.claim(answers, format!("port {port} of a bare container does not answer"));
    }
    let capture = Capture::start(&docker.host);
    findings.about("bare", docker.probe_in("bare", "bare").reaches(&OPEN));
    let packets = capture.finish();
    findings.claim(packets.len() > 20, format!("only {} packets of a bare container", packets.len()));
    let answers = comes_to_answer(&docker.host, "[2001:db8:b::2]:8080");
    findings.claim(answers, "a bare container does not answer over IPv6");
    docker.must(&["rm", "-f", "bare"]);

    let asked = opened(docker, "ingress=80/tcp");
    docker.background("web", &[&strs(&asked)[..], &PUBLISHED].concat());
    serve_81("web");
    findings.about("web", answers_by_port_80_alone(&docker.host));
    // Needs neighbour discovery, also from behind dockerd's own ICMPv6 socket in the namespace, which is blocked.
    findings.claim(comes_to_answer(&docker.host, "[2001:db8:b::2]:8080"), "it does not answer over IPv6");
    let capture = Capture::start(&docker.host);
    findings.about("web", docker.probe_in("web", "web").silent(&ITSELF));
    findings.about("host", capture.saw_nothing());

    docker.must(&["restart", "-t=0", "web"]);
    serve_81("web");
    findings.about("restarted", answers_by_port_80_alone(&docker.host));
    findings.about("restarted", docker.probe_in("web", "again").silent(&ITSELF));
    findings.settle();
}

#[test]
fn docker_20_a_published_port_that_the_settings_open_is_answered_and_the_container_starts_nothing() {
    a_published_port_is_answered_and_the_container_starts_nothing(&Docker::start(Release::Docker20));
}

#[test]
fn docker_28_a_published_port_is_answered_and_the_container_starts_nothing() {
    a_published_port_is_answered_and_the_container_starts_nothing(&Docker::start(Release::Docker28));
}
