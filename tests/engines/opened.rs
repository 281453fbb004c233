//! What stays open in an isolated container by `io.oci-isolate.ingress` and `io.oci-isolate.job`, behind real engines.
//!
//! Docker 28 and Podman only: Docker 20.10 cannot pass annotations, so nothing can be opened there.

use std::time::Duration;

use crate::harness::ISOLATE;
use crate::harness::capture::Capture;
use crate::harness::docker::{Docker, Release};
use crate::harness::findings::Findings;
use crate::harness::host::{Host, Kind};
use crate::harness::podman::{Podman, User};
use crate::harness::probe::{ITSELF, OPEN, Report};
use crate::harness::said::{say, wait_for};

const INGRESS: [&str; 4] = ["--annotation", ISOLATE, "--annotation", "io.oci-isolate.ingress=80/tcp"];
const JOB: [&str; 4] = ["--annotation", ISOLATE, "--annotation", "io.oci-isolate.job=train"];
/// Port 80 is the one that the containers serve; on 81 they do too, and nobody is let in.
const PUBLISHED: [&str; 2] = ["-p=8080:80", "-p=8081:81"];

/// Fetches the page from address `$0`, port `$1`. `grep` answers for it: 1 is "refused at once", 124 a hang.
const FETCH: &str = "exec 3<>/dev/tcp/$0/$1 && printf 'GET / HTTP/1.0\\r\\n\\r\\n' >&3 && grep inside <&3";

fn comes_to_answer(host: &Host, address: &str) -> bool {
    wait_for(Duration::from_secs(5), || host.world.can_connect(address).then_some(())).is_some()
}

/// The host's own request, and those from the outside.
fn answers_by_port_80_alone(host: &Host) -> Vec<String> {
    let mut complaints = Vec::new();
    if !comes_to_answer(host, "198.51.100.2:8080") {
        complaints.push("the published port does not answer".to_owned());
    }
    let said = say(host.command("timeout").args(["4", "bash", "-c", FETCH, "198.51.100.2", "8080"]));
    if !said.well() {
        complaints.push(format!("the published port does not answer the host: {said}"));
    }
    if host.world.can_connect("198.51.100.2:8081") {
        complaints.push("a published port answers that no ingress is asked for".to_owned());
    }
    complaints
}

