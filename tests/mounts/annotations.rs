//! `runtime-annotations`.

use serde_json::json;

use test_support::bench::{Bench, refused};

#[test]
fn annotations_that_bring_a_network_are_refused_and_others_stay() {
    let bench = Bench::new();
    for name in [
        "run.oci.handler",
        "run.oci.seccomp.receiver",
        "run.oci.hooks.stdout",
        "run.oci.pidfd_receiver",
        "run.oci.new",
        "org.systemd.property.Wants",
        "dev.gvisor.flag.network",
    ] {
        let mut spec = bench.spec("true");
        spec["annotations"][name] = json!("x");
        assert!(bench.open(&spec).well());
        refused(&bench.closed(&spec), &format!("annotation {name} is for the runtime and not on the list"))
            .unwrap();
        assert!(bench.closed_with("[rules]\nruntime-annotations = \"strip\"\n", &spec).well());
    }
    let mut spec = bench.spec("echo fine");
    spec["annotations"]["run.oci.systemd.subgroup"] = json!("x");
    spec["annotations"]["org.systemd.property.CollectMode"] = json!("'inactive-or-failed'");
    spec["annotations"]["org.opencontainers.image.title"] = json!("x");
    assert_eq!(bench.closed(&spec).out, "fine");
}
