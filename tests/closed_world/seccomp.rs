//! System calls and netlink protocols that are on no list.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use test_support::bench::{Bench, CORE_PATTERN, CorePattern, isolated, refused};
use test_support::command::{command, say, wait_for};
use test_support::findings::Findings;
use test_support::host::Kind;
use test_support::shim;

const DOCKER_20: &str = include_str!("../data/seccomp/docker-20.10.json");

fn docker_20() -> Value {
    serde_json::from_str::<Value>(DOCKER_20).unwrap()["linux"]["seccomp"].take()
}

fn grant(spec: &mut Value, name: &str) {
    for set in ["bounding", "effective", "permitted"] {
        spec["process"]["capabilities"][set].as_array_mut().unwrap().push(json!(name));
    }
}

/// Copies a program and the libraries that it is linked to.
fn install(root: &Path, program: &str, name: &str) {
    std::fs::copy(program, root.join("bin").join(name)).unwrap();
    let libraries = say(command("ldd").arg(program)).must();
    for path in libraries.split_whitespace().filter(|word| word.starts_with('/')) {
        let copy = root.join(path.trim_start_matches('/'));
        std::fs::create_dir_all(copy.parent().unwrap()).unwrap();
        std::fs::copy(path, copy).unwrap();
    }
}

/// Sends AUDIT_USER_AVC with words of its own, and says what the kernel answers (linux/audit.h, netlink(7)).
const AUDIT: &str = r#"exec perl -e '
    socket(S, 16, 3, 9) or do { print "no socket: $!"; exit };
    my $text = "msg=$ARGV[0]\0";
    send(S, pack("LSSLL", 16 + length $text, 1107, 5, 1, 0) . $text, 0, pack("SSLL", 16, 0, 0, 0)) or die;
    recv(S, my $ack, 4096, 0); print "answer ", unpack("x16 l", $ack)' "#;

/// auditd runs nowhere here, so the message goes to the kernel's log, which drops some if there are many at once.
#[test]
fn a_message_for_the_audit_log_does_not_reach_the_machine() {
    let mut findings = Findings::default();
    for kind in Kind::RUNTIMES {
        let bench = Bench::of(kind);
        for (profile, seccomp) in [("none", Value::Null), ("Docker 20.10", docker_20())] {
            let about = format!("{kind:?}, profile: {profile}");
            let word = format!("secret-of-{}-{}", bench.host.world.name, profile.len());
            let mut spec = bench.spec(&format!("{AUDIT}{word}"));
            grant(&mut spec, "CAP_AUDIT_WRITE");
            if !seccomp.is_null() {
                spec["linux"]["seccomp"] = seccomp;
            }
            let in_log = || say(&mut command("dmesg")).must().contains(&word);
            let closed = bench.closed(&spec);
            let held = closed.out == "no socket: Protocol not supported" && !in_log();
            findings.claim(held, format!("{about}: {closed}"));
            let opened = wait_for(Duration::from_secs(20), || {
                let open = bench.open(&spec);
                assert_eq!(open.out, "answer 0", "{about}: not open without the shim: {open}");
                in_log().then_some(())
            });
            findings.claim(opened.is_some(), format!("{about}: not in the machine's log"));
        }
    }
    findings.settle();
}

/// shadow-utils, sudo, login and sshd give up when they may not write to the audit log, and go on where there is none.
#[test]
fn programs_that_write_to_the_audit_log_go_on_without_it() {
    let mut findings = Findings::default();
    for kind in [Kind::Machine, Kind::MachineForCrun] {
        let bench = Bench::of(kind);
        let root = bench.host.dir().join("rootfs");
        install(&root, "/usr/sbin/useradd", "useradd");
        std::fs::write(root.join("etc/login.defs"), "UID_MIN 1000\nGID_MIN 1000\nUSERGROUPS_ENAB no\n")
            .unwrap();
        for file in ["group", "shadow", "gshadow"] {
            std::fs::write(root.join("etc").join(file), "").unwrap();
        }
        let script = "echo root:x:0:0::/root:/bin/sh >/etc/passwd; echo users:x:100: >/etc/group
            useradd --no-create-home --gid 100 walter; grep -c walter /etc/passwd";
        let mut spec = bench.spec(script);
        for name in ["CAP_AUDIT_WRITE", "CAP_DAC_OVERRIDE", "CAP_FOWNER"] {
            grant(&mut spec, name);
        }
        // What a filter that merely denies makes of it.
        let mut denied = spec.clone();
        denied["linux"]["seccomp"] = json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
            {"names": ["socket"], "action": "SCMP_ACT_ERRNO", "args": [
                {"index": 0, "value": 16, "op": "SCMP_CMP_EQ"}, {"index": 2, "value": 9, "op": "SCMP_CMP_EQ"}]}]});
        let fails = bench.open(&denied);
        let gave_up = fails.out == "0" && fails.err.contains("audit");
        findings.claim(gave_up, format!("{kind:?}: EPERM is no obstacle, so nothing is shown: {fails}"));
        for seccomp in [Value::Null, docker_20()] {
            if !seccomp.is_null() {
                spec["linux"]["seccomp"] = seccomp;
            }
            let closed = bench.closed(&spec);
            findings.claim(closed.out == "1", format!("{kind:?}: {closed}"));
        }
    }
    findings.settle();
}

