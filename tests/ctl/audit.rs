//! The audit log: a line for each decision, whole, in the file that is there; and what happens when it cannot be written.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::{Value, json};

use super::sealed::{SECRET, Sealed};
use test_support::recorded::host::RecorderHost;
use test_support::recorded::output::{ShimOutput, say};
use test_support::recorded::spec::{SWITCH, annotated, isolated, plain, put};
use test_support::shim;

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("torn: {line}"))).collect()
}

/// Verb, decision and rules of each line.
fn story(host: &RecorderHost, log: &str) -> Vec<(String, String, Vec<String>)> {
    let text = fs::read_to_string(host.at(log)).unwrap_or_default();
    assert!(!text.contains(SECRET), "{text}");
    let word = |line: &Value, member| line[member].as_str().unwrap_or("-").to_owned();
    let rules = |line: &Value| {
        line["rules"].as_array().unwrap().iter().map(|rule| rule.as_str().unwrap().to_owned()).collect()
    };
    lines(&text).iter().map(|line| (word(line, "verb"), word(line, "decision"), rules(line))).collect()
}

fn said(verb: &str, decision: &str, rules: &[&str]) -> (String, String, Vec<String>) {
    (verb.into(), decision.into(), rules.iter().map(|rule| (*rule).to_owned()).collect())
}

/// Settings of a host with runc and a log.
fn with_log(host: &RecorderHost, more: &str) {
    host.write(
        "config.toml",
        format!("runtime = [\"runc\"]\n[audit]\nfile = \"{}\"\n{more}", host.at("log")),
    );
}

#[test]
fn the_life_of_a_container_is_written_down() {
    let sealed = Sealed::empty();
    with_log(&sealed.host, "required = true");
    sealed.start("web", |_| {});
    sealed
        .sh(&format!(
            "$SHIM --root $R exec -e AWS_SECRET_ACCESS_KEY={SECRET} web /bin/true </dev/null
            ! $SHIM --root $R exec web /bin/sh AKIAIOSFODNN7EXAMPLE </dev/null
            ! $SHIM --root $R create -b $D/web web </dev/null
            $SHIM --root $R delete -f web"
        ))
        .must();
    assert_eq!(
        story(&sealed.host, "log"),
        [
            said("create", "isolated", &["data-channels", "credentials-env"]),
            said("seal", "sealed", &[]),
            said("exec", "filtered", &["credentials-env"]),
            said("exec", "refused", &[]),
            said("create", "refused", &[]),
            said("delete", "deleted", &[]),
        ]
    );
    let first = &lines(&fs::read_to_string(sealed.host.at("log")).unwrap())[0];
    let names: Vec<&String> = first.as_object().unwrap().keys().collect();
    let wanted =
        ["time", "verb", "id", "root", "bundle", "decision", "why", "rules", "runtime", "uid", "pid"];
    assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), wanted.len());
    assert!(wanted.iter().all(|name| !first[name].is_null()), "{first}");
    assert_eq!(
        (&first["id"], &first["uid"], &first["root"]),
        (&json!("web"), &json!(0), &json!(sealed.host.at("root")))
    );
    assert_eq!(first["bundle"], json!(sealed.host.at("web")));
    assert_eq!(first["why"], json!(format!("annotation {SWITCH}")));
    assert_eq!(fs::metadata(sealed.host.at("log")).unwrap().permissions().mode() & 0o7777, 0o600);
}

/// The annotations of containerd for a container of a pod.
pub(super) fn of_a_pod(config: &mut Value) {
    for (name, value) in [
        ("container-type", "container"),
        ("sandbox-id", "sandbox"),
        ("sandbox-namespace", "team-a"),
        ("sandbox-name", "train-7"),
        ("container-name", "main"),
    ] {
        config["annotations"][format!("io.kubernetes.cri.{name}")] = json!(value);
    }
}

