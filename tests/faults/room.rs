//! Disks without room and without inodes.

use test_support::recorded::host::RecorderHost;
use test_support::recorded::spec::isolated;

/// The bundle on a small disk of its own, full except for `config.json`.
fn full(host: &RecorderHost, options: &str, fill: &str) {
    host.config(&isolated());
    let mount = format!("cp config.json ../kept; mount -t tmpfs -o {options} tmpfs \"$PWD\"");
    host.sh(&mount).must();
    // The shell stands in the directory below the mount.
    host.sh(&format!("cd \"$PWD\"; cp ../kept config.json; mkdir rootfs; {fill}")).must();
}

#[test]
fn a_bundle_on_a_full_disk_is_not_created_and_stays_as_it_is() {
    for (options, fill) in [
        ("size=64k", "cat /dev/zero >fill 2>/dev/null || true"),
        ("size=1m,nr_inodes=8", "for n in 1 2 3 4 5 6 7 8 9; do true >$n; done 2>/dev/null || true"),
    ] {
        let host = RecorderHost::new();
        let dir = host.at("bundle");
        full(&host, options, fill);
        let why = format!("cannot write {dir}/config.json: No space left on device (os error 28)");
        let here = ["create", "--bundle", &dir, "web"];
        host.refuses(&here, &format!("container web not created: {why}"));
        host.refuses(&["run", "--bundle", &dir, "web"], &format!("container web not run: {why}"));
    }
}

#[test]
fn a_state_directory_without_inodes_stops_create_and_leaves_nothing() {
    let host = RecorderHost::new();
    host.config(&isolated());
    host.sh("mkdir -m 0700 /run/oci-isolate; mount -t tmpfs -o size=1m,nr_inodes=4,mode=0700 tmpfs /run/oci-isolate")
        .must();
    let said = host.shim(&["create", "web"]);
    assert!(
        said.status == 1 && said.err.ends_with("No space left on device (os error 28)\n"),
        "{}",
        said.err
    );
    assert!(host.calls().is_empty());
    assert_eq!(host.read_config(), isolated());
}
