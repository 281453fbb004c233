//! A container that asks to be observed: it runs as if the shim were not there, and the audit log has what isolation would do to it,
//! which is what isolation does.

use std::fs;

use serde_json::{Value, json};

use test_support::recorded::host::RecorderHost;
use test_support::recorded::output::{ShimOutput, say};
use test_support::recorded::spec::{SWITCH, annotated, plain, put};
use test_support::{isolatectl, shim};

fn with_log(host: &RecorderHost, more: &str) {
    host.settings(&format!("{more}\n[audit]\nfile = \"{}\"", host.at("log")));
}

/// The lines of the log, which is then removed.
fn lines(host: &RecorderHost) -> Vec<Value> {
    let text = fs::read_to_string(host.at("log")).unwrap();
    fs::remove_file(host.at("log")).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// A workload whose configuration differs from an ordinary one.
type Change = fn(&mut Value);

/// Ordinary workloads, and such that ask for what leads out.
const WORKLOADS: [(&str, Change); 12] = [
    ("a credential", |config| put(config, "/process/env", json!(["PATH=/bin", "AWS_SECRET_ACCESS_KEY=x"]))),
    ("a credential in an argument", |config| {
        put(config, "/process/args", json!(["/bin/sh", "AKIAIOSFODNN7EXAMPLE"]));
    }),
    ("the host's pids", |config| put(config, "/linux/namespaces", json!([{"type": "mount"}]))),
    ("the host's network", |config| {
        put(config, "/linux/namespaces", json!([{"type": "mount"}, {"type": "pid"}, {"type": "ipc"}]));
    }),
    ("a socket", |config| mount(config, "/run/docker.sock")),
    ("a directory of the system", |config| mount(config, "/proc/sys")),
    ("a directory", |config| mount(config, "/usr/share")),
    ("capabilities", |config| {
        put(
            config,
            "/process/capabilities",
            json!({"bounding": ["CAP_NET_ADMIN", "CAP_NET_RAW", "CAP_KILL"]}),
        );
    }),
    ("a sysctl", |config| put(config, "/linux/sysctl", json!({"net.ipv4.ip_forward": "1"}))),
    ("a member that is unknown", |config| put(config, "/linux/surprise", json!({"a": 1}))),
    ("an open port", |config| put(config, "/annotations/io.oci-isolate.ingress", json!("8080/tcp"))),
    ("an opening that is none", |config| put(config, "/annotations/io.oci-isolate.ingress", json!("x"))),
];

fn mount(config: &mut Value, source: &str) {
    let mount = json!({"destination": "/x", "type": "bind", "source": source, "options": ["rbind", "ro"]});
    config["mounts"].as_array_mut().unwrap().push(mount);
}

#[test]
fn what_is_observed_is_what_isolation_does_and_nothing_is_changed() {
    let host = RecorderHost::new();
    with_log(&host, "");
    host.sh("python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind(\"/run/docker.sock\")'").must();
    let (mut refused, mut changed) = (0, 0);
    for (name, change) in WORKLOADS {
        let mut config = plain();
        put(&mut config, "/annotations", json!({SWITCH: "observe"}));
        change(&mut config);
        host.config(&config);
        let before = host.stamp();
        assert_eq!(host.shim(&["create", "web"]).must(), "", "{name}");
        assert_eq!((host.stamp(), host.state()), (before, Vec::new()), "{name}");
        assert_eq!(host.call().words(), ["--root", &host.at("root"), "create", "web"], "{name}");
        let [observed] = &lines(&host)[..] else { panic!("{name}") };
        assert_eq!(observed["decision"], "observed", "{name}");
        let check = say(host.command(isolatectl()).args(["--json", "check", "--bundle", "."]));
        assert_eq!(check.status, 3, "{check:?}");
        let check: Value = serde_json::from_str(&check.out).unwrap();

        config["annotations"][SWITCH] = json!("true");
        host.config(&config);
        let isolated = host.shim(&["create", "web"]);
        let [line] = &lines(&host)[..] else { panic!("{name}") };
        let why = observed["why"].as_str().unwrap();
        let would =
            why.strip_prefix(&format!("annotation {SWITCH}; observed, not isolated; would ")).unwrap();
        if isolated.status == 0 {
            changed += 1;
            host.call();
            host.sh("rm -rf /run/oci-isolate").must();
            let said = |change: &Value| format!("{}: {}", change["rule"], change["says"]).replace('"', "");
            let said: Vec<String> = check["changes"].as_array().unwrap().iter().map(said).collect();
            assert_eq!(would.replace('"', ""), format!("be changed: {}", said.join("; ")), "{name}");
            assert_eq!(
                (&line["decision"], &line["rules"]),
                (&json!("isolated"), &observed["rules"]),
                "{name}"
            );
        } else {
            refused += 1;
            let refusal = line["why"].as_str().unwrap().strip_prefix("container web not created: ").unwrap();
            assert_eq!(would, format!("be refused: {refusal}"), "{name}");
            assert_eq!(
                (&check["refusal"], &check["decision"]),
                (&json!(refusal), &json!("observed")),
                "{name}"
            );
        }
    }
    assert!(refused > 4 && changed > 4, "{refused} {changed}");
}

#[test]
fn it_is_not_observed_where_isolation_is_demanded() {
    let host = RecorderHost::new();
    host.config(&annotated(SWITCH, json!("observe")));
    for demand in ["mode = \"always\"", "[[require]]\nenv = \"PATH\"\nmatches = \"*\""] {
        with_log(&host, demand);
        assert_eq!(host.shim(&["create", "web"]).must(), "");
        assert!(!host.state().is_empty());
        assert_eq!(lines(&host)[0]["decision"], "isolated", "{demand}");
        host.call();
        host.sh("rm -rf /run/oci-isolate").must();
    }
}

#[test]
fn it_needs_a_log_and_may_need_its_line() {
    let host = RecorderHost::new();
    host.config(&annotated(SWITCH, json!("observe")));
    host.settings("");
    let why = format!(
        "container web not created: annotation {SWITCH} is \"observe\", and there is no audit log for what is observed; \
         name one in the settings (audit.file)"
    );
    let refused =
        |why: &str| ShimOutput { status: 1, out: String::new(), err: format!("oci-isolate: {why}\n") };
    assert_eq!(host.shim(&["create", "web"]), refused(&why));
    host.settings("[audit]\nfile = \"/nonexistent/log\"\nrequired = true");
    let why = "container web not created: cannot write the audit log /nonexistent/log, which is required: \
               No such file or directory (os error 2)";
    assert_eq!(host.shim(&["create", "web"]), refused(why));
    assert_eq!(host.calls(), Vec::new());
    host.settings("[audit]\nfile = \"/nonexistent/log\"");
    assert_eq!(say(host.command(shim()).args(["create", "web"])).status, 0);
}
