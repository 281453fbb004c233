//! runc without an engine, over and over: the moment between create and start.

use std::path::Path;
use std::sync::Mutex;

use serde_json::json;

use test_support::capture::Capture;
use test_support::findings::Findings;
use test_support::host::{EngineHost, Kind};
use test_support::{ISOLATE, bundle, shim};

/// As many as there are cores on the smallest machine this runs on.
const WORKERS: usize = 2;

/// Starts `count` containers whose program's first act is connect(), and says what the host's links saw of it.
fn packets_of(
    host: &EngineHost,
    runtime: &Path,
    annotations: &serde_json::Value,
    count: usize,
) -> Vec<String> {
    // BusyBox is static and has no dynamic loader to wait for; one second is for the open case.
    let program = ["nc", "-w", "1", "203.0.113.7", "80"];
    let script = host.write("loop.sh", test_support::LOOP);
    let started = Mutex::new(0);
    let capture = Capture::start(host);
    std::thread::scope(|scope| {
        for worker in 1..=WORKERS {
            let mut spec = bundle::spec(host, &program);
            spec["annotations"] = annotations.clone();
            spec["linux"]["cgroupsPath"] = json!(format!("{}/loop{worker}", host.cgroup()));
            let name = format!("bundle-{worker}");
            std::fs::create_dir_all(host.dir().join(&name)).unwrap();
            host.write(&format!("{name}/config.json"), &spec.to_string());
            let (count, worker) = ((count / WORKERS).to_string(), worker.to_string());
            let (script, bundle, started) = (&script, host.at(&name), &started);
            scope.spawn(move || {
                let mut command = host.patient_command("sh");
                command.arg(script).arg(runtime).args([&bundle, &worker, &count]);
                let said = test_support::command::say(&mut command);
                assert!(said.well(), "{said}\n{}", host.log(&format!("{name}/out")));
                *started.lock().unwrap() += said.out.parse::<usize>().unwrap();
            });
        }
    });
    assert_eq!(*started.lock().unwrap(), count, "not all of them started");
    capture.finish()
}

#[test]
fn a_thousand_programs_that_connect_at_once_send_not_one_packet() {
    let host = EngineHost::new(Kind::Machine);
    bundle::rootfs(&host);
    let mut findings = Findings::default();

    let count = 20;
    let bare = packets_of(&host, Path::new("/usr/sbin/runc"), &json!({}), count);
    let connects = bare.iter().filter(|line| line.contains("> 203.0.113.7.80: Flags [S]")).count();
    // Each is seen on the veth and on the uplink. On a busy machine the kernel drops some behind a link that came up this
    // moment; most have to get out, to show that nothing but the seal keeps them in.
    findings
        .claim(connects > count, format!("bare runc let only {connects} connects out of {count} programs"));

    let (key, value) = ISOLATE.split_once('=').unwrap();
    let isolated = packets_of(&host, &shim(), &json!({ key: value }), 1000);
    for line in isolated.iter().take(10) {
        findings.claim(false, format!("a packet: {line}"));
    }
    findings.claim(isolated.len() <= 10, format!("{} packets in all", isolated.len()));
    findings.settle();
}
