//! `mount-propagation`.

use std::path::Path;

use serde_json::Value;

use test_support::bench::{Bench, isolated, mount};
use test_support::command::Finished;
use test_support::host::Kind;
use test_support::shim;

/// Runs a container; once it has touched `up` in the directory, the host mounts at `late` in it and touches `mounted`.
fn with_a_late_mount(bench: &Bench, runtime: &Path, spec: &Value, path: &str) -> Finished {
    let late = format!(
        "rm -f {path}/up {path}/mounted
         (until [ -e {path}/up ]; do sleep 0.02; done; mount -t tmpfs late {path}/late; echo token >{path}/late/f; touch {path}/mounted) &
         \"$@\" || true
         wait; umount {path}/late"
    );
    bench.run_script(&late, runtime, spec, &[])
}

/// Touches `up`, waits for `mounted` and prints what is in the late mount.
fn waits(path: &str) -> String {
    format!(
        "touch {path}/up; n=0; until [ -e {path}/mounted ] || [ $n = 250 ]; do usleep 20000; n=$((n + 1)); done; cat {path}/late/f"
    )
}

#[test]
fn a_mount_that_the_host_makes_later_below_the_root_does_not_appear() {
    for kind in Kind::RUNTIMES {
        let bench = Bench::of(kind);
        let root = bench.host.at("rootfs");
        let script =
            format!("mount --bind {root} {root}; mount --make-rshared {root}; mkdir -p {root}/tmp/late");
        bench.host.sh(&script).must();
        let late = format!("{root}/tmp");
        let spec = bench.spec(&waits("/tmp"));
        let bare = with_a_late_mount(&bench, kind.runtime(), &spec, &late);
        // The others make the root private by themselves.
        assert_eq!(bare.out.contains("token"), kind == Kind::Machine, "{kind:?}: {bare}");
        let closed = with_a_late_mount(&bench, &shim(), &isolated(&spec), &late);
        assert!(!closed.out.contains("token"), "{kind:?}: {closed}");
    }
}

#[test]
fn a_mount_that_the_host_makes_later_does_not_appear() {
    let bench = Bench::new();
    let shared = bench.dir("shared");
    let path = shared.display();
    bench
        .host
        .sh(&format!("mount --bind {path} {path}; mount --make-rshared {path}; mkdir {path}/late"))
        .must();
    let script = waits("/in");
    for options in [&["rbind", "rslave"][..], &["rbind", "rshared"], &["rbind"]] {
        for (isolate, opens) in [(false, true), (true, false)] {
            let mut spec = bench.spec(&script);
            mount(&mut spec, &shared, "/in", options);
            let runtime = if isolate { shim() } else { "/usr/sbin/runc".into() };
            let spec = if isolate { isolated(&spec) } else { spec };
            let said = with_a_late_mount(&bench, &runtime, &spec, &path.to_string());
            assert_eq!(said.out.contains("token"), opens, "{options:?}, isolated: {isolate}: {said}");
        }
    }
    let mut spec = bench.spec("true");
    mount(&mut spec, &shared, "/in", &["rbind", "rslave"]);
    let said = bench.closed_with("[rules]\nmount-propagation = \"refuse\"\n", &spec);
    test_support::bench::refused(&said, "the propagation of /in is \"rslave\"").unwrap();
}
