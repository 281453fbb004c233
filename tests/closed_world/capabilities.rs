//! Capabilities: what is on no list of those that stay confined is not granted.

use serde_json::{Value, json};

use test_support::ISOLATE;
use test_support::bench::{Bench, CORE_PATTERN, CorePattern, refused};
use test_support::findings::Findings;
use test_support::host::Kind;
use test_support::podman::{Podman, User};

/// Adds a capability to all sets that count.
fn grant(spec: &mut Value, names: &[&str]) {
    for set in ["bounding", "effective", "permitted"] {
        let names = names.iter().map(|name| json!(name));
        spec["process"]["capabilities"][set].as_array_mut().unwrap().extend(names);
    }
}

/// Puts it into a user namespace of its own, in which `host` is root.
fn remap(spec: &mut Value, host: u32) {
    spec["linux"]["namespaces"].as_array_mut().unwrap().push(json!({"type": "user"}));
    let map = json!([{"containerID": 0, "hostID": host, "size": 65536}]);
    spec["linux"]["uidMappings"] = map.clone();
    spec["linux"]["gidMappings"] = map;
}

/// Moves the clock by nothing at all, which takes the same privilege as by a year (adjtimex(2), ADJ_SETOFFSET).
const CLOCK: &str =
    r#"perl -e '$b = pack("I x204", 256); print syscall(159, $b) < 0 ? "refused: $!" : "set"'"#;

#[test]
fn the_machines_clock_cannot_be_set() {
    let mut findings = Findings::default();
    for kind in Kind::RUNTIMES {
        let bench = Bench::of(kind);
        let mut spec = bench.spec(CLOCK);
        grant(&mut spec, &["CAP_SYS_TIME"]);
        let open = bench.open(&spec);
        findings.claim(open.out == "set", format!("{kind:?}: not open without the shim: {open}"));
        let why = "host-capabilities: CAP_SYS_TIME is in the bounding set, and it sets the machine's clock";
        findings.about(&format!("{kind:?}"), refused(&bench.closed(&spec), why).err().into_iter().collect());
        let stripped = bench.closed_with("[rules]\nhost-capabilities = \"strip\"\n", &spec);
        findings.claim(stripped.out.starts_with("refused: "), format!("{kind:?}: {stripped}"));
        let allowed = bench.closed_with("[rules]\nhost-capabilities = \"allow\"\n", &spec);
        findings.claim(allowed.out == "set", format!("{kind:?}: the settings do not allow it: {allowed}"));
    }
    findings.settle();
}

#[test]
fn a_capability_that_is_not_known_is_refused_by_name() {
    for kind in [Kind::Machine, Kind::SidForCrun] {
        let bench = Bench::of(kind);
        let mut spec = bench.spec("true");
        grant(&mut spec, &["CAP_FUTURE"]);
        let why = "host-capabilities: CAP_FUTURE is in the bounding set, and it is not known";
        assert_eq!(refused(&bench.closed(&spec), why), Ok(()), "{kind:?}");
    }
}

/// libcap, by which crun reads names, takes numbers and ignores what follows a name. runc ignores such a name with a warning.
#[test]
fn spellings_that_only_a_runtime_understands_are_refused_whatever_the_settings_say() {
    let mut findings = Findings::default();
    for kind in Kind::RUNTIMES {
        let is_crun = matches!(kind, Kind::MachineForCrun | Kind::SidForCrun);
        let bench = Bench::of(kind);
        for name in ["12", "0xc", "014", "CAP_NET_ADMIN,x"] {
            let mut spec = bench.spec("grep CapEff /proc/self/status");
            grant(&mut spec, &[name]);
            let open = bench.open(&spec);
            let set = open.out.rsplit('\t').next().and_then(|set| u64::from_str_radix(set, 16).ok());
            let has = set.is_some_and(|set| set & 1 << 12 != 0);
            findings.claim(has == is_crun, format!("{kind:?}: {name:?} without the shim: {open}"));
            for settings in ["", "[rules]\nhost-capabilities = \"allow\"\n"] {
                let closed = bench.closed_with(settings, &spec);
                let why =
                    format!("network-capabilities: {name} is in the bounding set, and it is not the name of");
                let about = format!("{kind:?} {name:?} {settings:?}");
                findings.about(&about, refused(&closed, &why).err().into_iter().collect());
            }
        }
    }
    findings.settle();
}