/// Hands core dumps to a program that writes down the names of those that crashed.
struct Handler {
    pattern: CorePattern,
    dir: tempfile::TempDir,
}

impl Handler {
    fn new() -> Self {
        let pattern = CorePattern::take();
        let dir = tempfile::tempdir().unwrap();
        std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        let (program, log) = (dir.path().join("handler"), dir.path().join("log"));
        std::fs::write(&program, format!("#!/bin/sh\ncat >/dev/null\necho \"$1\" >>{}\n", log.display()))
            .unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        std::fs::write(CORE_PATTERN, format!("|{} %e", program.display())).unwrap();
        Self { pattern, dir }
    }

    fn had(&self, name: &str) -> bool {
        std::fs::read_to_string(self.dir.path().join("log"))
            .unwrap_or_default()
            .lines()
            .any(|line| line == name)
    }

    /// Whether it gets a crash of that name; asked after another crash, so that what was there before has been written.
    fn gets(&self, name: &str, barrier: &str) -> bool {
        let program = self.dir.path().join(barrier);
        std::fs::copy("/usr/bin/perl", &program).unwrap();
        let crash = say(command(&program).args(["-e", "kill 11, $$"]));
        let there = wait_for(Duration::from_secs(10), || self.had(barrier).then_some(()));
        assert!(there.is_some(), "the program for core dumps does not run: {crash}");
        self.had(name)
    }
}

/// The limit of one byte keeps the kernel from starting the host's program. Everybody may lower it to none, which does not.
/// (CAP_SYS_RESOURCE raises it by the same calls. Machines without it, such as this one, cannot give it to a container.)
#[test]
fn the_limit_that_keeps_the_hosts_program_from_crashes_cannot_be_changed() {
    let handler = Handler::new();
    let mut findings = Findings::default();
    for (at, kind) in Kind::RUNTIMES.into_iter().enumerate() {
        let bench = Bench::of(kind);
        for (profile, seccomp) in [Value::Null, docker_20()].into_iter().enumerate() {
            let about = format!("{kind:?}, profile {profile}");
            let name = |side: &str| format!("{side}{at}{profile}-{}", std::process::id() % 10000);
            let spec = |side: &str| {
                let name = name(side);
                std::fs::copy("/usr/bin/perl", bench.host.dir().join("rootfs/bin").join(&name)).unwrap();
                // Limits are read by prlimit64(2).
                let read =
                    r#"perl -e '$l = "x" x 16; syscall(302, 0, 4, 0, $l); print unpack("Q", $l), "\n"'"#;
                let mut spec = bench.spec(&format!(
                    "ulimit -c 0 && echo done; ulimit -n 99 && ulimit -n; {read}; {name} -e 'kill 11, $$'; true"
                ));
                spec["process"]["rlimits"] = json!([{"type": "RLIMIT_CORE", "hard": 1, "soft": 1}]);
                if !seccomp.is_null() {
                    spec["linux"]["seccomp"] = seccomp.clone();
                }
                spec
            };
            let open = bench.open(&spec("open"));
            let reached = wait_for(Duration::from_secs(10), || handler.had(&name("open")).then_some(()));
            findings.claim(reached.is_some(), format!("{about}: not open without the shim: {open}"));
            findings.claim(open.out == "done\n99\n0", format!("{about}: {open}"));
            let closed = bench.closed(&spec("shut"));
            // The call says that it did what it was asked for, and other limits can be changed.
            findings.claim(closed.out == "done\n99\n1", format!("{about}: {closed}"));
            let got = handler.gets(&name("shut"), &name("wait"));
            findings.claim(!got, format!("{about}: the host's program was started: {closed}"));
        }
    }
    handler.pattern.put_back();
    findings.settle();
}

