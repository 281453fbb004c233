//! What an isolated pod can and cannot do, and that others notice nothing.

use std::time::Duration;

use serde_json::json;

use crate::node::{Node, Release, exec, isolated};
use test_support::attempts::{TRIES, counting, exact, written};
use test_support::capture::Capture;
use test_support::command::{say, wait_for};
use test_support::findings::Findings;
use test_support::probe::{ITSELF, OPEN, Report, credentials_in};

/// Serves the page "inside" on port 80 of all addresses.
pub(crate) const SERVE: [&str; 4] = ["httpd", "-f", "-h", "/www"];
pub(crate) const SLEEP: [&str; 2] = ["sleep", "1000"];
/// What an exec probe would be: fails when the pod's server does not answer.
pub(crate) const FETCH: [&str; 3] = [
    "bash",
    "-c",
    "exec 3<>/dev/tcp/127.0.0.1/80 && printf 'GET / HTTP/1.0\\r\\n\\r\\n' >&3 && grep inside <&3",
];

pub(crate) fn the_containers_of_an_isolated_pod_share_localhost_and_reach_nothing_else(release: Release) {
    let node = Node::start(release);
    let mut findings = Findings::default();
    for (handler, annotations) in [("bare", json!({})), ("oci-isolate", isolated())] {
        let capture = Capture::start(&node.host);
        let pod = node.pod(handler, handler, &annotations);
        pod.run("web", &SERVE, &json!({}));
        let client = pod.run("client", &SLEEP, &json!({}));
        findings.claim(
            exec(&node, &client, &FETCH) == (0, "inside\n".into()),
            format!("{handler}: no localhost"),
        );
        let report = Report::parse(&exec(&node, &client, &["probe", handler]).1);
        let capture_of = |findings: &mut Findings| {
            if handler == "bare" {
                findings.about(handler, report.reaches(&OPEN));
                findings.about(handler, report.reaches(&ITSELF));
                findings.claim(report.has_credentials().len() == 4, "bare: the credentials are not there");
                findings.claim(capture.finish().len() > 5, "the capture saw next to nothing");
            } else {
                findings.about(handler, report.sealed(&ITSELF));
                findings.about("host", capture.saw_nothing());
            }
        };
        capture_of(&mut findings);
    }
    findings.settle();
}

/// All containers of the pod share the figures, which are written down with its sandbox.
pub(crate) fn what_a_pod_tries_is_counted_and_written_down(release: Release) {
    let node = Node::start(release);
    let (host, mut findings) = (&node.host, Findings::default());
    host.settings(&counting(host, ""));
    let capture = Capture::start(host);
    let pod = node.pod("oci-isolate", "isolated", &isolated());
    pod.run("other", &SLEEP, &json!({}));
    let web = pod.run("web", &SLEEP, &json!({}));
    exec(&node, &web, &["bash", "-c", TRIES]);
    let program = host.at("isolatectl");
    std::fs::copy(test_support::isolatectl(), &program).unwrap();
    for id in [&web, &pod.id] {
        let told = say(host.command(&program).args(["--json", "attempts", id]));
        findings.about("running", exact(&told));
    }
    pod.remove();
    findings.about("host", capture.saw_nothing());
    findings.about("removed", written(host, ""));
    findings.settle();
}

