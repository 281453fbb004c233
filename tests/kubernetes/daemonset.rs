//! The DaemonSet of `hack/kubernetes`: its image as the Containerfile says, its container as the manifest says, on a node
//! whose containerd it restarts.

use std::time::Duration;

use serde_json::{Value, json};

use crate::manifests::{HACK, manifest};
use crate::node::{Node, Pod, Release, exec, isolated};
use crate::pods::SLEEP;
use test_support::command::{command, say, wait_for};
use test_support::findings::Findings;
use test_support::host::Kind;
use test_support::podman::{Podman, User};
use test_support::probe::{ITSELF, OPEN, Report};

/// Builds the image and gives it to the node.
fn image(node: &Node, tag: &str) {
    let podman = Podman::new(Kind::Machine, User::Root, "/usr/sbin/runc");
    let (root, tar) = (podman.host.at("root"), podman.host.at("node.tar"));
    let programs = test_support::isolatectl();
    let binaries = programs.parent().unwrap();
    say(command(format!("{HACK}/image")).arg(&root).env("BINARIES", binaries)).must();
    podman.must(&[
        "build",
        "--isolation=chroot",
        "--tag",
        tag,
        "--file",
        &format!("{HACK}/Containerfile"),
        &root,
    ]);
    podman.must(&["save", "--output", &tar, tag]);
    std::fs::copy(&tar, node.host.dir().join("node.tar")).unwrap();
    node.import(&node.host.dir().join("node.tar"));
}

/// The DaemonSet's pod on a node, as kubelet would ask for it, with other values for some variables.
struct Installer<'n> {
    node: &'n Node,
    pod: Pod<'n>,
    container: Value,
    id: String,
}

impl<'n> Installer<'n> {
    fn start(node: &'n Node, name: &str, variables: &[(&str, &str)]) -> Self {
        let spec = manifest("daemonset.yaml")["spec"]["template"]["spec"].take();
        let mut container = spec["containers"][0].clone();
        let allowed =
            ["name", "image", "imagePullPolicy", "env", "securityContext", "readinessProbe", "resources"];
        let keys: Vec<_> = container.as_object().unwrap().keys().map(String::as_str).collect();
        assert!(keys.iter().all(|key| allowed.contains(key)), "{keys:?} is not all translated");
        assert_eq!((&spec["hostPID"], &spec["volumes"]), (&json!(true), &Value::Null));
        for (key, value) in variables {
            let all = container["env"].as_array_mut().unwrap();
            let variable = all.iter_mut().find(|one| one["name"] == *key).expect("the manifest has it");
            variable["value"] = json!(value);
        }
        let options = json!({ "pid": "NODE" });
        let security = json!({ "namespace_options": options, "privileged": true });
        let pod = node.pod("bare", name, &json!({ "linux": { "security_context": security } }));
        let envs = container["env"].as_array().unwrap().iter();
        let envs: Vec<_> = envs.map(|one| json!({ "key": one["name"], "value": one["value"] })).collect();
        let security = json!({ "privileged": true, "readonly_rootfs": true, "namespace_options": options });
        let id = pod.run(
            "installer",
            &[],
            &json!({ "image": { "image": container["image"] }, "envs": envs, "linux": { "security_context": security } }),
        );
        Self { node, pod, container: container.take(), id }
    }

    /// Waits until the log has these words.
    #[track_caller]
    fn says(&self, words: &str) -> String {
        let log = wait_for(Duration::from_secs(40), || {
            let log = self.pod.log("installer");
            log.contains(words).then_some(log)
        });
        log.unwrap_or_else(|| panic!("no {words:?} in the log: {}", self.pod.log("installer")))
    }

    fn is_ready(&self) -> (bool, String) {
        let probe = self.container["readinessProbe"]["exec"]["command"].as_array().unwrap();
        let words: Vec<_> = probe.iter().map(|word| word.as_str().unwrap()).collect();
        let (status, out) = exec(self.node, &self.id, &words);
        (status == 0, out)
    }
}

