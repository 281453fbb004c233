//! The platform's containers beside isolated ones in one pod.

use std::time::Duration;

use serde_json::{Value, json};

use crate::crio;
use crate::node::{Node, Pod, Release, exec, isolated};
use crate::pods::{FETCH, SERVE, SLEEP};
use test_support::command::{Finished, command, say, wait_for};
use test_support::findings::Findings;
use test_support::isolatectl;
use test_support::probe::{ITSELF, OPEN, Report, credentials_in};

/// The annotations of a pod with these platform containers.
fn beside(names: &str) -> Value {
    let mut more = isolated();
    more["annotations"]["io.oci-isolate.platform"] = json!(names);
    more
}

/// The pod's volume, at /data.
fn data(pod: &Pod) -> Value {
    let path = pod.volume("empty-dir", "data", "empty", "");
    json!({ "mounts": [{ "container_path": "/data", "host_path": path }] })
}

/// A server that prints what one client sends.
const RECEIVE: &str = "use Socket; socket(S, PF_INET, SOCK_STREAM, 0); bind(S, sockaddr_in(9000, INADDR_ANY)); listen(S, 1); \
    accept(C, S); print while <C>";
/// Binds an abstract socket and one in the file system, and makes a segment of shared memory.
const BIND: &str = "use Socket; my $at = shift; defined(shmget(1, 4321, 01666)) or die; my @kept; \
    for (\"\\0of-the-platform\", $at) { socket(my $s, PF_UNIX, SOCK_STREAM, 0); bind($s, pack_sockaddr_un($_)) or die; \
    listen($s, 1); push @kept, $s } chmod 0777, $at; sleep 1000";
/// Prints what a socket in the file system sends.
const CONNECT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/kubernetes/connect.c");
/// Answers at a socket in the file system.
const LISTEN: &str = "use Socket; my $at = shift; socket(S, PF_UNIX, SOCK_STREAM, 0); bind(S, pack_sockaddr_un($at)) or die; \
    chmod 0777, $at; listen(S, 1); while (accept(C, S)) { syswrite(C, qq(of-the-platform\\n)); close(C) }";

pub(crate) fn ctl(node: &Node, args: &[&str]) -> Finished {
    // Not everything of this machine is on the node.
    let program = node.host.dir().join("isolatectl");
    if !program.exists() {
        std::fs::copy(isolatectl(), &program).unwrap();
    }
    say(node.host.command(program.to_str().unwrap()).args(args))
}

/// A node whose volumes lie on a file system of their own, and not on the layers of the test's root.
fn started(release: Release) -> Node {
    let node = Node::start(release);
    node.host.sh("mkdir -p /var/lib/kubelet; mount -t tmpfs tmpfs /var/lib/kubelet").must();
    if release == Release::Crio {
        crio::keep_sandboxes(&node.host);
        node.host.sh(&node.replace()).must();
        node.wait();
    }
    node
}

/// Waits for the end of a container, and says its status.
fn ended(node: &Node, id: &str) -> Option<i64> {
    wait_for(Duration::from_secs(20), || {
        let status = node.must("ContainerStatus", &json!({ "container_id": id }));
        (status["status"]["state"] == "CONTAINER_EXITED")
            .then(|| status["status"]["exitCode"].as_i64().unwrap_or_default())
    })
}

/// The pid of a container's process on the node.
fn pid(node: &Node, id: &str) -> String {
    let status = node.must("ContainerStatus", &json!({ "container_id": id, "verbose": true }));
    let info: Value = serde_json::from_str(status["info"]["info"].as_str().unwrap()).unwrap();
    info["pid"].to_string()
}

