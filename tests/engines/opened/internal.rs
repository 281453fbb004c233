//! `--internal` networks. Docker publishes nothing there (moby#36174), and a container still reaches the host.

use std::net::TcpListener;

use super::{address, is_fetched_by, is_fetched_by_host, opened, strs};
use test_support::docker::{Docker, Release};
use test_support::findings::Findings;

#[test]
fn docker_on_an_internal_network_openings_work_and_the_host_is_out_of_reach() {
    let docker = Docker::start(Release::Docker28);
    let mut findings = Findings::default();
    docker.must(&[
        "network",
        "create",
        "--internal",
        "--subnet=10.44.0.0/24",
        "--gateway=10.44.0.254",
        "own",
    ]);
    // The kernel accepts for it.
    let _service = docker.host.world.host.inside(|| TcpListener::bind("0.0.0.0:7070").unwrap());
    let bare = ["--runtime=bare".to_owned()];
    let member = opened(&docker, "job=train");
    let web = opened(&docker, "ingress=80/tcp");
    for (name, words) in [("bare", &bare[..]), ("web", &web), ("one", &member), ("two", &member)] {
        let own = ["--network=own", "--hostname", name, "-p=80"];
        docker.background(name, &[&own, &strs(words)[..]].concat());
    }
    let connects = |from: &str| {
        let connect = "exec 3<>/dev/tcp/10.44.0.254/7070";
        docker.docker(&["exec", from, "timeout", "2", "bash", "-c", connect])
    };
    for name in ["bare", "web"] {
        let port = docker.must(&["port", name]);
        findings.claim(port.is_empty(), format!("Docker publishes on an internal network now: {port}"));
        findings.about(name, is_fetched_by_host(&docker.host, &address(&docker, name), "80"));
    }
    let said = connects("bare");
    findings.claim(said.well(), format!("a bare container does not reach the host: {said}"));
    for name in ["web", "one"] {
        let said = connects(name);
        findings.claim(said.status == Some(1), format!("{name} reaches the host, or waits: {said}"));
    }
    for (from, to) in [("one", "two"), ("two", "one")] {
        findings.about("job", is_fetched_by(&docker, from, to, "80"));
    }
    findings.settle();
}
