//! runc and crun of both Debians, without an engine: what an engine relies on is the same with each of them.

use std::path::Path;

use serde_json::{Value, json};

use test_support::capture::Capture;
use test_support::command::{Finished, say};
use test_support::findings::Findings;
use test_support::host::{EngineHost, Kind};
use test_support::probe::{ITSELF, OPEN, Report, credentials_in};
use test_support::{ISOLATE, bundle, shim};

/// A throw-away host for one runtime, which the shim finds there.
fn host(kind: Kind) -> EngineHost {
    let host = EngineHost::new(kind);
    bundle::rootfs(&host);
    host.settings(&format!("runtime = [{:?}]\n", kind.runtime()));
    host
}

/// A configuration whose veth a hook plumbs, as Docker's did before 28.
fn plumbed(host: &EngineHost, program: &[&str]) -> Value {
    let mut spec = bundle::spec(host, program);
    let plumb = host.write("plumb.sh", test_support::PLUMB);
    spec["linux"]["cgroupsPath"] = json!(format!("{}/one", host.cgroup()));
    let path = ["PATH=/usr/sbin:/usr/bin:/sbin:/bin"];
    spec["hooks"]["createRuntime"] = json!([{ "path": "/bin/sh", "args": ["sh", &plumb], "env": path }]);
    spec
}

fn isolated(mut spec: Value) -> Value {
    let (key, value) = ISOLATE.split_once('=').unwrap();
    spec["annotations"][key] = json!(value);
    spec
}

/// Runs a script in which `$R` is the runtime with a root of its own, and `$B` the bundle of this
/// configuration.
fn script(host: &EngineHost, runtime: &Path, spec: &Value, text: &str) -> Finished {
    let bundle = host.at("bundle");
    std::fs::create_dir_all(&bundle).unwrap();
    host.write("bundle/config.json", &spec.to_string());
    let root = host.at("state");
    let mut shell = host.command("bash");
    shell.args(["-uc", text]).env("B", &bundle).env("R", format!("{} --root {root}", runtime.display()));
    let said = say(&mut shell);
    host.sh(&format!("rm -rf {root} {bundle}")).must();
    said
}

const IDLE: [&str; 2] = ["sleep", "1000"];

/// The engine's beat, with an exec and its exit status.
const BEAT: &str = "$R create --bundle $B --pid-file $B/pid one </dev/null >/dev/null 2>&1; echo create $?
    $R start one; echo start $?; $R exec one sh -c 'env; ip -o link show up | cut -d: -f2; exit 7'; echo exec $?
    $R exec one probe exec; $R kill one KILL; until $R state one | grep -q '\"stopped\"'; do sleep 0.02; done
    $R delete one; echo delete $?; $R state one >/dev/null 2>&1; echo state $?";

#[test]
fn what_is_plumbed_between_create_and_start_is_sealed_and_exec_is_without_credentials() {
    for kind in Kind::RUNTIMES {
        let host = host(kind);
        let mut findings = Findings::default();
        let spec = plumbed(&host, &IDLE);
        let bare = script(&host, kind.runtime(), &spec, BEAT);
        let report = Report::parse(&bare.out);
        findings.about("bare", report.reaches(&OPEN));
        findings.claim(credentials_in(bare.out.lines()).len() == 4, "bare: exec has no credentials");
        let capture = Capture::start(&host);
        let closed = script(&host, &shim(), &isolated(spec), BEAT);
        findings.about("isolated", Report::parse(&closed.out).sealed(&ITSELF));
        findings.about("exec", credentials_in(closed.out.lines()));
        findings.about("host", capture.saw_nothing());
        for (what, said) in [("bare", &bare), ("isolated", &closed)] {
            for word in ["create 0", "start 0", "exec 7", "delete 0", "state 1"] {
                let there = said.out.lines().any(|line| line == word);
                findings.claim(there, format!("{kind:?}, {what}: no {word:?} in {said}"));
            }
        }
        let left = host.sh("find /run/oci-isolate -type f ! -name 'runtime-*' 2>/dev/null || true").must();
        findings.claim(left.is_empty(), format!("{kind:?}: records stayed behind: {left}"));
        findings.settle();
    }
}

#[test]
fn run_is_sealed_in_the_middle_and_everybodys_hooks_run() {
    const STAGES: [&str; 5] = ["prestart", "createRuntime", "createContainer", "poststart", "poststop"];
    for kind in Kind::RUNTIMES {
        let host = host(kind);
        let mut findings = Findings::default();
        let ran = host.at("ran");
        let mut spec = plumbed(&host, &["probe", "run"]);
        for stage in STAGES {
            let script = format!("cat >/dev/null; echo {stage} >>{ran}");
            let note = json!({ "path": "/bin/sh", "args": ["sh", "-c", script] });
            match spec["hooks"][stage].as_array_mut() {
                Some(hooks) => hooks.push(note),
                None => spec["hooks"][stage] = json!([note]),
            }
        }
        let run = "$R run --bundle $B one </dev/null";
        let bare = script(&host, kind.runtime(), &spec, run);
        findings.about("bare", Report::parse(&bare.out).reaches(&OPEN));
        let capture = Capture::start(&host);
        let closed = script(&host, &shim(), &isolated(spec), run);
        findings.about("isolated", Report::parse(&closed.out).sealed(&ITSELF));
        findings.about("host", capture.saw_nothing());
        let text = std::fs::read_to_string(&ran).unwrap_or_default();
        for stage in STAGES {
            let times = text.lines().filter(|line| *line == stage).count();
            findings.claim(times == 2, format!("{kind:?}: the {stage} hook ran {times} times of 2"));
        }
        findings.settle();
    }
}

#[test]
fn who_does_not_ask_cannot_tell_that_the_shim_is_there() {
    const CALLS: &str = "$R features; echo $?; $R --version; echo $?; $R nonsense; echo $?
        $R start one; echo $?; $R kill one; echo $?; $R list; echo $?; $R spec --bundle /nowhere; echo $?
        $R run --bundle $B one </dev/null; echo $?; cat $B/config.json";
    for kind in Kind::RUNTIMES {
        let host = host(kind);
        let mut spec = bundle::spec(&host, &["sh", "-c", "cat /proc/mounts; env; echo err >&2; exit 3"]);
        spec["linux"]["cgroupsPath"] = json!(format!("{}/one", host.cgroup()));
        let said = |runtime: &Path| {
            let said = script(&host, runtime, &spec, CALLS);
            // Lines of a log have the time in front.
            let without = |line: &str, end: &str| line.split_once(end).map(|(_, rest)| rest.to_owned());
            let log = |line: &str| without(line, " level=").or_else(|| without(line, "Z: "));
            let err = said.err.lines().map(|line| log(line).unwrap_or_else(|| line.to_owned()));
            said.out.lines().map(str::to_owned).chain(err).collect::<Vec<_>>()
        };
        let (bare, behind) = (said(kind.runtime()), said(&shim()));
        let different = bare.iter().zip(&behind).find(|(bare, behind)| bare != behind);
        assert!(different.is_none() && bare.len() == behind.len(), "{kind:?}: {different:?}");
        let there = |part: &str| bare.iter().any(|line| line.contains(part));
        // crun 1.8 has no features to tell.
        assert_eq!(there("\"ociVersionMin\""), kind != Kind::MachineForCrun, "{kind:?}: {bare:?}");
        assert!(there("spec: ") && there("AWS_SECRET_ACCESS_KEY="), "{kind:?}: {bare:?}");
    }
}
