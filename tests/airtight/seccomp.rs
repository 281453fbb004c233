//! The rule `seccomp`: the probe runs under plain runc with a network of its own but nothing in it, and isolated.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use nix::errno::Errno;
use serde_json::{Value, json};

use test_support::command::{command, say};
use test_support::containerd::{self, Containerd, RUNC};
use test_support::docker::{Docker, Release};
use test_support::findings::Findings;
use test_support::host::{EngineHost, Kind};
use test_support::podman::{Podman, User};
use test_support::{ISOLATE, bundle, shim};

/// The probe, built once.
fn probe() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/airtight/probe.c");
        let built = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("airtight-{}", std::process::id()));
        // The static C library warns that getaddrinfo loads modules; a number as the name needs none.
        say(command("gcc").args(["-O1", "-static", "-pthread", "-w", "-o"]).arg(&built).arg(source)).must();
        built
    })
}

/// What the probe said: kind, name and how it ended.
fn attempts(text: &str) -> Vec<[String; 3]> {
    assert!(text.ends_with("done"), "the probe did not get to its end: {text}");
    let line = |line: &str| {
        let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        <[String; 3]>::try_from(words).ok()
    };
    text.lines().filter_map(line).collect()
}

/// `ok`, `killed`, or the name of an error.
fn shown(result: &str) -> String {
    result.parse().map_or_else(|_| result.to_owned(), |number| format!("{:?}", Errno::from_raw(number)))
}

/// Prints the table and complains of what is open afterwards or does not work any more. Of the ways that were open
/// there have to be at least those in `open`.
#[track_caller]
fn compare(engine: &str, before: &str, after: &str, open: &[&str]) {
    let (before, after) = (attempts(before), attempts(after));
    assert_eq!(before.len(), after.len());
    let mut findings = Findings::default();
    let mut table = format!("\n{engine:<34} {:<18} {:<18}\n", "plain runc", "oci-isolate");
    let (mut ways, mut were_open, mut are_open) = (0, 0, 0);
    for ([kind, name, was], [_, same, is]) in before.iter().zip(&after) {
        assert_eq!(name, same);
        let verdict = match (kind.as_str(), was.as_str(), is.as_str()) {
            ("way", "ok", "ok") => "STILL OPEN",
            ("way", "ok", _) => "open -> closed",
            ("way", _, "ok") => "OPENED",
            ("way", ..) => "was not open here, proves nothing",
            (_, was, is) if was == is => "as before",
            _ => "BROKEN",
        };
        table +=
            &format!("{:<34} {:<18} {:<18} {verdict}\n", format!("  {kind} {name}"), shown(was), shown(is));
        findings
            .claim(verdict.to_uppercase() != verdict, format!("{engine}: {kind} {name}: {was}, then {is}"));
        findings.claim(is != "killed" || was == "killed", format!("{engine}: {name} is killed"));
        if kind == "way" {
            ways += 1;
            were_open += usize::from(was == "ok");
            are_open += usize::from(is == "ok");
        }
        findings.claim(
            was == "ok" || !open.contains(&name.as_str()),
            format!("{engine}: {name} was not open before ({was}), so nothing is shown"),
        );
    }
    eprintln!("{table}{engine}: {ways} ways, {were_open} open before, {are_open} open after\n");
    findings.settle();
}

/// Without a profile.
const ALL: [&str; 13] = [
    "vsock",
    "vsock-high-bits",
    "vsock-i386-socket",
    "vsock-i386-socketcall",
    "vsock-io_uring",
    "uevent",
    "uevent-high-bits",
    "netfilter",
    "netlink-audit",
    "add_key",
    "keyctl",
    "request_key",
    "open_by_handle_at",
];

fn runc(host: &EngineHost, runtime: &Path, seccomp: &Value, id: &str) -> String {
    let mut spec = bundle::spec(host, &["/bin/ways"]);
    let (key, value) = ISOLATE.split_once('=').unwrap();
    spec["annotations"] = json!({ key: value });
    spec["linux"]["cgroupsPath"] = json!(format!("{}/{id}", host.cgroup()));
    if !seccomp.is_null() {
        spec["linux"]["seccomp"] = seccomp.clone();
    }
    std::fs::create_dir_all(host.dir().join(id)).unwrap();
    host.write(&format!("{id}/config.json"), &spec.to_string());
    say(host.command(runtime.to_str().unwrap()).args(["run", "--bundle", &host.at(id), id])).must()
}

fn runc_host() -> EngineHost {
    host_of(Kind::Machine)
}

fn host_of(kind: Kind) -> EngineHost {
    let host = EngineHost::new(kind);
    bundle::rootfs(&host);
    std::fs::copy(probe(), host.dir().join("rootfs/bin/ways")).unwrap();
    host
}

#[test]
fn runc_without_a_profile_is_open_and_isolated_is_closed() {
    let host = runc_host();
    let before = runc(&host, Path::new(RUNC), &Value::Null, "plain");
    let after = runc(&host, &shim(), &Value::Null, "isolated");
    compare("runc, no profile", &before, &after, &ALL);
}

