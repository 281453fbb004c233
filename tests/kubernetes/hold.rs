//! The address of a pod that is a member of a job is not free for others before `delete` has waited (`[job] hold`).

use std::time::{Duration, Instant};

use serde_json::json;

use crate::node::{Node, Release, isolated};
use crate::pods::SLEEP;
use test_support::command::wait_for;

/// Longer than anything takes but a failure.
const PATIENCE: Duration = Duration::from_secs(60);

const HOLD: Duration = Duration::from_secs(4);

/// By when the address is free without the setting, after the member has left the node's others.
const SOON: Duration = Duration::from_secs(1);

/// Of one that kubelet stops, and of one whose sandbox was killed: then the container that is left has the address.
pub(crate) fn the_address_of_a_member_is_taken_while_delete_waits(release: Release) {
    let node = Node::start(release);
    // The controls first.
    for is_held in [false, true] {
        node.host.settings(if is_held { "[job]\nhold = \"4s\"\n" } else { "" });
        for is_killed in [false, true] {
            stop(&node, is_held, is_killed);
        }
    }
}

fn stop(node: &Node, is_held: bool, is_killed: bool) {
    let mut more = isolated();
    more["annotations"]["io.oci-isolate.job"] = json!("train");
    let records = |wanted: usize| {
        let are = || (node.records().lines().count() == wanted).then_some(());
        assert!(wait_for(PATIENCE, are).is_some(), "not {wanted} records: {}", node.records());
    };
    let case = format!("held-{is_held}-killed-{is_killed}");
    let pod = node.pod("oci-isolate", &case, &more);
    pod.run("main", &SLEEP, &json!({}));
    records(2);
    let file = format!("/run/cni/pods/{}", pod.address());
    let is_taken = || node.host.sh(&format!("[ -e {file} ] && echo taken || echo free")).must() == "taken";
    assert!(is_taken(), "{case}: {file}");
    if is_killed {
        let init = format!(
            "grep -o '\"init\":{{\"pid\":[0-9]*' $(find /run/oci-isolate -name {}.json) | grep -o '[0-9]*$'",
            pod.id
        );
        node.host.sh(&format!("kill -KILL $({init})")).must();
        records(1);
    }
    let start = Instant::now();
    std::thread::scope(|scope| {
        let stop = scope.spawn(|| node.must("StopPodSandbox", &json!({ "pod_sandbox_id": pod.id })));
        // It has left this node's members.
        records(0);
        if is_held {
            std::thread::sleep(SOON);
            assert!(is_taken(), "{case}: the address is free");
        } else {
            let is_free = wait_for(SOON, || (!is_taken()).then_some(()));
            assert!(is_free.is_some(), "{case}: the address is not free");
        }
        stop.join().unwrap();
    });
    if is_held {
        assert!(start.elapsed() >= HOLD, "{case}: {:?}", start.elapsed());
    }
    assert!(!is_taken(), "{case}: the address stays");
    pod.remove();
}
