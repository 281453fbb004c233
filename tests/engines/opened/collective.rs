//! A training job of three services of compose: every pair talks over TCP and UDP, and Open MPI reduces over all three.

use std::time::Duration;

use super::{address, is_fetched_by_host, mpi};
use test_support::ISOLATE;
use test_support::capture::Capture;
use test_support::command::{Finished, say, wait_for};
use test_support::docker::{Docker, Release};
use test_support::findings::Findings;

const MEMBERS: [&str; 3] = ["algo-1", "algo-2", "algo-3"];

/// The members, a service that is isolated and of no job, and one that is not isolated.
fn compose_file(work: &str) -> String {
    let mut file = "services:\n".to_owned();
    for name in MEMBERS.into_iter().chain(["alone", "open"]) {
        file += &format!(
            "  {name}:\n    image: mpi\n    container_name: {name}\n    hostname: {name}\n    volumes: [\"{work}\"]\n    \
             command: sh -c \"mkdir -p /run/sshd; /usr/sbin/sshd; exec python3 /work/serve.py\"\n"
        );
        file += match name {
            "open" => "    runtime: bare\n",
            _ => "    runtime: shim\n    annotations:\n",
        };
        if name != "open" {
            file += &format!("      - {ISOLATE}\n");
        }
        if name.starts_with("algo") {
            file += "      - io.oci-isolate.job=train-7\n";
        }
    }
    file
}

fn pairs(docker: &Docker, from: &str, to: &[&str]) -> Finished {
    docker.docker(&[&["exec", from, "python3", "/work/pairs.py"], to].concat())
}

fn reduce(docker: &Docker, from: &str, hosts: &[&str]) -> Finished {
    let hosts = hosts.join(",");
    let root = ["-e", "OMPI_ALLOW_RUN_AS_ROOT=1", "-e", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1"];
    let run = ["timeout", "50", "mpirun", "--host", &hosts, "python3", "/work/reduce.py"];
    docker.docker(&[&["exec"], &root[..], &[from], &run].concat())
}

#[test]
fn docker_three_services_of_compose_reduce_with_open_mpi_and_reach_nobody_else() {
    let docker = Docker::start(Release::Docker28);
    let [_, work] = mpi(&docker);
    let mut findings = Findings::default();
    let file = docker.host.write("compose.yaml", &compose_file(&work));
    let mut compose = docker.client("/usr/bin/docker");
    say(compose.args(["compose", "-p", "demo", "-f", &file, "up", "-d"])).must();
    let addresses = MEMBERS.map(|member| address(&docker, member));
    let [alone, open] = ["alone", "open"].map(|name| address(&docker, name));
    for name in MEMBERS.into_iter().chain(["open"]) {
        let served = wait_for(Duration::from_secs(20), || {
            docker
                .docker(&["exec", name, "python3", "/work/pairs.py", "127.0.0.1"])
                .out
                .contains("udp")
                .then_some(())
        });
        findings.claim(served.is_some(), format!("{name} does not come to serve"));
    }

    for from in MEMBERS {
        let others: Vec<_> = MEMBERS.into_iter().filter(|other| *other != from).collect();
        let talks: Vec<_> = others.iter().map(|other| format!("tcp {other}\nudp {other}")).collect();
        let said = pairs(&docker, from, &others);
        findings.claim(said.out == talks.join("\n"), format!("{from}: {said}"));
        let said = pairs(&docker, from, &[&open, &alone]);
        let errors = said.out.lines().filter(|line| line.ends_with("[Errno 111] Connection refused")).count();
        findings.claim(errors == 2, format!("{from} reaches those of no job: {said}"));
    }
    findings.about("open", is_fetched_by_host(&docker.host, &open, "8080"));
    for from in ["open", "alone"] {
        let said = pairs(&docker, from, &[&addresses[0]]);
        findings.claim(said.out.starts_with("error"), format!("{from} reaches a member: {said}"));
    }

    let capture = Capture::start(&docker.host);
    let said = reduce(&docker, "algo-1", &MEMBERS);
    let mut sums: Vec<_> = said.out.lines().collect();
    sums.sort_unstable();
    let right = MEMBERS.map(|member| format!("{member} 3 6 6.0 6.0"));
    findings.claim(sums == right, format!("the sums are wrong: {said}"));
    let packets = capture.finish();
    findings.claim(packets.len() > 100, format!("three members reduce with {} packets", packets.len()));
    let others = packets.iter().filter(|packet| !is_between(packet, &addresses));
    findings.about("while they reduce", others.take(5).cloned().collect());
    let said = reduce(&docker, "alone", &["alone", &addresses[1]]);
    findings.claim(!said.well(), format!("a container of no job computes with a member: {said}"));
    findings.settle();
}

/// Whether both ends of a packet, as tcpdump shows it (`IP 10.0.0.2.22 > 10.0.0.3.4711: ...`), are of these.
fn is_between(packet: &str, addresses: &[String]) -> bool {
    let Some((before, behind)) = packet.split_once(" > ") else { return false };
    let is_one = |end: Option<&str>| {
        end.is_some_and(|end| {
            addresses.iter().any(|address| {
                end.strip_prefix(address.as_str()).is_some_and(|port| port.starts_with(['.', ':']))
            })
        })
    };
    is_one(before.split(' ').next_back()) && is_one(behind.split(' ').next())
}
