//! `isolate-node watch` as a process, against a server of this test that speaks list and watch.

#![allow(clippy::unwrap_used, reason = "all of this crate is test code")]

mod api;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command};
use std::time::Duration;

use serde_json::{Value, json};

use api::{Api, pod};

/// The program; it ends with the value.
struct Watcher {
    child: Child,
    dir: tempfile::TempDir,
    port: u16,
    probes: u16,
}

impl Drop for Watcher {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Watcher {
    fn of(api: &Api) -> Self {
        Self::with(api, &[])
    }

    fn with(api: &Api, arguments: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("kubeconfig"), api.kubeconfig()).unwrap();
        let [port, probes] = [(), ()].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
        let [port, probes] = [port, probes].map(|free| free.local_addr().unwrap().port());
        let child = Command::new(env!("CARGO_BIN_EXE_isolate-node"))
            .args(["watch", "--node-name", "node1", "--listen", &format!("127.0.0.1:{port}")])
            .args(["--probes", &format!("127.0.0.1:{probes}"), "--directory"])
            .arg(dir.path())
            .args(arguments)
            .env("KUBECONFIG", dir.path().join("kubeconfig"))
            .spawn()
            .unwrap();
        Self { child, dir, port, probes }
    }

    fn document(&self) -> Option<Value> {
        let text = std::fs::read(self.dir.path().join("jobs.json")).ok()?;
        Some(serde_json::from_slice(&text).unwrap())
    }

    /// The names of the members of job `train`, once they are these.
    #[track_caller]
    fn members(&self, wanted: &[&str]) {
        let mut last = None;
        for _ in 0..1500 {
            last = self.document();
            if last.as_ref().is_some_and(|document| names(document) == wanted) {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("not {wanted:?}: {last:?}");
    }

    /// A member of its status file, such as `VmHWM`.
    fn status(&self, name: &str) -> String {
        let text = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.trim_start_matches(':').trim().to_owned()
    }

    fn get(&self, path: &str) -> Option<String> {
        Self::get_from(self.port, path)
    }

    fn get_from(port: u16, path: &str) -> Option<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
        stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes()).unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        Some(text)
    }
}

fn names(document: &Value) -> Vec<&str> {
    let members = document["jobs"]["team-a/train"]["members"].as_array();
    members.into_iter().flatten().map(|member| member["pod"].as_str().unwrap()).collect()
}

