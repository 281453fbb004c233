//! `start`: the process behind the pid file is the container's init and no other process, or nothing runs.

use std::fs;

use serde_json::{Value, json};

use test_support::recorded::host::RecorderHost;
use test_support::recorded::output::say;
use test_support::recorded::spec::isolated;
use test_support::shim;

/// A container whose init the recorder starts at `create`: a process in a network namespace of its own, standing in
/// the container's root file system.
const INIT: &str =
    "unshare --net chroot \"$d/bundle/rootfs\" /busybox sleep 1000 </dev/null >/dev/null 2>&1 &";

/// Keeps the pid of an init process as runc does.
const KEEP: &str = r#"keep() {
    /bin/busybox mkdir -p "$d/root/web"
    echo "{\"id\":\"web\",\"init_process_pid\":$1,\"config\":{}}" >"$d/root/web/state.json"
}"#;

fn host() -> RecorderHost {
    let host = RecorderHost::new();
    fs::copy("/bin/busybox", host.at("bundle/rootfs/busybox")).unwrap();
    host.config(&isolated());
    host
}

/// Makes the recorder start this at `create`, and write its pid when it stands in its root.
fn behave(host: &RecorderHost, start: &str) {
    host.behave(&format!(
        "{KEEP}
        [ -n \"$pid_file\" ] || return 0
        {start}
        pid=$!
        until [ \"$(/bin/busybox readlink /proc/$pid/root)\" = \"$d/bundle/rootfs\" ]; do :; done
        keep $pid; echo $pid >\"$pid_file\""
    ));
}

/// A created container, and the pid of its init.
fn created() -> (RecorderHost, String) {
    let host = host();
    behave(&host, INIT);
    host.shim(&["create", "web"]).must();
    host.call();
    let pid = fs::read_to_string(host.outside(&pid_file(&host))).unwrap().trim().to_owned();
    (host, pid)
}

fn pid_file(host: &RecorderHost) -> String {
    host.record("web").replace(".json", ".pid")
}

#[track_caller]
fn refused(host: &RecorderHost, why: &str) {
    host.refuses(&["start", "web"], &format!("container web not started: {why}"));
    assert_eq!(host.read_record("web")["sealed"], Value::Null);
}

#[test]
fn what_the_engine_plumbed_is_down_before_the_runtime_is_called() {
    let (host, pid) = created();
    let plumb = format!(
        "ip link add v0 type veth peer name eth0 netns /proc/{pid}/ns/net
        nsenter -n -t {pid} ip addr add 10.9.9.9/24 dev eth0; nsenter -n -t {pid} ip link set eth0 up
        ip link show v0"
    );
    host.sh(&plumb).must();
    host.behave(&format!("nsenter -n -t {pid} ip -o link show up; nsenter -n -t {pid} nft list tables"));
    let seen = host.shim(&["start", "web"]).must();
    assert_eq!(host.call().words(), ["--root", &host.at("root"), "start", "web"]);
    let lines: Vec<_> = seen.lines().collect();
    assert!(
        lines.len() == 2 && lines[0].starts_with("1: lo:") && lines[1] == "table inet oci_isolate",
        "{seen}"
    );
    let sealed = &host.read_record("web")["sealed"];
    assert_eq!((&sealed["links-down"], &sealed["links-removed"]), (&json!(["eth0"]), &json!([])));
    assert_eq!(sealed["addresses-kept"], json!(["10.9.9.9"]));
    assert_eq!(sealed["firewall"], json!(true));
}

#[test]
fn a_container_whose_start_failed_behind_the_seal_is_sealed_again() {
    // An invalid answer and a runtime that cannot be asked count as not started.
    for state in [r#"echo '{"status": "created"}'"#, "echo '{}'", "echo running", "exit 1"] {
        let (host, pid) = created();
        host.behave("exit 1");
        assert_eq!(host.shim(&["start", "web"]).status, 1);
        host.sh(&format!("ip link add v0 type veth peer name eth0 netns /proc/{pid}/ns/net; nsenter -n -t {pid} ip link set eth0 up")).must();
        host.behave(&format!(
            "case \"$*\" in *state*) {state} ;; *) nsenter -n -t {pid} ip -o link show up ;; esac"
        ));
        let seen = host.shim(&["start", "web"]).must();
        assert!(seen.starts_with("1: lo:") && seen.lines().count() == 1, "{state}: {seen}");
    }
}

#[test]
fn a_container_that_is_started_twice_is_sealed_once() {
    let (host, _) = created();
    host.shim(&["start", "web"]).must();
    host.call();
    // The runtime says that it runs already.
    host.behave("echo running >&2; exit 1");
    let said = host.shim(&["start", "web"]);
    assert_eq!((said.status, said.err.as_str()), (1, "running\n"));
}

#[test]
fn a_pid_file_that_is_gone_or_garbage() {
    let (host, pid) = created();
    let path = pid_file(&host);
    for text in ["", "\n", "0", "1", "-1", "x", "12 13", "99999999999999999999", "0x10", &format!("{pid}.0")]
    {
        fs::write(host.outside(&path), text).unwrap();
        refused(&host, &format!("cannot determine its init process: no pid in {path}"));
    }
    fs::write(host.outside(&path), b"\xff\xfe").unwrap();
    refused(&host, &format!("cannot determine its init process: no pid in {path}"));
    fs::write(host.outside(&path), "1".repeat(65)).unwrap();
    refused(
        &host,
        &format!("cannot determine its init process: cannot read {path}: 65 bytes, at most 64 are read"),
    );
    host.sh(&format!("rm {path}; mkfifo {path}")).must();
    refused(&host, &format!("cannot determine its init process: cannot read {path}: not a regular file"));
    host.sh(&format!("rm {path}")).must();
    let gone = "No such file or directory (os error 2)";
    refused(&host, &format!("cannot determine its init process: cannot read {path}: {gone}"));
    // With the right pid it goes on.
    fs::write(host.outside(&path), format!(" {pid}\n")).unwrap();
    host.shim(&["start", "web"]).must();
}

#[test]
fn a_pid_that_is_another_process_by_now() {
    let (host, init) = created();
    let other = host.sh("unshare --net sleep 1000 </dev/null >/dev/null 2>&1 & echo $!").must();
    let other = other.trim();
    fs::write(host.outside(&pid_file(&host)), other).unwrap();
    let why = format!(
        "{} names process {other}, and its init process is {init}; give each container a pid file of its own",
        pid_file(&host)
    );
    refused(&host, &why);
    let keep = |rest: &str| {
        host.write("root/web/state.json", format!("{{\"init_process_pid\":{other}{rest},\"config\":{{}}}}"));
    };
    keep("");
    refused(&host, &format!("process {other} is not its init process (its root is another file system)"));
    keep(",\"init_process_start\":1");
    refused(&host, &format!("its init process {other} is gone (another process has its pid)"));
    assert_eq!(host.sh(&format!("nsenter -n -t {other} nft list ruleset")).must(), "");
}

/// Where the runtime's own file is not understood the runtime is asked, and without an answer nothing starts.
#[test]
fn a_state_of_the_runtime_that_is_not_understood() {
    for text in ["", "{}", "{\"init_process_pid\":\"7\"}"] {
        let (host, pid) = created();
        host.write("root/web/state.json", text);
        let said = host.shim(&["start", "web"]);
        assert!(said.status == 1 && said.err.contains("cannot determine its init process: "), "{}", said.err);
        assert_eq!(host.call().words()[2..], ["state", "web"]);
        host.behave(&format!("case \"$*\" in *state*) echo '{{\"pid\":{pid}}}' ;; esac"));
        host.shim(&["start", "web"]).must();
        assert_ne!(host.read_record("web")["sealed"], Value::Null);
    }
}

#[test]
fn a_process_that_died_between_create_and_start() {
    let (host, pid) = created();
    host.sh(&format!("kill -KILL {pid}; while [ -e /proc/{pid} ]; do :; done")).must();
    let gone = "No such file or directory (os error 2)";
    refused(&host, &format!("its init process {pid} is gone: cannot read /proc/{pid}/stat: {gone}"));
}

#[test]
fn a_process_that_is_dead_and_not_yet_waited_for() {
    let host = host();
    // The parent stays and does not wait.
    behave(
        &host,
        "/bin/busybox sh -c '/bin/busybox sh -c \"echo \\$\\$ >$0/pid; exec unshare --net chroot $0/bundle/rootfs /busybox sleep 1000\" \"$0\" & exec /bin/busybox sleep 1000' \"$d\" </dev/null >/dev/null 2>&1 &\nuntil [ -s \"$d/pid\" ]; do :; done; set -- \"$(/bin/busybox cat \"$d/pid\")\"\nuntil [ \"$(/bin/busybox readlink /proc/$1/root)\" = \"$d/bundle/rootfs\" ]; do :; done; keep $1; echo $1 >\"$pid_file\"; return 0",
    );
    host.shim(&["create", "web"]).must();
    host.call();
    let pid = fs::read_to_string(host.outside(&pid_file(&host))).unwrap().trim().to_owned();
    host.sh(&format!("kill -KILL {pid}; until grep -q 'State:.Z' /proc/{pid}/status; do :; done")).must();
    let gone = "No such file or directory (os error 2)";
    refused(&host, &format!("its init process {pid} is gone or out of reach (/proc/{pid}/root/): {gone}"));
}

#[test]
fn a_process_in_the_network_namespace_of_the_caller_is_refused_and_nothing_there_changes() {
    let host = host();
    behave(&host, &INIT.replace("unshare --net ", ""));
    host.shim(&["create", "web"]).must();
    host.call();
    host.sh("ip link add v0 type veth peer name v1").must();
    let look = "ip -o addr; ip -o link; nft list ruleset";
    let before = host.sh(look).must();
    assert!(before.contains("v0"));
    refused(&host, "cannot seal the network namespace: it is the host's own");
    assert_eq!(host.sh(look).must(), before);
}

#[test]
fn a_container_that_cannot_be_sealed_is_not_started() {
    let (host, pid) = created();
    // Its namespaces cannot be opened.
    host.sh(&format!("mount -t tmpfs none /proc/{pid}/ns")).must();
    let gone = "No such file or directory (os error 2)";
    refused(&host, &format!("cannot open network namespace /proc/{pid}/ns/net: {gone}"));
}

#[test]
fn what_run_made_cannot_be_started() {
    let host = host();
    host.shim(&["run", "--detach", "web"]).must();
    host.call();
    host.refuses(
        &["start", "web"],
        "container web not started: it was not made by create, so it cannot be started",
    );
}

#[test]
fn a_record_of_another_container_does_not_matter() {
    let (host, _) = created();
    host.shim(&["start", "other"]).must();
    assert_eq!(host.call().words()[2..], ["start", "other"]);
    assert_eq!(host.read_record("web")["sealed"], Value::Null);
}

#[test]
fn a_seal_that_cannot_be_remembered_starts_nothing() {
    let (host, _) = created();
    host.sh("mount --bind /run/oci-isolate /run/oci-isolate; mount -o remount,bind,ro /run/oci-isolate")
        .must();
    refused(&host, &format!("cannot write {}: Read-only file system (os error 30)", host.record("web")));
    host.sh("umount /run/oci-isolate").must();
    host.shim(&["start", "web"]).must();
    assert_ne!(host.read_record("web")["sealed"], Value::Null);
}

/// From where nothing works to where everything does.
#[test]
fn with_too_little_memory_nothing_starts_that_is_not_sealed() {
    let (host, pid) = created();
    let mut outcomes = Vec::new();
    for kilobytes in (1..=40).map(|step| step * 256).chain([64 << 10, 512 << 10]) {
        let limit = format!("--as={}", kilobytes << 10);
        let mut command = host.command("prlimit");
        command.arg(limit).arg(shim()).arg("--root").arg(host.at("root")).args(["start", "web"]);
        let said = say(&mut command);
        let calls = host.calls();
        assert_eq!(calls.is_empty(), said.status != 0, "{kilobytes} KiB: {said:?} {calls:?}");
        outcomes.push(said.status == 0);
        if said.status == 0 {
            let tables = host.sh(&format!("nsenter -n -t {pid} nft list tables")).must();
            assert_eq!(tables, "table inet oci_isolate\n", "{kilobytes} KiB");
            break;
        }
    }
    assert!(matches!(outcomes[..], [false, .., true]), "{outcomes:?}");
}