#[test]
fn each_line_about_a_container_of_a_pod_has_its_names() {
    let sealed = Sealed::empty();
    with_log(&sealed.host, "required = true");
    sealed.start("web", of_a_pod);
    sealed
        .sh("$SHIM --root $R exec web /bin/true </dev/null
            ! $SHIM --root $R exec web /bin/sh AKIAIOSFODNN7EXAMPLE </dev/null
            ! $SHIM --root $R create -b $D/web web </dev/null
            $SHIM --root $R delete -f web")
        .must();
    let text = fs::read_to_string(sealed.host.at("log")).unwrap();
    let all = lines(&text);
    let decisions: Vec<_> = all.iter().map(|line| line["decision"].as_str().unwrap()).collect();
    assert_eq!(decisions, ["isolated", "sealed", "filtered", "refused", "refused", "deleted"]);
    for line in all {
        let names = ["namespace", "pod", "container"].map(|member| &line[member]);
        assert_eq!(names, ["team-a", "train-7", "main"], "{line}");
        assert_eq!(line.get("job"), None);
    }
}

#[test]
fn a_container_that_is_run_is_written_down_by_its_hooks() {
    let sealed = Sealed::empty();
    with_log(&sealed.host, "");
    sealed.host.config(&{
        let mut config = isolated();
        put(&mut config, "/root/path", json!(sealed.host.at("bundle/rootfs")));
        put(&mut config, "/process/args", json!(["/bin/true"]));
        put(&mut config, "/linux/cgroupsPath", json!("/oci-isolate-audit-run"));
        config
    });
    sealed.sh("$SHIM --root $R run -b $D/bundle web </dev/null").must();
    let rules = &["data-channels", "credentials-env", "seal-hook"];
    let wanted =
        [said("run", "isolated", rules), said("seal", "sealed", &[]), said("delete", "deleted", &[])];
    assert_eq!(story(&sealed.host, "log"), wanted);
}

#[test]
fn what_passes_through_is_written_down_when_that_is_wanted() {
    let host = RecorderHost::new();
    let log = host.at("log");
    host.config(&plain());
    for (wanted, more) in [(false, ""), (true, "passed-through = true\nrequired = true")] {
        host.settings(&format!("[audit]\nfile = \"{log}\"\n{more}"));
        for args in [&["create", "web"][..], &["start", "web"], &["exec", "web", "true"], &["state", "web"]] {
            assert_eq!(host.shim(args).status, 0);
        }
        let verbs = ["create", "start", "exec"].map(|verb| said(verb, "passed-through", &[]));
        assert_eq!(story(&host, "log"), if wanted { verbs.to_vec() } else { Vec::new() });
    }
    // Required is of isolated containers.
    host.settings("[audit]\nfile = \"/nonexistent/log\"\npassed-through = true\nrequired = true");
    assert_eq!(host.shim(&["create", "web"]).status, 0);
}

#[test]
fn a_command_line_that_is_unclear_and_a_long_id_are_written_down() {
    let host = RecorderHost::new();
    host.settings(&format!("[audit]\nfile = \"{}\"", host.at("log")));
    host.config(&annotated(SWITCH, json!("maybe")));
    assert_eq!(host.shim(&["--unknown", "create", "web"]).status, 1);
    assert_eq!(host.shim(&["create", &"\u{1}".repeat(9000)]).status, 1);
    let text = fs::read_to_string(host.at("log")).unwrap();
    assert!(text.lines().all(|line| line.len() < 4096), "{text}");
    assert_eq!(story(&host, "log"), [said("-", "refused", &[]), said("create", "refused", &[])]);
    assert!(lines(&text)[1]["id"].as_str().unwrap().ends_with("[...]"), "{text}");
}

/// Places that cannot be written, each with the cause that its user is told. `tmpfs` is made full, `ro` read-only.
const PLACES: [(&str, &str); 7] = [
    ("fifo", "No such device or address (os error 6)"),
    ("stuck", "Resource temporarily unavailable (os error 11)"),
    ("missing/log", "No such file or directory (os error 2)"),
    ("link", "Too many levels of symbolic links (os error 40)"),
    ("full/log", "No space left on device (os error 28)"),
    ("ro/log", "Read-only file system (os error 30)"),
    ("/dev/full", "No space left on device (os error 28)"),
];

#[test]
fn a_log_that_cannot_be_written_stops_isolated_containers_only_when_it_is_required() {
    let host = RecorderHost::new();
    host.sh(&format!(
        "cd {}; mkfifo fifo stuck; ln -s elsewhere link; mkdir full ro
        mount -t tmpfs -o size=16k t full; dd if=/dev/zero of=full/file bs=4k count=9 2>/dev/null || true
        mount -t tmpfs -o ro t ro",
        host.at("")
    ))
    .must();
    // A reader that does not read, and a pipe that is full.
    let stuck = host.at("stuck");
    let reader = fs::OpenOptions::new().read(true).write(true).open(&stuck).unwrap();
    host.sh(&format!("dd if=/dev/zero of={stuck} oflag=nonblock bs=4k count=64 2>/dev/null || true")).must();
    for (place, cause) in PLACES {
        let path = if place.starts_with('/') { place.to_owned() } else { host.at(place) };
        host.config(&isolated());
        host.settings(&format!("[audit]\nfile = \"{path}\"\nrequired = true"));
        let why = format!(
            "container web not created: cannot write the audit log {path}, which is required: {cause}"
        );
        let before = host.stamp();
        let refused = host.shim(&["create", "web"]);
        assert_eq!(
            refused,
            ShimOutput { status: 1, out: String::new(), err: format!("oci-isolate: {why}\n") }
        );
        assert_eq!((host.calls(), host.stamp(), host.state()), (Vec::new(), before, Vec::new()), "{place}");
        host.settings(&format!("[audit]\nfile = \"{path}\""));
        let created = host.shim(&["create", "web"]);
        assert_eq!(created, ShimOutput { status: 0, out: String::new(), err: String::new() }, "{place}");
        host.call();
        host.sh("rm -r /run/oci-isolate").must();
    }
    drop(reader);
    assert!(!fs::exists(host.at("elsewhere")).unwrap(), "a link was followed");
}

#[test]
fn a_seal_that_cannot_be_written_down_starts_nothing_when_that_is_required() {
    let sealed = Sealed::empty();
    with_log(&sealed.host, "required = true");
    sealed.create("web", |_| {});
    sealed.sh("rm $D/log; mkdir $D/log").must();
    let said = sealed.sh("$SHIM --root $R start web");
    let why = format!("cannot write the audit log {}, which is required", sealed.host.at("log"));
    assert!(said.status == 1 && said.err.contains(&why), "{said:?}");
    assert!(sealed.sh("runc --root $R state web").must().contains("\"created\""));
}

#[test]
fn two_hundred_writers_lose_and_tear_no_line_while_the_log_is_rotated() {
    let host = RecorderHost::new();
    let log = host.at("log");
    host.settings(&format!("[audit]\nfile = \"{log}\""));
    host.config(&annotated(SWITCH, json!("maybe")));
    let script = format!(
        "(n=0; while [ ! -e {log}.end ]; do n=$((n + 1)); mv {log} {log}.$n 2>/dev/null || true; done) &
        rotation=$!; writers=
        for n in $(seq 200); do $SHIM --root {root} create web-$n 2>/dev/null & writers=\"$writers $!\"; done
        for pid in $writers; do wait $pid || true; done
        : >{log}.end; wait $rotation; rm {log}.end; cat {log}*; ls {log}* | wc -l >&2",
        root = host.at("root")
    );
    let said = say(host.command("bash").args(["-euc", &script]).env("SHIM", shim()));
    assert_eq!(said.status, 0, "{}", said.err);
    assert!(said.err.trim().parse::<u32>().unwrap() > 1, "nothing was rotated");
    let found: Vec<String> =
        lines(&said.out).iter().map(|line| line["id"].as_str().unwrap().to_owned()).collect();
    assert_eq!(found.len(), 200);
    assert_eq!(found.into_iter().collect::<BTreeSet<_>>(), (1..=200).map(|n| format!("web-{n}")).collect());
}
