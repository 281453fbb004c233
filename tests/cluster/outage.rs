//! What becomes of members while the API server is away, and when the node agent is killed.

use crate::cluster::{Cluster, INSTALLED, Namespace, PATIENCE, address, cluster, is_ready};
use crate::member::member;
use test_support::command::wait_for;
use test_support::findings::Findings;

/// Stops the API server, or lets it go on.
fn signal(cluster: &Cluster, signal: &str) {
    let script = format!(
        "for process in /proc/[0-9]*; do
             case $(readlink \"$process/exe\") in */kube-apiserver) kill -{signal} \"${{process#/proc/}}\" ;; esac
         done"
    );
    cluster.on("fabric", &script).must();
}

/// Goes on with the API server, whatever becomes of the test.
struct Stopped<'c>(&'c Cluster);

impl<'c> Stopped<'c> {
    fn new(cluster: &'c Cluster) -> Self {
        signal(cluster, "STOP");
        Self(cluster)
    }
}

impl Drop for Stopped<'_> {
    fn drop(&mut self) {
        signal(self.0, "CONT");
    }
}

/// What a program in the network of a pod of `node1` is answered by each of these addresses, without the API server.
fn ask(cluster: &Cluster, process: u32, targets: &[&str]) -> String {
    let ask = |one: &&str| {
        format!(
            "echo \"{one}: $(nsenter --net --target {process} timeout 3 busybox wget -qO- http://{one}:7000/ 2>&1)\";"
        )
    };
    cluster.on("node1", &targets.iter().map(ask).collect::<String>()).must()
}

fn wait_for_answer(namespace: &Namespace, pod: &str, target: &str, answer: &str) -> bool {
    let script = format!("timeout 3 wget -qO- http://{target}:7000/ 2>&1");
    wait_for(PATIENCE, || namespace.run(pod, &script).contains(answer).then_some(())).is_some()
}

#[test]
fn members_stay_as_they_were_while_the_api_server_is_away_and_the_agent_is_killed() {
    // No other test may use the API server meanwhile.
    let _alone = INSTALLED.write();
    let cluster = cluster();
    let namespace = cluster.namespace("outage");
    let mut findings = Findings::default();
    namespace.apply(&member("zero", "outage", "node1", "sleep 1000"));
    namespace.apply(&member("one", "outage", "node2", "sleep 1000"));
    namespace.apply(&member("other", "another", "node2", "sleep 1000"));
    let [zero, one, other] = ["zero", "one", "other"].map(|name| namespace.pod(name, is_ready));
    let [zero, one, other] = [&zero, &one, &other].map(address);
    assert!(wait_for_answer(&namespace, "zero", one, "one"), "the members do not connect");
    let process = namespace.process(cluster, "node1", "zero");
    let peers = format!("nsenter --net --target {process} nft list table inet oci_isolate");
    let before = cluster.on("node1", &peers).must();
    {
        let _stopped = Stopped::new(cluster);
        let agent = ["watch", "put"].map(|container| (container, cluster.agent("node1", container)));
        for (container, killed) in &agent {
            assert_eq!(killed.len(), 1, "{container}");
            for process in killed {
                cluster.on("node1", &format!("kill -KILL {process}")).must();
            }
        }
        let is_put_again = || {
            let now = cluster.agent("node1", "put");
            (!now.is_empty() && now.is_disjoint(&agent[1].1)).then_some(())
        };
        assert!(wait_for(PATIENCE, is_put_again).is_some(), "kubelet does not start it again");
        for (container, killed) in &agent {
            assert!(cluster.agent("node1", container).is_disjoint(killed), "{container} was not killed");
        }
        // Long enough for `put` to put what it finds.
        std::thread::sleep(std::time::Duration::from_secs(5));
        let said = ask(cluster, process, &[one, other, "203.0.113.7"]);
        findings.claim(said.contains(&format!("{one}: one")), format!("without the API server: {said}"));
        findings.claim(said.matches("refused").count() == 2, format!("it is more open: {said}"));
        let after = cluster.on("node1", &peers).must();
        findings.claim(after == before, format!("the table is another one:\n{before}\n{after}"));
        for node in ["node1", "node2"] {
            let verified = cluster.on(node, "isolatectl verify --all");
            findings.claim(verified.well(), format!("{node}: {verified}"));
        }
    }
    // Afterwards all goes on: a member comes, and one leaves.
    let back = wait_for(PATIENCE, || namespace.kubectl(&["get", "pods"]).well().then_some(()));
    assert!(back.is_some(), "the API server does not answer");
    namespace.apply(&member("two", "outage", "node2", "sleep 1000"));
    let two = namespace.pod("two", is_ready);
    findings.claim(wait_for_answer(&namespace, "zero", address(&two), "two"), "a new member is no peer");
    findings.claim(wait_for_answer(&namespace, "two", zero, "zero"), "it has no peer");
    namespace.kubectl(&["delete", "pod", "one"]).must();
    findings.claim(wait_for_answer(&namespace, "zero", one, "refused"), "a member that left is a peer");
    findings.settle();
}