/// Seizes whatever process appears, and says when one has CAP_SYS_ADMIN and CAP_NET_ADMIN: one is enough, and to trace
/// threads of a program while it is replaced may stop both for ever. Ends when there is a file /stop.
const TRACER: &str = r#"
$| = 1; my $next = $$ + 1; my ($seized, $denied, $caught) = (0, 0, 0); print "ready\n";
until (-e "/stop") {
    if ($caught) { select(undef, undef, undef, 0.01); next }
    for my $pid ($next .. $next + 15) {
        if (syscall(101, 0x4206, $pid, 0, 0) == 0) {
            syscall(101, 0x4207, $pid, 0, 0); waitpid($pid, 0x40000000);
            open my $status, "<", "/proc/$pid/status"; my @lines = <$status>;
            my ($set) = map { /^CapEff:\s*(\w+)/ } @lines;
            my ($filter) = map { /^Seccomp:\s*(\d)/ } @lines;
            $caught = hex($set) >> 21 & hex($set) >> 12 & 1;
            print "caught all, filter $filter\n" if $caught;
            syscall(101, 17, $pid, 0, 0); $seized++; $next = $pid + 1; last;
        } elsif ($! == 1) { $denied++; $next = $pid + 1; last; }
    }
}
print "denied $denied times, seized $seized\n";
"#;