#[test]
fn runc_with_profiles_that_allow_by_default_is_open_and_isolated_is_closed() {
    let host = runc_host();
    let deny = |family: u32| json!({ "index": 0, "value": family, "op": "SCMP_CMP_EQ" });
    for (name, seccomp) in [
        ("native", json!({ "defaultAction": "SCMP_ACT_ALLOW" })),
        (
            "log",
            json!({ "defaultAction": "SCMP_ACT_LOG", "architectures": ["SCMP_ARCH_X86"],
            "syscalls": [{ "names": ["socket"], "action": "SCMP_ACT_ALLOW" }] }),
        ),
        // As Docker 23 has it in its allow-list.
        (
            "vsock",
            json!({ "defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86", "SCMP_ARCH_X32"],
            "syscalls": [{ "names": ["socket"], "action": "SCMP_ACT_ERRNO", "args": [deny(40)] }] }),
        ),
    ] {
        let before = runc(&host, Path::new(RUNC), &seccomp, &format!("plain-{name}"));
        let after = runc(&host, &shim(), &seccomp, &format!("isolated-{name}"));
        let ways = ["uevent", "keyctl", "vsock-high-bits", "vsock-io_uring", "open_by_handle_at"];
        compare(&format!("runc, {name}"), &before, &after, &ways);
    }
}

#[test]
fn calls_of_other_architectures_are_killed_where_only_the_native_one_is_left() {
    let docker = include_str!("../data/seccomp/docker-20.10.json");
    let docker: Value = serde_json::from_str(docker).unwrap();
    for (kind, runtime) in [(Kind::Machine, RUNC), (Kind::MachineForCrun, "/usr/bin/crun")] {
        let host = host_of(kind);
        for (profile, seccomp) in [("none", &Value::Null), ("docker", &docker["linux"]["seccomp"])] {
            let run = |id: &str, settings: &str| {
                host.settings(&format!("runtime = [\"{runtime}\"]\n{settings}"));
                attempts(&runc(&host, &shim(), seccomp, &format!("{profile}-{id}")))
            };
            let (all, native) = (run("all", ""), run("native", "[seccomp]\nnative = true\n"));
            assert!(all.iter().any(|[_, name, was]| name == "getpid-i386" && was == "ok"), "{all:?}");
            for ([_, name, was], [_, same, is]) in all.iter().zip(&native) {
                assert_eq!(name, same);
                let is_foreign = name.contains("i386") || name.contains("x32");
                assert_ne!(was, "killed", "{runtime}, {profile}: {name}");
                assert_eq!(is, if is_foreign { "killed" } else { was }, "{runtime}, {profile}: {name}");
            }
        }
    }
}