/// `fetch` is an init container, `upload` a native sidecar, which kubelet starts before `train`.
pub(crate) fn data_moves_by_the_platforms_containers_around_an_isolated_one(release: Release) {
    let node = started(release);
    let mut findings = Findings::default();
    let got = node.host.at("got");
    node.host.daemon("s3", "/bin/sh", &["-c", &format!("perl -e '{RECEIVE}' >{got}")], &[]);
    for (handler, more) in [("bare", json!({})), ("oci-isolate", beside("upload, fetch"))] {
        let closed = handler == "oci-isolate";
        let pod = node.pod(handler, handler, &more);
        let volume = data(&pod);
        let fetch = ["sh", "-c", "env; wget -qO /data/in http://203.0.113.7/ && wc -c </data/in"];
        let fetch = pod.run("fetch", &fetch, &volume);
        findings.claim(ended(&node, &fetch) == Some(0), format!("{handler}: fetch: {}", pod.log("fetch")));
        let log = pod.log("fetch");
        let environ = log.lines().filter_map(|line| line.split(" F ").nth(1));
        findings.claim(credentials_in(environ).len() == 4, format!("{handler}: fetch has no credentials"));
        let upload = "until [ -e /data/out ]; do sleep 0.1; done; cat /data/out >/dev/tcp/198.51.100.2/9000; sleep 1000";
        let upload = pod.run("upload", &["bash", "-c", upload], &volume);
        let train = pod.run("train", &SLEEP, &volume);
        let report = Report::parse(&exec(&node, &upload, &["probe", "upload"]).1);
        findings.about("upload", report.reaches(&OPEN));
        findings.claim(report.has_credentials().len() == 4, format!("{handler}: upload has no credentials"));
        let report = Report::parse(&exec(&node, &train, &["probe", "train"]).1);
        if closed {
            findings.about("train", report.sealed(&ITSELF));
        } else {
            findings.about("train", report.reaches(&OPEN));
            pod.remove();
            continue;
        }
        let calculate = "wc -c </data/in >/data/.out && mv /data/.out /data/out";
        findings.claim(exec(&node, &train, &["sh", "-c", calculate]).0 == 0, "train cannot write");
        let arrived = wait_for(Duration::from_secs(10), || {
            std::fs::read_to_string(&got).ok().filter(|text| !text.is_empty())
        });
        let wanted = log.lines().last().and_then(|line| line.split(" F ").nth(1)).unwrap_or("none");
        findings.claim(
            arrived.as_deref().map(str::trim) == Some(wanted.trim()),
            format!("{wanted} was calculated, and {arrived:?} arrived"),
        );
        let mut readonly = volume.clone();
        readonly["mounts"][0]["readonly"] = json!(true);
        let watch = pod.run("watch", &SLEEP, &readonly);
        // A name that was looked up before it existed stays missing in an overlay.
        let look = ["cat", "/data/done"];
        findings.claim(exec(&node, &watch, &look).0 != 0, "there is a file that nobody has made");
        let make = "echo yes >/data/.done && mv /data/.done /data/done";
        findings.claim(exec(&node, &upload, &["sh", "-c", make]).0 == 0, "upload cannot write");
        let seen = exec(&node, &watch, &look);
        findings.claim(seen == (0, "yes\n".into()), format!("a file made later, read-only: {seen:?}"));
        let verified = ctl(&node, &["verify", "--all"]);
        findings.claim(verified.well() && verified.out.lines().count() == 3, format!("verify: {verified}"));
        let listed = ctl(&node, &["list"]).must();
        for (name, id) in [("fetch", &fetch), ("upload", &upload)] {
            let line = format!("{}: not isolated is its pod's platform container {name}: {id}", pod.id);
            findings.claim(listed.lines().any(|found| found == line), format!("{name} is not in {listed}"));
        }
        // As kubectl debug adds one: it has no name in the annotation.
        let debugger = pod.run("debugger", &SLEEP, &json!({}));
        let report = Report::parse(&exec(&node, &debugger, &["probe", "debugger"]).1);
        findings.about("debugger", report.sealed(&ITSELF));
        let target = json!({ "linux": { "security_context": {
            "namespace_options": { "pid": "TARGET", "target_id": upload } } } });
        let said = pod.start("target", &SLEEP, &target);
        findings.claim(
            !said.well() && said.err.contains("host-pid: the pid namespace"),
            format!("a debugger of upload: {said}"),
        );
    }
    findings.settle();
}

