//! `masked-paths` and `core-dumps`.

use serde_json::json;

use test_support::bench::{Bench, CORE_PATTERN, CorePattern};
use test_support::findings::Findings;

#[test]
fn the_kernels_knobs_are_out_of_reach_of_a_container_that_asked_for_them() {
    let pattern = CorePattern::take();
    let bench = Bench::new();
    let mut findings = Findings::default();
    // What --security-opt systempaths=unconfined makes of it.
    let mut spec = bench.spec(
        "grep -q . /proc/keys && echo keys; echo x >/proc/sys/kernel/core_pattern && echo pattern
         awk '$2 ~ /^.sys/ && $3 ~ /^(sysfs|cgroup)/ && $4 !~ /^ro/' /proc/mounts | wc -l",
    );
    spec["linux"]["maskedPaths"] = json!([]);
    spec["linux"].as_object_mut().unwrap().remove("readonlyPaths");
    for mount in spec["mounts"].as_array_mut().unwrap() {
        if let Some(options) = mount["options"].as_array_mut() {
            options.retain(|option| option != "ro");
        }
    }
    let namespaces = spec["linux"]["namespaces"].as_array_mut().unwrap();
    namespaces.retain(|namespace| namespace["type"] != "cgroup");
    let open = bench.open(&spec);
    pattern.put_back();
    for word in ["keys", "pattern"] {
        findings.claim(open.out.contains(word), format!("{word} is not open without the shim: {open}"));
    }
    findings.claim(!open.out.ends_with("\n0"), format!("nothing is writable without the shim: {open}"));
    let closed = bench.closed(&spec);
    findings.claim(closed.out == "0", format!("not closed: {closed}"));
    findings.settle();
}

#[test]
fn a_crash_starts_no_program_of_the_host() {
    let pattern = CorePattern::take();
    let bench = Bench::new();
    let dumped = std::env::temp_dir().join(format!("oci-isolate-core-{}", std::process::id()));
    let helper = std::env::temp_dir().join(format!("oci-isolate-helper-{}", std::process::id()));
    std::fs::write(&helper, format!("#!/bin/sh\ncat >/dev/null\necho >>{}\n", dumped.display())).unwrap();
    std::fs::set_permissions(&helper, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    std::fs::write(CORE_PATTERN, format!("|{}", helper.display())).unwrap();
    let mut spec = bench.spec("sh -c 'kill -SEGV $$'; sleep 0.3");
    spec["process"]["rlimits"] = json!([{"type": "RLIMIT_CORE", "hard": 0, "soft": 0}]);
    let open = bench.open(&spec);
    let opened = dumped.exists();
    let _ = std::fs::remove_file(&dumped);
    let closed = bench.closed(&spec);
    let reached = dumped.exists();
    pattern.put_back();
    let _ = std::fs::remove_file(&helper);
    assert!(opened, "it is not open without the shim: {open}");
    assert!(!reached && closed.status.is_some(), "the host's program was started: {closed}");
}
