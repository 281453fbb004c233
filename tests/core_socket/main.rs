//! Core dumps that the kernel sends to a socket, whatever the limit (since Linux 6.16). This is a crate of its own, since
//! core_pattern belongs to the machine, and all other isolated containers are refused meanwhile.
//!
//! Needs root and what `hack/engines` installs.

#![allow(clippy::unwrap_used, reason = "all of this crate is test code")]
#![allow(clippy::print_stderr, reason = "what a daemon said is wanted when its test fails")]

use std::io::Read;
use std::os::unix::net::UnixListener;
use std::sync::mpsc::Receiver;
use std::time::Duration;

use serde_json::json;

use test_support::bench::{Bench, CORE_PATTERN, CorePattern, refused};
use test_support::findings::Findings;
use test_support::host::{EngineHost, Kind};
use test_support::life::Life;

const WHY: &str = "core-dumps: /proc/sys/kernel/core_pattern names a socket of the host";

/// Has a host's own /proc show a socket, and no other's.
fn pretend(host: &EngineHost) {
    let file = host.write("core_pattern", "@/run/cores\n");
    host.sh(&format!("mount --bind {file} {CORE_PATTERN}")).must();
}

/// Reads what the kernel sends to a socket, and tells of each core of the test's own. The kernel waits until it is read.
fn cores(listener: UnixListener) -> Receiver<()> {
    let (tell, heard) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut core = Vec::new();
            drop(stream.read_to_end(&mut core));
            if core.windows(14).any(|bytes| bytes == b"memory-of-1001") {
                let _ = tell.send(());
            }
        }
    });
    heard
}

/// The limit of one byte is for programs only.
#[test]
fn where_a_socket_gets_core_dumps_nothing_is_isolated() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("cores");
    let heard = cores(UnixListener::bind(&path).unwrap());
    let mut findings = Findings::default();
    for kind in Kind::RUNTIMES {
        let bench = Bench::of(kind);
        let mut spec = bench.spec("word=memory-of-$((1000 + 1)) perl -e 'kill 11, $$'; true");
        spec["process"]["rlimits"] = json!([{"type": "RLIMIT_CORE", "hard": 1, "soft": 1}]);
        let pattern = CorePattern::take();
        std::fs::write(CORE_PATTERN, format!("@{}", path.display())).unwrap();
        let open = bench.open(&spec);
        let has = heard.recv_timeout(Duration::from_secs(10));
        pattern.put_back();
        findings.claim(has.is_ok(), format!("{kind:?}: not open without the shim: {open}"));
        pretend(&bench.host);
        findings.about(&format!("{kind:?}"), refused(&bench.closed(&spec), WHY).err().into_iter().collect());
        let allowed = bench.closed_with("[rules]\ncore-dumps = \"allow\"\n", &bench.spec("echo runs"));
        findings.claim(allowed.out == "runs", format!("{kind:?}: {allowed}"));
    }
    findings.settle();
}

/// In one that was made before the machine had the socket.
#[test]
fn where_a_socket_gets_core_dumps_nothing_is_execed() {
    // Not while the other test has the machine's be one.
    let _one = CorePattern::take();
    for kind in Kind::RUNTIMES {
        let life = Life::of(kind);
        life.isolated("one", &life.stays());
        life.sh("made $S one; $S start one; $S exec one true").must();
        pretend(&life.bench.host);
        refused(&life.sh("$S exec one true"), &format!("nothing run in container one: {WHY}")).unwrap();
    }
}
