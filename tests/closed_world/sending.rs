//! Ways to make the kernel send: none reaches the wire. Each is gone by a program in a container
//! (`sending.c`), and what the other end of the container's veth hears is captured: with the bare runtime,
//! isolated with a link that comes after the start, with `ingress`, and with `peers`.
//!
//! `cargo test --test closed_world -- --nocapture sending` prints what came of each.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use serde_json::{Value, json};

use test_support::bench::{Bench, isolated};
use test_support::command::{Finished, command, say, wait_for};
use test_support::findings::Findings;
use test_support::host::Kind;
use test_support::shim;

/// Ways that lead nowhere with the bare runtime either, what the program says, and why.
const SHUT: [(&str, &str, &str); 7] = [
    ("sctp", "Protocol not supported", "this kernel has no SCTP"),
    ("dccp", "not supported", "this kernel has no DCCP"),
    (
        "strict-source-route",
        "Network is unreachable",
        "the first hop of a strict route has to be on the link",
    ),
    (
        "free-bind",
        "Network is unreachable",
        "no datagram of IPv4 is sent from an address that is not the container's",
    ),
    (
        "routing-header",
        "Invalid argument",
        "this kernel has no mobile IPv6; segment-routing-header is the other type",
    ),
    ("msg-probe", "done", "the kernel finds the route and sends nothing"),
    ("neighbour-asked-by-netlink", "No such file", "the kernel's table is read and no neighbour is asked"),
];

/// Ways of which the harness chooses the version that is spoken, by a setting of the namespace.
const VERSIONS: [(&str, &str); 3] = [
    ("igmp-1-join", "net.ipv4.conf.eth0.force_igmp_version=1"),
    ("igmp-2-join", "net.ipv4.conf.eth0.force_igmp_version=2"),
    ("mld-1-join", "net.ipv6.conf.eth0.force_mld_version=1"),
];

/// As many as there have to be.
const LEAST: usize = 55;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Setting {
    /// The control.
    Bare,
    /// A closed container into whose namespace a link is put when it runs.
    LateLink,
    Ingress,
    /// Of peers that are none of the destinations.
    Peers,
}

impl Setting {
    const ALL: [Self; 4] = [Self::Bare, Self::LateLink, Self::Ingress, Self::Peers];

    fn annotation(self) -> Option<(&'static str, &'static str)> {
        match self {
            Self::Bare | Self::LateLink => None,
            Self::Ingress => Some(("io.oci-isolate.ingress", "8080/tcp, 8080/udp")),
            Self::Peers => Some(("io.oci-isolate.peers", "10.77.0.3, fd77::3")),
        }
    }
}

/// A way as the program lists it.
struct Way {
    name: String,
    /// What tcpdump shows of its frames.
    shows: String,
}

fn program() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/closed_world/sending.c");
        let built = Path::new(env!("CARGO_TARGET_TMPDIR")).join("sending");
        say(command("gcc").args(["-O1", "-static", "-w", "-o"]).arg(&built).arg(source)).must();
        built
    })
}

fn ways() -> Vec<Way> {
    let listed = say(command(program()).arg("--list")).must();
    let way = |line: &str| {
        let mut words = line.split('\t').map(str::to_owned);
        Way { name: words.next().unwrap(), shows: words.nth(1).unwrap() }
    };
    listed.lines().filter(|line| *line != "end").map(way).collect()
}

/// Every frame that comes out of the container.
struct Sniffer<'b> {
    bench: &'b Bench,
    file: String,
    child: Child,
}

