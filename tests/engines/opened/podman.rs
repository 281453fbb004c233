//! Openings behind Podman: networks of netavark and of CNI, and without root what slirp4netns and pasta
//! carry.

use std::time::Duration;

use super::published::{PUBLISHED, answers_by_port_80_alone};
use super::{FETCH, comes_to_answer};
use crate::podman_claims::carried;
use crate::verified::hold;
use test_support::ISOLATE;
use test_support::capture::Capture;
use test_support::command::{Finished, wait_for};
use test_support::findings::Findings;
use test_support::podman::{Podman, Release, User};
use test_support::probe::{ITSELF, OPEN, Report};

/// Starts a container that serves its page at port 80: a bare one, or an isolated one with this opening.
pub(super) fn run(podman: &Podman, name: &str, flags: &[&str], opening: Option<&str>) -> Finished {
    // Podman 4.3 splits the value at commas, as CSV; quotes keep it whole.
    let quote = if podman.release == Release::Podman4 { "\"" } else { "" };
    let opening = opening.map(|what| format!("{quote}io.oci-isolate.{what}{quote}"));
    let (runtime, asked) = match &opening {
        None => ("bare", vec![]),
        Some(what) => ("oci-isolate", vec!["--annotation", ISOLATE, "--annotation", what]),
    };
    let name = ["-d", "--name", name, "--hostname", name];
    podman.run(runtime, &[&name, flags, &asked, &["probe", "httpd", "-f", "-h", "/www"]])
}

pub(super) fn serve(podman: &Podman, name: &str, flags: &[&str], opening: Option<&str>) {
    run(podman, name, flags, opening).must();
}

fn address(podman: &Podman, name: &str) -> String {
    podman.must(&["inspect", "-f", "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}", name])
}

pub(super) fn probe(podman: &Podman, name: &str) -> Report {
    Report::parse(&podman.must(&["exec", name, "probe", name]))
}

fn fetch(podman: &Podman, from: &str, address: &str, port: &str) -> Finished {
    podman.podman(&["exec", from, "timeout", "2", "bash", "-c", FETCH, address, port])
}

/// Complaints unless a container is refused at once.
fn is_refused(podman: &Podman, from: &str, address: &str, port: &str) -> Option<String> {
    let said = fetch(podman, from, address, port);
    (said.status != Some(1)).then(|| format!("{from} to {address}:{port}: {said}"))
}

/// `carried` is what gets out of a bare container; `own`, whether it has an address that others reach.
fn a_published_port_is_answered(podman: &Podman, network: &str, carried: &[&str], own: bool) -> Vec<String> {
    let mut complaints = Vec::new();
    for (name, opening) in [("bare", None), ("web", Some("ingress=80/tcp"))] {
        serve(podman, name, &[&["--cap-add=NET_RAW", network], &PUBLISHED[..]].concat(), opening);
        podman.must(&["exec", name, "httpd", "-p", "81", "-h", "/www"]);
        let address = address(podman, name);
        let capture = Capture::start(&podman.host);
        if opening.is_some() {
            complaints.extend(probe(podman, name).silent(&ITSELF));
            complaints.extend(capture.saw_nothing());
            complaints.extend(answers_by_port_80_alone(&podman.host));
        } else {
            complaints.extend(probe(podman, name).reaches(carried));
            if capture.finish().len() <= 20 {
                complaints.push("the capture saw next to nothing of a bare container".to_owned());
            }
            if !comes_to_answer(&podman.host, "198.51.100.2:8081") {
                complaints.push("port 8081 of a bare container does not answer".to_owned());
            }
        }
        let at = |port: u16| comes_to_answer(&podman.host, &format!("{address}:{port}"));
        if own && (!at(80) || at(81) != opening.is_none()) {
            complaints.push(format!("{name} does not answer at its own address as it should"));
        }
        podman.must(&["rm", "-f", "-t=0", name]);
    }
    complaints
}

