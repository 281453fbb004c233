//! Inherited descriptors and the variables that speak of them.

use std::path::Path;

use serde_json::Value;

use test_support::bench::{Bench, isolated, refused, runtime_that};
use test_support::command::Finished;
use test_support::findings::Findings;
use test_support::shim;

/// Which descriptors the program has, and what they are.
const LIST: &str = "for fd in /proc/self/fd/*; do readlink $fd; done; env";

struct Both<'a> {
    bench: &'a Bench,
    spec: Value,
}

impl Both<'_> {
    /// The script gets the runtime as its first argument and the words of `run` behind it.
    fn run(&self, script: &str) -> (Finished, Finished) {
        let open = self.bench.run_script(script, Path::new("/usr/sbin/runc"), &self.spec, &[]);
        let closed = self.bench.run_script(script, &shim(), &isolated(&self.spec), &[]);
        (open, closed)
    }
}

/// perl opens a socket on the descriptor that it is told and becomes the rest of its arguments.
const SOCKET: &str = r#"use POSIX; my $fd = shift; my $kind = shift;
    if ($kind eq "tcp") { socket(S,2,1,0) } elsif ($kind eq "unix") { socket(S,1,1,0) } elsif ($kind eq "dgram") { socketpair(S,T,1,2,0) }
    elsif ($kind eq "pair") { socketpair(S,T,1,1,0); POSIX::dup2(fileno(T), 50) }
    elsif ($kind eq "pipe") { pipe(S,T); POSIX::dup2(fileno(T), 50) } elsif ($kind eq "file") { open(S, "<", "/etc/hosts") }
    elsif ($kind eq "netns") { open(S, "<", "/proc/self/ns/net") } elsif ($kind eq "dir") { sysopen(S, "/", O_RDONLY|O_DIRECTORY) }
    elsif ($kind eq "disk") { open(S, "<", "/dev/kmsg") }
    my $n = fileno(S); POSIX::dup2($n, $fd) if $n != $fd; POSIX::close($n) if $n != $fd;
    $^F = 1000; use Fcntl; open(my $h, "<&=", $fd); fcntl($h, F_SETFD, 0); exec @ARGV; die $!"#;

fn with(bench: &Bench, fd: u32, kind: &str, call: &str) -> String {
    let perl = bench.host.write("socket.pl", SOCKET);
    format!("perl {perl} {fd} {kind} {call}")
}

#[test]
fn preserved_descriptors_are_files_pipes_and_terminals_only() {
    let bench = Bench::new();
    let mut findings = Findings::default();
    let both = Both { bench: &bench, spec: bench.spec("readlink /proc/self/fd/3") };
    // The verb's flags go behind the verb: `"$1" --root R run --preserve-fds 1 ...`.
    let call = "\"$1\" \"$2\" \"$3\" \"$4\" --preserve-fds 1 \"$5\" \"$6\" \"$7\"";
    for (kind, words) in [
        ("tcp", "descriptor 3 of --preserve-fds is a socket"),
        ("unix", "descriptor 3 of --preserve-fds is a socket"),
        ("netns", "is a namespace or another file of the kernel"),
        ("dir", "is a directory"),
        ("disk", "is a device"),
    ] {
        let (open, closed) = both.run(&with(&bench, 3, kind, call));
        findings.claim(
            open.well() && !open.out.is_empty(),
            format!("{kind} is not open without the shim: {open}"),
        );
        findings.about(kind, refused(&closed, words).err().into_iter().collect());
    }
    for kind in ["file", "pipe"] {
        let (open, closed) = both.run(&with(&bench, 3, kind, call));
        findings.claim(
            closed.well() && !closed.out.is_empty(),
            format!("{kind} is not handed on: {closed}, {open}"),
        );
    }
    findings.settle();
}

#[test]
fn sockets_by_listen_fds_are_refused_and_a_leaked_variable_is_not() {
    let bench = Bench::new();
    let both = Both { bench: &bench, spec: bench.spec(LIST) };
    let (open, closed) =
        both.run(&format!("exec {}", with(&bench, 3, "tcp", "env LISTEN_FDS=1 LISTEN_PID=$$ \"$@\"")));
    assert!(open.out.contains("socket:"), "{open}");
    refused(&closed, "LISTEN_FDS hands over descriptor 3").unwrap();
    let (_, closed) = both.run("LISTEN_FDS=1 LISTEN_PID=1 \"$@\"");
    assert!(closed.well() && !closed.out.contains("LISTEN_"), "{closed}");
}