pub(crate) fn probes_exec_logs_and_a_restart_work_and_removal_leaves_nothing(release: Release) {
    let node = Node::start(release);
    let mut findings = Findings::default();
    let pod = node.pod("oci-isolate", "isolated", &isolated());
    let web = pod.run("web", &SERVE, &json!({}));
    let job = pod.run("job", &["sh", "-c", "echo working; echo failing >&2; exit 3"], &json!({}));

    findings.claim(exec(&node, &web, &FETCH).0 == 0, "an exec probe that should succeed fails");
    findings
        .claim(exec(&node, &web, &["sh", "-c", "exit 7"]).0 == 7, "an exec probe has another exit status");
    let streamed = |script: &str, stdin: &str| {
        let exec = json!({ "container_id": web, "cmd": ["sh", "-c", script],
            "stdin": true, "stdout": true, "stderr": true });
        node.stream("exec", &json!({ "exec": exec, "stdin": stdin }))
    };
    let said = streamed("read line; echo \"got $line\"; echo aside >&2; env >&2; exit 5", "a line\n");
    findings.claim(said.out == "got a line" && said.status == Some(5), format!("streaming exec: {said}"));
    findings.claim(said.err.contains("aside"), format!("streaming exec has no stderr: {said}"));
    findings.about("streaming exec", credentials_in(said.err.lines()));

    // Kubelet makes a new container in the same sandbox, with the next attempt.
    let ended = || {
        let status = node.must("ContainerStatus", &json!({ "container_id": job }));
        (status["status"]["state"] == "CONTAINER_EXITED").then(|| status["status"]["exitCode"].clone())
    };
    let ended = test_support::command::wait_for(std::time::Duration::from_secs(20), ended);
    findings.claim(ended == Some(json!(3)), format!("the job's exit status is {ended:?}"));
    let log = pod.log("job");
    let lines = ["stdout F working", "stderr F failing"];
    findings.claim(lines.iter().all(|line| log.contains(line)), format!("the log is {log:?}"));
    node.must("RemoveContainer", &json!({ "container_id": job }));
    let again = pod.run("job", &SLEEP, &json!({ "metadata": { "attempt": 1 } }));
    findings.claim(exec(&node, &again, &FETCH).0 == 0, "a restarted container has another localhost");
    let report = Report::parse(&exec(&node, &again, &["probe", "again"]).1);
    findings.about("restarted", report.sealed(&ITSELF));

    let look = "ip netns list; ls -d /sys/fs/cgroup/*/oci-isolate-test-*/*/ 2>/dev/null || true";
    let records = node.records();
    findings.claim(records.lines().count() == node.sandboxes() + 2, format!("the records are {records}"));
    pod.remove();
    findings.claim(node.records().is_empty(), format!("records stayed: {}", node.records()));
    let left = node.host.sh(&look.replace("oci-isolate-test-*", &node.host.world.name)).must();
    findings.claim(left.is_empty(), format!("namespaces or control groups stayed: {left}"));
    let processes = node.host.sh("ps ax -o comm | grep -cE '^(httpd|sleep 1000)' || true").must();
    findings.claim(processes == "0", format!("{processes} processes stayed"));
    findings.settle();
}

/// The runtime's port-forward runs in the namespace that CNI plumbed, where nothing of an isolated pod listens.
pub(crate) fn port_forward_reaches_a_pod_but_not_an_isolated_one(release: Release) {
    let node = Node::start(release);
    let mut findings = Findings::default();
    for (name, annotations) in [("open", json!({})), ("closed", isolated())] {
        let pod = node.pod("oci-isolate", name, &annotations);
        let web = pod.run("web", &SERVE, &json!({}));
        findings.claim(exec(&node, &web, &FETCH).0 == 0, format!("{name}: no server answers"));
        let asked = json!({ "forward": { "pod_sandbox_id": pod.id, "port": [80] }, "send": "GET / HTTP/1.0\r\n\r\n" });
        let said = node.stream("port-forward", &asked);
        if name == "open" {
            findings.claim(said.out.ends_with("inside"), format!("port-forward does not work: {said}"));
        } else {
            findings
                .claim(!said.out.contains("inside"), format!("port-forward reaches an isolated pod: {said}"));
            findings.claim(said.err.contains("connection refused"), format!("port-forward says: {said}"));
        }
    }
    findings.settle();
}

