//! What SageMaker's contract gives a training container makes its job and its names: `TRAINING_JOB_NAME` and
//! `resourceconfig.json`.

use serde_json::{Value, json};

use crate::jobs::{DOCKER, Net};
use test_support::bench::{isolated, mount, refused};
use test_support::command::Finished;
use test_support::findings::Findings;
use test_support::host::Kind;
use test_support::shim;

/// A container as the SDK's local mode makes it: a host name of the engine's, and the input that has its real one.
fn spec(net: &Net, name: &str, job: &str, current_host: &str) -> Value {
    let mut spec = net.spec(name, &format!("engine-{name}"), &[], "exec httpd -f -h /www");
    spec["process"]["env"].as_array_mut().unwrap().push(json!(format!("TRAINING_JOB_NAME={job}")));
    let input = net.bench.dir(&format!("{name}/input"));
    std::fs::create_dir_all(input.join("config")).unwrap();
    let file = json!({ "current_host": current_host, "hosts": [current_host] });
    std::fs::write(input.join("config/resourceconfig.json"), file.to_string()).unwrap();
    mount(&mut spec, &input, "/opt/ml/input", &["rbind", "rw"]);
    isolated(&spec)
}

/// Two hosts of one training job and one of another, all of one runtime with these settings.
fn started(net: &Net, kind: Kind, job: &str) -> Value {
    let runtime = kind.runtime();
    net.bench.host.settings(&format!("runtime = [{runtime:?}]\n[openings]\njob = \"{job}\"\n"));
    let mut first = Value::Null;
    for (name, last, job, host) in [
        ("one", 2, "mnist-1", "algo-1-x"),
        ("two", 3, "mnist-1", "algo-2-x"),
        ("other", 4, "mnist-2", "algo-1-y"),
    ] {
        net.plumb(name, last);
        let spec = spec(net, name, job, host);
        net.start(&shim(), DOCKER, name, &spec).must();
        if first.is_null() {
            first = spec;
        }
    }
    first
}

#[test]
fn hosts_of_one_training_job_are_peers_by_the_names_of_the_contract_and_those_of_another_are_not() {
    for kind in Kind::RUNTIMES {
        let mut findings = Findings::default();
        // One name for all: the other job reaches them.
        let net = Net::new(kind);
        started(&net, kind, "static");
        let said = net.fetch_page("other", "algo-1-x");
        findings.claim(said.out == "inside", format!("{kind:?}: not open with one name for all: {said}"));
        drop(net);

        let net = Net::new(kind);
        started(&net, kind, "${TRAINING_JOB_NAME}");
        for (from, to) in [
            ("one", "algo-2-x"),
            ("two", "algo-1-x"),
            ("one", "algo-1-x"),
            ("other", "algo-1-y"),
            ("one", "engine-two"),
        ] {
            let said = net.fetch_page(from, to);
            findings.claim(said.out == "inside", format!("{kind:?}: {from} does not reach {to}: {said}"));
        }
        for (from, to) in [("one", "10.77.0.4"), ("other", "10.77.0.2"), ("other", "algo-1-x")] {
            let said = net.fetch(from, to);
            findings
                .claim(said.status == Some(1), format!("{kind:?}: {from} reaches {to}, or waits: {said}"));
        }
        let hosts = net.exec("other", &["cat", "/etc/hosts"]).must();
        let wanted = "127.0.0.1 localhost\n10.77.0.4 algo-1-y # oci-isolate job";
        findings.claim(hosts == wanted, format!("{kind:?}: {hosts}"));
        for name in ["one", "two", "other"] {
            let said = net.isolatectl(&["verify", name]);
            findings.claim(said.well(), format!("{kind:?}: {said}"));
        }
        findings.settle();
    }
}

/// The container can write the file, and is created again from it.
#[test]
fn a_container_that_rewrites_its_name_names_itself_and_takes_no_other_name() {
    const FILE: &str = "/opt/ml/input/config/resourceconfig.json";
    let net = Net::new(Kind::Machine);
    let mut findings = Findings::default();
    let first = started(&net, Kind::Machine, "${TRAINING_JOB_NAME}");
    let again = |written: &str| {
        net.exec("one", &["sh", "-c", written]).must();
        recreated(&net, &first)
    };
    let write = |text: &str| format!("rm -f {FILE}; printf '%s' '{text}' >{FILE}");
    let said = again(&write(r#"{"current_host": "algo-7-x"}"#));
    findings.claim(said.well(), format!("another name of its own: {said}"));
    let said = net.fetch_page("two", "algo-7-x");
    findings.claim(said.out == "inside", format!("two does not reach it by its new name: {said}"));
    for (written, words) in [
        (write(r#"{"current_host": "algo-2-x"}"#), "of the job have the same host name, algo-2-x"),
        (write(r#"{"current_host": "s3.amazonaws.com"}"#), "current_host is \"s3.amazonaws.com\"; it takes"),
        (write(r#"{"current_host": "a\n10.77.0.1 b"}"#), "current_host is \"a\\n10.77.0.1 b\"; it takes"),
        (write("{"), "cannot take the container's name from"),
        (format!("rm {FILE}; ln -s /etc/shadow {FILE}"), "ELOOP"),
        (format!("rm {FILE}; mkfifo {FILE}"), "EINVAL"),
    ] {
        let said = again(&written);
        findings.about(&written, refused(&said, words).err().into_iter().collect());
        // The next round needs it running.
        std::fs::remove_file(net.bench.host.dir().join("one/input/config/resourceconfig.json")).unwrap();
        let said = recreated(&net, &first);
        findings.claim(said.well(), format!("without the file: {said}"));
    }
    let hosts = net.exec("two", &["cat", "/etc/hosts"]).must();
    let stolen = hosts.lines().filter(|line| !line.starts_with('#') && line.starts_with("10.77.0.2"));
    let stolen: Vec<_> = stolen.filter(|line| !line.contains("engine-one")).collect();
    findings.claim(stolen.is_empty(), format!("two knows {stolen:?}"));
    findings.settle();
}

/// The container `one`, deleted and created again.
fn recreated(net: &Net, spec: &Value) -> Finished {
    let (shim, root) = (shim(), net.bench.host.at(DOCKER));
    let script = format!(
        "{} --root {root} delete --force one; ip link del one; ip netns del one; true",
        shim.display()
    );
    net.bench.host.sh(&script).must();
    net.plumb("one", 2);
    net.start(&shim, DOCKER, "one", spec)
}
