//! Pods of a job on both nodes, and what the kernel of one has of the others.

use std::io::{BufRead, BufReader};
use std::net::IpAddr;
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::cluster::{Cluster, Namespace, PROBE};

/// Answers with its own name on port 7000.
pub(crate) const SERVE: &str = "hostname >/www/index.html; httpd -p 7000 -h /www;";

/// A pod of a job, isolated, that runs this script.
pub(crate) fn member(name: &str, job: &str, node: &str, script: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "name": name, "labels": { "io.oci-isolate.job": job },
            "annotations": { "io.oci-isolate.network-isolation": "true", "io.oci-isolate.job": job },
        },
        "spec": {
            "runtimeClassName": "oci-isolate", "nodeName": node, "subdomain": "svc", "restartPolicy": "Never",
            "terminationGracePeriodSeconds": 1, "automountServiceAccountToken": false,
            "containers": [{ "name": "main", "image": PROBE, "command": ["bash", "-c", format!("{SERVE} {script}")] }],
        },
    })
}

/// The headless Service that gives these pods their names.
pub(crate) fn service(job: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service", "metadata": { "name": "svc" },
        "spec": { "clusterIP": "None", "selector": { "io.oci-isolate.job": job } },
    })
}

impl Namespace<'_> {
    /// What a script in a pod writes.
    pub(crate) fn run(&self, pod: &str, script: &str) -> String {
        let said = self.kubectl(&["exec", pod, "--", "bash", "-c", script]);
        format!("{}\n{}", said.out, said.err)
    }

    /// The container of a pod's sandbox on its node, which has the pod's network.
    pub(crate) fn sandbox(&self, cluster: &Cluster, node: &str, pod: &str) -> String {
        let filter = format!(
            "labels.\"io.kubernetes.pod.namespace\"=={},labels.\"io.kubernetes.pod.name\"=={pod},\
             labels.\"io.cri-containerd.kind\"==sandbox",
            self.name()
        );
        cluster.on(node, &format!("ctr --namespace k8s.io containers ls --quiet '{filter}'")).must()
    }

    /// The process of its sandbox, as its node numbers it.
    pub(crate) fn process(&self, cluster: &Cluster, node: &str, pod: &str) -> u32 {
        let sandbox = self.sandbox(cluster, node, pod);
        let tasks = format!("ctr --namespace k8s.io tasks ls | awk '$1 == \"{sandbox}\" {{ print $2 }}'");
        cluster.on(node, &tasks).must().parse().unwrap()
    }
}

/// The addresses that the kernel of a pod allows as peers come and go.
pub(crate) struct Monitor {
    nft: Child,
    events: Receiver<Event>,
}

/// When an address came, or went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Event {
    pub(crate) address: IpAddr,
    pub(crate) is_peer: bool,
    pub(crate) at: Instant,
}

impl Monitor {
    /// `process` is one of the pod, on this node.
    pub(crate) fn of(cluster: &Cluster, node: &str, process: u32) -> Self {
        let nft = format!("exec nsenter --net --target {process} nft monitor");
        let mut nft = cluster.command_on(node, &nft).stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(nft.stdout.take().unwrap()).lines().map_while(Result::ok);
        let (sender, events) = channel();
        std::thread::spawn(move || {
            for line in lines {
                let at = Instant::now();
                let is_peer = match line.split(' ').next() {
                    Some("add") => true,
                    Some("delete") => false,
                    _ => continue,
                };
                let words = line.split([' ', ',', '{', '}']).filter(|_| line.contains(" element "));
                for address in words.filter_map(|word| word.parse().ok()) {
                    // The reader has all it wants.
                    let _ = sender.send(Event { address, is_peer, at });
                }
            }
        });
        // It prints nothing when it listens.
        std::thread::sleep(Duration::from_millis(500));
        Self { nft, events }
    }

    /// The next event, if there is one within this time.
    pub(crate) fn next(&self, patience: Duration) -> Option<Event> {
        self.events.recv_timeout(patience).ok()
    }
}

impl Drop for Monitor {
    fn drop(&mut self) {
        let _ = self.nft.kill();
        let _ = self.nft.wait();
    }
}
