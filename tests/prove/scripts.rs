//! Installations that do not isolate, by what is between Docker and the shim: each is found by the name of a way.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde_json::{Value, json};

use test_support::command::{command, say};
use test_support::docker::{Docker, Release};
use test_support::shim;

use crate::called::{finds, prove};

/// Gives the daemon runtimes that are scripts. Its networks have no IPv6 from then on: Docker's sockets for that are in a
/// container's namespace when it starts, and without a firewall it does not start with them.
fn register(docker: &Docker, scripts: &[(&str, String)]) {
    let file = docker.host.dir().join("daemon.json");
    let mut config: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    for (name, script) in scripts {
        let path = docker.host.write(name, script);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        config["runtimes"][name] = json!({ "path": path });
    }
    config["ipv6"] = json!(false);
    config.as_object_mut().unwrap().remove("fixed-cidr-v6");
    fs::write(&file, config.to_string()).unwrap();
    docker.restart();
}

#[test]
fn a_kernel_without_nf_tables_and_a_shim_of_another_version_are_found() {
    let docker = Docker::start(Release::Docker28);
    let host = &docker.host;
    let built = host.at("without-nf_tables");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/prove/without-nf_tables.c");
    say(command("gcc").args(["-O1", "-static", "-o", &built]).arg(source)).must();
    let shim = shim().display().to_string();
    // It leaves records of another format.
    let records = "find /run/oci-isolate -name '*.json' -exec sed -i";
    let old = format!(
        "#!/bin/sh\n{records} 's/\"version\":5/\"version\":6/' {{}} + 2>/dev/null\n{shim} \"$@\"\nstatus=$?\n\
         {records} 's/\"version\":6/\"version\":5/' {{}} + 2>/dev/null\nexit $status\n"
    );
    register(&docker, &[("no-nftables", format!("#!/bin/sh\nexec {built} {shim} \"$@\"\n")), ("old", old)]);

    host.settings("firewall = \"if-available\"\n");
    let way = "network-connected-later";
    finds(&prove(&docker, "no-nftables", &["--way", way]), way, "open", "it leads out");
    host.settings("");

    finds(&prove(&docker, "old", &["--way=record"]), "record", "open", "is of version 5, not 6");
}

#[test]
fn an_engine_that_passes_no_annotations_is_found() {
    let docker = Docker::start(Release::Docker20);
    finds(&prove(&docker, "shim", &["--way=tcp"]), "tcp", "failed", "--annotation");
}
