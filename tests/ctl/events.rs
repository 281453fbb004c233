//! What others read of the decisions, as their own programs judge it: OCSF by its schemas, figures and alerts by promtool, rules of
//! Falco by their members. Each decision is once in each.

use std::fs;
use std::process::Command;

use oci_isolate::audit::Outcome;
use serde_json::{Value, json};

use super::audit::of_a_pod;
use super::sealed::{SECRET, Sealed};
use test_support::recorded::host::RecorderHost;
use test_support::recorded::output::{ShimOutput, say};
use test_support::recorded::spec::{SWITCH, annotated};
use test_support::{cached, project};

/// Settings of a host with runc and a log, in which attempts are counted.
pub(super) fn with_log(host: &RecorderHost, audit: &str) {
    let log = host.at("log");
    host.write(
        "config.toml",
        format!(
            "runtime = [\"runc\"]\n[attempts]\ncount = true\n[audit]\nfile = {log:?}\npassed-through = true\n{audit}"
        ),
    );
}

/// The life of a container of a pod, with an attempt, a refused process and a refused container.
pub(super) fn live(sealed: &Sealed) {
    sealed.start("web", of_a_pod);
    sealed
        .sh(&format!(
            "! $SHIM --root $R exec -e AWS_SECRET_ACCESS_KEY={SECRET} web /bin/busybox nc 1.2.3.4 443 </dev/null 2>/dev/null
            ! $SHIM --root $R exec web /bin/sh AKIAIOSFODNN7EXAMPLE </dev/null
            ! $SHIM --root $R create -b $D/web web </dev/null
            ! $SHIM --unknown create web
            $SHIM --root $R delete -f web"
        ))
        .must();
}

/// The decisions of [`live`], in order.
pub(super) const DECISIONS: [&str; 8] =
    ["isolated", "sealed", "filtered", "refused", "refused", "refused", "attempts", "deleted"];

