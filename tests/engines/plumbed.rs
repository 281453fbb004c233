//! Openings where CNI plugins plumb: between create and start (`ctr run --cni`), and into a namespace that is given by path
//! and outlives its containers.

use std::time::Duration;

use test_support::ISOLATE;
use test_support::capture::Capture;
use test_support::command::{Finished, command, say, wait_for};
use test_support::containerd::{Containerd, RUNC};
use test_support::findings::Findings;
use test_support::probe::{ITSELF, OPEN, Report};
use test_support::shim;

const INGRESS: &str = "io.oci-isolate.ingress=80/tcp";

/// The page at address `$0`, port `$1`; refused at once is 1, a hang 124.
const FETCH: &str = "exec 3<>/dev/tcp/$0/$1 && printf 'GET / HTTP/1.0\\r\\n\\r\\n' >&3 && grep inside <&3";

/// A namespace that CNI's bridge plugin plumbed, as an orchestrator does it; and its address.
fn plumbed(containerd: &Containerd, name: &str) -> String {
    let config = r#"{ "cniVersion": "0.4.0", "name": "demo", "type": "bridge", "bridge": "cni0", "isDefaultGateway": true,
        "ipMasq": true, "ipam": { "type": "host-local", "dataDir": "/run/cni", "ranges": [[{ "subnet": "10.22.0.0/16" }]] } }"#;
    let file = containerd.host.write("bridge.json", config);
    let script = format!(
        "ip netns add {name}; ip -n {name} link set lo up
        export CNI_COMMAND=ADD CNI_CONTAINERID={name} CNI_NETNS=/run/netns/{name} CNI_IFNAME=eth0 CNI_PATH=/opt/cni/bin
        /opt/cni/bin/bridge <{file} | sed -n 's/.*\"address\": \"\\(10[^/]*\\).*/\\1/p'"
    );
    containerd.host.sh(&script).must()
}

/// Starts a container that serves its page at port 80, and at 81, which is closed.
fn serve(containerd: &Containerd, id: &str, network: &[&str], annotations: &[&str]) -> Finished {
    let runtime = if annotations.is_empty() { RUNC.into() } else { shim() };
    let annotations: Vec<_> = annotations.iter().flat_map(|a| ["--annotation", a]).collect();
    let flags = [&["--detach", "--null-io"], network, &annotations].concat();
    containerd.run(&runtime, id, &flags, &["sh", "-c", "httpd -p 81 -h /www; exec httpd -f -h /www"])
}

fn exec(containerd: &Containerd, id: &str, command: &[&str]) -> Finished {
    containerd.hear(&["task", "exec"], &[&["--exec-id", "one", id], command].concat())
}

fn fetch(containerd: &Containerd, from: &str, address: &str, port: &str) -> Finished {
    exec(containerd, from, &["timeout", "2", "bash", "-c", FETCH, address, port])
}

fn remove(containerd: &Containerd, id: &str) {
    containerd.ctr(&["task", "kill", "--signal", "SIGKILL", id]).must();
    // Its status is the task's own.
    drop(containerd.ctr(&["task", "delete", "--force", id]));
    containerd.ctr(&["container", "delete", id]).must();
}

fn comes_to_answer(containerd: &Containerd, address: &str) -> bool {
    let world = &containerd.host.world;
    wait_for(Duration::from_secs(10), || world.can_connect(address).then_some(())).is_some()
}

fn probe(containerd: &Containerd, id: &str) -> Report {
    Report::parse(&exec(containerd, id, &["probe", id]).must())
}

