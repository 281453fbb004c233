//! A member that leaves, by whatever way, is soon no peer on the other node any more: before its address is free for others, if the
//! API server knows it in time.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::cluster::{Cluster, Namespace, PATIENCE, address, is_ready};
use crate::member::{Monitor, member};

/// How a pod leaves.
pub(crate) struct Way {
    pub(crate) name: &'static str,
    /// What its container runs.
    script: &'static str,
    /// What else is in its specification.
    more: fn(&mut Value),
    leave: fn(&Cluster, &Namespace, &str),
    /// Whether the API server knows of it before kubelet ends the sandbox. The kubelet of Kubernetes 1.20 reports that containers
    /// have ended while it ends the sandbox, so that either may be first (docs/kubernetes.md, "When members are out").
    pub(crate) is_announced: bool,
}

/// Ends when it is told to.
macro_rules! until_told {
    ($end:literal) => {
        concat!("until [ -e /tmp/end ]; do sleep 0.1; done; ", $end)
    };
}

fn tell(_: &Cluster, namespace: &Namespace, pod: &str) {
    namespace.kubectl(&["exec", pod, "--", "touch", "/tmp/end"]).must();
}

/// All ways. kubelet reports nothing of a sandbox before Kubernetes 1.29, so a killed one is none of them.
pub(crate) const WAYS: [Way; 6] = [
    Way {
        name: "deleted",
        script: "sleep 1000",
        more: |_| {},
        leave: |_, namespace, pod| {
            namespace.kubectl(&["delete", "pod", pod, "--wait=false"]).must();
        },
        is_announced: true,
    },
    Way { name: "completed", script: until_told!("exit 0"), more: |_| {}, leave: tell, is_announced: false },
    Way { name: "crashed", script: until_told!("exit 3"), more: |_| {}, leave: tell, is_announced: false },
    Way {
        name: "out-of-memory",
        script: until_told!("exec tail /dev/zero"),
        more: |pod| pod["spec"]["containers"][0]["resources"] = json!({ "limits": { "memory": "64Mi" } }),
        leave: tell,
        is_announced: false,
    },
    Way {
        name: "evicted-by-the-api",
        script: "sleep 1000",
        more: |_| {},
        leave: |_, namespace, pod| namespace.evict(pod),
        is_announced: true,
    },
    Way {
        name: "evicted-by-the-node",
        script: until_told!("head -c 20000000 /dev/zero >/full/file; sleep 1000"),
        more: |pod| {
            pod["spec"]["volumes"] = json!([{ "name": "full", "emptyDir": { "sizeLimit": "1Mi" } }]);
            pod["spec"]["containers"][0]["volumeMounts"] = json!([{ "name": "full", "mountPath": "/full" }]);
        },
        leave: tell,
        is_announced: false,
    },
];

/// When the pods were told to leave, and when one was a peer no more, and had no address any more.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Departure {
    told: Instant,
    out: Option<Instant>,
    /// Whether the address was still taken after it was seen to be out.
    was_taken: bool,
    free: Option<Instant>,
}

impl Departure {
    /// Whether it was out at all; `before`: before its address was free.
    pub(crate) fn is_out(&self, before: bool) -> bool {
        self.out.is_some() && (self.was_taken || !before)
    }
}

impl std::fmt::Display for Departure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let after = |at: Option<Instant>| {
            at.map_or("never".to_owned(), |at| format!("{:.3} s", at.duration_since(self.told).as_secs_f64()))
        };
        write!(f, "out after {}, free after {}", after(self.out), after(self.free))
    }
}

/// Where host-local, the CNI plug-in, has an address of `node1` while it is taken.
fn taken(cluster: &Cluster, address: IpAddr) -> PathBuf {
    let process = cluster.process("node1");
    format!("/proc/{process}/root/run/cni/pods/{address}").into()
}

/// Pods on `node1` that leave by their ways while a member on `node2` looks on.
pub(crate) fn departures<'w>(
    cluster: &Cluster,
    namespace: &Namespace,
    job: &str,
    ways: impl Iterator<Item = (String, &'w Way)>,
) -> BTreeMap<String, Departure> {
    let looker = format!("{job}-stays");
    namespace.apply(&member(&looker, job, "node2", "sleep 1000"));
    namespace.pod(&looker, is_ready);
    let monitor = Monitor::of(cluster, "node2", namespace.process(cluster, "node2", &looker));
    let mut pods = BTreeMap::new();
    let ways: Vec<_> = ways.collect();
    for (pod, way) in &ways {
        let mut manifest = member(pod, job, "node1", way.script);
        (way.more)(&mut manifest);
        namespace.apply(&manifest);
    }
    for (pod, way) in ways {
        let of: IpAddr = address(&namespace.pod(&pod, is_ready)).parse().unwrap();
        pods.insert(of, (pod, way));
    }
    let mut missing: Vec<_> = pods.keys().copied().collect();
    while let Some(one) = missing.first() {
        let event = monitor.next(PATIENCE);
        let event = event.unwrap_or_else(|| panic!("{} is no peer of {looker}", pods[one].0));
        missing.retain(|address| !event.is_peer || *address != event.address);
    }
    let files: BTreeMap<_, _> = pods.keys().map(|of| (*of, taken(cluster, *of))).collect();
    for (of, (pod, _)) in &pods {
        assert!(files[of].exists(), "{pod} has no address");
    }
    let told = Instant::now();
    let new = Departure { told, out: None, was_taken: false, free: None };
    let mut departures: BTreeMap<_, _> = pods.keys().map(|of| (*of, new)).collect();
    std::thread::scope(|scope| {
        // They take a while, and what they cause is looked at meanwhile.
        scope.spawn(|| pods.values().for_each(|(pod, way)| (way.leave)(cluster, namespace, pod)));
        let until = told + 2 * PATIENCE;
        let is_complete = |one: &Departure| one.out.is_some() && one.free.is_some();
        while Instant::now() < until && !departures.values().all(is_complete) {
            if let Some(event) = monitor.next(Duration::from_millis(1)).filter(|event| !event.is_peer)
                && let Some(one) = departures.get_mut(&event.address)
            {
                one.was_taken = files[&event.address].exists();
                one.out = Some(event.at);
            }
            for (of, one) in departures.iter_mut().filter(|(_, one)| one.free.is_none()) {
                one.free = (!files[of].exists()).then(Instant::now);
            }
        }
    });
    namespace.kubectl(&["delete", "pod", &looker, "--wait=false"]).must();
    departures.into_iter().map(|(of, one)| (pods[&of].0.clone(), one)).collect()
}
