//! The network of a subnet: data comes through its namespace and nothing else. The host of these tests is a namespace, too, which has
//! another server at the same address.

use std::fs;
use std::net::SocketAddr;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use isolate_job::progress::Fault;
use serde_json::json;

use crate::run::{Ended, Place};
use crate::server::{Moto, program};

const SERVER: &str = "10.99.0.1:5000";

/// A network namespace, until it is dropped.
struct Netns(String);

impl Netns {
    fn new(name: &str) -> Self {
        let name = format!("isolate-job-{}-{name}", std::process::id());
        run(&["ip", "netns", "add", &name]);
        let netns = Self(name);
        netns.run(&["ip", "link", "set", "lo", "up"]);
        netns
    }

    fn run(&self, words: &[&str]) -> String {
        run(&[&["ip", "netns", "exec", &self.0], words].concat())
    }

    fn words(&self) -> [&str; 4] {
        ["ip", "netns", "exec", &self.0]
    }

    fn path(&self) -> String {
        format!("/run/netns/{}", self.0)
    }

    /// moto in it, at the address, with one object.
    fn serve(&self, content: &str) -> Moto {
        let moto = Moto::spawn(&self.words(), "10.99.0.1", 5000, SERVER.parse().unwrap());
        let script = format!(
            "import urllib.request as u\n\
             for path, body in (('', b''), ('/t/a', b'{content}')):\n\
             \x20   u.urlopen(u.Request('http://{SERVER}/data' + path, body, {{'Content-Type': 'x/y'}}, method='PUT'), timeout=5)"
        );
        let python = program().with_file_name("python3");
        let end = Instant::now() + Duration::from_secs(60);
        let put = || {
            let words = self.words();
            let mut command = Command::new(words[0]);
            command.args(&words[1..]).arg(&python).args(["-c", &script]);
            command.output().unwrap().status.success()
        };
        while !put() {
            assert!(Instant::now() < end, "moto does not start in {}", self.0);
            std::thread::sleep(Duration::from_millis(200));
        }
        moto
    }
}

impl Drop for Netns {
    fn drop(&mut self) {
        let _ = Command::new("ip").args(["netns", "delete", &self.0]).status();
    }
}

#[track_caller]
fn run(words: &[&str]) -> String {
    let output = Command::new(words[0]).args(&words[1..]).output().unwrap();
    assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn place(server: &str) -> Place {
    let mut place = Place::with_channel("data", "s3://data/t/", "127.0.0.1:9".parse::<SocketAddr>().unwrap());
    place.settings = place.settings.replace("127.0.0.1:9", server);
    place.request["VpcConfig"] = json!({ "SecurityGroupIds": ["sg-1"], "Subnets": ["subnet-1", "subnet-2"] });
    place
}

fn with_subnet(place: &mut Place, netns: &str, more: &str) {
    place
        .settings
        .push_str(&format!("[vpc.subnet-1]\nnetns = {netns:?}\n{more}[vpc.subnet-2]\nnetns = \"/x\"\n"));
}

fn staged(place: &Place, host: &Netns) -> Ended {
    let inner = place.command(&["in"]);
    let mut command = Command::new("ip");
    command.args(&host.words()[1..]).arg(inner.get_program()).args(inner.get_args());
    let path = ("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
    command.env_clear().env(path.0, path.1);
    command.envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?))));
    Ended::of(command.output().unwrap())
}

/// Answers every name with the server's address.
const DNS: &str = "import socket\n\
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n\
    s.bind(('10.99.0.1', 53))\n\
    while True:\n\
    \x20   q, a = s.recvfrom(512)\n\
    \x20   e = q.index(0, 12) + 5\n\
    \x20   is_a = q[e - 4:e - 2] == bytes([0, 1])\n\
    \x20   h = q[:2] + bytes([0x81, 0x80, 0, 1, 0, int(is_a), 0, 0, 0, 0]) + q[12:e]\n\
    \x20   s.sendto(h + (bytes([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 10, 99, 0, 1]) if is_a else b''), a)\n";

struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn data_comes_through_the_subnet_and_not_through_the_hosts_route_to_the_same_address() {
    let (host, subnet, far) = (Netns::new("host"), Netns::new("subnet"), Netns::new("far"));
    host.run(&["ip", "address", "add", "10.99.0.1/32", "dev", "lo"]);
    let peer = far.0.clone();
    run(&[
        "ip", "-n", &subnet.0, "link", "add", "eth0", "type", "veth", "peer", "name", "eth0", "netns", &peer,
    ]);
    for (netns, address) in [(&subnet, "10.99.0.2/24"), (&far, "10.99.0.1/24")] {
        netns.run(&["ip", "address", "add", address, "dev", "eth0"]);
        netns.run(&["ip", "link", "set", "eth0", "up"]);
    }
    let _near = host.serve("the host network");
    let _far = far.serve("the subnet");

    let mut through_host = place(SERVER);
    through_host.request.as_object_mut().unwrap().remove("VpcConfig");
    let ended = staged(&through_host, &host);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert_eq!(through_host.files("input/data/train")["a"], b"the host network");

    // What the host's own network has carried.
    let counters = || {
        let devices = host.run(&["cat", "/proc/net/dev"]);
        devices.lines().find(|line| line.trim_start().starts_with("lo:")).unwrap().to_owned()
    };
    let before = counters();
    let mut through_subnet = place(SERVER);
    with_subnet(&mut through_subnet, &subnet.path(), "");
    let ended = staged(&through_subnet, &host);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert_eq!(through_subnet.files("input/data/train")["a"], b"the subnet");
    assert_eq!(counters(), before);

    // By a name that only the subnet's resolver knows.
    let words = far.words();
    let mut dns = Command::new("setpriv");
    dns.args(["--pdeathsig", "KILL"]).args(words).args(["python3", "-c", DNS]);
    let _dns = Killed(dns.spawn().unwrap());
    let mut by_name = place("s3.example:5000");
    let resolv = by_name.directory.path().join("resolv.conf");
    fs::write(&resolv, "nameserver 10.99.0.1\n").unwrap();
    let machine = fs::read("/etc/resolv.conf").unwrap();
    with_subnet(&mut by_name, &subnet.path(), &format!("resolv-conf = {:?}\n", resolv.to_str().unwrap()));
    let ended = staged(&by_name, &host);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert_eq!(by_name.files("input/data/train")["a"], b"the subnet");
    assert_eq!(fs::read("/etc/resolv.conf").unwrap(), machine);
}

#[test]
fn what_is_no_network_of_a_subnet_is_an_error() {
    let (empty, isolated) = (Netns::new("empty"), Netns::new("isolated"));
    isolated.run(&["ip", "link", "add", "eth0", "type", "veth", "peer", "name", "eth1"]);
    for (netns, text) in [
        (
            "/run/netns/isolate-job-nonexistent",
            "subnet subnet-1: cannot open /run/netns/isolate-job-nonexistent",
        ),
        ("/proc/self/ns/net", "is this host's own network"),
        ("/proc/self/ns/mnt", "is not a network namespace"),
        ("/etc/passwd", "is not a network namespace"),
        (&empty.path(), "has no interface that is up"),
        (&isolated.path(), "has no interface that is up"),
    ] {
        let mut place = place(SERVER);
        with_subnet(&mut place, netns, "");
        place.failed(&["in"], Fault::Internal, text);
    }
}
