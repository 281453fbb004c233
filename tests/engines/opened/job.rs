//! `job`: members reach each other by name, and nothing else; who comes, goes or moves.

use super::{FETCH, id, is_fetched_by, isolatectl, opened, strs};
use test_support::capture::Capture;
use test_support::docker::{Docker, Release};
use test_support::findings::Findings;
use test_support::probe::{ITSELF, OPEN};

/// A job on a network of its own, a bare container there, an isolated one without the job, and a service of the host.
struct Job(Docker);

const GATEWAY: &str = "10.44.0.254";
const NEIGHBOUR: &str = "10.44.0.9";

impl Job {
    fn start(release: Release) -> Self {
        let job = Self(Docker::start(release));
        job.0.must(&["network", "create", "--subnet=10.44.0.0/24", "--gateway", GATEWAY, "own"]);
        job.0.background("service", &["--runtime=bare", "-p=8080:80"]);
        job.run("neighbour", 9, &["--runtime=bare"]);
        job.run("stranger", 8, job.0.isolation());
        let asked = opened(&job.0, "job=train");
        for member in 1..=3 {
            let name = format!("--hostname=algo-{member}");
            job.run(&format!("m{member}"), member, &[&[name.as_str()], &strs(&asked)[..]].concat());
        }
        job
    }

    /// On the job's network, with an address that ends in `last`.
    fn run(&self, name: &str, last: u8, args: &[&str]) {
        let ip = format!("--ip=10.44.0.{last}");
        self.0.background(name, &[&["--network=own", ip.as_str()], args].concat());
    }

    fn reaches(&self, from: &str, address: &str, port: &str) -> Vec<String> {
        is_fetched_by(&self.0, from, address, port)
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

fn members_reach_each_other_by_name_and_nothing_else(release: Release) {
    let job = Job::start(release);
    let mut findings = Findings::default();
    findings.about("bare", job.reaches("neighbour", GATEWAY, "8080"));
    findings.about("bare", job.0.probe_in("neighbour", "neighbour").reaches(&OPEN));
    findings.about("stranger", job.0.probe_in("stranger", "stranger").sealed(&ITSELF));
    job.holds("at first", &[1, 2, 3], &mut findings);

    job.0.must(&["restart", "-t=0", "m2"]);
    job.holds("m2 restarted", &[1, 2, 3], &mut findings);

    job.0.must(&["kill", "m3"]);
    job.0.must(&["rm", "m3"]);
    // A container that gets the address of a former member is no member.
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

#[test]
fn docker_20_members_of_a_job_that_the_settings_name_reach_each_other_by_name_and_nothing_else() {
    members_reach_each_other_by_name_and_nothing_else(Release::Docker20);
}

#[test]
fn docker_28_members_of_a_job_reach_each_other_by_name_and_nothing_else() {
    members_reach_each_other_by_name_and_nothing_else(Release::Docker28);
}

/// The engine calls no runtime for either, so `isolatectl` is told.
#[test]
fn docker_a_member_that_moves_by_network_disconnect_and_connect_is_covered_and_a_peer_once_settled() {
    let job = Job::start(Release::Docker28);
    let docker = &job.0;
    let mut findings = Findings::default();
    findings.about("at first", job.reaches("m1", "algo-2", "80"));
    docker.must(&["network", "disconnect", "own", "m2"]);
    findings.about("disconnected", job.misses("m2", "algo-1", "80"));
    docker.must(&["network", "connect", "--ip=10.44.0.2", "own", "m2"]);
    job.holds("connected again", &[1, 2, 3], &mut findings);

    docker.must(&["network", "disconnect", "own", "m2"]);
    docker.must(&["network", "connect", "--ip=10.44.0.77", "own", "m2"]);
    for from in ["m1", "neighbour", "stranger"] {
        findings.about("moved", job.misses(from, "10.44.0.77", "80"));
    }
    for address in [NEIGHBOUR, "10.44.0.8", GATEWAY] {
        findings.about("moved", job.misses("m2", address, "80"));
    }
    let verify = isolatectl(docker, &["verify", &id(docker, "m1")]);
    let told = verify.out.contains("peers are not wanted, and");
    findings.claim(told, format!("isolatectl verify does not tell: {verify}"));
    isolatectl(docker, &["peers", "settle", &id(docker, "m2")]).must();
    for (from, to) in [("m1", "algo-2"), ("m3", "10.44.0.77"), ("m2", "algo-1"), ("m2", "algo-3")] {
        findings.about("settled", job.reaches(from, to, "80"));
    }
    job.run("heir", 2, &["--runtime=bare"]);
    findings.about("settled", job.misses("m1", "10.44.0.2", "80"));
    findings.about("settled", job.misses("neighbour", "10.44.0.77", "80"));
    for name in ["m1", "m2", "m3"] {
        let said = isolatectl(docker, &["verify", &id(docker, name)]);
        findings.claim(said.well(), format!("{said}"));
    }
    findings.settle();
}
