//! pasta, which carries the network of Podman 5's containers without root: what it leads in and out beside
//! its tap device.

use std::time::Duration;

use super::podman::{probe, run, serve};
use super::{FETCH, comes_to_answer, is_fetched_by_host};
use test_support::ISOLATE;
use test_support::capture::Capture;
use test_support::command::{Finished, say, wait_for};
use test_support::findings::Findings;
use test_support::host::EngineHost;
use test_support::podman::{Podman, Release, User};
use test_support::probe::ITSELF;

const INGRESS: Option<&str> = Some("ingress=80/tcp");

/// The word comes back from address `$0`, port `$1`.
const ECHO: &str = "exec 3<>/dev/udp/$0/$1 && echo outside >&3 && timeout 2 grep -m1 outside <&3";

/// Ends with 0 when something that is not the container answers.
fn asks(podman: &Podman, from: &str, what: &str, address: &str, port: &str) -> Finished {
    podman.podman(&["exec", from, "timeout", "4", "bash", "-c", what, address, port])
}

/// The page of a server outside of the container.
fn page() -> String {
    FETCH.replace("inside", "outside")
}

/// Whether a container's page comes to the host's loopback.
fn is_answered_by_loopback(host: &EngineHost, port: &str) -> bool {
    is_fetched_by_host(host, "127.0.0.1", port).is_empty()
}

/// Whether it does not at the first try, where the same has been answered at another port.
fn is_silent(host: &EngineHost, address: &str, port: &str) -> bool {
    !say(host.command("timeout").args(["2", "bash", "-c", FETCH, address, port])).well()
}

fn remove(podman: &Podman) {
    podman.must(&["rm", "-f", "-t=0", "-a"]);
}

/// `run` of an isolated container without an opening.
fn shut(podman: &Podman, name: &str, flags: &[&str]) {
    let isolated = ["-d", "--name", name, "--annotation", ISOLATE];
    podman.run("oci-isolate", &[&isolated, flags, &["probe", "httpd", "-f", "-h", "/www"]]).must();
}

#[test]
fn a_port_that_pasta_publishes_answers_only_with_ingress() {
    let podman = Podman::start(Release::Podman5, User::Rootless);
    let host = &podman.host;
    let mut findings = Findings::default();
    serve(&podman, "bare", &["-p=8080:80"], None);
    shut(&podman, "shut", &["-p=8082:80"]);
    // Its health check is an exec, and so is the probe.
    let healthy = ["-p=8081:80", "--health-cmd=wget -qO- http://127.0.0.1/"];
    serve(&podman, "web", &healthy, INGRESS);
    for port in ["8080", "8081"] {
        findings
            .claim(comes_to_answer(host, &format!("198.51.100.2:{port}")), format!("{port} does not answer"));
        findings.claim(
            is_answered_by_loopback(host, port),
            format!("{port} does not answer the host's loopback"),
        );
    }
    for address in ["198.51.100.2:8082", "[2001:db8:b::2]:8082"] {
        findings.claim(!host.world.can_connect(address), format!("{address} answers without ingress"));
    }
    findings
        .claim(!is_answered_by_loopback(host, "8082"), "8082 answers the host's loopback without ingress");
    findings.about("bare", probe(&podman, "bare").reaches(crate::podman_claims::carried(podman.release)));
    let capture = Capture::start(host);
    findings.about("shut", probe(&podman, "shut").sealed(&ITSELF));
    findings.about("web", probe(&podman, "web").silent(&ITSELF));
    findings.about("host", capture.saw_nothing());
    let healthy = podman.podman(&["healthcheck", "run", "web"]);
    findings.claim(healthy.well(), format!("the health check: {healthy}"));
    crate::verified::hold(&podman.isolatectl(&["verify", "--all"]), 2);
    findings.settle();
}