pub(crate) fn containerd_an_open_port_is_answered_however_cni_plumbs(containerd: &Containerd) {
    let mut findings = Findings::default();
    let (bare, web) = (plumbed(containerd, "bare"), plumbed(containerd, "web"));
    serve(containerd, "bare", &["--with-ns", "network:/run/netns/bare"], &[]).must();
    for port in [80, 81] {
        let answers = comes_to_answer(containerd, &format!("{bare}:{port}"));
        findings.claim(answers, format!("port {port} of a bare container does not answer"));
    }
    findings.about("bare", probe(containerd, "bare").reaches(&OPEN));

    let by_path = ["--with-ns", "network:/run/netns/web"];
    for (id, network) in [("path", &by_path[..]), ("cni", &["--cni"])] {
        serve(containerd, id, network, &[ISOLATE, INGRESS]).must();
        let own = if id == "path" {
            web.clone()
        } else {
            let show = "ip -4 -o addr show dev eth0 | sed 's/.*inet \\([0-9.]*\\).*/\\1/'";
            exec(containerd, id, &["sh", "-c", show]).must()
        };
        findings.claim(comes_to_answer(containerd, &format!("{own}:80")), format!("{id} does not answer"));
        let silent = !containerd.host.world.can_connect(&format!("{own}:81"));
        findings.claim(silent, format!("{id} answers at a port that is not open"));
        let itself = fetch(containerd, id, &own, "81");
        findings.claim(itself.well(), format!("{id} does not reach its own address: {itself}"));
        let capture = Capture::start(&containerd.host);
        findings.about(id, probe(containerd, id).silent(&ITSELF));
        findings.about(id, capture.saw_nothing());
    }
    findings.settle();
}

pub(crate) fn containerd_peers_in_namespaces_of_cni_reach_each_other_and_nobody_else(
    containerd: &Containerd,
) {
    let mut findings = Findings::default();
    let names = ["a", "b", "neighbour"];
    let [a, b, neighbour] = names.map(|name| plumbed(containerd, name));
    let peers = format!("io.oci-isolate.peers={a},{b}");
    for name in names {
        let network = format!("network:/run/netns/{name}");
        let asked: &[&str] = if name == "neighbour" { &[] } else { &[ISOLATE, &peers] };
        serve(containerd, name, &["--with-ns", &network], asked).must();
    }
    findings.about("bare", probe(containerd, "neighbour").reaches(&OPEN));
    for (from, to, own) in [("a", &b, &a), ("b", &a, &b)] {
        let reaches = |to: &str| {
            let there = || fetch(containerd, from, to, "80").well().then_some(());
            wait_for(Duration::from_secs(10), there).is_some()
        };
        findings.claim(reaches(to), format!("{from} does not reach {to}"));
        findings.claim(reaches(own), format!("{from} does not reach its own address"));
        for (address, port) in [(neighbour.as_str(), "80"), ("10.22.0.1", "80")] {
            let said = fetch(containerd, from, address, port);
            findings.claim(said.status == Some(1), format!("{from} to {address}: {said}"));
        }
        let said = fetch(containerd, "neighbour", own, "80");
        findings.claim(!said.well(), format!("a neighbour reaches {from}"));
        let capture = Capture::start(&containerd.host);
        findings.about(from, probe(containerd, from).silent(&ITSELF));
        findings.about(from, capture.saw_nothing());
    }
    findings.settle();
}