impl<'b> Sniffer<'b> {
    fn start(bench: &'b Bench) -> Self {
        let file = bench.host.at("sent.pcap");
        let errors = bench.host.dir().join("tcpdump.err");
        let mut tcpdump = std::process::Command::new("nsenter");
        tcpdump.arg(format!("--net={}", bench.host.world.host.path()));
        tcpdump.args([
            "setpriv",
            "--pdeathsig=KILL",
            "tcpdump",
            "--immediate-mode",
            "-U",
            "-n",
            "-Z",
            "root",
        ]);
        // Room for every frame: a slot of the ring is as large as the longest frame that is kept.
        tcpdump.args(["-s", "2048", "-B", "16384", "-i", "p0", "-Q", "in", "-w", &file]);
        tcpdump.stdin(Stdio::null()).stdout(Stdio::null()).stderr(std::fs::File::create(&errors).unwrap());
        let child = tcpdump.spawn().unwrap();
        let said = || std::fs::read_to_string(&errors).unwrap_or_default();
        let listens = wait_for(Duration::from_secs(10), || said().contains("listening on").then_some(()));
        assert!(listens.is_some(), "tcpdump does not listen: {}", said());
        Self { bench, file, child }
    }

    /// A line for each frame so far.
    fn frames(&self) -> Vec<String> {
        let text = say(command("tcpdump").args(["-n", "-v", "-r", &self.file])).out;
        let mut frames: Vec<String> = Vec::new();
        for line in text.lines() {
            match frames.last_mut() {
                // The rest of the frame before.
                Some(last) if line.starts_with([' ', '\t']) => *last = format!("{last} {}", line.trim()),
                _ => frames.push(line.to_owned()),
            }
        }
        frames
    }

    /// Waits for an answer of the container to a question about an address of its own, which shows that what
    /// it sends is heard, and that everything it sent before was.
    fn last(&self) -> bool {
        drop(self.bench.host.sh("bash -c 'echo >/dev/udp/10.77.0.99/9'"));
        let answered =
            || self.frames().iter().any(|frame| frame.contains("Reply 10.77.0.99 is-at")).then_some(());
        wait_for(Duration::from_secs(20), answered).is_some()
    }
}

impl Drop for Sniffer<'_> {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Whether a frame has these texts, with `&` between them, not as the beginning of another address.
fn has(frame: &str, shows: &str) -> bool {
    let ends = |at: usize, part: &str| !frame[at + part.len()..].starts_with(|c: char| c.is_ascii_hexdigit());
    shows.split(" & ").all(|part| frame.match_indices(part).any(|(at, _)| ends(at, part)))
}

/// A container that waits to be entered.
struct Container<'b> {
    bench: &'b Bench,
    runtime: PathBuf,
}

impl<'b> Container<'b> {
    fn start(bench: &'b Bench, kind: Kind, setting: Setting) -> Self {
        let mut spec = bench.spec("exec sleep 1000");
        // What is given up by isolation opens ways to the bare one.
        for set in ["bounding", "effective", "permitted"] {
            spec["process"]["capabilities"][set] = json!(["CAP_NET_ADMIN", "CAP_NET_RAW"]);
        }
        if setting != Setting::LateLink {
            let namespaces = spec["linux"]["namespaces"].as_array_mut().unwrap();
            namespaces.retain(|namespace: &Value| namespace["type"] != "network");
            namespaces.push(json!({ "type": "network", "path": "/run/netns/c" }));
            bench.host.sh("ip netns add c").must();
            plumb(bench);
            links_up(bench);
            // The kernel asks for the link's own address when it comes up, which is none of the container's
            // doing.
            let settled = || bench.host.sh("ip -n c -6 addr show tentative").out.is_empty().then_some(());
            assert!(wait_for(Duration::from_secs(10), settled).is_some(), "an address stays tentative");
        }
        if let Some((key, value)) = setting.annotation() {
            spec["annotations"][key] = json!(value);
        }
        std::fs::copy(program(), bench.host.dir().join("rootfs/bin/sending")).unwrap();
        let runtime = if setting == Setting::Bare { kind.runtime().to_owned() } else { shim() };
        let spec = if setting == Setting::Bare { spec } else { isolated(&spec) };
        let bundle = bench.dir("bundle");
        std::fs::write(bundle.join("config.json"), spec.to_string()).unwrap();
        bench.host.settings(&format!("runtime = [{:?}]\n", kind.runtime()));
        let container = Self { bench, runtime };
        let (runtime, dir) = (container.runtime.display(), bench.host.dir().display());
        let script = format!(
            "{runtime} --root {dir}/state create --pid-file {dir}/pid --bundle {dir}/bundle c >{dir}/created.log 2>&1 \
             </dev/null || {{ cat {dir}/created.log >&2; exit 1; }}; {runtime} --root {dir}/state start c"
        );
        bench.host.sh(&script).must();
        container
    }

