//! The cluster, which all tests of this binary share. It ends with the test binary.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{OnceLock, RwLock};
use std::time::Duration;

use serde_json::{Value, json};

use test_support::command::{Finished, command_within, say, wait_for};
use test_support::{image, project};

/// The image of containers that try what `probe.sh` tries.
pub(crate) const PROBE: &str = "docker.io/library/probe:stable";

/// The image of isolate-job.
pub(crate) const JOB: &str = "docker.io/library/isolate-job:lab";

/// All DaemonSets.
const SETS: [&str; 3] = ["oci-isolate", "oci-isolate-node", "oci-isolate-node-put"];

/// Held to read while pods use the shim, and to write while it is taken off the nodes.
pub(crate) static INSTALLED: RwLock<()> = RwLock::new(());

/// Longer than anything takes but a failure.
pub(crate) const PATIENCE: Duration = Duration::from_secs(90);

/// A running cluster. Its script takes it down when this process, and with it the script's standard input, ends.
pub(crate) struct Cluster {
    _script: Child,
}

/// The cluster with the DaemonSets on it.
pub(crate) fn cluster() -> &'static Cluster {
    static CLUSTER: OnceLock<Cluster> = OnceLock::new();
    CLUSTER.get_or_init(|| {
        let cluster = Cluster::start();
        cluster.load_images();
        cluster.install();
        cluster
    })
}

/// A call of the script, which needs to know the cache.
fn script(seconds: u32) -> Command {
    let mut script = command_within(seconds, project().join("hack/kubernetes/cluster"));
    if let Some(cache) = std::env::var_os("OCI_ISOLATE_CACHE") {
        script.env("OCI_ISOLATE_CACHE", project().join(cache));
    }
    script
}

impl Cluster {
    fn start() -> Self {
        // Left by a test binary that was killed.
        say(script(60).arg("down")).must();
        // A day: it ends with this process.
        let mut script =
            script(86400).arg("run").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let first = BufReader::new(script.stdout.take().unwrap()).lines().map_while(Result::ok).next();
        assert_eq!(first.as_deref(), Some("ready"), "the cluster does not start");
        Self { _script: script }
    }

    fn load_images(&self) {
        let dir = tempfile::tempdir().unwrap();
        let [probe, node, job] = ["probe", "node", "job"].map(|name| dir.path().join(name));
        image::rootfs(&probe);
        self.load(PROBE, &probe, r#"{"Env":["PATH=/bin"]}"#);
        // A release has static programs.
        let (program, _) = (test_support::isolate_node(), test_support::isolatectl());
        let mut make = command_within(60, project().join("hack/kubernetes/image"));
        say(make.arg(&node).env("BINARIES", program.parent().unwrap())).must();
        image::program(&node, &program, "bin/isolate-node");
        let name = containers(&manifest("daemonset.yaml"))[0]["image"].as_str().unwrap().to_owned();
        self.load(&name, &node, r#"{"Env":["PATH=/bin"],"Entrypoint":["/bin/installer"]}"#);
        for name in ["bin", "tmp", "etc/ssl/certs"] {
            std::fs::create_dir_all(job.join(name)).unwrap();
        }
        // The SDK asks for some, also without TLS.
        let authorities = "etc/ssl/certs/ca-certificates.crt";
        std::fs::copy(Path::new("/").join(authorities), job.join(authorities)).unwrap();
        image::program(&job, &test_support::isolate_job(), "bin/isolate-job");
        self.load(JOB, &job, r#"{"Env":["PATH=/bin"],"Entrypoint":["/bin/isolate-job"]}"#);
    }

    fn load(&self, name: &str, root: &Path, config: &str) {
        say(script(120).args(["load", name]).arg(root).arg(config)).must();
    }

    /// As docs/kubernetes.md tells.
    pub(crate) fn install(&self) {
        for name in ["daemonset.yaml", "runtimeclass.yaml", "node-agent.yaml"] {
            self.kubectl(&["apply", "--filename", hack(name).to_str().unwrap()]).must();
        }
        self.rolled_out();
    }

    /// Waits until the DaemonSets are ready on both nodes.
    pub(crate) fn rolled_out(&self) {
        for set in SETS {
            let name = format!("daemonset/{set}");
            let status = ["kubectl", "--namespace=kube-system", "rollout", "status", &name];
            // The kubelet of 1.20 takes a minute to let a pod go.
            say(script(600).args(status)).must();
        }
    }

    /// `kubectl`, as the cluster's administrator.
    pub(crate) fn kubectl(&self, args: &[&str]) -> Finished {
        say(script(120).arg("kubectl").args(args))
    }

    /// The answer to `kubectl get`.
    pub(crate) fn get(&self, args: &[&str]) -> Value {
        serde_json::from_str(&self.kubectl(&[&["get", "--output=json"], args].concat()).must()).unwrap()
    }

    /// Runs a shell script on a node.
    pub(crate) fn on(&self, node: &str, text: &str) -> Finished {
        say(script(120).args(["on", node, "sh", "-euc", text]))
    }

    /// A command that runs on a machine as long as its child does.
    pub(crate) fn command_on(&self, machine: &str, text: &str) -> Command {
        let mut command = script(86400);
        command.args(["on", machine, "setpriv", "--pdeathsig=KILL", "sh", "-euc", text]);
        command
    }

    /// Process 1 of a machine.
    pub(crate) fn process(&self, machine: &str) -> u32 {
        let file = format!("/var/tmp/oci-isolate-cluster/{machine}.pid");
        std::fs::read_to_string(file).unwrap().trim().parse().unwrap()
    }

    /// The processes of a container of the node agent, as its node numbers them.
    pub(crate) fn agent(&self, node: &str, container: &str) -> BTreeSet<String> {
        let filter = format!("labels.\"io.kubernetes.container.name\"=={container}");
        // Containers that have ended stay for a while.
        let script = format!(
            "for id in $(ctr --namespace k8s.io containers ls --quiet '{filter}'); do
                 ctr --namespace k8s.io tasks ls | awk -v id=\"$id\" '$1 == id && $3 == \"RUNNING\" {{ print $2 }}'
             done"
        );
        self.on(node, &script).must().split_whitespace().map(str::to_owned).collect()
    }

    /// How many packets from this address were seen outside of the pod that has it.
    pub(crate) fn seen(&self, address: &str) -> u64 {
        say(script(60).args(["seen", address])).must().parse().unwrap()
    }

    /// A namespace for one test.
    pub(crate) fn namespace(&self, name: &'static str) -> Namespace<'_> {
        self.kubectl(&["create", "namespace", name]).must();
        let account =
            || self.kubectl(&["--namespace", name, "get", "serviceaccount", "default"]).well().then_some(());
        assert!(wait_for(PATIENCE, account).is_some(), "namespace {name} has no service account");
        Namespace { cluster: self, name }
    }
}

/// A namespace of the cluster; its pods go with it.
pub(crate) struct Namespace<'c> {
    cluster: &'c Cluster,
    name: &'static str,
}

impl Namespace<'_> {
    pub(crate) fn name(&self) -> &str {
        self.name
    }

    /// Asks the API server to evict a pod, as `kubectl drain` does.
    pub(crate) fn evict(&self, pod: &str) {
        let eviction = json!({
            "apiVersion": "policy/v1beta1", "kind": "Eviction",
            "metadata": { "name": pod, "namespace": self.name },
        });
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), eviction.to_string()).unwrap();
        let path = format!("/api/v1/namespaces/{}/pods/{pod}/eviction", self.name);
        self.cluster.kubectl(&["create", "--raw", &path, "--filename", file.path().to_str().unwrap()]).must();
    }