/// Each way is open between the containers of a bare pod.
pub(crate) fn the_isolated_container_finds_nothing_of_the_platforms(release: Release) {
    let node = started(release);
    let mut findings = Findings::default();
    for (handler, more) in [("bare", json!({})), ("oci-isolate", beside("proxy"))] {
        let found = handler == "bare";
        let pod = node.pod(handler, handler, &more);
        let volume = data(&pod);
        let socket = format!("{}/volumes/kubernetes.io~empty-dir/data", pod.kubelet());
        let proxy = pod.run("proxy", &SERVE, &volume);
        let of_proxy = pid(&node, &proxy);
        let script = format!("exec nsenter -t {of_proxy} -n -i perl -e '{BIND}' {socket}/early");
        node.host.daemon(&format!("sockets-{handler}"), "/bin/sh", &["-c", &script], &[]);
        let bound = wait_for(Duration::from_secs(10), || {
            node.host.sh(&format!("test -S {socket}/early")).well().then_some(())
        });
        findings.claim(bound.is_some(), "the socket is not bound");
        exec(&node, &proxy, &["sh", "-c", "echo note >/dev/shm/note"]);
        let train = pod.run("train", &SLEEP, &volume);
        let looks = [
            ("localhost", FETCH[2].to_owned()),
            ("pod's address", FETCH[2].replace("127.0.0.1", &pod.address())),
            ("abstract socket", "grep of-the-platform /proc/net/unix".to_owned()),
            ("/dev/shm", "cat /dev/shm/note".to_owned()),
            ("System V memory", "grep -w 4321 /proc/sysvipc/shm".to_owned()),
            ("early socket", "[ -S /data/early ]".to_owned()),
            ("/etc/hosts", "echo 203.0.113.99 s3.example >>/etc/hosts".to_owned()),
            ("/etc/resolv.conf", "echo nameserver 203.0.113.99 >>/etc/resolv.conf".to_owned()),
            ("credentials", "tr '\\0' '\\n' </proc/1/environ | grep AWS_SECRET".to_owned()),
        ];
        for (what, look) in looks {
            let (status, out) = exec(&node, &train, &["timeout", "5", "bash", "-c", &look]);
            findings.claim((status == 0) == found, format!("{handler}: {what} is found: {status} {out}"));
        }
        let (_, hosts) = exec(&node, &proxy, &["cat", "/etc/hosts"]);
        findings.claim(hosts.contains("s3.example") == found, format!("{handler}: proxy's hosts: {hosts}"));
        let (_, processes) = exec(&node, &train, &["ps"]);
        findings.claim(!processes.contains("httpd"), format!("{handler}: processes: {processes}"));

        // What is bound later in a volume that both can write is a channel (docs/threats.md, `platform-volume`).
        say(command("gcc").args(["-O1", "-static", "-o"]).arg(node.host.dir().join("connect")).arg(CONNECT))
            .must();
        node.host.sh(&format!("cp {} {socket}/connect", node.host.at("connect"))).must();
        let script = format!("exec perl -e '{LISTEN}' {socket}/late");
        node.host.daemon(&format!("late-{handler}"), "/bin/sh", &["-c", &script], &[]);
        let answered = wait_for(Duration::from_secs(10), || {
            let (_, out) = exec(&node, &train, &["timeout", "5", "/data/connect", "/data/late"]);
            (out == "of-the-platform\n").then_some(())
        });
        findings
            .claim(answered.is_some(), format!("{handler}: a socket that is bound later does not answer"));

        // Probes, Services and port-forward of the platform's container work; nobody reaches the isolated one.
        let other = pod.run("other", &["httpd", "-f", "-p", "8080", "-h", "/www"], &json!({}));
        for (port, reached) in [(80, true), (8080, found)] {
            let address = format!("{}:{port}", pod.address());
            let seen = wait_for(Duration::from_secs(if reached { 5 } else { 1 }), || {
                node.host.world.can_connect(&address).then_some(())
            });
            findings.claim(seen.is_some() == reached, format!("{handler}: {address} answers: {seen:?}"));
            let asked = json!({ "forward": { "pod_sandbox_id": pod.id, "port": [port] },
                "send": "GET / HTTP/1.0\r\n\r\n" });
            let said = node.stream("port-forward", &asked);
            findings.claim(said.out.ends_with("inside") == reached, format!("{handler}: {port}: {said}"));
        }
        let local = FETCH[2].replace("127.0.0.1/80", "127.0.0.1/8080");
        let from_train = exec(&node, &train, &["bash", "-c", &local]);
        findings.claim(from_train.0 == 0, format!("{handler}: isolated containers share no localhost"));
        let from_proxy = exec(&node, &proxy, &["bash", "-c", &local]);
        findings
            .claim((from_proxy.0 == 0) == found, format!("{handler}: proxy reaches the isolated {other}"));
        pod.remove();
    }
    findings.settle();
}