pub(crate) fn a_namespace_that_outlives_its_containers_is_given_back_when_nobody_is_in_it(
    containerd: &Containerd,
) {
    let mut findings = Findings::default();
    let address = plumbed(containerd, "reused");
    let network = ["--with-ns", "network:/run/netns/reused"];
    let is_closed = || containerd.host.sh("ip netns exec reused nft list table inet oci_isolate").well();
    let http = format!("{address}:80");

    serve(containerd, "first", &network, &[ISOLATE, INGRESS]).must();
    findings.claim(comes_to_answer(containerd, &http), "the first does not answer");
    findings.claim(is_closed(), "there is no table");
    remove(containerd, "first");
    findings.claim(!is_closed(), "the table stayed behind");

    // Other openings, then none of ours at all.
    serve(containerd, "second", &network, &[ISOLATE, "io.oci-isolate.ingress=81/tcp"]).must();
    findings.claim(comes_to_answer(containerd, &format!("{address}:81")), "the second does not answer");
    findings.claim(!containerd.host.world.can_connect(&http), "the second has what the first had");
    remove(containerd, "second");
    serve(containerd, "bare", &network, &[]).must();
    findings.claim(comes_to_answer(containerd, &http), "the bare container has no network");
    findings.about("bare", probe(containerd, "bare").reaches(&OPEN));
    let said = serve(containerd, "beside", &network, &[ISOLATE, INGRESS]);
    findings.claim(!said.well() && said.err.contains("is in /run/netns/reused"), format!("{said}"));
    containerd.ctr(&["container", "delete", "beside"]).must();
    remove(containerd, "bare");
    findings.claim(!is_closed(), "what was refused left its table behind");

    // Who is still in it is never let out.
    serve(containerd, "third", &network, &[ISOLATE, INGRESS]).must();
    let inside = "setsid --fork ip netns exec reused sleep 1000 >/dev/null 2>&1 </dev/null";
    containerd.host.sh(inside).must();
    let stays = || containerd.host.sh("ip netns pids reused").must();
    findings.claim(
        wait_for(Duration::from_secs(30), || (stays().lines().count() > 1).then_some(())).is_some(),
        "no container is in it",
    );
    remove(containerd, "third");
    findings.claim(is_closed(), "the table of a running container was removed");
    let said = serve(containerd, "fourth", &network, &[ISOLATE, "io.oci-isolate.ingress=81/tcp"]);
    findings.claim(
        !said.well() && said.err.contains("is in /run/netns/reused, and is not of an isolated container"),
        format!("{said}"),
    );
    drop(containerd.ctr(&["container", "delete", "fourth"]));
    findings.claim(is_closed(), "the table went with a container that was refused");
    containerd.host.sh("kill $(ip netns pids reused)").must();
    wait_for(Duration::from_secs(30), || stays().is_empty().then_some(()));

    // What is left of one that is gone is in no container's way.
    serve(containerd, "fifth", &network, &[ISOLATE, "io.oci-isolate.ingress=81/tcp"]).must();
    findings.claim(comes_to_answer(containerd, &format!("{address}:81")), "the fifth does not answer");
    remove(containerd, "fifth");
    findings.claim(!is_closed(), "the table stayed behind after all");
    findings.settle();
}

/// A process that is in the namespace as a whole would get what is opened; one with a thread outside has the
/// host's network already, as Podman has when Go keeps its main thread in a namespace that it made.
pub(crate) fn a_process_with_a_thread_outside_is_no_stranger_in_a_namespace_that_is_opened(
    containerd: &Containerd,
) {
    let host = &containerd.host;
    let mut findings = Findings::default();
    let inside = host.at("inside");
    let source = test_support::INSIDE;
    say(command("gcc").args(["-O1", "-static", "-pthread", "-o", &inside, source])).must();
    for (name, thread) in [("whole", &[][..]), ("thread", &["thread"])] {
        let address = plumbed(containerd, name);
        let (path, ready) = (format!("/run/netns/{name}"), host.at(&format!("{name}.ready")));
        host.daemon(name, &inside, &[&[path.as_str(), &ready], thread].concat(), &[]);
        let there = || std::path::Path::new(&ready).exists().then_some(());
        assert!(wait_for(Duration::from_secs(10), there).is_some(), "{}", host.log(&format!("{name}.log")));
        let network = ["--with-ns", &format!("network:{path}")];
        let said = serve(containerd, name, &network, &[ISOLATE, INGRESS]);
        if thread.is_empty() {
            let named =
                said.err.contains("(inside) is in /run/netns/whole, and is not of an isolated container");
            findings.claim(!said.well() && named, format!("{name}: {said}"));
        } else {
            findings.claim(said.well(), format!("{name}: {said}"));
            findings.claim(comes_to_answer(containerd, &format!("{address}:80")), "it does not answer");
            findings.about(name, probe(containerd, name).silent(&ITSELF));
            crate::verified::hold(&crate::verified::verify(host), 1);
        }
    }
    findings.settle();
}
