//! Openings that cannot be meant, as a user meets them: `docker run` says why, and nothing is left of it.

use std::time::Duration;

use super::{address, id, isolatectl};
use test_support::command::{Finished, say, wait_for};
use test_support::docker::{Docker, Release};
use test_support::findings::Findings;

/// Annotations without their `io.oci-isolate.`, other flags, and what `docker run` says.
const REFUSED: &[(&str, &[&str], &str)] = &[
    ("ingress=", &[], "annotation io.oci-isolate.ingress: it is empty; leave it away"),
    (
        "ingress=http",
        &[],
        "annotation io.oci-isolate.ingress: \"http\": \"http\" is not a valid port; ports go from 1 to 65535",
    ),
    ("ingress=80 from ::ffff:10.0.0.1", &[], "\"::ffff:10.0.0.1\" is an IPv4 address in the form of IPv6"),
    ("ingress=80 from 0.0.0.0/0", &[], "\"0.0.0.0/0\" is every address"),
    ("peers=10.0.0.1,,10.0.0.2", &[], "annotation io.oci-isolate.peers: item 2 is empty"),
    ("peers=::/0", &[], "annotation io.oci-isolate.peers: \"::/0\" is every address"),
    ("peers=10.0.1.5/24", &[], "\"10.0.1.5/24\" has host bits set; write 10.0.1.0/24 or 10.0.1.5"),
    (
        "peers=169.254.169.254",
        &[],
        "\"169.254.169.254\" is link-local, with the metadata services of most clouds",
    ),
    ("peers=172.17.0.1", &[], "peer 172.17.0.1 is the host's own address"),
    ("job=a b", &[], "\"a b\" is not a valid name of a job: 1 to 128 letters, digits and . _ / : -"),
    ("job=$(id)", &[], "\"$(id)\" is not a valid name of a job"),
    ("ingress=80", &["--network=none"], "ingress is asked for, and it has no network (--network none?)"),
    (
        "ingress=80",
        &["--network=host"],
        "the network namespace is the host's, and nothing can be opened in that; drop --network=host",
    ),
    (
        "ingress=80",
        &["--network=container:bare"],
        "and is not of an isolated container; nothing is opened for it",
    ),
    ("ingress=80", &["--network=container:shut"], ", and nothing can be opened in it any more"),
    ("ingress=80", &["--network=container:m1"], "for which other ports or peers are open; ask for the same"),
    ("job=train", &["--hostname=M1"], "of the job have the same host name, "),
    (
        "job=train",
        &["--privileged"],
        "; drop --cap-add and --privileged, privileged: true in Kubernetes, or set [rules] host-capabilities",
    ),
];

#[test]
fn docker_says_why_openings_are_refused_and_nothing_is_left() {
    let docker = Docker::start(Release::Docker28);
    let mut findings = Findings::default();
    docker.background("bare", &["--runtime=bare"]);
    docker.background("shut", docker.isolation());
    let job = ["--annotation", "io.oci-isolate.job=train", "--hostname=m1"];
    docker.background("m1", &[docker.isolation(), &job].concat());
    let state = "find /run/oci-isolate -type f ! -name 'runtime-*' | sort; ip -o link | cut -d: -f2; lsns -t net -n -o NS | sort -u";
    let before = docker.host.sh(state).must();
    let refused = |what: &str, said: Finished, why: &str| {
        let named = said.err.contains("oci-isolate: container ") && said.err.contains(why);
        let right = !said.well() && said.out.is_empty() && named;
        if right { vec![] } else { vec![format!("{what}: {said}")] }
    };
    for (annotation, flags, why) in REFUSED {
        let annotation = format!("io.oci-isolate.{annotation}");
        let asked = ["--annotation", &annotation];
        let said = docker.run(&[&["--rm"], docker.isolation(), &asked, flags, &["probe", "echo", "ran"]]);
        findings.about("run", refused(&annotation, said, why));
    }
    // Longer than one argument can be: by compose.
    let peers: Vec<_> =
        (0..100_000).map(|n: u32| format!("10.{}.{}.{}", n >> 16, n >> 8 & 255, n & 255)).collect();
    let file = format!(
        "services:\n  many:\n    image: probe\n    runtime: shim\n    command: echo ran\n    annotations:\n      \
         io.oci-isolate.network-isolation: 'true'\n      io.oci-isolate.peers: '{}'\n",
        peers.join(",")
    );
    let file = docker.host.write("many.yaml", &file);
    let compose = |words: &[&str]| {
        say(docker.client("/usr/bin/docker").args(["compose", "-p", "many", "-f", &file]).args(words))
    };
    let said = compose(&["up"]);
    let why = "annotation io.oci-isolate.peers: it has 100000 items; at most 16384 are taken";
    findings.claim(!said.well() && said.err.contains(why), format!("100,000 peers: {said}"));
    compose(&["down", "-t", "0"]).must();

    // The kernel takes its time to take links and namespaces away.
    let is_as_before = || (docker.host.sh(state).must() == before).then_some(());
    if wait_for(Duration::from_secs(20), is_as_before).is_none() {
        let after = docker.host.sh(state).must();
        findings.claim(false, format!("something was left: before\n{before}\nafter\n{after}"));
    }
    // The job goes on as if no container had asked to join it.
    let m1 = id(&docker, "m1");
    let said = isolatectl(&docker, &["verify", &m1]);
    findings.claim(said.well() && !address(&docker, "m1").is_empty(), format!("m1: {said}"));
    findings.settle();
}
