//! What holds on every containerd, as `ctr` calls it. `containerd_1` and `containerd_2` say on which.

use std::path::Path;

use serde_json::json;

use test_support::capture::Capture;
use test_support::containerd::{Containerd, RUNC};
use test_support::findings::Findings;
use test_support::probe::{ITSELF, OPEN, Report, credentials_in};
use test_support::{CREDENTIALS, ISOLATE, bundle, shim};

/// Prepares a plumbed network namespace on the host, as an orchestrator with CNI does; says its path.
fn prepared_namespace(containerd: &Containerd) -> &'static str {
    let script = "ip netns add prepared
        ip link add pre0 type veth peer name eth0 netns prepared
        ip addr add 10.66.0.1/24 dev pre0
        ip link set pre0 up
        ip -n prepared addr add 10.66.0.2/24 dev eth0
        ip -n prepared link set lo up
        ip -n prepared link set eth0 up
        ip -n prepared route add default via 10.66.0.1";
    containerd.host.sh(script).must();
    "network:/run/netns/prepared"
}

pub(crate) fn with_bare_runc_and_with_the_shim_unasked_everything_gets_out(containerd: &Containerd) {
    let mut findings = Findings::default();
    let prepared = prepared_namespace(containerd);
    let capture = Capture::start(&containerd.host);
    for (name, runtime) in [("bare", RUNC.into()), ("shim", shim())] {
        for (flag, flags) in
            [("cni", &["--cni"][..]), ("host", &["--net-host"]), ("ns", &["--with-ns", prepared])]
        {
            let id = format!("{name}-{flag}");
            let report = containerd.open(&runtime, &id, flags);
            findings.about(&id, report.reaches(&OPEN));
            findings.about(&id, report.reaches(&ITSELF));
            findings
                .claim(report.has_credentials().len() == 4, format!("{id}: the credentials are not there"));
        }
    }
    findings.claim(capture.finish().len() > 20, "the capture saw next to nothing");
    findings.settle();
}

pub(crate) fn nothing_gets_out_of_an_isolated_container_whatever_its_network(containerd: &Containerd) {
    let mut findings = Findings::default();
    let prepared = prepared_namespace(containerd);
    let capture = Capture::start(&containerd.host);
    let networks = [
        ("empty", &[][..]),
        ("host", &["--net-host"]),
        ("cni", &["--cni"]),
        ("ns", &["--with-ns", prepared]),
    ];
    for (name, flags) in networks {
        findings.about(name, containerd.isolated(name, flags).sealed(&ITSELF));
    }
    findings.about("host", capture.saw_nothing());
    let left = containerd.host.sh("ip -n prepared -o link show eth0 && ip -o link show up0");
    findings.claim(left.well(), format!("a namespace that is not the container's was changed: {left}"));
    findings.settle();
}

pub(crate) fn a_task_exec_sees_no_credentials_and_keeps_its_exit_status(containerd: &Containerd) {
    let mut findings = Findings::default();
    let exec = |id: &str, command: &str| {
        containerd.hear(&["task", "exec"], &["--exec-id", "one", id, "sh", "-c", command])
    };
    containerd.run(Path::new(RUNC), "bare", &["--detach", "--null-io"], &["sleep", "100"]).must();
    let bare = exec("bare", "env; exit 7");
    findings.claim(credentials_in(bare.out.lines()).len() == 4, "ctr does not give exec the credentials");

    let flags = ["--detach", "--null-io", "--annotation", ISOLATE];
    containerd.run(&shim(), "isolated", &flags, &["sleep", "100"]).must();
    let isolated = exec("isolated", "env; exit 7");
    findings.about("exec", credentials_in(isolated.out.lines()));
    findings.claim(isolated.status == Some(7), format!("exec lost its exit status: {isolated}"));
    findings.claim(isolated.out.contains("PATH="), "exec lost its environment");
    findings.about("exec", Report::parse(&exec("isolated", "probe exec").must()).sealed(&ITSELF));

    for id in ["bare", "isolated"] {
        containerd.ctr(&["task", "kill", "--signal", "SIGKILL", id]).must();
        let gone = containerd.ctr(&["task", "delete", "--force", id]);
        // 128 + SIGKILL is the task's own status, which ctr hands on.
        findings.claim(matches!(gone.status, Some(0 | 137)), format!("delete failed: {gone}"));
    }
    let records =
        containerd.host.sh("find /run/oci-isolate -type f ! -name 'runtime-*' 2>/dev/null || true").must();
    findings.claim(records.is_empty(), format!("records stayed behind: {records}"));
    findings.settle();
}

pub(crate) fn a_veth_that_a_hook_plumbs_is_sealed_and_everybodys_hooks_run(containerd: &Containerd) {
    let host = &containerd.host;
    let mut findings = Findings::default();
    let plumb = host.write("plumb.sh", test_support::PLUMB);
    let stages = ["prestart", "createRuntime", "createContainer", "poststart", "poststop"];
    let ran = host.at("ran");

    for (id, runtime) in [("bare", RUNC.into()), ("isolated", shim())] {
        let mut spec = bundle::spec(host, &["probe", id]);
        spec["linux"]["cgroupsPath"] = json!(format!("{}/{id}", host.cgroup()));
        for stage in stages {
            let note = format!("cat >/dev/null; echo {id} {stage} >>{ran}");
            spec["hooks"][stage] = json!([{ "path": "/bin/sh", "args": ["sh", "-c", note] }]);
        }
        let plumbing = json!({ "path": "/bin/sh", "args": ["sh", &plumb], "env": ["PATH=/usr/sbin:/usr/bin:/sbin:/bin"] });
        spec["hooks"]["createRuntime"].as_array_mut().unwrap().insert(0, plumbing);
        if id == "isolated" {
            let (key, value) = ISOLATE.split_once('=').unwrap();
            spec["annotations"][key] = json!(value);
        }
        let config = host.write("config.json", &spec.to_string());
        let runtime: &Path = runtime.as_ref();
        let capture = Capture::start(host);
        let words = ["--rm", "--runc-binary", runtime.to_str().unwrap(), "--config", &config, id];
        let report = Report::parse(&containerd.hear(&["run"], &words).must());
        if id == "isolated" {
            findings.about(id, report.sealed(&ITSELF));
            findings.about("host", capture.saw_nothing());
        } else {
            findings.about(id, report.reaches(&OPEN));
            drop(capture.finish());
        }
        let text = std::fs::read_to_string(&ran).unwrap_or_default();
        for stage in stages {
            findings.claim(
                text.contains(&format!("{id} {stage}\n")),
                format!("{id}: the {stage} hook did not run"),
            );
        }
    }
    findings.settle();
}

pub(crate) fn a_refusal_is_shown_by_ctr(containerd: &Containerd) {
    let maybe = ISOLATE.replace("=true", "=maybe");
    let said = containerd.run(&shim(), "maybe", &["--rm", "--annotation", &maybe], &["echo", CREDENTIALS[0]]);
    assert!(!said.well() && said.out.is_empty(), "the container ran: {said}");
    assert!(said.err.contains("oci-isolate:") && said.err.contains("maybe"), "the error is silent: {said}");
}