/// kubelet's HTTP and TCP probes come from the node's own address on the pods' bridge.
pub(crate) fn an_ingress_pod_answers_on_its_address_and_to_probes_and_reaches_nobody(release: Release) {
    let node = Node::start(release);
    let mut findings = Findings::default();
    let mut ingress = isolated();
    ingress["annotations"]["io.oci-isolate.ingress"] = json!("80/tcp");
    // What the annotations of a pod open: the port that they name, and another one.
    let cases = [
        ("bare", json!({}), true, true),
        ("closed", isolated(), false, false),
        ("open", ingress, true, false),
    ];
    for (name, annotations, named, other) in cases {
        let pod = node.pod("oci-isolate", name, &annotations);
        pod.run("web", &SERVE, &json!({}));
        pod.run("other", &["httpd", "-f", "-p", "8080", "-h", "/www"], &json!({}));
        let client = pod.run("client", &SLEEP, &json!({}));
        findings.claim(exec(&node, &client, &FETCH).0 == 0, format!("{name}: no localhost"));
        for (port, answers) in [(80, named), (8080, other)] {
            let address = format!("{}:{port}", pod.address());
            let path = address.replace(':', "/");
            let probe = FETCH[2].replace("127.0.0.1/80", &path);
            let probe = say(node.host.command("timeout").args(["3", "bash", "-c", &probe]));
            findings.claim(
                (probe.out == "inside") == answers,
                format!("{name}: an HTTP probe of {address}: {probe}"),
            );
            let seen = node.host.world.can_connect(&address);
            findings.claim(seen == answers, format!("{name}: {address} answers others: {seen}"));
        }
        if name == "open" {
            let asked = json!({ "forward": { "pod_sandbox_id": pod.id, "port": [8080] }, "send": "GET / HTTP/1.0\r\n\r\n" });
            let said = node.stream("port-forward", &asked);
            findings.claim(said.out.ends_with("inside"), format!("port-forward: {said}"));
        }
        if name != "bare" {
            let capture = Capture::start(&node.host);
            findings.about(name, Report::parse(&exec(&node, &client, &["probe", name]).1).silent(&ITSELF));
            findings.about(name, capture.saw_nothing());
        }
        pod.remove();
    }
    findings.settle();
}

pub(crate) fn peer_pods_reach_each_other_and_nobody_else(release: Release) {
    let node = Node::start(release);
    let mut findings = Findings::default();
    let mut peers = isolated();
    peers["annotations"]["io.oci-isolate.peers"] = json!("10.88.0.0/24");
    let pods = [("one", &peers), ("two", &peers), ("alone", &isolated())].map(|(name, more)| {
        let pod = node.pod("oci-isolate", name, more);
        let id = pod.run("web", &SERVE, &json!({}));
        (pod.address(), id)
    });
    let fetch = |from: &str, address: &str| {
        let page = format!("http://{address}/");
        exec(&node, from, &["timeout", "2", "wget", "-qO-", &page])
    };
    let [(one, in_one), (two, in_two), (alone, in_alone)] = &pods;
    for (from, to, reaches) in
        [(in_one, two, true), (in_two, one, true), (in_one, alone, false), (in_alone, one, false)]
    {
        let (_, out) = fetch(from, to);
        findings.claim((out == "inside\n") == reaches, format!("{to} from {from}: {out:?}"));
    }
    findings.about("one", Report::parse(&exec(&node, in_one, &["probe", "one"]).1).silent(&ITSELF));
    findings.settle();
}