/// Runs the tracer in a container, and processes beside it.
const EXECS: &str = r#"
runtime=$1; fifo=$(mktemp -u); mkfifo "$fifo"
"$@" >"$fifo" 2>&1 & exec 3<"$fifo"; rm "$fifo"
root=; while [ $# -gt 0 ]; do [ "$1" != --root ] || root=$2; shift; done
read -r line <&3; echo "$line"
for i in 1 2 3 4 5 6 7 8 9 10; do "$runtime" --root "$root" exec one /bin/true || :; done
touch "$STOP"; cat <&3; wait
"#;

/// The process that a runtime puts into a container for `exec` has all capabilities until it drops them, and stands in the
/// container's pid namespace by then. It is not dumpable, which CAP_SYS_PTRACE overrides. Who catches it is root on the host.
#[test]
fn a_runtime_that_enters_for_exec_cannot_be_traced() {
    let mut findings = Findings::default();
    for kind in Kind::RUNTIMES {
        let bench = Bench::of(kind);
        let root = bench.host.dir().join("rootfs");
        std::fs::write(root.join("tracer.pl"), TRACER).unwrap();
        let mut spec = bench.spec("exec perl /tracer.pl");
        grant(&mut spec, &["CAP_SYS_PTRACE"]);
        let script = EXECS.replace("$STOP", root.join("stop").to_str().unwrap());
        let run = |runtime: &std::path::Path, spec: &Value| {
            let _ = std::fs::remove_file(root.join("stop"));
            bench.run_script(&script, runtime, spec, &[])
        };
        let open = run(kind.runtime(), &spec);
        findings.claim(open.out.contains("caught all"), format!("{kind:?}: not open bare: {open}"));
        let closed = run(&test_support::shim(), &test_support::bench::isolated(&spec));
        let traced = closed.out.starts_with("ready") && closed.out.contains("denied ");
        findings.claim(traced, format!("{kind:?}: it did not run: {closed}"));
        findings.claim(!closed.out.contains("caught all"), format!("{kind:?}: not closed: {closed}"));
    }
    findings.settle();
}

/// A debugger asks for CAP_SYS_PTRACE, and needs it for nothing that is its own.
#[test]
fn without_sys_ptrace_processes_of_the_container_trace_each_other() {
    const PEER: &str = r#"exec perl -e '
        my $child = fork // die; if (!$child) { sleep 60; exit }
        my $word = "the memory of another"; my $copy = "\0" x 21;
        my $local = pack("P L!", $copy, 21); my $remote = pack("P L!", $word, 21);
        my $read = syscall(310, $child, unpack("L!", pack("P", $local)), 1, unpack("L!", pack("P", $remote)), 1, 0);
        my $seized = syscall(101, 0x4206, $child, 0, 0);
        kill 9, $child; print "read $read, seized $seized, $copy\n"'"#;
    for kind in Kind::RUNTIMES {
        let bench = Bench::of(kind);
        let mut spec = bench.spec(PEER);
        grant(&mut spec, &["CAP_SYS_PTRACE"]);
        let closed = bench.closed(&spec);
        assert_eq!(closed.out, "read 21, seized 0, the memory of another", "{kind:?}: {closed}");
    }
}

/// Takes away what covers the kernel's settings, and writes what is there to the one that names a program of the host.
const UNCOVER: &str = "umount -l /proc/sys && echo uncovered; cp /proc/sys/kernel/core_pattern /tmp/p
    cat /tmp/p 2>/dev/null >/proc/sys/kernel/core_pattern && echo wrote; cat /root/.aws/credentials; true";

fn uncovers(spec: &mut Value) {
    grant(spec, &["CAP_SYS_ADMIN"]);
    let tmp = json!({"destination": "/tmp", "type": "tmpfs", "source": "tmpfs"});
    spec["mounts"].as_array_mut().unwrap().push(tmp);
}

#[test]
fn a_user_namespace_with_the_machines_root_in_it_confines_nothing() {
    let pattern = CorePattern::take();
    let mut findings = Findings::default();
    for kind in Kind::RUNTIMES {
        let bench = Bench::of(kind);
        let mut spec = bench.spec(UNCOVER);
        uncovers(&mut spec);
        remap(&mut spec, 0);
        let open = bench.open(&spec);
        pattern.put_back();
        let reached = open.out.contains("uncovered") && open.out.contains("wrote");
        findings.claim(reached, format!("{kind:?}: not open without the shim: {open}"));
        let why = "host-capabilities: CAP_SYS_ADMIN is in the bounding set";
        findings.about(&format!("{kind:?}"), refused(&bench.closed(&spec), why).err().into_iter().collect());
        // What a confining namespace would make void counts here.
        let mut clock = bench.spec(CLOCK);
        grant(&mut clock, &["CAP_SYS_TIME"]);
        remap(&mut clock, 0);
        let why = "host-capabilities: CAP_SYS_TIME is in the bounding set";
        findings.about(&format!("{kind:?}"), refused(&bench.closed(&clock), why).err().into_iter().collect());
        // And files of the kernel are covered as without one.
        let mut plain = bench.spec(UNCOVER);
        remap(&mut plain, 0);
        let closed = bench.closed(&plain);
        findings.claim(closed.well(), format!("{kind:?}: it does not run: {closed}"));
        let held = !closed.out.contains("uncovered") && !closed.out.contains("wrote");
        findings.claim(held, format!("{kind:?}: not closed: {closed}"));
        assert!(std::fs::read(CORE_PATTERN).is_ok());
    }
    findings.settle();
}

#[test]
fn podmans_user_namespaces_do_not_keep_what_uncovers_credentials() {
    let pattern = CorePattern::take();
    let mut findings = Findings::default();
    let runc = "/usr/sbin/runc";
    let all = [
        (Kind::Machine, runc),
        (Kind::MachineForCrun, "/usr/bin/crun"),
        (Kind::Sid, runc),
        (Kind::SidForCrun, "/usr/bin/crun"),
    ];
    for (kind, runtime) in all {
        for user in [User::Root, User::Rootless] {
            let podman = Podman::new(kind, user, runtime);
            let maps = match user {
                User::Root => &["0:100000:65536", "0:0:65536"][..],
                User::Rootless => &["0:0:1000"][..],
            };
            for map in maps {
                let about = format!("{kind:?} {map} rootless={}", user == User::Rootless);
                let mapped = ["--rm", "--uidmap", map, "--gidmap", map];
                let asks = ["--cap-add=SYS_ADMIN"];
                let script = ["probe", "sh", "-c", UNCOVER];
                let open = podman.run("bare", &[&mapped, &asks, &script]);
                pattern.put_back();
                findings.claim(open.out.contains("uncovered"), format!("{about}: not open bare: {open}"));
                let isolate = ["--annotation", ISOLATE];
                let closed = podman.run("oci-isolate", &[&mapped, &asks, &isolate, &script]);
                let why = "host-capabilities: CAP_SYS_ADMIN is in the bounding set";
                findings.about(&about, refused(&closed, why).err().into_iter().collect());
                let plain = podman.run("oci-isolate", &[&mapped, &isolate, &script]);
                let held = plain.well() && !plain.out.contains("uncovered") && !plain.out.contains("wrote");
                findings.claim(held, format!("{about}: what asks for nothing: {plain}"));
            }
        }
    }
    findings.settle();
}
