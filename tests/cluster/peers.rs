//! Members of a job on both nodes find each other and nobody else, by the node agent (`node-agent.yaml`), whatever becomes of it
//! and of the API server.

use serde_json::json;

use crate::cluster::{INSTALLED, PATIENCE, PROBE, address, cluster, is_ready};
use crate::leaving::{WAYS, departures};
use crate::member::{SERVE, member, service};
use test_support::command::wait_for;
use test_support::findings::Findings;

/// Asks port 7000 of each, and writes `NAME: ANSWER`.
fn ask(targets: &[&str]) -> String {
    targets
        .iter()
        .map(|one| format!("echo \"{one}: $(timeout 3 wget -qO- http://{one}:7000/ 2>&1)\";"))
        .collect()
}

#[test]
fn members_on_both_nodes_find_each_other_by_every_name_and_nobody_else_does() {
    let _installed = INSTALLED.read();
    let cluster = cluster();
    let (namespace, foreign) = (cluster.namespace("peers"), cluster.namespace("peers-foreign"));
    let mut findings = Findings::default();
    namespace.apply(&service("two"));
    let wait =
        |peer: &str| format!("until grep -qw {peer} /etc/hosts; do sleep 0.1; done; echo found; sleep 1000");
    namespace.apply(&member("two-0", "two", "node1", &wait("two-1")));
    namespace.apply(&member("two-1", "two", "node2", &wait("two-0")));
    // Of the same name, but another namespace's.
    foreign.apply(&member("thief", "two", "node1", "sleep 1000"));
    // With the label, but not isolated; and what works in this cluster.
    let mut open = member("open", "two", "node1", "sleep 1000");
    open["metadata"]["annotations"] = json!({});
    namespace.apply(&open);
    open["metadata"]["name"] = json!("control");
    open["spec"]["nodeName"] = json!("node2");
    namespace.apply(&open);
    let [zero, one, open, control] =
        ["two-0", "two-1", "open", "control"].map(|name| namespace.pod(name, is_ready));
    let thief = foreign.pod("thief", is_ready);
    for (pod, peer) in [("two-0", "two-1"), ("two-1", "two-0")] {
        namespace.says(pod, "found");
        let names = ["", ".svc", ".svc.peers", ".svc.peers.svc", ".svc.peers.svc.cluster.local"]
            .map(|rest| format!("{peer}{rest}"));
        let names: Vec<&str> = names.iter().map(String::as_str).chain(["svc", "svc.peers.svc"]).collect();
        let said = namespace.run(pod, &ask(&names));
        for name in names {
            findings.claim(said.contains(&format!("{name}: {peer}\n")), format!("{pod} asks {name}: {said}"));
        }
        let others = [address(&open), address(&control), address(&thief), "203.0.113.7", "10.198.0.10"];
        let said = namespace.run(pod, &ask(&others));
        for other in others {
            let is_refused = said.lines().any(|line| line.starts_with(other) && line.contains("refused"));
            findings.claim(is_refused, format!("{pod} asks {other}: {said}"));
        }
    }
    let members = [address(&zero), address(&one)];
    for (of, name) in [(&namespace, "open"), (&namespace, "control"), (&foreign, "thief")] {
        let said = of.run(name, &ask(&members));
        findings.claim(!said.contains("two-"), format!("{name} reaches a member: {said}"));
    }
    let said = namespace.run("open", &ask(&[address(&control)]));
    findings.claim(said.contains(": control\n"), format!("nothing is reached at all: {said}"));
    // `watch` serves what `put`, which has no network, has done.
    let ask = ["/bin/busybox", "wget", "-q", "-O", "-", "http://127.0.0.1:9465/metrics"];
    let exec = ["--namespace=kube-system", "exec", "daemonset/oci-isolate-node", "--"];
    let metrics = cluster.kubectl(&[&exec[..], &ask].concat());
    let value = |name: &str| {
        let line = metrics.out.lines().find_map(|line| line.strip_prefix(&format!("oci_isolate_{name} ")));
        line.and_then(|value| value.parse::<u64>().ok()).unwrap_or_default()
    };
    let is_put = value("put_last_timestamp_seconds") > 0 && value("put_containers") > 0;
    findings.claim(is_put, format!("metrics: {metrics}"));
    // Not --all: other tests look into the network of their pods.
    for (node, pod) in [("node1", "two-0"), ("node2", "two-1")] {
        let sandbox = namespace.sandbox(cluster, node, pod);
        let verified = cluster.on(node, &format!("isolatectl verify {sandbox}"));
        findings.claim(verified.well() && verified.out.contains(": holds"), format!("{pod}: {verified}"));
    }
    findings.settle();
}

#[test]
fn a_member_that_leaves_is_out_and_if_it_is_announced_before_its_address_is_free() {
    let _installed = INSTALLED.read();
    let cluster = cluster();
    let namespace = cluster.namespace("leaving");
    let mut findings = Findings::default();
    let ways = WAYS.iter().map(|way| (way.name.to_owned(), way));
    let departures = departures(cluster, &namespace, "leaving", ways);
    for way in &WAYS {
        let departure = departures[way.name];
        findings.claim(departure.is_out(way.is_announced), format!("{}: {departure}", way.name));
    }
    findings.settle();
}

/// An address is no identity: what has it next is none of the job's.
#[test]
fn a_pod_that_gets_the_address_of_a_member_that_left_is_no_peer() {
    // No other test may have a pod started meanwhile: it would get the address.
    let _alone = INSTALLED.write();
    let cluster = cluster();
    let namespace = cluster.namespace("reused");
    let mut findings = Findings::default();
    namespace.apply(&member("stays", "reused", "node2", "sleep 1000"));
    namespace.apply(&member("goes", "reused", "node1", "sleep 1000"));
    let [stays, goes] = ["stays", "goes"].map(|name| namespace.pod(name, is_ready));
    let (stays, goes) = (address(&stays).to_owned(), address(&goes).to_owned());
    let connected = || namespace.run("goes", &ask(&[&stays])).contains(": stays\n").then_some(());
    assert!(wait_for(PATIENCE, connected).is_some(), "the members do not connect");
    namespace.kubectl(&["delete", "pod", "goes"]).must();
    // host-local gives out addresses in turn: the next one is the one after the last.
    let (net, host) = goes.rsplit_once('.').unwrap();
    let before = host.parse::<u8>().unwrap() - 1;
    cluster.on("node1", &format!("printf {net}.{before} >/run/cni/pods/last_reserved_ip.0")).must();
    namespace.apply(&json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "next", "labels": { "io.oci-isolate.job": "reused" } },
        "spec": {
            "nodeName": "node1", "terminationGracePeriodSeconds": 1,
            "containers": [{ "name": "main", "image": PROBE, "command": ["bash", "-c", format!("{SERVE} sleep 1000")] }],
        },
    }));
    let next = namespace.pod("next", is_ready);
    assert_eq!(address(&next), goes, "the address is another one");
    let said = namespace.run("next", &ask(&[&stays]));
    findings.claim(!said.contains(": stays"), format!("it reaches the member: {said}"));
    let said = namespace.run("stays", &ask(&[&goes]));
    findings.claim(said.contains("refused"), format!("the member reaches it: {said}"));
    findings.settle();
}
