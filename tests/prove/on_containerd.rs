//! On containerd, by `ctr`.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use test_support::command::{Finished, say};
use test_support::containerd::{Containerd, RUNC, Release};
use test_support::shim;

use crate::called::{PATIENT, all_are_closed, brought, finds};

/// With both kinds of addresses.
const CNI: &str = r#"{
  "cniVersion": "0.4.0", "name": "demo", "plugins": [{
    "type": "bridge", "bridge": "cni0", "isDefaultGateway": true, "ipMasq": true,
    "ipam": {
      "type": "host-local", "dataDir": "/run/cni",
      "ranges": [[{ "subnet": "10.22.0.0/16" }], [{ "subnet": "fd00:22::/64" }]]
    }
  }]
}"#;

/// What is not shown of containerd: it connects no running container, it has no name server, and the kernel of the tests no AF_ALG.
const NOT_SHOWN: [&str; 3] = ["network-connected-later", "dns", "alg"];

fn prove(containerd: &Containerd, runtime: &str, words: &[&str]) -> Finished {
    let host = &containerd.host;
    let mut call = host.patient_command(&brought(host));
    call.env("CONTAINERD_ADDRESS", host.at("containerd.sock"));
    call.args(["prove", "--json", "--engine=containerd", PATIENT, "--runtime", runtime]);
    say(call.args(words))
}

fn left(containerd: &Containerd) -> String {
    let mine = "{ ls /tmp /dev/shm /run/cni/demo; ip -o link; find /sys/fs/cgroup -maxdepth 2; } 2>/dev/null \
                | grep -e oci-isolate-prove -e '^10[.]22' -e '^fd00' -e veth || true";
    containerd.ctr(&["containers", "list", "--quiet"]).must()
        + &containerd.ctr(&["tasks", "list", "--quiet"]).must()
        + &containerd.host.sh(mine).must()
}

fn all_ways(release: Release) {
    let containerd = Containerd::start(release);
    let file = containerd.host.write("both.conflist", CNI);
    containerd.host.sh(&format!("cp {file} /etc/cni/net.d/demo.conflist")).must();
    let said = prove(&containerd, shim().to_str().unwrap(), &[]);
    all_are_closed(&said, &NOT_SHOWN);
    assert_eq!(left(&containerd), "");
}

#[test]
fn with_containerd_1_every_way_is_open_without_and_closed_with_the_annotation_and_nothing_is_left() {
    all_ways(Release::Containerd1);
}

#[test]
fn with_containerd_2_every_way_is_open_without_and_closed_with_the_annotation_and_nothing_is_left() {
    all_ways(Release::Containerd2);
}

#[test]
fn with_containerd_installations_that_do_not_isolate_are_found() {
    let containerd = Containerd::start(Release::Containerd1);
    let host = &containerd.host;
    let shim = shim();
    let shim = shim.to_str().unwrap();

    finds(&prove(&containerd, RUNC, &["--way=tcp"]), "tcp", "open", "it leads out");

    host.settings("[rules]\nhost-pid = \"allow\"\n");
    let way = "host-pid-root";
    finds(&prove(&containerd, shim, &["--way", way]), way, "open", "it leads out");
    host.settings("");

    host.sh("rm -rf /run/oci-isolate; touch /run/oci-isolate").must();
    finds(&prove(&containerd, shim, &["--way=tcp"]), "tcp", "failed", "/run/oci-isolate");
    host.sh("rm -f /run/oci-isolate").must();

    // It leaves records of another format.
    let records = "find /run/oci-isolate -name '*.json' -exec sed -i";
    let old = host.write(
        "old",
        &format!(
            "#!/bin/sh\n{records} 's/\"version\":5/\"version\":6/' {{}} + 2>/dev/null\n{shim} \"$@\"\nstatus=$?\n\
             {records} 's/\"version\":6/\"version\":5/' {{}} + 2>/dev/null\nexit $status\n"
        ),
    );
    fs::set_permissions(&old, fs::Permissions::from_mode(0o755)).unwrap();
    finds(&prove(&containerd, &old, &["--way=record"]), "record", "open", "is of version 5, not 6");

    // Without a CNI network there is nothing to show of the network, and the rest is shown.
    host.sh("rm /etc/cni/net.d/*").must();
    let said = prove(&containerd, shim, &["--way=tcp", "--way=environment"]);
    let rows = crate::called::rows(&said);
    assert!(said.well(), "{said}");
    assert_eq!((rows[0][1].as_str(), rows[1][1].as_str()), ("not-shown", "closed"), "{said}");
    assert!(rows[0][2].starts_with("ctr run --cni makes no network: "), "{said}");
    assert_eq!(left(&containerd), "");
}
