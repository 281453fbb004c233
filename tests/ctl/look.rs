//! `list` and `inspect`: records against reality.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use super::sealed::Sealed;

#[test]
fn list_says_what_state_each_container_is_in() {
    let sealed = Sealed::new();
    for id in ["absent", "stopped", "unreadable"] {
        sealed.start(id, |_| {});
    }
    sealed.create("created", |_| {});
    let (web, stopped) = (sealed.pid("web"), sealed.pid("stopped"));
    let unreadable = sealed.host.record("unreadable");
    sealed.sabotage(&format!(
        "mv $R/absent $D/gone; echo >{unreadable}; kill -9 {stopped}; while [ -e /proc/{stopped} ]; do sleep 0.02; done"
    ));
    let root = sealed.host.at("root");
    let text = sealed.ctl(&["list"]).must();
    let mut lines: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines.remove(0), ["ID", "STATE", "PID", "ROOT"]);
    let (pid, gone) = (web.to_string(), lines[0][2].to_owned());
    assert_eq!(
        lines,
        [
            ["absent", "absent", &gone, &root],
            ["created", "created", "-", &root],
            ["stopped", "stopped", "-", &root],
            ["unreadable", "unreadable", "-", &root],
            ["web", "sealed", &pid, &root],
        ]
    );
    let json: Value = serde_json::from_str(&sealed.ctl(&["list", "--json"]).must()).unwrap();
    let line =
        json!({"id": "web", "root": root, "bundle": sealed.host.at("web"), "state": "sealed", "pid": web});
    assert_eq!(json[4], line);
    let line = json!({"id": "unreadable", "root": root, "bundle": null, "state": "unreadable", "pid": null});
    assert_eq!(json[3], line);
}

#[test]
fn list_of_nothing_is_a_heading_or_an_empty_list() {
    let sealed = Sealed::empty();
    assert_eq!(sealed.ctl(&["list"]).must(), "ID  STATE            PID  ROOT\n");
    assert_eq!(sealed.ctl(&["list", "--json"]).must(), "[]\n");
}

#[test]
fn inspect_says_what_was_changed_and_what_the_seal_did() {
    let sealed = Sealed::empty();
    sealed.create("web", |_| {});
    let text = sealed.ctl(&["inspect", "web"]).must();
    assert!(text.ends_with("\nseal       not yet\n") && !text.contains("\ninit "), "{text}");
    sealed
        .sh("P=$(cat /run/oci-isolate/containers$R/web.pid)
            ip link add v0 type veth peer name eth0 netns /proc/$P/ns/net
            nsenter -t $P -n ip addr add 10.9.9.9/24 dev eth0; $SHIM --root $R start web
            until grep -q '^State:.S' /proc/$P/status && grep -qx sleep /proc/$P/comm; do sleep 0.02; done")
        .must();
    let text = sealed.ctl(&["inspect", "web"]).must();
    let (bundle, pid) = (sealed.host.at("web"), sealed.pid("web"));
    let netns = sealed.sabotage("readlink /proc/$P/ns/net");
    for line in [
        "container  web",
        &format!("bundle     {bundle}"),
        &format!("init       {pid}, S (sleeping)"),
        &format!("seal       namespace {}", netns.trim()),
        "firewall   inet oci_isolate",
        "down       eth0",
        "own        10.9.9.9",
    ] {
        assert!(text.lines().any(|is| is == line), "{line}\n{text}");
    }
    assert!(
        text.contains("changed    credentials-env: ") && text.contains("AWS_SECRET_ACCESS_KEY"),
        "{text}"
    );
    let json: Value = serde_json::from_str(&sealed.ctl(&["inspect", "web", "--json"]).must()).unwrap();
    assert_eq!(json, sealed.host.read_record("web"));
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let sealed = Sealed::new();
    let ctl = test_support::isolatectl();
    let ctl = ctl.display();
    let said = sealed.sh(&format!("set -o pipefail; {ctl} list | true; echo $?"));
    assert_eq!((said.out.as_str(), said.err.as_str()), ("0\n", ""));
}

/// Names of files and variables are the container's choice, and a terminal takes what is in them for commands.
#[test]
fn what_a_container_chooses_is_no_command_to_a_terminal_and_no_line_of_its_own() {
    const ODD: &str = "\u{1b}]0;title\u{7}\nweb: holds";
    const WRITTEN: &str = r"\u{1b}]0;title\u{7}\nweb: holds";
    let sealed = Sealed::empty();
    sealed.start("web", |config| {
        let home = Path::new(config["root"]["path"].as_str().unwrap()).join("home").join(ODD).join(".aws");
        fs::create_dir_all(home).unwrap();
        let program = format!("exec env '{ODD}_AWS_SECRET_ACCESS_KEY=x' sleep 1000");
        config["process"]["args"] = json!(["sh", "-c", program]);
    });
    sealed.sh("until grep -q AWS_SECRET_ACCESS_KEY /proc/$(cat /run/oci-isolate/containers$R/web.pid)/environ; do :; done").must();
    let inspected = sealed.ctl(&["inspect", "web"]).must();
    assert!(inspected.contains(&format!("masked /home/{WRITTEN}/.aws\n")), "{inspected}");
    let verified = sealed.ctl(&["verify", "web"]);
    let says = format!("has variable {WRITTEN}_AWS_SECRET_ACCESS_KEY (its name)\n");
    assert!(verified.out.contains(&says) || verified.out.ends_with(says.trim_end()), "{verified:?}");
    assert!(!(inspected + &verified.out).contains(['\u{1b}', '\u{7}']), "{verified:?}");
}
