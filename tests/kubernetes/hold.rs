//! The address of a pod that is a member of a job is not free for others before `delete` has waited (`[job] hold`).

use std::time::Duration;

use serde_json::json;

use crate::node::{Node, Release, isolated};
use crate::pods::SLEEP;
use test_support::command::wait_for;

/// Longer than anything takes but a failure.
const PATIENCE: Duration = Duration::from_secs(60);

/// Of one that kubelet stops, and of one whose sandbox was killed: then the container that is left has the address.
pub(crate) fn the_address_of_a_member_is_taken_while_delete_waits(release: Release) {
    let node = Node::start(release);
    node.host.settings("[job]\nhold = \"4s\"\n");
    let mut more = isolated();
    more["annotations"]["io.oci-isolate.job"] = json!("train");
    let records = |wanted: usize| {
        let are = || (node.records().lines().count() == wanted).then_some(());
        assert!(wait_for(PATIENCE, are).is_some(), "not {wanted} records: {}", node.records());
    };
    for is_killed in [false, true] {
        let pod = node.pod("oci-isolate", if is_killed { "killed" } else { "stopped" }, &more);
        pod.run("main", &SLEEP, &json!({}));
        records(2);
        let file = format!("/run/cni/pods/{}", pod.address());
        let is_taken =
            || node.host.sh(&format!("[ -e {file} ] && echo taken || echo free")).must() == "taken";
        assert!(is_taken(), "{file}");
        if is_killed {
            let init = format!(
                "grep -o '\"init\":{{\"pid\":[0-9]*' $(find /run/oci-isolate -name {}.json) | grep -o '[0-9]*$'",
                pod.id
            );
            node.host.sh(&format!("kill -KILL $({init})")).must();
            records(1);
        }
        std::thread::scope(|scope| {
            let stop = scope.spawn(|| node.must("StopPodSandbox", &json!({ "pod_sandbox_id": pod.id })));
            // It has left this node's members, and without the setting its address would be free by now.
            records(0);
            std::thread::sleep(Duration::from_secs(1));
            assert!(is_taken(), "the address is free, killed: {is_killed}");
            stop.join().unwrap();
        });
        assert!(!is_taken(), "the address stays, killed: {is_killed}");
        pod.remove();
    }
}