    fn send(&self, names: &[&str]) -> Finished {
        let root = self.bench.host.at("state");
        let command = ["--root", &root, "exec", "c", "sending"];
        say(self.bench.host.command(self.runtime.to_str().unwrap()).args(command).args(names))
    }
}

impl Drop for Container<'_> {
    fn drop(&mut self) {
        let root = self.bench.host.at("state");
        let runtime = self.runtime.to_str().unwrap();
        drop(say(self.bench.host.command(runtime).args(["--root", &root, "delete", "--force", "c"])));
    }
}

/// The wire, with nothing on the container's end yet.
fn plumb(bench: &Bench) {
    let script = "ip link add p0 address 02:00:00:00:00:01 type veth peer name eth0 netns c
        ip addr add 10.77.0.1/16 dev p0; ip addr add fd77::ffff/64 dev p0 nodad; ip link set p0 up";
    bench.host.sh(script).must();
}

/// The container's end: addresses, routes, and neighbours that are known, so that each way sends its own
/// frame and not the question for a neighbour.
fn links_up(bench: &Bench) {
    let mut batch = "link set lo up\nlink set eth0 up\naddr add 10.77.0.2/16 broadcast + dev eth0\n\
        addr add 10.77.0.99/32 dev eth0\naddr add fd77::2/64 dev eth0 nodad\n\
        neigh add 10.77.0.1 lladdr 02:00:00:00:00:01 dev eth0\nneigh add fd77::ffff lladdr 02:00:00:00:00:01 dev eth0\n\
        route add default via 10.77.0.1\n-6 route add default via fd77::ffff\n\
        neigh add 10.77.0.3 lladdr 02:00:00:00:00:03 dev eth0\n"
        .to_owned();
    for number in 1..=ways().len() {
        for address in [format!("10.77.1.{number}"), format!("fd77::1:{number:x}")] {
            batch += &format!("neigh add {address} lladdr 02:00:00:00:01:{number:02x} dev eth0\n");
        }
    }
    let file = bench.host.write("batch", &batch.replace("-6 route", "route"));
    let script =
        format!("ip -n c -batch {file}; ip netns exec c sysctl -qw net.ipv4.ping_group_range='0 2147483647'");
    bench.host.sh(&script).must();
}

/// What a frame may be that an isolated container sends: an answer to who asks for its address, and of an
/// open port.
fn is_answer(frame: &str, setting: Setting) -> bool {
    let asked = frame.contains("ARP") && frame.contains("Reply 10.77.0.")
        || frame.contains("neighbor advertisement") && frame.contains("solicited");
    let answers = setting == Setting::Ingress && frame.contains("10.77.0.2.8080 > 10.77.0.1.");
    asked || answers
}

/// What came of each way in one setting.
struct Outcome {
    said: BTreeMap<String, String>,
    frames: Vec<String>,
}

