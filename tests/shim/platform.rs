//! The platform's containers of a pod, as far as no pod is needed: what refuses to be one.

use serde_json::{Value, json};

use test_support::recorded::host::RecorderHost;
use test_support::recorded::output::say;
use test_support::recorded::spec::{SWITCH, plain};
use test_support::shim;

/// A container that claims to be `upload` of a pod whose platform's container that is.
fn claiming(kind: &str) -> Value {
    let mut config = plain();
    config["annotations"] = json!({
        SWITCH: "true",
        "io.oci-isolate.platform": "upload",
        "io.kubernetes.cri.container-type": kind,
        "io.kubernetes.cri.container-name": "upload",
        "io.kubernetes.cri.sandbox-id": "sandbox",
        "io.kubernetes.cri.image-name": "registry.example.com/platform/stage:1",
    });
    config
}

/// Whoever may start containers of Docker, Podman or another namespace of containerd chooses all of their annotations.
#[test]
fn what_claims_to_be_of_a_pod_is_refused_outside_of_containerds_root_for_pods() {
    let host = RecorderHost::new();
    host.settings("mode = \"always\"\n[[platform]]\nimage = \"registry.example.com/platform/stage:*\"");
    let why = "platform containers are for pods of containerd, whose root ends in k8s.io, and not for";
    let none = "its sandbox sandbox has no record, so its pod's network is not known; delete the pod";
    let cases = [
        ("moby", "container", why),
        ("moby", "sandbox", why),
        ("k8s.io", "container", none),
        ("k8s.io", "absent", "this is none"),
    ];
    for (root, kind, why) in cases {
        let config = claiming(kind);
        host.config(&config);
        let before = host.read_config();
        let root = host.at(root);
        let said = say(host.command(shim()).args(["--root", &root, "create", "web"]));
        assert!(said.status != 0 && said.err.contains(why), "{root} {kind}: {said:?}");
        assert!(host.state().is_empty(), "{root} {kind}: there is a record");
        assert!(host.read_config() == before, "{root} {kind}: config.json was changed");
    }
}

#[test]
fn a_platform_container_is_made_by_create_and_by_nothing_else() {
    let host = RecorderHost::new();
    host.config(&claiming("container"));
    let root = host.at("k8s.io");
    let said = say(host.command(shim()).args(["--root", &root, "run", "web"]));
    let why = "a platform container is made by create, and not by run";
    assert!(said.status != 0 && said.err.contains(why), "{said:?}");
}