#[test]
fn what_pasta_splices_out_to_the_hosts_loopback_is_closed() {
    let podman = Podman::start(Release::Podman5, User::Rootless);
    let host = &podman.host;
    let mut findings = Findings::default();
    host.world.serve_on_loopback(9999);
    let page = page();
    // Bare, each of them leads to the host's loopback: by -T and -U, and by an address that stands for the
    // host.
    let ways = [
        ("--network=pasta:-T,9999,-U,9999", "127.0.0.1", true),
        ("--network=pasta:-T,auto,-U,auto", "127.0.0.1", true),
        ("--network=pasta:--map-gw", "198.51.100.1", false),
        ("--network=pasta:--map-host-loopback,198.51.100.9", "198.51.100.9", false),
    ];
    for (network, address, splices) in ways {
        serve(&podman, "bare", &[network], None);
        shut(&podman, "shut", &[network]);
        for what in [&page, ECHO] {
            // pasta looks for new ports now and then.
            let answered = || asks(&podman, "bare", what, address, "9999").well().then_some(());
            let open = wait_for(Duration::from_secs(10), answered);
            findings.claim(open.is_some(), format!("{network}: a bare container is not open: {what}"));
            let said = asks(&podman, "shut", what, address, "9999");
            findings.claim(!said.well(), format!("{network}: {said}"));
        }
        let said = run(&podman, "web", &[network], INGRESS);
        if splices {
            let named = said.err.contains("pasta leads from the container's loopback to the host's (-T ");
            findings.claim(!said.well() && named, format!("{network}: {said}"));
        } else {
            for what in [&page, ECHO] {
                let said = asks(&podman, "web", what, address, "9999");
                findings.claim(!said.well(), format!("{network}, ingress: {said}"));
            }
        }
        remove(&podman);
    }
    findings.settle();
}

#[test]
fn a_way_out_that_pasta_opens_later_is_refused_before() {
    let podman = Podman::start(Release::Podman5, User::Rootless);
    let host = &podman.host;
    let mut findings = Findings::default();
    let page = page();
    // By itself, when a program listens, or told by pesto(1).
    let socket = "/run/user/59999/pesto";
    for (network, told) in [("pasta:-T,auto", false), (&*format!("pasta:-c,{socket}"), true)] {
        let port = if told { "9997" } else { "9998" };
        let network = format!("--network={network}");
        serve(&podman, "bare", &[&network], None);
        host.world.serve_on_loopback(port.parse().unwrap());
        if told {
            podman.must(&["unshare", "pesto", "--add", "-T", port, socket]);
        }
        let opened = || asks(&podman, "bare", &page, "127.0.0.1", port).well().then_some(());
        let open = wait_for(Duration::from_secs(10), opened);
        findings.claim(open.is_some(), format!("{network}: a bare container is not open"));
        remove(&podman);
        let said = run(&podman, "web", &[&network], INGRESS);
        let named = ["(-T auto); drop -T", "option -c of pasta is not known"]
            .iter()
            .any(|why| said.err.contains(why));
        findings.claim(!said.well() && named, format!("{network}: {said}"));
        remove(&podman);
    }
    findings.settle();
}

#[test]
fn a_published_port_that_pasta_splices_past_the_firewall_is_refused() {
    let podman = Podman::start(Release::Podman5, User::Rootless);
    let host = &podman.host;
    let mut findings = Findings::default();
    let published = ["-p=8080:80", "-p=8081:81"];
    // Published and not open; and open to others than the host.
    for opening in ["ingress=80/tcp", "ingress=80/tcp, 81/tcp from 203.0.113.0/24"] {
        let said = run(&podman, "web", &published, Some(opening));
        let named =
            said.err.contains("(-t 8080-8081:80-81)") && said.err.contains("--network=pasta:--no-splice");
        findings.claim(!said.well() && named, format!("{opening}: {said}"));
        remove(&podman);
        serve(&podman, "web", &[&published[..], &["--network=pasta:--no-splice"]].concat(), Some(opening));
        podman.must(&["exec", "web", "httpd", "-p", "81", "-h", "/www"]);
        findings
            .claim(comes_to_answer(host, "198.51.100.2:8080"), format!("{opening}: 8080 does not answer"));
        findings.claim(
            is_answered_by_loopback(host, "8080"),
            format!("{opening}: 8080 does not answer the host"),
        );
        for address in ["127.0.0.1", "198.51.100.2"] {
            findings.claim(is_silent(host, address, "8081"), format!("{opening}: {address}:8081 answers"));
        }
        remove(&podman);
    }
    serve(&podman, "bare", &published, None);
    podman.must(&["exec", "bare", "httpd", "-p", "81", "-h", "/www"]);
    findings.claim(is_answered_by_loopback(host, "8081"), "a bare container's 8081 does not answer");
    findings.settle();
}