#[test]
fn the_file_follows_the_members_of_this_nodes_jobs() {
    let api = Api::new();
    api.answer_lists(false);
    api.set(pod("train", "a", "node1", "10.88.1.5"));
    api.set(pod("train", "b", "node2", "10.88.2.5"));
    api.set(pod("other", "x", "node2", "10.88.2.6"));
    let watcher = Watcher::of(&api);
    // The API server does not answer: nothing is written, and it is not ready.
    while watcher.get("/readyz").is_none() || api.requests().is_empty() {
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(watcher.document(), None);
    assert!(watcher.get("/readyz").unwrap().starts_with("HTTP/1.1 503 "));
    assert!(watcher.get("/healthz").unwrap().starts_with("HTTP/1.1 200 "));
    api.answer_lists(true);
    watcher.members(&["a", "b"]);
    assert!(watcher.get("/readyz").unwrap().starts_with("HTTP/1.1 200 "));
    assert!(watcher.get("/metrics").unwrap().contains("oci_isolate_job_members{where=\"elsewhere\"} 1\n"));
    api.set(pod("train", "c", "node3", "10.88.3.5"));
    watcher.members(&["a", "b", "c"]);
    let mut leaving = pod("train", "b", "node2", "10.88.2.5");
    leaving["metadata"]["deletionTimestamp"] = json!("2026-11-29T15:00:00Z");
    api.set(leaving);
    watcher.members(&["a", "c"]);
    api.delete("b");
    // A job that comes to this node, and goes.
    api.set(pod("other", "y", "node1", "10.88.1.6"));
    let has_other = |wanted: bool| {
        while watcher.document().unwrap()["jobs"]["team-a/other"].is_object() != wanted {
            std::thread::sleep(Duration::from_millis(20));
        }
    };
    has_other(true);
    api.delete("y");
    has_other(false);
    watcher.members(&["a", "c"]);
    // Nothing of the other jobs was asked for but while one of their pods was here.
    let of_other = api.requests().into_iter().filter(|request| request.contains("job%3Dother")).count();
    assert!((1..=3).contains(&of_other), "{:?}", api.requests());
}

#[test]
fn no_member_is_lost_while_the_api_server_is_away_or_has_forgotten() {
    let api = Api::new();
    api.set(pod("train", "a", "node1", "10.88.1.5"));
    api.set(pod("train", "b", "node2", "10.88.2.5"));
    let watcher = Watcher::of(&api);
    watcher.members(&["a", "b"]);
    // Connections that break off go on where they were.
    api.disconnect();
    api.set(pod("train", "c", "node2", "10.88.2.6"));
    watcher.members(&["a", "b", "c"]);
    // The lists fail and the versions are too old: what was known stays.
    api.answer_lists(false);
    let before = api.requests().len();
    api.forget();
    while api.requests().len() < before + 4 {
        std::thread::sleep(Duration::from_millis(20));
        assert_eq!(names(&watcher.document().unwrap()), ["a", "b", "c"]);
    }
    api.delete("c");
    api.answer_lists(true);
    watcher.members(&["a", "b"]);
}

/// The API server takes the addresses of a pod from the kubelet of its node.
#[test]
fn a_kubelet_that_reports_addresses_of_others_opens_them_to_no_job_with_the_ranges_of_nodes() {
    let api = Api::new();
    for n in 1..=2 {
        api.node(&format!("node{n}"), &format!("10.88.{n}.0/24"));
    }
    api.set(pod("train", "a", "node1", "10.88.1.5"));
    api.set(pod("train", "b", "node2", "10.88.2.5"));
    let control = Watcher::of(&api);
    let in_pods = Watcher::with(&api, &["--pod-cidrs=10.88.0.0/16,fd00::/8"]);
    let in_nodes = Watcher::with(&api, &["--node-ranges"]);
    for watcher in [&control, &in_pods, &in_nodes] {
        watcher.members(&["a", "b"]);
    }
    // A database outside of the cluster, a pod of another node, and a pod of a node that is not there.
    api.set(pod("train", "c-outside", "node2", "10.0.0.9"));
    api.set(pod("train", "d-foreign", "node2", "10.88.1.9"));
    api.set(pod("train", "e-gone", "node9", "10.88.9.5"));
    api.set(pod("train", "f", "node2", "10.88.2.6"));
    control.members(&["a", "b", "c-outside", "d-foreign", "e-gone", "f"]);
    in_pods.members(&["a", "b", "d-foreign", "e-gone", "f"]);
    in_nodes.members(&["a", "b", "f"]);
    let refused = |watcher: &Watcher, reason: &str, number: u32| {
        let line = format!("oci_isolate_refused_members{{reason=\"{reason}\"}} {number}\n");
        while !watcher.get("/metrics").unwrap().contains(&line) {
            std::thread::sleep(Duration::from_millis(20));
        }
    };
    refused(&in_pods, "pod-cidrs", 1);
    refused(&in_nodes, "node-ranges", 3);
    // The one that was started last has an address; the other one is refused, and names do not point to it.
    let mut thief = pod("train", "z-thief", "node2", "10.88.2.5");
    thief["status"]["startTime"] = json!("2026-11-29T15:00:00Z");
    api.set(thief);
    in_nodes.members(&["a", "f", "z-thief"]);
    refused(&in_nodes, "same-address", 1);
    // A node that has no ranges is asked for again, until it has some.
    api.node("node9", "10.88.9.0/24");
    in_nodes.members(&["a", "e-gone", "f", "z-thief"]);
    // The others were asked for once.
    let of_others = |request: &&String| {
        ["/api/v1/nodes/node1", "/api/v1/nodes/node2"].iter().any(|path| request.starts_with(path))
    };
    assert_eq!(api.requests().iter().filter(of_others).count(), 2, "{:?}", api.requests());
}

#[test]
fn a_connection_that_is_broken_without_being_closed_is_given_up_and_a_quiet_server_is_no_failure() {
    let api = Api::new();
    api.set(pod("train", "a", "node1", "10.88.1.5"));
    api.set(pod("train", "b", "node2", "10.88.2.5"));
    let watcher = Watcher::with(&api, &["--silence=1"]);
    // With the usual patience.
    let control = Watcher::of(&api);
    watcher.members(&["a", "b"]);
    control.members(&["a", "b"]);
    let watches = || api.requests().into_iter().filter(|request| request.contains("watch=true")).count();
    // Both have three watches. Nothing happens, so the API server sends no bookmark.
    while watches() < 6 + 6 {
        std::thread::sleep(Duration::from_millis(20));
    }
    api.mute();
    let mut leaving = pod("train", "b", "node2", "10.88.2.5");
    leaving["metadata"]["deletionTimestamp"] = json!("2026-11-29T15:00:00Z");
    api.set(leaving);
    watcher.members(&["a"]);
    assert_eq!(names(&control.document().unwrap()), ["a", "b"]);
    let metrics = watcher.get("/metrics").unwrap();
    for line in ["watch_errors_total 0", "watches_failing 0"] {
        assert!(metrics.contains(&format!("oci_isolate_{line}\n")), "{metrics}");
    }
    // No list was asked for again.
    let lists = api.requests().into_iter().filter(|request| !request.contains("watch=true")).count();
    assert_eq!(lists, 6, "{:?}", api.requests());
}

/// In seconds.
fn uptime() -> f64 {
    let uptime = std::fs::read_to_string("/proc/uptime").unwrap();
    uptime.split(' ').next().unwrap().parse().unwrap()
}

/// Its first page is answered each time, and tells nothing about who has left.
#[test]
fn a_list_that_is_never_complete_is_no_contact() {
    let api = Api::new();
    api.set(pod("train", "a", "node1", "10.88.1.5"));
    // More than a page.
    let more =
        |n: usize| pod("train", &format!("b-{n:03}"), "node2", &format!("10.88.{}.{}", 2 + n / 250, n % 250));
    (0..510).for_each(|n| api.set(more(n)));
    // Quiet watches ask again each second.
    let watcher = Watcher::with(&api, &["--silence=1"]);
    while watcher.document().is_none_or(|document| names(&document).len() < 511) {
        std::thread::sleep(Duration::from_millis(20));
    }
    // A second at most before the last contact of the quietest watch.
    let contact = || {
        let now = uptime();
        let metrics = watcher.get("/metrics").unwrap();
        let line = metrics.lines().find_map(|line| line.strip_prefix("oci_isolate_watch_contact_seconds "));
        now - line.unwrap().parse::<f64>().unwrap()
    };
    let second_pages = |wanted: usize| {
        let count = || api.requests().iter().filter(|request| request.contains("continue=")).count();
        let wanted = count() + wanted;
        while count() < wanted {
            std::thread::sleep(Duration::from_millis(20));
        }
    };
    api.answer_pages(false);
    api.forget();
    api.set(pod("other", "x", "node3", "10.88.9.9"));
    second_pages(1);
    let failed = uptime();
    second_pages(4);
    assert!(contact() < failed + 1.0, "{} {failed}", contact());
    api.answer_pages(true);
    while contact() < failed + 1.0 {
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// By what the API server sends, and not by the clock: leases are renewed by it.
#[test]
fn contact_with_the_api_server_is_told_while_nothing_changes() {
    let api = Api::new();
    api.set(pod("train", "a", "node1", "10.88.1.5"));
    let watcher = Watcher::with(&api, &["--silence=1"]);
    // With the usual patience it has not asked again yet.
    let control = Watcher::of(&api);
    watcher.members(&["a"]);
    control.members(&["a"]);
    let now = uptime();
    let contact = |of: &Watcher| of.document().unwrap()["contact"].as_u64().unwrap();
    let [first, of_control] = [&watcher, &control].map(contact);
    assert!(first.max(of_control) <= now as u64, "{first}, {of_control}, {now}");
    while contact(&watcher) < first + 20 {
        std::thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(contact(&control), of_control);
}

#[test]
fn clients_that_send_nothing_keep_neither_the_probes_nor_others_away() {
    let api = Api::new();
    api.set(pod("train", "a", "node1", "10.88.1.5"));
    let watcher = Watcher::of(&api);
    watcher.members(&["a"]);
    let mut idle: Vec<_> =
        (0..16).map(|_| TcpStream::connect(("127.0.0.1", watcher.port)).unwrap()).collect();
    for path in ["/healthz", "/readyz"] {
        let answer = Watcher::get_from(watcher.probes, path).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    }
    // The server still waits for the first ones.
    for stream in &mut idle[..8] {
        stream.set_nonblocking(true).unwrap();
        assert_eq!(stream.read(&mut [0]).unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
    }
    assert!(watcher.get("/metrics").unwrap().contains("oci_isolate_watches 3\n"));
}

/// A cluster of 10,000 nodes with 100,000 pods in 1,000 jobs, of which this node has ten in ten jobs, and 20,000 events of
/// other jobs: what the API server sends to this node follows its own jobs.
#[test]
fn the_cost_of_a_node_follows_its_own_jobs() {
    const PODS: usize = 100_000;
    const JOBS: usize = 1_000;
    let api = Api::new();
    let of = |n: usize, node: &str| {
        let address = format!("10.{}.{}.{}", 100 + n / 65536, n / 256 % 256, n % 256);
        pod(&format!("job-{}", n % JOBS), &format!("pod-{n}"), node, &address)
    };
    // The first pod of each of the jobs 0 to 9 is here.
    api.fill((0..PODS).map(|n| of(n, &format!("node{}", if n < 10 { 1 } else { 2 + n % 9_999 }))).collect());
    let watcher = Watcher::of(&api);
    let complete = || watcher.document().is_some_and(|all| all["jobs"].as_object().unwrap().len() == 10);
    while !complete() {
        std::thread::sleep(Duration::from_millis(20));
    }
    let listed = api.sent();
    for n in 0..20_000 {
        api.set(of(10 + n % 900, "node3"));
    }
    let last = of(PODS, "node4");
    let name = last["metadata"]["name"].as_str().unwrap().to_owned();
    api.set(last);
    let has_last = || {
        let document = watcher.document().unwrap();
        let members = document["jobs"]["team-a/job-0"]["members"].as_array().unwrap();
        members.iter().any(|member| member["pod"] == name)
    };
    while !has_last() {
        std::thread::sleep(Duration::from_millis(20));
    }
    let document = watcher.document().unwrap();
    assert_eq!(document["jobs"]["team-a/job-1"]["members"].as_array().unwrap().len(), PODS / JOBS);
    let sent = api.sent() - listed;
    let time = std::fs::read_to_string(format!("/proc/{}/schedstat", watcher.child.id())).unwrap();
    let time = time.split(' ').next().unwrap().parse::<u64>().unwrap() / 1_000_000;
    let memory = watcher.status("VmHWM");
    println!("lists {listed} bytes, 20,001 events {sent} bytes, VmHWM {memory}, {time} ms of a processor");
    // One pod is about a kilobyte here: those of ten jobs, and of this node; then one event, and bookmarks.
    let one = of(0, "node1").to_string().len() as u64;
    assert!(listed < 1_100 * one && sent < 100 * one, "{listed}, {sent}");
    assert!(!api.requests().iter().any(|request| request.contains("job-11")), "{:?}", api.requests());
}