/// Pods of two namespaces that name one and the same job. The pod that claims the other's namespace goes by a handler that
/// passes every annotation.
pub(crate) fn a_job_ends_at_its_kubernetes_namespace(release: Release) {
    const CLAIM: &str = "io.kubernetes.cri.sandbox-namespace";
    let node = Node::start(release);
    let mut findings = Findings::default();
    let fetch = |from: &str, to: &str| {
        let script = FETCH[2].replace("127.0.0.1", to);
        exec(&node, from, &["timeout", "3", "bash", "-c", &script])
    };
    let reaches = |from: &str, to: &str| {
        wait_for(Duration::from_secs(30), || (fetch(from, to).1 == "inside\n").then_some(())).is_some()
    };
    let run = |handler: &str, name: &str, namespace: &str, host_name: &str, claims: bool| {
        let mut more = isolated();
        more["annotations"]["io.oci-isolate.job"] = json!("train");
        more["metadata"]["namespace"] = json!(namespace);
        more["hostname"] = json!(host_name);
        if claims {
            more["annotations"][CLAIM] = json!("team-a");
        }
        let pod = node.pod(handler, name, &more);
        let id = pod.run("web", &SERVE, &json!({}));
        (pod.address(), id)
    };
    let (open, _) = run("bare", "open", "team-a", "open", false);
    let (_, other) = run("bare", "other", "team-b", "other", false);
    findings.claim(reaches(&other, &open), "a bare pod does not reach that of another namespace");

    let (victim, in_victim) = run("oci-isolate", "victim", "team-a", "algo-2", false);
    let strangers =
        [("oci-isolate", "thief", false), ("everything", "forger", true)].map(|(handler, name, claims)| {
            // Of one namespace they would have one host name in one job. The victim's is taken by neither.
            (name, run(handler, name, &format!("team-{name}"), "algo-2", claims).1)
        });
    let (mate, in_mate) = run("oci-isolate", "mate", "team-a", "algo-1", false);
    for (from, to) in [(&in_mate, "algo-2"), (&in_victim, "algo-1"), (&in_mate, &victim), (&in_victim, &mate)]
    {
        findings.claim(reaches(from, to), format!("a member does not reach {to}: {:?}", fetch(from, to)));
    }
    for (name, stranger) in &strangers {
        let written = format!("\"{CLAIM}\":\"team-{name}\"");
        let config = node.config_json(stranger);
        findings.claim(config.contains(&written), format!("{name}: containerd writes another namespace"));
        for to in [&victim, &mate] {
            let (status, out) = fetch(stranger, to);
            findings.claim(status == 1, format!("{name} reaches {to}, or waits: {status} {out:?}"));
        }
        let (_, hosts) = exec(&node, stranger, &["cat", "/etc/hosts"]);
        findings.claim(!hosts.contains("oci-isolate"), format!("{name} knows names of others: {hosts}"));
    }
    findings.settle();
}

pub(crate) fn a_pod_without_the_annotation_is_untouched(release: Release) {
    let node = Node::start(release);
    let mut findings = Findings::default();
    let configs = ["bare", "oci-isolate"].map(|handler| {
        let pod = node.pod(handler, "pod", &json!({ "annotations": { "example.org/key": "value" } }));
        let id = pod.run("main", &SLEEP, &json!({}));
        let report = Report::parse(&exec(&node, &id, &["probe", handler]).1);
        findings.about(handler, report.reaches(&OPEN));
        findings.about(handler, report.reaches(&ITSELF));
        findings.claim(report.has_credentials().len() == 4, format!("{handler}: credentials are missing"));
        // What differs between any two pods: ids, CNI's name for the namespace, the pid of the sandbox.
        let texts = [&pod.id, &id].map(|container| {
            let text = node.config_json(container).replace(&pod.id, "SANDBOX").replace(&id, "CONTAINER");
            let text = blanked(&text, "/run/netns/cni-", '"');
            blanked(&text, "\"/proc/", '/')
        });
        pod.remove();
        texts
    });
    let [bare, shim] = &configs;
    findings.claim(bare == shim, format!("config.json differs:\n{bare:?}\n{shim:?}"));
    findings.claim(node.records().is_empty(), "there is a record");
    findings.settle();
}

/// The text with what follows each `mark` left out until `end`, when it begins with a number or is CNI's.
fn blanked(text: &str, mark: &str, end: char) -> String {
    let mut parts = text.split(mark);
    let first = parts.next().unwrap().to_owned();
    parts.fold(first, |all, part| {
        let of = part.find(end).unwrap_or(part.len());
        let varies = mark.ends_with("cni-") || part[..of].parse::<u32>().is_ok();
        all + mark + if varies { &part[of..] } else { part }
    })
}