pub(crate) fn containers_of_either_kind_restart_in_any_order_and_the_pod_leaves_nothing(release: Release) {
    let node = started(release);
    let mut findings = Findings::default();
    let pod = node.pod("oci-isolate", "pod", &beside("fetch, upload, never"));
    let again = |attempt: u32| json!({ "metadata": { "attempt": attempt } });
    let stop = |id: &str| {
        node.must("StopContainer", &json!({ "container_id": id }));
        node.must("RemoveContainer", &json!({ "container_id": id }));
    };
    let mut train = pod.run("train", &SLEEP, &json!({}));
    let mut upload = pod.run("upload", &SLEEP, &json!({}));
    for attempt in 1..3 {
        let first = [&upload, &train];
        let first = if attempt == 1 { first } else { [first[1], first[0]] };
        first.into_iter().for_each(|id| stop(id));
        // The other order of each round.
        if attempt == 1 {
            train = pod.run("train", &SLEEP, &again(attempt));
            upload = pod.run("upload", &SLEEP, &again(attempt));
        } else {
            upload = pod.run("upload", &SLEEP, &again(attempt));
            train = pod.run("train", &SLEEP, &again(attempt));
        }
        let report = Report::parse(&exec(&node, &train, &["probe", "train"]).1);
        findings.about("train", report.sealed(&ITSELF));
        let report = Report::parse(&exec(&node, &upload, &["probe", "upload"]).1);
        findings.about("upload", report.reaches(&OPEN));
    }
    // After the isolated ones, and after containerd was started again.
    node.host.sh(&node.restart()).must();
    let fetch = pod.run("fetch", &SLEEP, &json!({}));
    let report = Report::parse(&exec(&node, &fetch, &["probe", "fetch"]).1);
    findings.about("fetch", report.reaches(&OPEN));
    let listed = ctl(&node, &["list"]).must();
    let line = format!(
        "{}: not isolated is its pod's platform container never: no container of that name was created",
        pod.id
    );
    findings.claim(listed.contains(&line), format!("a name without a container: {listed}"));
    let verified = ctl(&node, &["verify", "--all"]);
    findings.claim(verified.well(), format!("verify: {verified}"));

    // The annotation as it is by now: without it, with fewer names and with other ones.
    let named = "when its pod was created it named fetch, never, upload; change it back";
    for (attempt, value) in (3..).zip([None, Some("fetch, upload"), Some("fetch, upload, other")]) {
        let changed = pod.annotated("io.oci-isolate.platform", value);
        let said = changed.start("train", &SLEEP, &again(attempt));
        findings.claim(!said.well() && said.err.contains(named), format!("annotated {value:?}: {said}"));
    }
    let plain = node.pod("oci-isolate", "plain", &isolated());
    plain.run("first", &SLEEP, &json!({}));
    let changed = plain.annotated("io.oci-isolate.platform", Some("upload"));
    let said = changed.start("train", &SLEEP, &json!({}));
    let why = "annotation io.oci-isolate.platform names upload, and when its pod was created it named none";
    findings.claim(!said.well() && said.err.contains(why), format!("annotated later: {said}"));
    plain.remove();

    // A sandbox without a record: what its containers may have is not known.
    let record = node.records().lines().find(|path| path.contains(&pod.id)).map(str::to_owned).unwrap();
    node.host.sh(&format!("mv {record} {record}.kept")).must();
    let said = pod.start("upload", &SLEEP, &again(7));
    let why = "has no record, so its pod's network is not known; delete the pod";
    findings.claim(!said.well() && said.err.contains(why), format!("without a record: {said}"));
    let said = node.call("ExecSync", &json!({ "container_id": upload, "cmd": ["true"], "timeout": 50 }));
    findings.claim(!said.well() && said.err.contains(why), format!("exec without a record: {said}"));
    let listed = ctl(&node, &["list"]).must();
    let line = listed.lines().find(|line| line.starts_with(&upload)).unwrap_or_default();
    findings.claim(line.contains("unrecorded"), format!("upload without a record: {listed}"));
    let said = pod.start("train", &SLEEP, &again(7));
    let why = "is not of an isolated container";
    findings.claim(!said.well() && said.err.contains(why), format!("isolated, without a record: {said}"));
    node.host.sh(&format!("mv {record}.kept {record}")).must();

    // Another namespace at the path.
    let path = node
        .host
        .sh(&format!("sed -n 's/.*\"pod_network\":{{\"at\":\"\\([^\"]*\\)\".*/\\1/p' {record}"))
        .must();
    let swap = format!(
        "unshare --net=/run/other true 2>/dev/null || (touch /run/other; unshare --net=/run/other true); \
        mount --bind /run/other {path}"
    );
    node.host.sh(&swap).must();
    let said = pod.start("upload", &SLEEP, &again(8));
    let why = "is not the network namespace of its pod any more";
    findings.claim(!said.well() && said.err.contains(why), format!("another namespace: {said}"));
    node.host.sh(&format!("umount {path}; umount /run/other; rm /run/other")).must();

    pod.remove();
    findings.claim(node.records().is_empty(), format!("records stayed: {}", node.records()));
    let look = format!(
        "ip netns list; ls -d /sys/fs/cgroup/*/{}/*/ 2>/dev/null || true; ps ax -o args | grep '^sleep 1000' || true",
        node.host.world.name
    );
    let left = node.host.sh(&look).must();
    findings.claim(left.is_empty(), format!("namespaces, control groups or processes stayed: {left}"));
    findings.settle();
}