/// Two members, and on their network a bare container, one with another opening, and a service that the gateway leads to.
fn two_reach_each_other_alone(podman: &Podman, opening: &str, carried: &[&str]) -> Vec<String> {
    let mut complaints = Vec::new();
    podman.must(&["network", "create", "--subnet=10.44.0.0/24", "--gateway=10.44.0.254", "own"]);
    for (name, last, opening, more) in [
        ("service", 7, None, &["-p=8080:80"][..]),
        ("neighbour", 9, None, &["--cap-add=NET_RAW"]),
        ("stranger", 8, Some("job=other"), &[]),
        ("m1", 1, Some(opening), &[]),
        ("m2", 2, Some(opening), &[]),
    ] {
        let ip = format!("--ip=10.44.0.{last}");
        serve(podman, name, &[&["--network=own", ip.as_str()], more].concat(), opening);
    }
    podman.must(&["restart", "-t=0", "m2"]);
    let mut reaches = |from: &str, to: &str, port: &str| {
        let there = || fetch(podman, from, to, port).well().then_some(());
        if wait_for(Duration::from_secs(30), there).is_none() {
            complaints.push(format!("{from} does not reach {to}:{port}: {}", fetch(podman, from, to, port)));
        }
    };
    reaches("neighbour", "10.44.0.7", "80");
    reaches("neighbour", "10.44.0.254", "8080");
    for (from, to, name) in [("m1", "10.44.0.2", "m2"), ("m2", "10.44.0.1", "m1")] {
        reaches(from, to, "80");
        if opening.starts_with("job") {
            reaches(from, name, "80");
        }
    }
    // The network has no IPv6.
    let carried: Vec<_> = carried.iter().filter(|name| !name.ends_with('6')).copied().collect();
    complaints.extend(probe(podman, "neighbour").reaches(&carried));
    for from in ["neighbour", "stranger"] {
        let in_reach =
            ["10.44.0.1", "10.44.0.2"].into_iter().filter(|to| fetch(podman, from, to, "80").well());
        complaints.extend(in_reach.map(|to| format!("{from} reaches {to}")));
    }
    let capture = Capture::start(&podman.host);
    for member in ["m1", "m2"] {
        for (to, port) in [("10.44.0.9", "80"), ("10.44.0.8", "80"), ("10.44.0.254", "8080")] {
            complaints.extend(is_refused(podman, member, to, port));
        }
        complaints.extend(probe(podman, member).silent(&ITSELF));
    }
    complaints.extend(capture.saw_nothing());
    hold(&podman.isolatectl(&["verify", "--all"]), 3);
    if opening.starts_with("job") {
        complaints.extend(another_address_becomes_the_jobs(podman));
    }
    podman.must(&["rm", "-f", "-t=0", "-a"]);
    podman.must(&["network", "rm", "own"]);
    complaints
}

/// A member is taken off the network and comes back at another address, of which no runtime hears.
fn another_address_becomes_the_jobs(podman: &Podman) -> Vec<String> {
    podman.must(&["network", "disconnect", "own", "m2"]);
    podman.must(&["network", "connect", "--ip=10.44.0.77", "own", "m2"]);
    let mut complaints = Vec::new();
    complaints.extend(is_refused(podman, "m1", "10.44.0.77", "80"));
    let due = podman.isolatectl(&["verify", "--all"]);
    if due.well() || !due.out.contains("1 wanted are none") {
        complaints.push(format!("verify does not tell that something is due: {due}"));
    }
    let id = podman.must(&["inspect", "-f", "{{.Id}}", "m1"]);
    podman.isolatectl(&["peers", "settle", &id]).must();
    hold(&podman.isolatectl(&["verify", "--all"]), 3);
    if !fetch(podman, "m1", "10.44.0.77", "80").well() {
        complaints.push("m1 does not reach m2 at its new address".to_owned());
    }
    complaints.extend(is_refused(podman, "m1", "10.44.0.2", "80"));
    complaints
}

fn each_opening(podman: &Podman, network: &str, carried: &[&str], own: bool) -> Findings {
    let mut findings = Findings::default();
    findings.about("ingress", a_published_port_is_answered(podman, network, carried, own));
    for opening in ["job=train", "peers=10.44.0.1,10.44.0.2"] {
        findings.about(opening, two_reach_each_other_alone(podman, opening, carried));
    }
    findings
}

fn with_netavark(release: Release) {
    let podman = Podman::start(release, User::Root);
    each_opening(&podman, "--network=podman", &OPEN, true).settle();
}

#[test]
fn podman_4_with_netavark_opens_what_is_asked_for_and_nothing_else() {
    with_netavark(Release::Podman4);
}

#[test]
fn podman_5_with_netavark_opens_what_is_asked_for_and_nothing_else() {
    with_netavark(Release::Podman5);
}

#[test]
fn podman_with_cni_opens_what_is_asked_for_and_nothing_else() {
    let podman = Podman::start(Release::Podman4, User::Root);
    let config = std::fs::read_to_string(podman.host.at("containers.conf")).unwrap();
    podman.host.write("containers.conf", &config.replace("\"netavark\"", "\"cni\""));
    assert_eq!(podman.must(&["info", "-f", "{{.Host.NetworkBackend}}"]), "cni");
    each_opening(&podman, "--network=podman", &OPEN, true).settle();
}

/// On `network`, and refused on those to which Podman leads a published port by a process of its own in the
/// namespace.
fn rootless(release: Release, network: &str, by_process: &[&str]) {
    let podman = Podman::start(release, User::Rootless);
    let mut findings = each_opening(&podman, network, carried(release), false);
    for network in by_process {
        let said = run(&podman, "web", &[network, PUBLISHED[0]], Some("ingress=80/tcp"));
        let told = said.err.contains("(rootlessport) is in ")
            && said.err.contains("use --network=pasta, or before Podman 5 ")
            && said.err.contains("port_handler=slirp4netns");
        findings.claim(!said.well() && told, format!("{network}: {said}"));
        drop(podman.podman(&["rm", "-f", "-t=0", "web"]));
    }
    findings.settle();
}

#[test]
fn rootless_podman_4_opens_what_is_asked_for_and_nothing_else() {
    let network = "--network=slirp4netns:port_handler=slirp4netns";
    rootless(Release::Podman4, network, &["--network=slirp4netns", "--network=bridge"]);
}

#[test]
fn rootless_podman_5_opens_what_is_asked_for_and_nothing_else() {
    rootless(Release::Podman5, "--network=pasta:--no-splice", &["--network=bridge"]);
}