#[test]
fn docker_a_published_port_is_answered_and_the_container_starts_nothing() {
    let docker = Docker::start(Release::Docker28);
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

    docker.background("web", &[&["--runtime=shim"], &INGRESS[..], &PUBLISHED].concat());
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
fn podman_a_published_port_is_answered_and_the_container_starts_nothing() {
    let podman = Podman::new(Kind::Machine, User::Root, "/usr/sbin/runc");
    let mut findings = Findings::default();
    for (name, runtime, asked) in [("bare", "bare", &[][..]), ("web", "oci-isolate", &INGRESS)] {
        let flags = ["-d", "--cap-add=NET_RAW", "--name", name];
        podman.run(runtime, &[&flags, asked, &PUBLISHED, &["probe", "httpd", "-f", "-h", "/www"]]).must();
        podman.must(&["exec", name, "httpd", "-p", "81", "-h", "/www"]);
        let probe = || Report::parse(&podman.must(&["exec", name, "probe", name]));
        if name == "web" {
            findings.about("web", answers_by_port_80_alone(&podman.host));
            let capture = Capture::start(&podman.host);
            findings.about("web", probe().silent(&ITSELF));
            findings.about("host", capture.saw_nothing());
        } else {
            let answers = comes_to_answer(&podman.host, "198.51.100.2:8081");
            findings.claim(answers, "port 8081 of a bare container does not answer");
            let capture = Capture::start(&podman.host);
            findings.about("bare", probe().reaches(&OPEN));
            findings.claim(capture.finish().len() > 20, "the capture saw next to nothing");
        }
        podman.must(&["rm", "-f", "-t=0", name]);
    }
    findings.settle();
}

/// A job on a network of its own, a bare container there, an isolated one without the job, and a service of the host.
struct Job(Docker);

const GATEWAY: &str = "10.44.0.254";
const NEIGHBOUR: &str = "10.44.0.9";

impl Job {
    fn start() -> Self {
        let job = Self(Docker::start(Release::Docker28));
        job.0.must(&["network", "create", "--subnet=10.44.0.0/24", "--gateway", GATEWAY, "own"]);
        job.0.background("service", &["--runtime=bare", "-p=8080:80"]);
        job.run("neighbour", 9, &["--runtime=bare"]);
        job.run("stranger", 8, &["--runtime=shim", "--annotation", ISOLATE]);
        for member in 1..=3 {
            let name = format!("--hostname=algo-{member}");
            job.run(&format!("m{member}"), member, &[&["--runtime=shim", &name], &JOB[..]].concat());
        }
        job
    }

    /// On the job's network, with an address that ends in `last`.
    fn run(&self, name: &str, last: u8, args: &[&str]) {
        let ip = format!("--ip=10.44.0.{last}");
        self.0.background(name, &[&["--network=own", ip.as_str()], args].concat());
    }

    /// Complaints unless the page is there, within the time that a program takes to start.
    fn reaches(&self, from: &str, address: &str, port: &str) -> Vec<String> {
        let fetch = ["exec", from, "timeout", "4", "bash", "-c", FETCH, address, port];
        let there = wait_for(Duration::from_secs(5), || self.0.docker(&fetch).well().then_some(())).is_some();
        if there { vec![] } else { vec![format!("{from} does not reach {address}:{port}")] }
    }

    /// Complaints unless it fails; at once, when it is isolated.
    fn misses(&self, from: &str, address: &str, port: &str) -> Vec<String> {
        let said = self.0.docker(&["exec", from, "timeout", "1", "bash", "-c", FETCH, address, port]);
        let right = said.status == Some(1) || from == "neighbour" && !said.well();
        if right { vec![] } else { vec![format!("{from} to {address}:{port}: {said}")] }
    }

    /// What has to hold for these members, whatever became of the others.
    fn holds(&self, when: &str, members: &[u8], findings: &mut Findings) {
        let mut complaints = Vec::new();
        for one in members {
            let member = format!("m{one}");
            for other in members.iter().filter(|other| *other != one) {
                complaints.extend(self.reaches(&member, &format!("algo-{other}"), "80"));
            }
            for (address, port) in [(NEIGHBOUR, "80"), ("10.44.0.8", "80"), (GATEWAY, "8080")] {
                complaints.extend(self.misses(&member, address, port));
            }
            for from in ["neighbour", "stranger"] {
                complaints.extend(self.misses(from, &format!("10.44.0.{one}"), "80"));
            }
        }
        findings.about(when, complaints);
        // What the members said to each other is over; from here on there is nothing to see.
        let capture = Capture::start(&self.0.host);
        for member in members {
            let name = format!("m{member}");
            findings.about(&format!("{when}: {name}"), self.0.probe_in(&name, &name).silent(&ITSELF));
        }
        findings.about(when, capture.saw_nothing());
    }
}

#[test]
fn docker_members_of_a_job_reach_each_other_by_name_and_nothing_else() {
    let job = Job::start();
    let mut findings = Findings::default();
    findings.about("bare", job.reaches("neighbour", GATEWAY, "8080"));
    findings.about("bare", job.0.probe_in("neighbour", "neighbour").reaches(&OPEN));
    findings.about("stranger", job.0.probe_in("stranger", "stranger").sealed(&ITSELF));
    job.holds("at first", &[1, 2, 3], &mut findings);

    job.0.must(&["restart", "-t=0", "m2"]);
    job.holds("m2 restarted", &[1, 2, 3], &mut findings);

    job.0.must(&["kill", "m3"]);
    job.0.must(&["rm", "m3"]);
    // Whoever gets the address of a member that is gone is no member.
    job.run("heir", 3, &["--runtime=bare"]);
    findings.about("bare", job.reaches("neighbour", "10.44.0.3", "80"));
    job.holds("m3 removed", &[1, 2], &mut findings);
    for member in ["m1", "m2"] {
        findings.about("m3 removed", job.misses(member, "10.44.0.3", "80"));
        findings.about("m3 removed", job.misses(member, "algo-3", "80"));
        let hosts = job.0.must(&["exec", member, "cat", "/etc/hosts"]);
        let named = hosts.lines().any(|line| !line.starts_with('#') && line.contains("algo-3"));
        findings.claim(!named, format!("{member} still knows algo-3:\n{hosts}"));
    }
    findings.settle();
}