pub(crate) fn a_pod_whose_platform_containers_cannot_be_kept_apart_is_refused(release: Release) {
    let node = started(release);
    let mut findings = Findings::default();
    let with = |key: &str, value: &str| {
        let mut more = beside("upload");
        more["annotations"][key] = json!(value);
        more
    };
    let cases = [
        ("io.oci-isolate.ingress", "80", "it is not possible with ingress, peers or job"),
        ("io.oci-isolate.peers", "10.88.0.9", "it is not possible with ingress, peers or job"),
        ("io.oci-isolate.job", "train", "it is not possible with ingress, peers or job"),
        ("io.oci-isolate.platform", "Upload", "\"Upload\" is not the name of a container"),
        ("io.oci-isolate.platform", "", "\"\" is not the name of a container"),
        ("io.oci-isolate.platforms", "upload", "did you mean io.oci-isolate.platform?"),
        ("io.oci-isolate.network-isolation", "", ""),
        ("io.kubernetes.cri-o.ContainerName", "upload", "of CRI-O or Podman: a pod sets one of them itself"),
    ];
    for (index, (key, value, why)) in cases.into_iter().enumerate() {
        let handler = if key.starts_with("io.oci-isolate.") { "oci-isolate" } else { "everything" };
        let (said, _) = node.ask(handler, &format!("case-{index}"), &with(key, value));
        let fits = if why.is_empty() { said.well() } else { !said.well() && said.err.contains(why) };
        findings.claim(fits, format!("{key}={value:?}: {said}"));
    }
    let mut unasked = beside("upload");
    unasked["annotations"].as_object_mut().unwrap().remove("io.oci-isolate.network-isolation");
    let (said, _) = node.ask("oci-isolate", "unasked", &unasked);
    findings
        .claim(!said.well() && said.err.contains("is for isolated containers"), format!("unasked: {said}"));
    for (kind, why) in
        [("network", "drop hostNetwork: true"), ("pid", "hostPID: true"), ("ipc", "hostIPC: true")]
    {
        let mut more = beside("upload");
        more["linux"]["security_context"]["namespace_options"] = json!({ "pid": "CONTAINER" });
        more["linux"]["security_context"]["namespace_options"][kind] = json!("NODE");
        if kind == "network" {
            more["hostname"] = json!("");
        }
        let (said, _) = node.ask("oci-isolate", kind, &more);
        findings.claim(!said.well() && said.err.contains(why), format!("{kind}: {said}"));
    }
    let mut shared = beside("upload");
    shared["linux"]["security_context"]["namespace_options"] = json!({ "pid": "POD" });
    let pod = node.pod("oci-isolate", "shared", &shared);
    let said = pod.start("upload", &SLEEP, &json!({}));
    findings.claim(
        !said.well() && said.err.contains("drop shareProcessNamespace: true"),
        format!("shared processes: {said}"),
    );
    pod.remove();

    // A pod whose annotations all arrive gives a container another name, and another sandbox.
    let mut forged = with("io.kubernetes.cri.container-name", "upload");
    forged["annotations"]["io.kubernetes.cri.sandbox-id"] = json!("other");
    let pod = node.pod("everything", "forged", &forged);
    let train = pod.run("train", &SLEEP, &json!({}));
    findings.about("forged", Report::parse(&exec(&node, &train, &["probe", "x"]).1).sealed(&ITSELF));
    pod.remove();
    findings.settle();
}