/// Runs something in a container that runs already: `$STOP` is a FIFO on which its first process waits.
const EXEC: &str = r#"
runtime=$1; fifo=$(mktemp -u); mkfifo "$fifo"
"$@" >"$fifo" 2>&1 & exec 3<"$fifo"; rm "$fifo"
root=; while [ $# -gt 0 ]; do [ "$1" != --root ] || root=$2; shift; done
read -r line <&3; echo "$line"
"$runtime" --root "$root" exec one sh -c "$NAME -e 'kill 11, \$\$'; true"
echo >"$STOP"; cat <&3; wait
"#;

/// crun gives a process of `exec` the limits of its caller, unless the engine's file has some.
#[test]
fn a_crash_of_what_is_execed_starts_no_program_of_the_host() {
    let handler = Handler::new();
    let mut findings = Findings::default();
    for (at, kind) in Kind::RUNTIMES.into_iter().enumerate() {
        let bench = Bench::of(kind);
        let root = bench.host.dir().join("rootfs");
        let stop = root.join("stop");
        say(command("mkfifo").arg(&stop)).must();
        let mut spec = bench.spec("echo ready; cat /stop");
        spec["process"]["rlimits"] = json!([{"type": "RLIMIT_CORE", "hard": 1, "soft": 1}]);
        let run = |side: &str, runtime: &Path, spec: &Value| {
            let name = format!("{side}{at}-{}", std::process::id() % 10000);
            std::fs::copy("/usr/bin/perl", root.join("bin").join(&name)).unwrap();
            let script = EXEC.replace("$STOP", stop.to_str().unwrap()).replace("$NAME", &name);
            let said = bench.run_script(&script, runtime, spec, &[]);
            assert!(said.out.starts_with("ready"), "{kind:?}: it did not run: {said}");
            (handler.gets(&name, &format!("wait{name}")), said)
        };
        let (open, said) = run("open", kind.runtime(), &spec);
        let is_crun = matches!(kind, Kind::MachineForCrun | Kind::SidForCrun);
        findings.claim(open == is_crun, format!("{kind:?}: without the shim: {open}, {said}"));
        let (closed, said) = run("shut", &shim(), &isolated(&spec));
        findings.claim(!closed, format!("{kind:?}: the host's program was started: {said}"));
    }
    handler.pattern.put_back();
    findings.settle();
}

/// A runtime that says to have another libseccomp.
fn pretending(bench: &Bench, runtime: &Path, name: &str, features: &str) -> String {
    let script = format!(
        "#!/bin/sh\n[ \"$1\" != features ] || {{ echo '{features}'; exit; }}\nexec {} \"$@\"\n",
        runtime.display()
    );
    let dir = bench.dir(name);
    let path = dir.join(runtime.file_name().unwrap());
    std::fs::write(&path, script).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn a_runtime_whose_libseccomp_does_not_know_io_uring_is_refused_where_that_would_be_open() {
    let mut findings = Findings::default();
    for kind in [Kind::Machine, Kind::MachineForCrun] {
        let bench = Bench::of(kind);
        let features = |enabled: bool, version: &str| {
            json!({"linux": {"seccomp": {"enabled": enabled}},
                "annotations": {"io.github.seccomp.libseccomp.version": version}})
            .to_string()
        };
        let mut with_docker = bench.spec("echo it runs");
        with_docker["linux"]["seccomp"] = docker_20();
        let without = bench.spec("echo it runs");
        let old = "has libseccomp 2.4.1, which does not know io_uring";
        let none = "so that the container would run without a filter";
        for (name, said, bare, docker) in [
            ("old", features(true, "2.4.1"), Err(old), Ok(())),
            ("new", features(true, "2.4.2"), Ok(()), Ok(())),
            ("next", features(true, "3.0.0"), Ok(()), Ok(())),
            ("disabled", features(false, "2.5.4"), Err(none), Err(none)),
            // A script is linked to nothing, and has no such name in it.
            ("silent", String::new(), Err(none), Err(none)),
        ] {
            let runtime = pretending(&bench, kind.runtime(), name, &said);
            for (spec, wanted) in [(&without, bare), (&with_docker, docker)] {
                // Twice: the second answer is the one that was kept.
                for _ in 0..2 {
                    let said = bench.closed_with(&format!("runtime = [{runtime:?}]\n"), spec);
                    match wanted {
                        Ok(()) => findings.claim(said.out == "it runs", format!("{kind:?} {name}: {said}")),
                        Err(why) => {
                            let about = format!("{kind:?} {name}");
                            findings.about(&about, refused(&said, why).err().into_iter().collect());
                        }
                    }
                }
            }
        }
    }
    findings.settle();
}
