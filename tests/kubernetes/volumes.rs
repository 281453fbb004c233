//! Volumes that come over the network although the container has none: the node fetches them.

use serde_json::json;

use crate::node::{IMAGE, Node, Release, exec, isolated};
use crate::pods::SLEEP;
use test_support::findings::Findings;

/// An image as a volume (`volumes[].image`): containerd 2.1 and later mount it, and a container reads it.
#[test]
fn an_image_is_a_volume_of_an_isolated_pod() {
    let node = Node::start(Release::Two);
    let mut findings = Findings::default();
    for (handler, annotations) in [("bare", json!({})), ("oci-isolate", isolated())] {
        let pod = node.pod(handler, handler, &annotations);
        let mount = json!({ "container_path": "/model", "image": { "image": IMAGE }, "readonly": true });
        let id = pod.run("main", &SLEEP, &json!({ "mounts": [mount] }));
        let (status, same) =
            exec(&node, &id, &["sh", "-c", "cat /model/www/index.html; cmp /model/bin/bash /bin/bash"]);
        findings.claim(status == 0 && same.contains("inside"), format!("{handler}: {status} {same:?}"));
        let written = exec(&node, &id, &["sh", "-c", "touch /model/x"]);
        findings.claim(written.0 != 0, format!("{handler}: the image can be written to"));
    }
    findings.settle();
}
