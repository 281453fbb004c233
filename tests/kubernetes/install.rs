//! `isolatectl install containerd` by hand: where it is the default runtime, and where containerd imports a directory.

use serde_json::{Value, json};

use crate::node::{Node, Release, exec, isolated};
use crate::pods::SLEEP;
use test_support::command::say;
use test_support::findings::Findings;
use test_support::probe::{ITSELF, OPEN, Report};

pub(crate) fn as_the_default_all_pods_go_through_it_until_it_is_taken_out(release: Release) {
    let node = Node::plain(release);
    let host = &node.host;
    let mut findings = Findings::default();
    let programs = test_support::isolatectl();
    let binaries = programs.parent().unwrap();
    for name in ["isolatectl", "oci-isolate"] {
        std::fs::copy(binaries.join(name), host.dir().join(name)).unwrap();
    }
    let ctl = |args: &[&str]| say(host.command(&host.at("isolatectl")).args(args));
    let install = |more: &[&str]| ctl(&[&["install", "containerd"], more].concat());
    let look = || host.sh("cd /etc/containerd; find . -type f | sort | xargs md5sum").must();
    let report = |name: &str, annotations: Value| {
        let pod = node.pod("bare", name, &annotations);
        let id = pod.run("main", &SLEEP, &json!({}));
        let report = Report::parse(&exec(&node, &id, &["probe", name]).1);
        pod.remove();
        report
    };

    // A file beside containerd's own is of no use where that does not import it.
    let beside = ["--config", "/etc/containerd/conf.d/shim.toml", "--dry-run"];
    let says = "/etc/containerd/config.toml does not import it";
    let said = install(&beside);
    findings.claim(!said.well() && said.err.contains(says), format!("beside: {said}"));
    let said = install(&[&beside[..], &["--uninstall"]].concat());
    findings.claim(said.well(), format!("it cannot be taken out either: {said}"));
    let file = if release == Release::One {
        "/etc/containerd/config.toml"
    } else {
        let import = "imports = [\"/etc/containerd/conf.d/*.toml\"]";
        host.sh(&format!("sed -i '1a {import}' /etc/containerd/config.toml")).must();
        let said = install(&beside).must();
        findings.claim(said.contains("+version = 3\n"), format!("beside: {said}"));
        "/etc/containerd/conf.d/oci-isolate.toml"
    };
    let before = look();
    let said = install(&["--default"]).must();
    findings.claim(said.starts_with(&format!("changed  {file}\n")), format!("install says {said:?}"));
    host.sh(&node.restart()).must();
    findings.about("isolated", report("isolated", isolated()).sealed(&ITSELF));
    findings.about("open", report("open", json!({})).reaches(&OPEN));
    let doctor = ctl(&["doctor"]);
    let arrives = "containerd-config: handler oci-isolate is ";
    findings.claim(doctor.well() && doctor.out.contains(arrives), format!("doctor: {doctor}"));
    let unread = "was changed after containerd (process ";
    findings.claim(!doctor.out.contains(unread), format!("after the restart: {doctor}"));
    // The one that runs is asked, and not one that is in PATH.
    host.sh("mkdir -p /run/other; printf '#!/bin/sh\\necho containerd other 9.9.9\\n' >/run/other/containerd; chmod +x /run/other/containerd; touch -d '+1 hour' /etc/containerd/config.toml")
        .must();
    let doctor = host.sh(&format!("PATH=/run/other:$PATH {} doctor", host.at("isolatectl")));
    findings.claim(
        doctor.well() && doctor.out.contains(unread) && !doctor.out.contains("9.9.9"),
        format!("before a restart: {doctor}"),
    );

    install(&["--uninstall"]).must();
    findings.claim(look() == before, "the files are not as before");
    host.sh(&node.restart()).must();
    findings.about("uninstalled", report("uninstalled", isolated()).reaches(&OPEN));
    findings.settle();
}