/// A service account's token, and those of EKS: IAM roles for service accounts, Pod Identity.
pub(crate) fn no_token_that_the_platform_mounts_is_in_an_isolated_container(release: Release) {
    const PLACES: [(&str, &str, &str); 3] = [
        ("kube-api-access-7kq2x", "token", "/var/run/secrets/kubernetes.io/serviceaccount"),
        ("aws-iam-token", "token", "/var/run/secrets/eks.amazonaws.com/serviceaccount"),
        (
            "eks-pod-identity-token",
            "eks-pod-identity-token",
            "/var/run/secrets/pods.eks.amazonaws.com/serviceaccount",
        ),
    ];
    let envs = [
        ("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/example"),
        ("AWS_WEB_IDENTITY_TOKEN_FILE", "/var/run/secrets/eks.amazonaws.com/serviceaccount/token"),
        ("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://169.254.170.23/v1/credentials"),
        (
            "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
            "/var/run/secrets/pods.eks.amazonaws.com/serviceaccount/eks-pod-identity-token",
        ),
        ("AWS_REGION", "eu-west-1"),
    ];
    let envs: Vec<_> = envs.iter().map(|(key, value)| json!({ "key": key, "value": value })).collect();
    let node = Node::start(release);
    let mut findings = Findings::default();
    for (name, annotations) in [("open", json!({})), ("isolated", isolated())] {
        let pod = node.pod("oci-isolate", name, &annotations);
        let mounts = PLACES.map(|(volume, file, place)| {
            let path = pod.volume("projected", volume, file, "s3cret-token");
            json!({ "container_path": place, "host_path": path, "readonly": true })
        });
        let id = pod.run("main", &SLEEP, &json!({ "envs": envs, "mounts": mounts }));
        let found = exec(&node, &id, &["grep", "-rl", "s3cret-token", "/var/run/secrets"]).1;
        let expected = if name == "open" { 3 } else { 0 };
        findings.claim(found.lines().count() == expected, format!("{name}: tokens in {found:?}"));
        for (of, script) in [("process 1", "tr '\\0' '\\n' </proc/1/environ"), ("exec", "env")] {
            let env = exec(&node, &id, &["sh", "-c", script]).1;
            let aws: Vec<_> = env.lines().filter(|line| line.starts_with("AWS_")).collect();
            let expected = if name == "open" { 5 } else { 2 };
            findings.claim(aws.len() == expected, format!("{name}: {of} has {aws:?}"));
            findings.claim(aws.contains(&"AWS_REGION=eu-west-1"), format!("{name}: {of} has no region"));
        }
    }
    findings.settle();
}

/// The error of the runtime is what kubelet puts into the event `FailedCreatePodSandBox`, or `Failed` of a container.
pub(crate) fn what_cannot_be_isolated_is_refused_in_words(release: Release) {
    let node = Node::start(release);
    let mut findings = Findings::default();
    let options = |kind: &str| {
        let mut more = isolated();
        more["linux"]["security_context"]["namespace_options"] = json!({ "pid": "CONTAINER" });
        more["linux"]["security_context"]["namespace_options"][kind] = json!("NODE");
        if kind == "network" {
            more["hostname"] = json!("");
        }
        more
    };
    let cases = [
        ("network", "network-namespace: the pod has the node's network; drop hostNetwork: true"),
        (
            "pid",
            "host-pid: the pid namespace is the host's, from which /proc/<pid>/root leads out; drop --pid=host, \
             hostPID: true in Kubernetes",
        ),
        (
            "ipc",
            "host-ipc: the ipc namespace is the host's, through which others are reached; drop --ipc=host, \
             hostIPC: true in Kubernetes; for more shared memory use --shm-size=8g, in Kubernetes an emptyDir with \
             medium: Memory at /dev/shm",
        ),
    ];
    for (kind, why) in cases {
        let mut open = options(kind);
        open["annotations"] = json!({});
        let bare = node.ask_for_container("oci-isolate", &format!("open-{kind}"), &open);
        findings.claim(bare.well(), format!("{kind}: refused without the annotation: {bare}"));
        let said = node.ask_for_container("oci-isolate", kind, &options(kind));
        findings.about(kind, refused(&said.err, said.well(), why));
    }

    let mut more = isolated();
    more["linux"]["security_context"]["privileged"] = json!(true);
    // Its sandbox is pause with a writable sysfs; it is the container that asks for everything.
    let pod = node.pod("oci-isolate", "privileged", &more);
    let said = pod.start("main", &SLEEP, &json!({ "linux": { "security_context": { "privileged": true } } }));
    findings.about("privileged", refused(&said.err, said.well(), PRIVILEGED));
    findings.claim(node.records().lines().count() <= 1, format!("records stayed: {}", node.records()));
    findings.settle();
}