fn docker(release: Release, title: &str, default: &[&'static str]) {
    let docker = Docker::start(release);
    let run = |name: &str, words: &[&str]| {
        let create = [&["create", "--network=none", "--name", name], words, &["probe", "/bin/ways"]].concat();
        docker.must(&create);
        // Not mounted: a file from the host is another rule's matter.
        std::fs::copy(probe(), docker.host.dir().join("ways")).unwrap();
        docker.must(&["cp", &docker.host.at("ways"), &format!("{name}:/bin/ways")]);
        docker.must(&["start", "--attach", name])
    };
    let before = run("plain", &["--runtime=bare"]);
    let after = run("isolated", docker.isolation());
    compare(&format!("{title}, default profile"), &before, &after, default);
    let unconfined = "--security-opt=seccomp=unconfined";
    let before = run("plain-unconfined", &["--runtime=bare", unconfined]);
    let after = run("isolated-unconfined", &[docker.isolation(), &[unconfined]].concat());
    compare(&format!("{title}, unconfined"), &before, &after, &ALL);
}

#[test]
fn docker_20_is_open_and_isolated_is_closed() {
    let default = ["vsock", "vsock-high-bits", "vsock-i386-socketcall", "vsock-io_uring", "uevent"];
    docker(Release::Docker20, "Docker 20.10", &default);
}

#[test]
fn docker_28_is_open_and_isolated_is_closed() {
    // Its own filter stops plain socket(AF_VSOCK) and io_uring.
    docker(Release::Docker28, "Docker 28", &["vsock-high-bits", "vsock-i386-socketcall", "uevent"]);
}

#[test]
fn containerd_is_open_and_isolated_is_closed() {
    let containerd = Containerd::start(containerd::Release::Containerd1);
    std::fs::copy(probe(), containerd.host.dir().join("rootfs/bin/ways")).unwrap();
    let run = |runtime: &Path, id: &str, flags: &[&str]| {
        let flags = [&["--rm", "--annotation", ISOLATE], flags].concat();
        containerd.run(runtime, id, &flags, &["/bin/ways"]).must()
    };
    for (title, flags, open) in [
        ("containerd, default profile", &["--seccomp"][..], &["vsock", "vsock-io_uring", "uevent"][..]),
        ("containerd, ctr without a profile", &[], &ALL),
    ] {
        let id = |kind: &str| format!("{kind}-{}", flags.len());
        let before = run(Path::new(RUNC), &id("plain"), flags);
        let after = run(&shim(), &id("isolated"), flags);
        compare(title, &before, &after, open);
    }
}

fn podman(title: &str, kind: Kind, runtime: &str) {
    let podman = Podman::new(kind, User::Root, runtime);
    podman.host.settings(&format!("runtime = [\"{runtime}\"]\n"));
    std::fs::copy(probe(), podman.host.dir().join("ways")).unwrap();
    let run = |name: &str, runtime: &str, flags: &[&str]| {
        let global = ["--runtime", runtime, "create", "--ulimit=host", "--network=none", "--name", name];
        let group = ["--cgroup-parent", podman.host.world.name.as_str(), "--annotation", ISOLATE];
        podman.must(&[&global[..], &group, flags, &["probe", "/bin/ways"]].concat());
        podman.must(&["cp", &podman.host.at("ways"), &format!("{name}:/bin/ways")]);
        podman.must(&["--runtime", runtime, "start", "--attach", name])
    };
    let before = run("plain", "bare", &[]);
    let after = run("isolated", "oci-isolate", &[]);
    let default = ["vsock", "vsock-high-bits", "vsock-i386-socketcall", "uevent", "keyctl"];
    compare(&format!("{title}, default profile"), &before, &after, &default);
    let unconfined = ["--security-opt=seccomp=unconfined"];
    let before = run("plain-unconfined", "bare", &unconfined);
    let after = run("isolated-unconfined", "oci-isolate", &unconfined);
    compare(&format!("{title}, unconfined"), &before, &after, &ALL);
}

#[test]
fn podman_with_runc_is_open_and_isolated_is_closed() {
    podman("Podman 4.3, runc", Kind::Machine, "/usr/sbin/runc");
}

#[test]
fn podman_with_crun_is_open_and_isolated_is_closed() {
    podman("Podman 4.3, crun", Kind::MachineForCrun, "/usr/bin/crun");
}

/// The machine's own programs, on whatever they need of the kernel.
const ORDINARY: &str = r#"
set -eu
ip -brief address | grep -q 'lo .*127.0.0.1'
getent ahosts localhost | grep -q 127.0.0.1
python3 - <<'END'
import asyncio, concurrent.futures, multiprocessing, socket, sqlite3, ssl, subprocess, tempfile, threading
with concurrent.futures.ThreadPoolExecutor(4) as pool:
    assert sum(pool.map(abs, range(100))) == 4950
with multiprocessing.Pool(2) as pool:
    assert pool.map(abs, [-1, -2]) == [1, 2]
assert socket.getaddrinfo("localhost", 80)
assert subprocess.run(["true"]).returncode == 0
async def echo():
    async def handle(reader, writer):
        writer.write(await reader.read(5)); await writer.drain(); writer.close()
    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    writer.write(b"hello"); assert await reader.read(5) == b"hello"
asyncio.run(echo())
for refused in (40, 17, 38):
    try: socket.socket(refused, socket.SOCK_DGRAM); raise SystemExit(f"family {refused} is there")
    except OSError: pass
END
echo fine
"#;

#[test]
fn ordinary_programs_work_without_a_profile_and_with_dockers() {
    let host = runc_host();
    let root = host.at("rootfs");
    // The machine's programs in a root of their own.
    let script = format!(
        "cd {root}; rm -rf bin lib lib64 sbin; mkdir -p usr etc tmp; for d in bin lib lib64 sbin; do ln -s usr/$d $d; done
         cp -a /etc/alternatives /etc/ld.so.cache etc/; echo '127.0.0.1 localhost' >etc/hosts"
    );
    host.sh(&script).must();
    let docker = include_str!("../data/seccomp/docker-20.10.json");
    let docker: Value = serde_json::from_str(docker).unwrap();
    for (id, seccomp) in [("none", &Value::Null), ("docker", &docker["linux"]["seccomp"])] {
        let mut spec = bundle::spec(&host, &["sh", "-c", ORDINARY]);
        let (key, value) = ISOLATE.split_once('=').unwrap();
        spec["annotations"] = json!({ key: value });
        spec["root"]["readonly"] = json!(false);
        let usr = json!({"destination": "/usr", "type": "bind", "source": "/usr", "options": ["bind"]});
        spec["mounts"].as_array_mut().unwrap().push(usr);
        spec["linux"]["cgroupsPath"] = json!(format!("{}/{id}", host.cgroup()));
        if !seccomp.is_null() {
            spec["linux"]["seccomp"] = seccomp.clone();
        }
        std::fs::create_dir_all(host.dir().join(id)).unwrap();
        host.write(&format!("{id}/config.json"), &spec.to_string());
        let said = say(host.command(shim().to_str().unwrap()).args(["run", "--bundle", &host.at(id), id]));
        assert_eq!(said.out, "fine", "{id}: {said}");
    }
}