#[test]
fn a_notify_socket_is_not_handed_on_and_other_descriptors_stay_behind() {
    let bench = Bench::new();
    let path = bench.host.dir().join("notify");
    let _ours = test_support::bench::datagram(&path);
    // A process of the runtime's own shows what it has inherited.
    let both = Both { bench: &bench, spec: bench.spec("env") };
    // In the foreground runc waits for the message for ever; ending it leaves the container.
    let notify = format!("NOTIFY_SOCKET={} timeout -k 1 3 \"$@\"", path.display());
    let closed = bench.run_script(&notify, &shim(), &isolated(&both.spec), &[]);
    assert!(closed.well() && !closed.out.contains("NOTIFY_SOCKET"), "{closed}");
    let runtime = bench.host.write("list", &runtime_that("ls -l /proc/$$/fd >&2\nexit 3"));
    bench.host.sh(&format!("chmod +x {runtime}")).must();
    let settings = bench.host.write("list.toml", &format!("runtime = [\"{runtime}\"]\n"));
    let script = with(&bench, 9, "tcp", "\"$@\"");
    for (spec, stays) in [(both.spec.clone(), true), (isolated(&both.spec), false)] {
        let said = bench.run_script(&script, &shim(), &spec, &[format!("--isolate-config={settings}")]);
        assert_eq!(said.status, Some(3), "{said}");
        assert_eq!(said.err.contains("socket:"), stays, "{said}");
    }

    let open = bench.run_script(&notify, Path::new("/usr/sbin/runc"), &both.spec, &[]);
    assert!(open.out.contains("NOTIFY_SOCKET="), "{open}");
}

#[test]
fn stdio_is_no_socket_that_can_be_connected_anew() {
    let bench = Bench::new();
    let mut findings = Findings::default();
    let both = Both { bench: &bench, spec: bench.spec("readlink /proc/self/fd/0 >/fd0; sleep 0.1") };
    let detached = format!(
        "\"$1\" \"$2\" \"$3\" \"$4\" --detach \"$5\" \"$6\" \"$7\" >/dev/null 2>{0}; sleep 0.3; cat {0} >&2; \"$1\" --root \"$3\" delete --force one",
        bench.host.at("err")
    );
    let detached = bench.host.write("detached.sh", &format!("{detached}\n"));
    let rootfs = bench.host.dir().join("rootfs/fd0");
    for (kind, words) in [
        ("tcp", Some("descriptor 0 is a network socket")),
        ("unix", Some("descriptor 0 is a unix socket that can be reconnected")),
        ("dgram", Some("descriptor 0 is a unix socket that can be reconnected")),
        ("netns", Some("descriptor 0 is a namespace")),
        ("pair", None),
        ("pipe", None),
    ] {
        let _ = std::fs::remove_file(&rootfs);
        let (open, closed) = {
            let script = with(&bench, 0, kind, &format!("sh {detached} \"$@\""));
            let open = bench.run_script(&script, Path::new("/usr/sbin/runc"), &both.spec, &[]);
            let was = std::fs::read_to_string(&rootfs).unwrap_or_default();
            findings.claim(!was.is_empty(), format!("{kind} is not open without the shim: {open}"));
            let _ = std::fs::remove_file(&rootfs);
            (open, bench.run_script(&script, &shim(), &isolated(&both.spec), &[]))
        };
        let there = rootfs.exists();
        match words {
            Some(words) => {
                findings.claim(
                    !there && closed.err.contains(words),
                    format!("{kind} is not refused: {closed}, {open}"),
                );
            }
            None => findings.claim(there, format!("{kind} is refused: {closed}")),
        }
    }
    findings.settle();
}

#[test]
fn the_foreground_of_runc_copies_and_may_stand_on_a_socket() {
    let bench = Bench::new();
    let both = Both { bench: &bench, spec: bench.spec("readlink /proc/self/fd/0") };
    let (open, closed) = both.run(&with(&bench, 0, "pair", "\"$@\""));
    assert!(open.out.contains("pipe:") && closed.out.contains("pipe:"), "{open} {closed}");
}