    /// `kubectl` in this namespace.
    pub(crate) fn kubectl(&self, args: &[&str]) -> Finished {
        self.cluster.kubectl(&[&["--namespace", self.name], args].concat())
    }

    /// Creates what a manifest describes.
    #[track_caller]
    pub(crate) fn apply(&self, manifest: &Value) {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), manifest.to_string()).unwrap();
        self.apply_file(file.path());
    }

    /// Creates a pod of one container that sleeps; `more` is added to its specification.
    #[track_caller]
    pub(crate) fn sleeper(&self, name: &str, isolation: &str, more: &Value) {
        let mut pod = json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": { "name": name, "annotations": { "io.oci-isolate.network-isolation": isolation } },
            "spec": {
                "runtimeClassName": "oci-isolate", "terminationGracePeriodSeconds": 1,
                "containers": [{ "name": "main", "image": PROBE, "command": ["sleep", "1000"] }],
            },
        });
        let more = more.as_object().unwrap().clone();
        pod["spec"].as_object_mut().unwrap().extend(more);
        self.apply(&pod);
    }

    /// Creates what a file describes.
    #[track_caller]
    pub(crate) fn apply_file(&self, file: &Path) {
        self.kubectl(&["apply", "--filename", file.to_str().unwrap()]).must();
    }

    /// A pod, once this holds for it.
    #[track_caller]
    pub(crate) fn pod(&self, name: &str, holds: impl Fn(&Value) -> bool) -> Value {
        let get = ["--namespace", self.name, "pod", name];
        let pod = wait_for(PATIENCE, || Some(self.cluster.get(&get)).filter(&holds));
        pod.unwrap_or_else(|| panic!("{}", self.kubectl(&["describe", "pod", name]).out))
    }

    /// What a container has written, once these words are among it.
    #[track_caller]
    pub(crate) fn says(&self, pod: &str, words: &str) -> String {
        let log = || Some(self.kubectl(&["logs", pod]).out).filter(|log| log.contains(words));
        let log = wait_for(PATIENCE, log);
        log.unwrap_or_else(|| {
            let (log, state) = (self.kubectl(&["logs", pod]), self.kubectl(&["describe", "pod", pod]));
            panic!("no {words:?} in {log}\n{state}")
        })
    }
}

impl Drop for Namespace<'_> {
    fn drop(&mut self) {
        let delete = ["delete", "namespace", self.name, "--wait=false"];
        drop(self.cluster.kubectl(&delete));
    }
}

/// A pod's address.
pub(crate) fn address(pod: &Value) -> &str {
    pod["status"]["podIP"].as_str().unwrap()
}

/// Whether all containers of a pod are ready.
pub(crate) fn is_ready(pod: &Value) -> bool {
    let conditions = pod["status"]["conditions"].as_array();
    conditions.into_iter().flatten().any(|one| one["type"] == "Ready" && one["status"] == "True")
}

/// The path of a file in `hack/kubernetes`.
pub(crate) fn hack(name: &str) -> PathBuf {
    project().join("hack/kubernetes").join(name)
}

/// A manifest of `hack/kubernetes`, as the API server would store it.
pub(crate) fn manifest(name: &str) -> Value {
    let mut kubectl = script(60);
    kubectl.args(["kubectl", "create", "--dry-run=client", "--output=json", "--filename"]);
    serde_json::from_str(&say(kubectl.arg(hack(name))).must()).unwrap()
}

/// The containers of a manifest with a pod template.
pub(crate) fn containers(manifest: &Value) -> &Vec<Value> {
    manifest["spec"]["template"]["spec"]["containers"].as_array().unwrap()
}