pub(crate) fn where_settings_demand_isolation_only_the_platforms_image_keeps_the_network(release: Release) {
    const PLATFORM: &str = "registry.example.com/platform/stage:1";
    let node = started(release);
    let mut findings = Findings::default();
    for demand in [
        "mode = \"always\"\n",
        "[[require]]\nannotation = \"io.kubernetes.cri.image-name\"\nmatches = \"*/probe:*\"\n",
    ] {
        node.host.settings(demand);
        let pod = node.pod("oci-isolate", "none", &beside("upload"));
        let said = pod.start("upload", &SLEEP, &json!({}));
        let why = "container upload must be isolated";
        findings.claim(!said.well() && said.err.contains(why), format!("{demand}: {said}"));
        pod.remove();
    }
    node.host.settings(
        "mode = \"always\"\n[[platform]]\nimage = \"*/probe:*\"\nargs = [\"/bin/probe\", \"**\"]\n",
    );
    let pod = node.pod("oci-isolate", "own", &beside("upload"));
    let upload = pod.run("upload", &["/bin/probe", "x"], &json!({}));
    findings.claim(ended(&node, &upload).is_some(), "upload does not end");
    let log = pod.log("upload");
    let printed: Vec<_> = log.lines().filter_map(|line| line.split(" F ").nth(1)).collect();
    findings.about("upload", Report::parse(&printed.join("\n")).reaches(&OPEN));
    // Its image alone makes a container nothing.
    let train = pod.run("train", &SLEEP, &json!({}));
    findings.about("train", Report::parse(&exec(&node, &train, &["probe", "x"]).1).sealed(&ITSELF));
    pod.remove();
    node.host.settings(&format!(
        "mode = \"always\"\n[[platform]]\nimage = \"{PLATFORM}\"\nargs = [\"/bin/probe\", \"**\"]\n"
    ));
    let pod = node.pod("oci-isolate", "other", &beside("upload"));
    let said = pod.start("upload", &SLEEP, &json!({}));
    findings.claim(
        !said.well() && said.err.contains("is that of no [[platform]] in the settings"),
        format!("another image: {said}"),
    );
    pod.remove();
    // Only train is demanded: a container of its author could relay for it, and so could a program in one of the platform's.
    let train = "[[require]]\nannotation = \"io.kubernetes.cri.container-name\"\nmatches = \"train\"\n";
    let sleep = "[[platform]]\nimage = \"*/probe:*\"\nargs = [\"/bin/sleep\", \"*\"]\n";
    node.host.settings(&format!("{train}{sleep}"));
    let pod = node.pod("oci-isolate", "relay", &beside("relay"));
    pod.run("relay", &SLEEP, &json!({}));
    let said = pod.start("train", &SLEEP, &json!({}));
    let why = "also from platform containers of the pod's author";
    findings.claim(!said.well() && said.err.contains(why), format!("train beside a relay: {said}"));
    pod.remove();
    let pod = node.pod("oci-isolate", "first", &beside("relay"));
    pod.run("train", &SLEEP, &json!({}));
    let said = pod.start("relay", &SLEEP, &json!({}));
    let why = "of the same pod must be isolated";
    findings.claim(!said.well() && said.err.contains(why), format!("a relay beside train: {said}"));
    pod.remove();
    let pod = node.pod("oci-isolate", "both", &beside("upload"));
    let upload = pod.run("upload", &["/bin/sleep", "1000"], &json!({}));
    pod.run("train", &SLEEP, &json!({}));
    let asked = json!({ "container_id": upload, "cmd": ["true"], "timeout": 50 });
    let said = node.call("ExecSync", &asked);
    let why = "exec in container upload runs a program that is not the platform's";
    findings.claim(!said.well() && said.err.contains(why), format!("exec in upload: {said}"));
    pod.remove();
    findings.claim(node.records().is_empty(), format!("records stayed: {}", node.records()));
    findings.settle();
}