pub(super) fn log(host: &RecorderHost) -> Vec<Value> {
    let text = fs::read_to_string(host.at("log")).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Calls a program of `hack/events` with a text on its standard input.
fn fed(text: &str, program: &str, args: &[&str]) -> ShimOutput {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("text");
    fs::write(&file, text).unwrap();
    let mut shell = Command::new("sh");
    shell.args(["-c", "exec \"$@\" <\"$0\""]).arg(file).arg(cached(program, "hack/events")).args(args);
    say(&mut shell)
}

/// What the schemas of OCSF have against these events, and how many they accept.
fn judged(events: &str) -> Vec<String> {
    let script = project().join("tests/ctl/ocsf.py");
    let said = fed(events, "events/venv/bin/python", &[script.to_str().unwrap(), "1.4.0", "1.8.0"]);
    said.must().lines().map(str::to_owned).collect()
}

#[test]
fn every_line_of_the_log_is_one_event_that_the_schemas_of_ocsf_accept() {
    let sealed = Sealed::empty();
    with_log(&sealed.host, "");
    live(&sealed);
    let lines = log(&sealed.host);
    let decision = |line: &Value| line["decision"].as_str().unwrap().to_owned();
    assert_eq!(lines.iter().map(decision).collect::<Vec<_>>(), DECISIONS);
    let said = sealed.ctl(&["ocsf", "--host", "node-1"]).must();
    assert_eq!(judged(&said), ["8"]);
    let events: Vec<Value> = said.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for (line, event) in lines.iter().zip(&events) {
        assert_eq!(event["metadata"]["event_code"], line["decision"]);
        assert_eq!(event["metadata"]["original_time"], line["time"]);
        assert_eq!(event["status_detail"], line["why"]);
        assert_eq!(event["unmapped"]["rules"], line["rules"]);
        assert_eq!(event["device"]["hostname"], "node-1");
        let id = line["id"].as_str().unwrap();
        assert_eq!(event["resources"][0]["uid"].as_str().unwrap_or(""), id, "{event}");
    }
    let [isolated, _, _, refused, ..] = &events[..] else { unreachable!() };
    let members = |event: &Value| {
        ["type_uid", "action_id", "disposition_id", "status_id"].map(|name| event[name].as_u64().unwrap())
    };
    assert_eq!(members(isolated), [600_301, 4, 4, 1]);
    assert_eq!(members(refused), [600_303, 2, 2, 2]);
    assert_eq!(
        isolated["resources"],
        json!([
            {"type": "Container", "uid": "web", "name": "main", "namespace": "team-a"},
            {"type": "Pod", "name": "train-7", "namespace": "team-a"}
        ])
    );
    // The judge is no rubber stamp.
    let mut wrong = isolated.clone();
    wrong["action_id"] = json!(5);
    wrong["surprise"] = json!(true);
    wrong.as_object_mut().unwrap().remove("actor");
    let against = judged(&format!("{wrong}\n"));
    assert_eq!((against.len(), against.last().unwrap().as_str()), (7, "0"), "{against:#?}");
}

#[test]
fn what_is_observed_is_an_event_that_says_so() {
    let sealed = Sealed::empty();
    with_log(&sealed.host, "");
    sealed.start("open", |config| config["annotations"][SWITCH] = json!("observe"));
    let said = sealed.ctl(&["ocsf", "--host", "node-1"]).must();
    assert_eq!(judged(&said), [said.lines().count().to_string()]);
    let events: Vec<Value> = said.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    // That it starts is a line, too, since settings ask for those of calls that are passed through.
    let [event, _] = &events[..] else { panic!("{said}") };
    let members = ["activity_id", "action_id", "disposition_id", "status_id"];
    assert_eq!(members.map(|name| event[name].as_u64().unwrap()), [1, 3, 17, 1], "{event}");
    assert_eq!(event["metadata"]["event_code"], "observed");
    let detail = event["status_detail"].as_str().unwrap();
    assert!(detail.contains("observed, not isolated; would be changed: "), "{detail}");
}

/// A line of each decision, by each verb, as the shim may write it.
#[test]
fn every_decision_by_every_verb_is_an_event() {
    let host = RecorderHost::new();
    let decisions = Outcome::ALL;
    let verbs = ["create", "run", "restore", "start", "exec", "delete", "seal", "peers", "jobs"];
    let verbs: Vec<Value> = verbs.iter().map(|verb| json!(verb)).chain([Value::Null]).collect();
    let mut text = String::new();
    for decision in decisions {
        for verb in &verbs {
            for pid in [0, 7] {
                let line = json!({
                    "time": "2026-11-25T15:08:44.206Z", "verb": verb, "id": "web", "root": "/r", "bundle": null,
                    "decision": decision, "why": null, "rules": ["seccomp"], "runtime": null, "job": "j",
                    "uid": 0, "pid": pid
                });
                text += &format!("{line}\n");
            }
        }
    }
    let file = host.write("all", text);
    let events = say(host.command(test_support::isolatectl()).args(["ocsf", &file])).must();
    assert_eq!(judged(&events), [(decisions.len() * verbs.len() * 2).to_string()]);
}

#[test]
fn what_is_no_line_of_the_log_is_reported_and_the_others_are_events() {
    let host = RecorderHost::new();
    host.settings(&format!("[audit]\nfile = \"{}\"", host.at("log")));
    host.config(&annotated(SWITCH, json!("maybe")));
    for _ in 0..2 {
        assert_eq!(host.shim(&["create", "web"]).status, 1);
    }
    let whole = fs::read_to_string(host.at("log")).unwrap();
    let (first, second) = whole.split_once('\n').unwrap();
    let file = host.write(
        "torn",
        format!(
            "{first}\n{{\"ha\n{}\n{second}{}",
            "x".repeat(5000),
            second.trim_end().strip_suffix('}').unwrap()
        ),
    );
    let command = format!("{} ocsf - <{file}", test_support::isolatectl().display());
    let ShimOutput { status, out, err } = say(host.command("sh").args(["-c", &command]));
    assert_eq!((status, judged(&out)), (1, vec!["2".to_owned()]));
    let err: Vec<&str> = err.lines().collect();
    assert_eq!(err.len(), 3, "{err:#?}");
    assert!(err[0].starts_with("isolatectl: line 2 of stdin is not a line of the audit log: "), "{err:#?}");
    assert!(err[1].ends_with("line 3 of stdin is not a line of the audit log: it is longer than 4096 bytes"));
    assert_eq!(err[2], "isolatectl: line 5 of stdin has no end, and is left out");
}

/// The samples of a text of figures.
fn figures(text: &str) -> Vec<&str> {
    text.lines().filter(|line| !line.starts_with('#')).collect()
}

/// What `promtool` says about a text of figures.
fn linted(text: &str) -> ShimOutput {
    fed(text, "events/promtool", &["check", "metrics"])
}

#[test]
fn figures_are_what_promtool_accepts_and_the_log_and_verify_say() {
    let sealed = Sealed::empty();
    with_log(&sealed.host, "");
    live(&sealed);
    sealed.start("web", |_| {});
    sealed.sh("! $SHIM --root $R exec web /bin/busybox nc 1.2.3.4 443 </dev/null 2>/dev/null").must();
    sealed.create("new", |_| {});
    let path = sealed.host.at("oci-isolate.prom");
    assert_eq!(sealed.ctl(&["metrics", "--textfile", &path]).must(), "");
    let text = fs::read_to_string(&path).unwrap();
    assert_eq!(linted(&text), ShimOutput { status: 0, out: String::new(), err: String::new() });
    let decisions = [
        ("attempts", 1),
        ("changed", 0),
        ("deleted", 1),
        ("filtered", 2),
        ("isolated", 3),
        ("observed", 0),
        ("passed-through", 0),
        ("platform", 0),
        ("refused", 3),
        ("sealed", 2),
    ];
    let states = [
        ("sealed", 1),
        ("created", 1),
        ("stopped", 0),
        ("absent", 0),
        ("unreadable", 0),
        ("unrecorded", 0),
        ("observed", 0),
    ];
    let wanted = |result: [(&str, u32); 2], broken: &[(&str, u32)]| {
        let line = |metric: &str, label: &str, (value, count): &(&str, u32)| {
            format!("oci_isolate_{metric}{{{label}=\"{value}\"}} {count}")
        };
        let mut lines: Vec<_> =
            decisions.iter().map(|pair| line("decisions_total", "decision", pair)).collect();
        lines.push("oci_isolate_audit_unreadable_lines_total 0".into());
        lines.extend(states.iter().map(|pair| line("containers", "state", pair)));
        lines.extend(result.iter().map(|pair| line("verified_containers", "result", pair)));
        lines.extend(broken.iter().map(|pair| line("broken_promises", "rule", pair)));
        lines.extend([("out", 1), ("in", 0)].iter().map(|pair| line("refused_packets", "direction", pair)));
        lines
    };
    assert_eq!(figures(&text), wanted([("holds", 1), ("broken", 0)], &[]));
    // A promise that is broken from outside, and a line that is cut.
    sealed.sabotage("nsenter -t $P -n nft insert rule inet oci_isolate output accept");
    sealed.sh("printf '{\"half' >>$D/log").must();
    let text = sealed.ctl(&["metrics"]).must();
    let broken =
        wanted([("holds", 0), ("broken", 1)], &[("seal", sealed.broken().len().try_into().unwrap())]);
    assert_eq!(figures(&text), broken);
    assert_eq!(linted(&text).status, 0);
    // promtool is no rubber stamp.
    assert_ne!(linted(&text.replace("# HELP", "# HLEP").replace("\"} ", "} ")).status, 0);
    // Without all figures there are no new ones.
    let before = fs::metadata(&path).unwrap().modified().unwrap();
    sealed.sh("rm $D/log; mkdir $D/log").must();
    let said = sealed.ctl(&["metrics", "--textfile", &path]);
    let why =
        format!("the audit log {} is not a regular file, and can be read only once", sealed.host.at("log"));
    assert_eq!(said, ShimOutput { status: 1, out: String::new(), err: format!("isolatectl: {why}\n") });
    assert_eq!(fs::metadata(&path).unwrap().modified().unwrap(), before);
}

#[test]
fn the_alerts_fire_when_they_should_and_not_before() {
    let monitoring = project().join("hack/kubernetes/monitoring/rules.yaml");
    let dir = tempfile::tempdir().unwrap();
    fs::copy(&monitoring, dir.path().join("rules.yaml")).unwrap();
    let tests = dir.path().join("alerts.yaml");
    fs::write(&tests, include_str!("alerts.yaml")).unwrap();
    let promtool = |args: &[&str], file: &std::path::Path| {
        let said = say(Command::new(cached("events/promtool", "hack/events")).args(args).arg(file));
        assert_eq!(said.status, 0, "{said:?}");
    };
    promtool(&["check", "rules", "--lint-fatal"], &monitoring);
    promtool(&["test", "rules"], &tests);
}

/// Each figure is one of those that are written, and each question one that Prometheus understands.
#[test]
fn the_dashboard_asks_for_figures_that_there_are() {
    let sealed = Sealed::empty();
    with_log(&sealed.host, "");
    sealed.start("web", |_| {});
    sealed.sabotage("nsenter -t $P -n nft insert rule inet oci_isolate output accept");
    let source = |name: &str| fs::read_to_string(project().join("crates").join(name)).unwrap();
    let written = sealed.ctl(&["metrics"]).must()
        + &source("isolate-node/src/metrics.rs")
        + &source("isolatectl/src/jobs_metrics.rs");
    let dashboard = project().join("hack/kubernetes/monitoring/dashboard.json");
    let dashboard: Value = serde_json::from_str(&fs::read_to_string(dashboard).unwrap()).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let expressions: Vec<&str> =
        panels.iter().map(|panel| panel["targets"][0]["expr"].as_str().unwrap()).collect();
    for expression in &expressions {
        for name in expression.split(|c: char| !c.is_ascii_alphanumeric() && c != '_') {
            let is_written = name.strip_prefix("oci_isolate_").is_none_or(|short| written.contains(short));
            assert!(is_written, "nothing writes {name}");
        }
    }
    let rules = |(number, expr): (usize, &&str)| json!({ "record": format!("panel:{number}"), "expr": expr });
    let rules: Vec<Value> = expressions.iter().enumerate().map(rules).collect();
    let rules = json!({ "groups": [{ "name": "dashboard", "rules": rules }] }).to_string();
    let file = sealed.host.write("rules.yaml", rules);
    let said = say(Command::new(cached("events/promtool", "hack/events")).args(["check", "rules", &file]));
    assert!(said.status == 0 && expressions.len() > 10, "{said:?}");
}

#[test]
fn one_rule_of_falco_fires_for_each_decision() {
    let mut judge = Command::new(cached("events/venv/bin/python", "hack/events"));
    judge.arg(project().join("tests/ctl/falco.py"));
    judge.arg(project().join("hack/kubernetes/monitoring/falco.yaml"));
    judge.args(Outcome::ALL.map(Outcome::word));
    let priority = |outcome: Outcome| match outcome {
        Outcome::Refused | Outcome::Attempts => "WARNING",
        Outcome::PassedThrough | Outcome::Observed | Outcome::Platform => "NOTICE",
        _ => "INFORMATIONAL",
    };
    let line = |outcome: Outcome| format!("{} {}\n", outcome.word(), priority(outcome));
    assert_eq!(say(&mut judge).must(), Outcome::ALL.map(line).concat());
}