const PRIVILEGED: &str = "host-capabilities: CAP_DAC_READ_SEARCH is in the bounding set, and it opens any file of the host \
    by handle; drop --cap-add and --privileged, privileged: true in Kubernetes (kubectl debug: --profile=baseline), or set \
    [rules] host-capabilities = \"strip\" or \"allow\"";

/// Complaints unless the error ends with ours.
fn refused(said: &str, well: bool, why: &str) -> Vec<String> {
    let ours = said.split_once("oci-isolate: container ").map(|(_, ours)| ours);
    let ours = ours.and_then(|ours| ours.split_once(" not created: ")).map(|(_, ours)| ours);
    if !well && ours.is_some_and(|ours| ours.trim_end().trim_end_matches(": unknown") == why) {
        return vec![];
    }
    vec![format!("the error is {said:?}")]
}

pub(crate) fn an_annotation_of_one_container_of_an_open_pod_is_refused(release: Release) {
    let node = Node::start(release);
    let pod = node.pod("oci-isolate", "pod", &json!({}));
    let said = pod.start("main", &SLEEP, &isolated());
    let why = "is not that of a member of an isolated pod";
    assert!(!said.well() && said.err.contains("host-ipc:") && said.err.contains(why), "{said}");
}

pub(crate) fn containers_of_an_isolated_pod_share_processes_and_volumes(release: Release) {
    let node = Node::start(release);
    let mut findings = Findings::default();
    let mut more = isolated();
    more["linux"]["security_context"]["namespace_options"] = json!({ "pid": "POD" });
    let pod = node.pod("oci-isolate", "pod", &more);
    let shared = pod.volume("empty-dir", "scratch", "empty", "");
    let mount = json!({ "mounts": [{ "container_path": "/scratch", "host_path": shared }] });
    let one = pod.run("one", &["sh", "-c", "echo passed on >/scratch/note; exec sleep 1234"], &mount);
    let two = pod.run("two", &SLEEP, &mount);
    let seen = exec(&node, &two, &["ps"]).1;
    findings.claim(seen.contains("sleep 1234"), format!("processes are not shared: {seen}"));
    findings
        .claim(exec(&node, &two, &["cat", "/scratch/note"]).1 == "passed on\n", "the volume is not shared");
    for (name, id) in [("one", one), ("two", two)] {
        findings.about(name, Report::parse(&exec(&node, &id, &["probe", name]).1).sealed(&ITSELF));
    }
    findings.settle();
}

/// containerd drops annotations that its configuration does not name: the pod does not show it, the records do.
pub(crate) fn annotations_that_the_configuration_holds_back_isolate_nothing_and_leave_no_record(
    release: Release,
) {
    let node = Node::start(release);
    let mut findings = Findings::default();
    let pod = node.pod("forgotten", "pod", &isolated());
    let id = pod.run("main", &SLEEP, &json!({}));
    findings.about("forgotten", Report::parse(&exec(&node, &id, &["probe", "x"]).1).reaches(&OPEN));
    findings.claim(node.records().is_empty(), "there is a record, so the annotation arrived");
    findings.settle();
}