/// The author of a pod chooses the command, the variables and the volumes of the platform's image.
pub(crate) fn where_settings_demand_isolation_the_platforms_image_runs_the_platforms_program_only(
    release: Release,
) {
    let node = started(release);
    node.host.sh("mount --make-shared /var/lib/kubelet").must();
    let mut findings = Findings::default();
    let mine = ["/bin/sh", "-c", "cp /bin/busybox /data/busybox && /data/busybox echo mine"];
    let platform =
        "mode = \"always\"\n[[platform]]\nimage = \"*/probe:*\"\nargs = [\"/bin/sh\", \"-c\", \"*\"]\n";
    for (settings, runs) in [("", true), (platform, false)] {
        node.host.settings(settings);
        let pod = node.pod("oci-isolate", if runs { "free" } else { "bound" }, &beside("upload"));
        let volume = data(&pod);
        let upload = pod.run("upload", &mine, &volume);
        let status = ended(&node, &upload);
        findings.claim(
            status == Some(if runs { 0 } else { 126 }),
            format!("{settings}: a program out of a volume: {status:?} {}", pod.log("upload")),
        );
        let path = volume["mounts"][0]["host_path"].clone();
        let over = json!({ "mounts": [{ "container_path": "/bin", "host_path": path }] });
        let linker = json!({ "envs": [{ "key": "LD_PRELOAD", "value": "/data/mine.so" }] });
        let admin = json!({ "linux": { "security_context": { "capabilities": { "add_capabilities": ["SYS_ADMIN"] } } } });
        let shared =
            json!({ "mounts": [{ "container_path": "/data", "host_path": path, "propagation": 1 }] });
        let all = json!({ "mounts": [{ "container_path": "/host", "host_path": "/run" }] });
        let fine = ["/bin/sh", "-c", "true"];
        let cases = [
            ("command", &["/data/mine", "x"][..], json!({}), "its command is that of no [[platform]]"),
            ("program", &fine, over, "the mount at /bin covers its program /bin/sh"),
            ("linker", &fine, linker, "the variable LD_PRELOAD is the dynamic linker's"),
            ("capability", &fine, admin, "it has CAP_SYS_ADMIN, which is none of containerd's default"),
            ("propagation", &fine, shared, "so that not all of it is noexec"),
            ("mounts", &fine, all, "which is not made noexec"),
        ];
        for (index, (what, command, more, why)) in cases.into_iter().enumerate() {
            if runs {
                continue;
            }
            let mut more = more;
            more["metadata"] = json!({ "attempt": index + 1 });
            let said = pod.start("upload", command, &more);
            findings.claim(!said.well() && said.err.contains(why), format!("{what}: {said}"));
        }
        pod.remove();
    }
    findings.settle();
}