pub(crate) fn it_comes_onto_a_node_and_goes_again_and_leaves_the_node_as_it_was(release: Release) {
    let node = Node::plain(release);
    let mut findings = Findings::default();
    let manifest = manifest("daemonset.yaml");
    image(&node, manifest["spec"]["template"]["spec"]["containers"][0]["image"].as_str().unwrap());
    let look =
        "cd /etc/containerd; find . /usr/local/bin /etc/oci-isolate 2>/dev/null | sort; cat config.toml";
    let before = node.host.sh(&format!("{look} || true")).must();
    let handler_is_unknown = |when: &str| {
        let (said, _) = node.ask("oci-isolate", when, &isolated());
        let unknown = !said.well() && said.err.contains("no runtime for \"oci-isolate\" is configured");
        vec![format!("{when}: {said}")].into_iter().filter(|_| !unknown).collect::<Vec<_>>()
    };
    findings.about("handler", handler_is_unknown("before"));

    let (restart, state) = (node.restart(), node.host.at("state"));
    let variables = [("RESTART", restart.as_str()), ("STATE", &state)];
    let pid = || node.host.sh(&format!("cat {}", node.host.at("daemon.pid"))).must();
    let old = pid();
    // A file that cannot be edited: it ends, says why, and kubelet starts it again later.
    node.host.sh("cp /etc/containerd/config.toml /run/good; echo 'x =' >>/etc/containerd/config.toml").must();
    let broken = Installer::start(&node, "broken", &variables);
    let log = broken.says("correct it first");
    findings.claim(log.contains("/etc/containerd/config.toml") && pid() == old, format!("broken: {log}"));
    let ended = || {
        let status = node.must("ContainerStatus", &json!({ "container_id": broken.id }));
        (status["status"]["state"] == "CONTAINER_EXITED").then(|| status["status"]["exitCode"].clone())
    };
    let ended = wait_for(Duration::from_secs(20), ended);
    findings.claim(ended == Some(json!(1)), format!("the installer ended with {ended:?}"));
    broken.pod.remove();
    node.host.sh("cp /run/good /etc/containerd/config.toml").must();
    let installer = Installer::start(&node, "installer", &variables);
    let log = installer.says("done     install");
    findings.claim(log.contains("changed  /etc/containerd/config.toml"), format!("no change: {log}"));
    findings.claim(log.contains("annotations reach it"), format!("doctor is not in the log: {log}"));
    let restarted = pid();
    findings.claim(restarted != old, "containerd was not restarted");
    let (ready, says) = installer.is_ready();
    findings.claim(ready, format!("not ready: {says}"));

    let open = node.pod("oci-isolate", "open", &json!({}));
    let id = open.run("main", &SLEEP, &json!({}));
    findings.about("open", Report::parse(&exec(&node, &id, &["probe", "open"]).1).reaches(&OPEN));
    open.remove();
    let pod = node.pod("oci-isolate", "isolated", &isolated());
    let id = pod.run("main", &SLEEP, &json!({}));
    findings.about("isolated", Report::parse(&exec(&node, &id, &["probe", "isolated"]).1).sealed(&ITSELF));

    // The next version of the DaemonSet: nothing to do, so nothing is restarted.
    installer.pod.remove();
    let again = Installer::start(&node, "again", &variables);
    let log = again.says("done     install");
    findings.claim(log.contains("no change") && pid() == restarted, format!("restarted again: {log}"));
    // One that was ended before the restart.
    again.pod.remove();
    node.host.sh("touch /run/oci-isolate-installer.restart").must();
    let again = Installer::start(&node, "once-more", &variables);
    again.says("done     install");
    findings.claim(pid() != restarted, "a restart that was owed is forgotten");
    again.pod.remove();

    let remover = Installer::start(&node, "remover", &[&variables[..], &[("MODE", "remove")]].concat());
    let log = remover.says("waiting  for the end of default/isolated");
    findings.claim(!remover.is_ready().0 && !log.contains("changed"), format!("it did not wait: {log}"));
    findings.about("isolated", Report::parse(&exec(&node, &id, &["probe", "isolated"]).1).sealed(&ITSELF));
    // With the last user gone containerd is restarted, which may cut a call short; kubelet calls again.
    let gone = || {
        let call = |verb: &&str| node.call(verb, &json!({ "pod_sandbox_id": pod.id })).well();
        ["StopPodSandbox", "RemovePodSandbox"].iter().all(call).then_some(())
    };
    assert!(wait_for(Duration::from_secs(30), gone).is_some(), "the isolated pod cannot be removed");
    remover.says("done     remove");
    findings.claim(remover.is_ready().0, "not ready after the removal");
    findings.about("handler", handler_is_unknown("after"));
    remover.pod.remove();
    let after = node.host.sh(&format!("{look} || true")).must();
    findings.claim(after == before, format!("the node is not as it was:\n{before}\n---\n{after}"));
    findings.settle();
}
