//! An inference service in Python behind a published port, as SageMaker calls one.

use std::process::{Child, Stdio};
use std::time::Duration;

use super::{client, comes_to_answer, id, isolatectl, mpi, strs};
use test_support::ISOLATE;
use test_support::capture::Capture;
use test_support::command::{say, wait_for};
use test_support::docker::{Docker, Release};
use test_support::findings::Findings;

const REQUESTS: u32 = 500;

/// What a bare container sends with an address that is not its own, as tcpdump shows it.
const SPOOFED: [&str; 3] =
    ["10.44.0.66.9 > 10.44.0.9.9:", "fd44::66.9001 > fd44::9.9:", "fd44::66.9001 > 2001:db8:a::7.9:"];

/// A service on a network where it has one neighbour, who is its peer.
struct Service {
    docker: Docker,
    work: [String; 2],
}

impl Service {
    fn run(&self, name: &str, last: u8, words: &[&str]) {
        let (ip, ip6) = (format!("--ip=10.44.0.{last}"), format!("--ip6=fd44::{last}"));
        let own = ["-d", "--name", name, "--network=own", &ip, &ip6];
        let serve = ["mpi", "python3", "/work/serve.py"];
        self.docker.run(&[&own, &strs(&self.work)[..], words, &serve]).must();
    }

    /// Complaints about requests of a client outside that were not answered, or not as they should be.
    fn loses(&self) -> Vec<String> {
        let host = &self.docker.host;
        if !comes_to_answer(host, "198.51.100.2:8080") {
            return vec!["it does not come to answer".to_owned()];
        }
        let body = host.write("body", r#"{"instances": [1, 2, 3]}"#);
        let count = REQUESTS.to_string();
        let words = ["-q", "-n", &count, "-c", "8", "-T", "application/json", "-p", &body];
        let url = "http://198.51.100.2:8080/invocations";
        let mut complaints = Vec::new();
        for keep_alive in [&[][..], &["-k"]] {
            let said = say(client(host, "ab").args(words).args(keep_alive).arg(url));
            let says = |line: &str| {
                said.out.lines().any(|l| l.split_whitespace().collect::<Vec<_>>().join(" ") == line)
            };
            let all = says(&format!("Complete requests: {REQUESTS}")) && says("Failed requests: 0");
            if !all || said.out.contains("Non-2xx") {
                complaints.push(format!("requests were lost: {said}"));
            }
        }
        let pairs = say(client(host, "python3").args([&host.at("programs/pairs.py"), "198.51.100.2"]));
        if pairs.out != "tcp 198.51.100.2\nudp 198.51.100.2" {
            complaints.push(format!("long answers do not come back: {pairs}"));
        }
        complaints
    }

    fn outward(&self, name: &str) -> String {
        self.docker.must(&["exec", name, "python3", "/work/outward.py"])
    }
}

/// One connection from a client outside that is kept and used all the time.
struct Talk<'a>(&'a Docker, Child);

impl<'a> Talk<'a> {
    fn start(docker: &'a Docker) -> Self {
        let mut talk = client(&docker.host, "python3");
        talk.args([&docker.host.at("programs/talk.py"), "198.51.100.2", &docker.host.at("talk")]);
        Self(docker, talk.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
    }

    fn said(&self) -> String {
        std::fs::read_to_string(self.0.host.dir().join("talk")).unwrap_or_default()
    }
}

impl Drop for Talk<'_> {
    fn drop(&mut self) {
        drop(say(test_support::command::command("kill").arg(self.1.id().to_string())));
        drop(self.1.wait());
    }
}

/// Whether more answers come than there were; not when the connection is broken.
fn goes_on(said: impl Fn() -> String) -> bool {
    let count = || said().trim().parse::<u32>().ok();
    let before = count().unwrap_or_default();
    wait_for(Duration::from_secs(10), || count().is_some_and(|now| now > before).then_some(())).is_some()
}

#[test]
fn docker_an_inference_service_loses_no_request_and_long_connections_outlive_a_change_of_peers() {
    let docker = Docker::start(Release::Docker28);
    let work = mpi(&docker);
    let subnets = ["--subnet=10.44.0.0/24", "--gateway=10.44.0.254", "--ipv6", "--subnet=fd44::/64"];
    docker.must(&[&["network", "create"], &subnets[..], &["own"]].concat());
    let service = Service { docker, work };
    let docker = &service.docker;
    let mut findings = Findings::default();
    service.run("neighbour", 9, &["--runtime=bare"]);
    let published = ["-p=8080:8080", "-p=9000:9000/udp"];

    service.run("bare", 5, &[&["--runtime=bare"], &published[..]].concat());
    findings.about("bare", service.loses());
    // At first a datagram may still wait for its neighbour to be found.
    let mut seen = String::new();
    let spoofs = wait_for(Duration::from_secs(20), || {
        let capture = Capture::start(&docker.host);
        seen = service.outward("bare");
        let packets = capture.finish();
        seen += &packets
            .iter()
            .filter(|packet| packet.contains("66.9"))
            .fold(String::new(), |all, p| all + "\n" + p);
        let goes = |ends: &&str| packets.iter().any(|packet| packet.contains(*ends));
        (seen.matches("went out").count() == 5 && SPOOFED.iter().all(goes)).then_some(())
    });
    findings.claim(spoofs.is_some(), format!("a bare container is not open: {seen}"));
    docker.must(&["rm", "-f", "bare"]);

    let asked = [
        "--runtime=shim",
        "--annotation",
        ISOLATE,
        "--annotation",
        "io.oci-isolate.ingress=8080/tcp, 9000/udp",
        "--annotation",
        "io.oci-isolate.peers=10.44.0.9, fd44::9",
    ];
    service.run("web", 5, &[&asked[..], &published].concat());
    findings.about("web", service.loses());
    let capture = Capture::start(&docker.host);
    let said = service.outward("web");
    let refused = "tcp from 8080: Connection refused\nudp from 9001: Operation not permitted\n\
                   spoofed IPv4 to a peer: Operation not permitted\n\
                   spoofed IPv6 to a peer: Operation not permitted\n\
                   spoofed IPv6 outward: Operation not permitted";
    findings.claim(said == refused, format!("it speaks outward: {said}"));
    findings.about("host", capture.saw_nothing());

    docker.must(&["exec", "-d", "web", "python3", "/work/talk.py", "10.44.0.9", "/tmp/talk"]);
    let to_peer = || docker.docker(&["exec", "web", "cat", "/tmp/talk"]).out;
    let inbound = Talk::start(docker);
    let web = id(docker, "web");
    for round in 10..20 {
        let other = format!("10.44.0.{round}");
        for words in [&["add", &web, &other, "10.46.0.0/24"][..], &["remove", &web, &other, "10.46.0.0/24"]] {
            isolatectl(docker, &[&["peers"], words].concat()).must();
        }
        isolatectl(docker, &["peers", "set", &web, "10.44.0.9", &other]).must();
    }
    findings.claim(goes_on(|| inbound.said()), format!("the client's connection: {}", inbound.said()));
    findings.claim(goes_on(to_peer), format!("the connection to the peer: {}", to_peer()));

    isolatectl(docker, &["peers", "set", &web, "10.44.0.8"]).must();
    let broken = wait_for(Duration::from_secs(10), || to_peer().starts_with("broken").then_some(()));
    findings.claim(broken.is_some(), format!("one that is no peer any more still answers: {}", to_peer()));
    findings.claim(goes_on(|| inbound.said()), format!("the client's connection: {}", inbound.said()));
    findings.settle();
}