fn go(kind: Kind, setting: Setting, ways: &[Way], findings: &mut Findings) -> Outcome {
    let bench = Bench::of(kind);
    let container = Container::start(&bench, kind, setting);
    if setting == Setting::LateLink {
        bench.host.sh(&format!("ip netns attach c $(cat {})", bench.host.at("pid"))).must();
        plumb(&bench);
    }
    let sniffer = Sniffer::start(&bench);
    if setting == Setting::LateLink {
        links_up(&bench);
    }
    let mut said = BTreeMap::new();
    let mut hear = |names: &[&str], findings: &mut Findings| {
        let ran = container.send(names);
        let ended = ran.well() && ran.out.lines().last() == Some("end");
        findings.claim(ended, format!("{setting:?}: the program does not come to its end: {ran}"));
        let lines = ran.out.lines().filter_map(|line| line.split_once('\t'));
        said.extend(lines.map(|(name, what)| (name.to_owned(), what.to_owned())));
    };
    let is_plain = |way: &&Way| !VERSIONS.iter().any(|(name, _)| *name == way.name);
    hear(&ways.iter().filter(is_plain).map(|way| way.name.as_str()).collect::<Vec<_>>(), findings);
    for (name, version) in VERSIONS {
        bench.host.sh(&format!("ip netns exec c sysctl -qw {version}")).must();
        hear(&[name], findings);
    }
    match setting {
        // Some frames come a moment later: all that can come have to be there.
        Setting::Bare => {
            let expected = ways.iter().filter(|way| !SHUT.iter().any(|(name, ..)| *name == way.name));
            let expected: Vec<_> = expected.map(|way| way.shows.as_str()).collect();
            let all =
                |frames: &[String]| expected.iter().all(|shows| frames.iter().any(|frame| has(frame, shows)));
            let _ = wait_for(Duration::from_secs(20), || all(&sniffer.frames()).then_some(()));
        }
        // What is open is open.
        Setting::Ingress => {
            let refused = bench.host.sh("timeout 5 bash -c 'exec 3<>/dev/tcp/10.77.0.2/8080'");
            let answered = refused.err.contains("Connection refused");
            findings.claim(answered, format!("the open port does not answer: {refused}"));
            let silent = bench.host.sh("timeout 1 bash -c 'exec 3<>/dev/tcp/10.77.0.2/8081'");
            findings.claim(silent.status == Some(124), format!("another port answers: {silent}"));
        }
        Setting::Peers => {
            container.send(&["--to", "10.77.0.3"]).must();
            let sent = || sniffer.frames().iter().any(|frame| has(frame, "10.77.0.3.9")).then_some(());
            let sent = wait_for(Duration::from_secs(10), sent);
            findings.claim(sent.is_some(), "nothing is sent to a peer");
        }
        Setting::LateLink => {}
    }
    findings.claim(sniffer.last(), format!("{setting:?}: the container's answers are not heard"));
    Outcome { said, frames: sniffer.frames() }
}

fn nothing_is_sent(kind: Kind) {
    let ways = ways();
    let mut findings = Findings::default();
    let outcomes = Setting::ALL.map(|setting| go(kind, setting, &ways, &mut findings));
    let mut open = 0;
    for way in &ways {
        let count = outcomes[0].frames.iter().filter(|frame| has(frame, &way.shows)).count();
        let said = |at: usize| outcomes[at].said.get(&way.name).map_or("not gone", String::as_str);
        let shut = SHUT.iter().find(|(name, ..)| *name == way.name);
        match shut {
            None => {
                open += 1;
                let complaint = format!("{}: the bare container sends nothing: {}", way.name, said(0));
                findings.claim(count > 0, complaint);
            }
            Some((_, words, why)) => {
                let right = count == 0 && said(0).contains(words);
                findings.claim(
                    right,
                    format!("{}: {count} frames, {}; not shown because {why}", way.name, said(0)),
                );
            }
        }
        let bare = shut.map_or_else(|| format!("{count} frames"), |(_, _, why)| format!("nothing: {why}"));
        eprintln!(
            "{:34} bare: {bare}; late: {}; ingress: {}; peers: {}",
            way.name,
            said(1),
            said(2),
            said(3)
        );
    }
    for (setting, outcome) in Setting::ALL.into_iter().zip(&outcomes) {
        eprintln!("{setting:?}: {} frames in all", outcome.frames.len());
        if setting == Setting::Bare {
            continue;
        }
        let is_peers = |frame: &str| setting == Setting::Peers && has(frame, "10.77.0.3.9");
        let out = outcome.frames.iter().filter(|frame| !is_answer(frame, setting) && !is_peers(frame));
        findings.about(&format!("{setting:?}"), out.take(10).cloned().collect());
    }
    eprintln!("{} ways, {open} of them open to a bare container", ways.len());
    findings.claim(open >= LEAST, format!("only {open} ways are open"));
    findings.settle();
}

#[test]
fn no_way_to_make_the_kernel_send_reaches_the_wire_with_runc() {
    nothing_is_sent(Kind::Machine);
}

#[test]
fn no_way_to_make_the_kernel_send_reaches_the_wire_with_crun() {
    nothing_is_sent(Kind::SidForCrun);
}
