//! Attempts of a container as Docker makes it: counted while it runs, and written down when it is removed.

use serde_json::Value;

use test_support::capture::Capture;
use test_support::command::say;
use test_support::docker::{Docker, Release};
use test_support::findings::Findings;

/// Seven of a destination that no other engine's network has: the address of the metadata service.
const TRIES: &str = "
    times() { for n in $(seq $1); do (exec 3<>/dev/$2; echo >&3) 2>/dev/null; done; }
    times 3 tcp/1.2.3.4/443; times 5 udp/8.8.8.8/53; times 2 tcp/2001:db8::1/443
    times 7 tcp/169.254.169.254/80; times 6 udp/127.0.0.11/53; times 4 tcp/127.0.0.1/9; true";

const TRIED: [(&str, &str, u64, u64); 5] = [
    ("tcp", "1.2.3.4", 443, 3),
    ("udp", "8.8.8.8", 53, 5),
    ("tcp", "2001:db8::1", 443, 2),
    ("tcp", "169.254.169.254", 80, 7),
    ("udp", "127.0.0.11", 53, 6),
];

#[test]
fn what_a_container_of_docker_tried_is_counted_and_written_down() {
    let docker = Docker::start_with(Release::Docker28, Some(""));
    let mut findings = Findings::default();
    let log = docker.host.at("audit.log");
    docker.host.write("settings.toml", &format!("[attempts]\ncount = true\n[audit]\nfile = {log:?}\n"));
    docker.must(&["network", "create", "own"]);
    let capture = Capture::start(&docker.host);
    let flags = [&["-d", "--name=web", "--network=own"], docker.isolation(), &["probe", "sleep", "1000"]];
    docker.run(&flags).must();
    docker.must(&["exec", "web", "bash", "-c", TRIES]);
    let isolatectl = docker.host.at("isolatectl");
    std::fs::copy(test_support::isolatectl(), &isolatectl).unwrap();
    let id = docker.must(&["inspect", "-f", "{{.Id}}", "web"]);
    let ctl = |args: &[&str]| say(docker.host.command(&isolatectl).args(args));
    let told: Value = serde_json::from_str(&ctl(&["--json", "attempts", &id]).must()).unwrap();
    let told: Vec<_> = told["attempts"].as_array().unwrap().iter().collect();
    for (protocol, address, port, count) in TRIED {
        let is = |told: &&&Value| {
            told["protocol"] == protocol && told["address"] == address && told["port"] == port
        };
        let counted = told.iter().find(is).map(|told| told["count"].clone());
        findings.claim(counted == Some(count.into()), format!("{protocol} {address}:{port}: {counted:?}"));
    }
    findings.claim(told.len() == TRIED.len(), format!("{told:#?}"));
    findings.claim(ctl(&["verify", "--all"]).well(), "a container that counts does not hold");
    docker.must(&["rm", "-f", "web"]);
    findings.about("host", capture.saw_nothing());
    let lines = std::fs::read_to_string(&log).unwrap();
    let line = lines.lines().find(|line| line.contains(r#""decision":"attempts""#)).unwrap_or_default();
    findings.claim(line.contains("5 destinations, 23 packets: tcp 1.2.3.4:443 3, "), lines.clone());
    findings.settle();
}
