//! `mount-readonly-overlay`.

use std::time::Duration;

use test_support::bench::{Bench, TOKEN, listen, mount};
use test_support::command::wait_for;
use test_support::findings::Findings;
use test_support::host::Kind;
use test_support::shim;

/// Waits until the test has bound a socket in the mounted directory.
const LATE: &str = "echo up >/up/up; n=0; until [ -S /in/late.sock ] || [ $n = 200 ]; do usleep 20000; n=$((n + 1)); ls /in >/dev/null; done
    cat /in/file /in/sub/file; perl /connect.pl /in/late.sock";

fn late(kind: Kind, runtime: &std::path::Path) {
    let bench = Bench::of(kind);
    let mut findings = Findings::default();
    for (name, settings, opens) in [
        ("bare", None, true),
        ("isolated", Some(""), false),
        ("allowed", Some("[rules]\nmount-readonly-overlay = \"allow\"\n"), true),
    ] {
        let shared = bench.dir(&format!("shared-{name}"));
        std::fs::create_dir_all(shared.join("sub")).unwrap();
        std::fs::write(shared.join("file"), "one\n").unwrap();
        std::fs::write(shared.join("sub/file"), "two\n").unwrap();
        let up = bench.dir(&format!("up-{name}"));
        // The socket is bound without having been looked for: a name that was missed stays missing.
        let script = LATE.replace("until [ -S /in/late.sock ]", "until [ -e /up/bound ]");
        let mut spec = bench.spec(&script);
        mount(&mut spec, &shared, "/in", &["rbind", "rprivate", "ro", "nosuid", "nodev"]);
        mount(&mut spec, &up, "/up", &["rbind", "rprivate"]);
        let said = std::thread::scope(|scope| {
            scope.spawn(|| {
                wait_for(Duration::from_secs(20), || up.join("up").exists().then_some(()));
                listen(&shared.join("late.sock"));
                std::fs::write(up.join("bound"), "").unwrap();
            });
            match settings {
                None => bench.run(runtime, &spec, &[]),
                Some("") => bench.closed(&spec),
                Some(settings) => {
                    let runtime = if kind == Kind::MachineForCrun { "crun" } else { "runc" };
                    bench.closed_with(&format!("runtime = [\"{runtime}\"]\n{settings}"), &spec)
                }
            }
        });
        findings.claim(said.out.starts_with("one\ntwo"), format!("{name}: the files cannot be read: {said}"));
        findings.claim(said.out.contains(TOKEN) == opens, format!("{name}: {said}"));
        if !opens {
            findings.claim(said.err.contains("refused: Connection refused"), format!("{name}: {said}"));
        }
    }
    findings.settle();
}

#[test]
fn a_socket_that_is_bound_later_is_dead_in_a_read_only_directory() {
    late(Kind::Machine, "/usr/sbin/runc".as_ref());
}

#[test]
fn crun_mounts_the_overlay_as_well() {
    late(Kind::MachineForCrun, "/usr/bin/crun".as_ref());
}

#[test]
fn what_cannot_be_a_layer_stays_a_bind_mount_and_is_in_the_report() {
    let bench = Bench::new();
    let dir = bench.host.dir().display().to_string();
    bench
        .host
        .sh(&format!(
            "mkdir -p '{dir}/with:colon' {dir}/with-mount/below {dir}/plain {dir}/bundle; mount -t tmpfs x {dir}/with-mount/below
             echo x >'{dir}/with:colon/f'; echo x >{dir}/with-mount/below/f; echo x >{dir}/plain/f"
        ))
        .must();
    let mut spec = bench.spec("cat /a/f /b/below/f /c/f; grep -E ' /[abcw] ' /proc/mounts; sleep 60");
    mount(&mut spec, format!("{dir}/with:colon").as_ref(), "/a", &["rbind", "ro"]);
    mount(&mut spec, format!("{dir}/with-mount").as_ref(), "/b", &["rbind", "ro"]);
    mount(&mut spec, format!("{dir}/plain").as_ref(), "/c", &["rbind", "ro"]);
    mount(&mut spec, format!("{dir}/plain").as_ref(), "/w", &["rbind"]);
    let detached =
        "\"$@\" >/dev/null 2>&1 & sleep 1.5; cat $(find /run/oci-isolate -name 'one.json'); kill -9 $!";
    let said = bench.run_script(detached, &shim(), &test_support::bench::isolated(&spec), &[]);
    for words in [
        "/a is a data channel",
        "its path has a character that options separate by",
        "/b is a data channel",
        "there are mounts below it",
        "/w is a data channel",
        "is shared and writable",
        "/c is a read-only overlay",
    ] {
        assert!(said.out.contains(words), "{words:?} is not in the report: {said}");
    }
    assert!(!said.out.contains("/c is a data channel"), "{said}");
}
