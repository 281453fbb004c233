//! A node without a kubelet: containerd with its CRI plugin, or CRI-O, and CNI on a throw-away host, asked as kubelet asks.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::crio;
use test_support::command::{Finished, command, say, wait_for};
use test_support::host::{EngineHost, Kind};
use test_support::{CREDENTIALS, image, shim, world};

/// The two kinds of containerd there are, and CRI-O.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Release {
    /// 1.6, configuration version 2, from Debian 12.
    One,
    /// 2.x, configuration version 3, from Debian's sid.
    Two,
    /// One that was built by hand (crio.rs).
    Crio,
}

/// The image of all containers, and of the sandboxes.
pub(crate) const IMAGE: &str = "docker.io/library/probe:latest";

const NETWORK: &str = r#"{
  "cniVersion": "0.4.0", "name": "pods", "plugins": [{
    "type": "bridge", "bridge": "cni0", "isDefaultGateway": true, "ipMasq": true, "hairpinMode": true,
    "ipam": { "type": "host-local", "dataDir": "/run/cni", "ranges": [[{ "subnet": "10.88.0.0/16" }]] }
  }]
}"#;

/// A running daemon.
pub(crate) struct Node {
    release: Release,
    client: Mutex<Client>,
    /// The host that it runs on.
    pub(crate) host: EngineHost,
}

/// The process that makes the calls: it takes longer to start than a call takes.
struct Client {
    process: Child,
    pipes: (ChildStdin, BufReader<ChildStdout>),
}

impl Client {
    fn new(host: &EngineHost) -> Self {
        let mut process = Command::new("nsenter");
        process.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        let mut process = client(host, process).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let pipes = (process.stdin.take().unwrap(), BufReader::new(process.stdout.take().unwrap()));
        Self { process, pipes }
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

/// The client's command line; the streaming server listens on the node's loopback.
fn client(host: &EngineHost, mut nsenter: Command) -> Command {
    let cache = cache();
    nsenter.arg(format!("--net={}", host.world.host.path()));
    nsenter.arg(cache.join("venv/bin/python")).arg(here("cri.py")).arg(host.at("containerd.sock"));
    nsenter.env("PYTHONPATH", cache.join("cri")).env("PYTHONDONTWRITEBYTECODE", "1");
    nsenter
}

/// A pod's sandbox.
pub(crate) struct Pod<'n> {
    node: &'n Node,
    /// The sandbox's id.
    pub(crate) id: String,
    /// What it was made from, which kubelet sends along with every container.
    config: Value,
}

impl Node {
    /// Starts a daemon that knows the handlers `bare` (runc itself), `oci-isolate`, `everything` (the shim, to which all of
    /// a pod's annotations are handed), and `forgotten` (to which none is).
    pub(crate) fn start(release: Release) -> Self {
        Self::with(release, &handlers(release))
    }

    /// Starts a daemon that knows runc only, with its configuration in the usual place. It comes back when it ends.
    pub(crate) fn plain(release: Release) -> Self {
        Self::with(release, "")
    }

    fn with(release: Release, handlers: &str) -> Self {
        let kind = if release == Release::Two { Kind::Sid } else { Kind::Machine };
        let host = EngineHost::new(kind);
        let client = Mutex::new(Client::new(&host));
        let node = Self { release, client, host };
        let host = &node.host;
        let plugins = host.at("cni");
        say(command("cp").args(["-rL", "/usr/lib/cni", &plugins])).must();
        let network = host.write("10-pods.conflist", NETWORK);
        let script = format!(
            "mkdir -p /etc/cni/net.d; cp {network} /etc/cni/net.d/
             mount -t tmpfs tmpfs /usr/local/bin"
        );
        host.sh(&script).must();
        let image = host.dir().join("probe.tar");
        pack(&image);
        if release == Release::Crio {
            crio::serve(host, &plugins, handlers);
        } else {
            let file = host.write("containerd.toml", &(config(host, release, &plugins) + handlers));
            host.sh(&format!("mkdir -p /etc/containerd; cp {file} /etc/containerd/config.toml")).must();
            stay(host, "/usr/bin/containerd");
        }
        node.wait();
        if release != Release::Crio {
            node.import(&image);
        }
        node
    }

    /// Waits until the daemon answers.
    pub(crate) fn wait(&self) {
        let answers =
            wait_for(Duration::from_secs(30), || self.call("Status", &json!({})).well().then_some(()));
        assert!(answers.is_some(), "the daemon does not answer: {}", self.host.log("daemon.log"));
    }

    /// How many containers of its own a pod has: CRI-O needs none to hold the namespaces.
    pub(crate) fn sandboxes(&self) -> usize {
        usize::from(self.release != Release::Crio)
    }

    /// Gives the node an image, as `docker save` and `podman save` write it.
    pub(crate) fn import(&self, tar: &Path) {
        let socket = self.socket();
        let mut ctr = self.host.command("ctr");
        say(ctr.args(["-a", &socket, "-n", "k8s.io", "images", "import"]).arg(tar)).must();
    }

    /// Gives the image of all containers another name.
    pub(crate) fn tag(&self, name: &str) {
        let socket = self.socket();
        let mut ctr = self.host.command("ctr");
        say(ctr.args(["-a", &socket, "-n", "k8s.io", "images", "tag", IMAGE, name])).must();
        // The CRI plugin learns of it by an event.
        let asked = json!({ "image": { "image": name } });
        let known =
            wait_for(Duration::from_secs(10), || self.must("ImageStatus", &asked).get("image").map(drop));
        assert!(known.is_some(), "the CRI plugin does not know {name}");
    }

    /// A command for a shell on the node that ends with a new daemon, which may not answer yet.
    pub(crate) fn replace(&self) -> String {
        let pid = self.host.at("daemon.pid");
        format!("old=$(cat {pid}); kill $old; while [ $(cat {pid}) = $old ]; do sleep 0.1; done")
    }

    /// The same with a containerd which answers, as `systemctl restart` does.
    pub(crate) fn restart(&self) -> String {
        let answers = format!("ctr -a {} version >/dev/null 2>&1", self.socket());
        format!("{}; until {answers}; do sleep 0.1; done", self.replace())
    }

    fn socket(&self) -> String {
        self.host.at("containerd.sock")
    }

    /// One call of the CRI.
    pub(crate) fn call(&self, method: &str, request: &Value) -> Finished {
        let started = Instant::now();
        let mut client = self.client.lock().unwrap();
        let (asks, answers) = &mut client.pipes;
        writeln!(asks, "{}", json!([method, request])).unwrap();
        let mut line = String::new();
        answers.read_line(&mut line).unwrap();
        let (status, out, err) = match serde_json::from_str(&line).unwrap() {
            Value::String(error) => (1, String::new(), error),
            response => (0, response[0].to_string(), String::new()),
        };
        Finished {
            line: format!("{method} {request}"),
            status: Some(status),
            out,
            err,
            took: started.elapsed(),
        }
    }

    /// A stream through the runtime's server, as the API server opens it.
    pub(crate) fn stream(&self, kind: &str, request: &Value) -> Finished {
        let file = self.host.dir().join("request.json");
        std::fs::write(&file, request.to_string()).unwrap();
        let mut client = client(&self.host, command("nsenter"));
        say(client.arg(kind).stdin(Stdio::from(std::fs::File::open(file).unwrap())))
    }

    /// The same, for a call that has to succeed.
    #[track_caller]
    pub(crate) fn must(&self, method: &str, request: &Value) -> Value {
        serde_json::from_str(&self.call(method, request).must()).unwrap()
    }

    /// Asks for a pod; `more` is laid over what kubelet would send.
    pub(crate) fn ask(&self, handler: &str, name: &str, more: &Value) -> (Finished, Value) {
        let mut config = json!({
            "metadata": { "name": name, "uid": format!("uid-{name}"), "namespace": "default" },
            "hostname": name,
            "log_directory": self.host.at(&format!("logs-{name}")),
            "dns_config": { "servers": [world::RESOLVER.to_string()] },
            "linux": {
                "cgroup_parent": self.host.cgroup(),
                "security_context": { "namespace_options": { "pid": "CONTAINER" } },
            },
        });
        merge(&mut config, more);
        let handler = if handler == "bare" { "" } else { handler };
        let said = self.call("RunPodSandbox", &json!({ "config": config, "runtime_handler": handler }));
        (said, config)
    }

    /// Asks for a pod and a container in it; the answer is that of the call that was refused, if one was.
    pub(crate) fn ask_for_container(&self, handler: &str, name: &str, more: &Value) -> Finished {
        let (said, config) = self.ask(handler, name, more);
        if !said.well() {
            return said;
        }
        let id =
            serde_json::from_str::<Value>(&said.out).unwrap()["podSandboxId"].as_str().unwrap().to_owned();
        let pod = Pod { node: self, id, config };
        self.host.sh(&format!("mkdir -p {0}; touch {0}/etc-hosts", pod.kubelet())).must();
        pod.start("main", &["sleep", "1000"], &json!({}))
    }

    /// Runs a pod.
    #[track_caller]
    pub(crate) fn pod(&self, handler: &str, name: &str, more: &Value) -> Pod<'_> {
        let (said, config) = self.ask(handler, name, more);
        let answer: Value = serde_json::from_str(&said.must()).unwrap();
        let pod = Pod { node: self, id: answer["podSandboxId"].as_str().unwrap().to_owned(), config };
        let hosts = format!("127.0.0.1 localhost\n{} {name}\n", pod.address());
        self.host.sh(&format!("mkdir -p {0}; printf '{hosts}' >{0}/etc-hosts", pod.kubelet())).must();
        pod
    }

    /// The config.json that the runtime was given for a container, as it is now.
    pub(crate) fn config_json(&self, id: &str) -> String {
        let path = match self.release {
            Release::Crio => format!("runroot/vfs-containers/{id}/userdata/config.json"),
            _ => format!("state/io.containerd.runtime.v2.task/k8s.io/{id}/config.json"),
        };
        std::fs::read_to_string(self.host.dir().join(path)).unwrap()
    }

    /// Records of isolated containers.
    pub(crate) fn records(&self) -> String {
        self.host.sh("find /run/oci-isolate -name '*.json' 2>/dev/null || true").must()
    }
}

impl Pod<'_> {
    /// Asks for a container of the pod. Of containerd's the runtime hears when it is started only.
    fn create(&self, name: &str, command: &[&str], more: &Value) -> Finished {
        let envs = CREDENTIALS.iter().map(|pair| pair.split_once('=').unwrap());
        let envs: Vec<_> = envs.map(|(key, value)| json!({ "key": key, "value": value })).collect();
        let options = &self.config["linux"]["security_context"]["namespace_options"];
        let mut config = json!({
            "metadata": { "name": name },
            "image": { "image": IMAGE, "user_specified_image": IMAGE },
            "command": command,
            "envs": envs,
            "log_path": format!("{name}.log"),
            "mounts": [{ "container_path": "/etc/hosts", "host_path": format!("{}/etc-hosts", self.kubelet()) }],
            "linux": { "security_context": {
                "namespace_options": options,
                // What kubelet gives when a pod says nothing.
                "masked_paths": ["/proc/acpi", "/proc/kcore", "/proc/keys", "/proc/timer_list", "/sys/firmware"],
                "readonly_paths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"],
            } },
        });
        let mounts = config["mounts"].as_array().cloned().unwrap();
        merge(&mut config, more);
        if let Some(all) = config["mounts"].as_array_mut().filter(|all| **all != mounts) {
            all.extend(mounts);
        }
        let asked = json!({ "pod_sandbox_id": self.id, "config": config, "sandbox_config": self.config });
        self.node.call("CreateContainer", &asked)
    }

    /// The same pod after `kubectl annotate`; without a value the annotation is dropped.
    pub(crate) fn annotated(&self, name: &str, value: Option<&str>) -> Self {
        let mut config = self.config.clone();
        let annotations = config["annotations"].as_object_mut().unwrap();
        match value {
            Some(value) => annotations.insert(name.to_owned(), json!(value)),
            None => annotations.remove(name),
        };
        Self { node: self.node, id: self.id.clone(), config }
    }

    /// Asks for a container of the pod that runs; the answer is that of the call that was refused, if one was.
    pub(crate) fn start(&self, name: &str, command: &[&str], more: &Value) -> Finished {
        let created = self.create(name, command, more);
        if !created.well() {
            return created;
        }
        self.node.call("StartContainer", &json!({ "container_id": container_id(&created.out) }))
    }

    /// Runs a container of the pod and says its id.
    #[track_caller]
    pub(crate) fn run(&self, name: &str, command: &[&str], more: &Value) -> String {
        let id = container_id(&self.create(name, command, more).must());
        self.node.must("StartContainer", &json!({ "container_id": id }));
        id
    }

    /// Where kubelet keeps what belongs to the pod.
    pub(crate) fn kubelet(&self) -> String {
        format!("/var/lib/kubelet/pods/{}", self.config["metadata"]["uid"].as_str().unwrap())
    }

    /// Makes a volume as kubelet does, with a file in it, and says its path.
    #[track_caller]
    pub(crate) fn volume(&self, kind: &str, name: &str, file: &str, text: &str) -> String {
        let path = format!("{}/volumes/kubernetes.io~{kind}/{name}", self.kubelet());
        let script = format!("mkdir -p -m 0777 {path}; chmod 0777 {path}; printf %s '{text}' >{path}/{file}");
        self.node.host.sh(&script).must();
        path
    }

    /// What a container has written, in kubelet's log format.
    pub(crate) fn log(&self, name: &str) -> String {
        let pod = self.config["metadata"]["name"].as_str().unwrap();
        std::fs::read_to_string(self.node.host.at(&format!("logs-{pod}/{name}.log"))).unwrap_or_default()
    }

    /// The address that kubelet and the API server know the pod by.
    #[track_caller]
    pub(crate) fn address(&self) -> String {
        let status = self.node.must("PodSandboxStatus", &json!({ "pod_sandbox_id": self.id }));
        status["status"]["network"]["ip"].as_str().unwrap().to_owned()
    }

    /// Stops and removes the pod, as kubelet does.
    #[track_caller]
    pub(crate) fn remove(&self) {
        let of = json!({ "filter": { "pod_sandbox_id": self.id } });
        let all = self.node.must("ListContainers", &of);
        for container in all["containers"].as_array().into_iter().flatten() {
            self.node.must("StopContainer", &json!({ "container_id": container["id"] }));
        }
        for verb in ["StopPodSandbox", "RemovePodSandbox"] {
            self.node.must(verb, &json!({ "pod_sandbox_id": self.id }));
        }
    }
}

fn container_id(created: &str) -> String {
    serde_json::from_str::<Value>(created).unwrap()["containerId"].as_str().unwrap().to_owned()
}

/// Runs a daemon that comes back when it ends.
pub(crate) fn stay(host: &EngineHost, program: &str) {
    let script = format!("while :; do {program} & echo $! >{}; wait; done", host.at("daemon.pid"));
    host.daemon("daemon", "/bin/sh", &["-c", &script], &[]);
}

/// ExecSync, which exec probes and hooks use: exit status and output.
#[track_caller]
pub(crate) fn exec(node: &Node, id: &str, command: &[&str]) -> (i64, String) {
    use base64::Engine;
    let asked = json!({ "container_id": id, "cmd": command, "timeout": 50 });
    let answer = node.must("ExecSync", &asked);
    let bytes =
        base64::engine::general_purpose::STANDARD.decode(answer["stdout"].as_str().unwrap_or_default());
    (answer["exitCode"].as_i64().unwrap_or_default(), String::from_utf8(bytes.unwrap()).unwrap())
}

/// The annotation that asks for isolation.
pub(crate) fn isolated() -> Value {
    json!({ "annotations": { "io.oci-isolate.network-isolation": "true" } })
}

/// Lays `more` over `base`, object by object.
fn merge(base: &mut Value, more: &Value) {
    match (base, more) {
        (Value::Object(base), Value::Object(more)) => {
            more.iter().for_each(|(key, value)| merge(base.entry(key).or_insert(Value::Null), value));
        }
        (base, more) => *base = more.clone(),
    }
}

/// The section of the configuration that has the handlers.
fn section(release: Release) -> &'static str {
    if release == Release::One { "io.containerd.grpc.v1.cri" } else { "io.containerd.cri.v1.runtime" }
}

fn handler(release: Release, name: &str, binary: &str, annotations: &str) -> String {
    let runtimes = format!("plugins.\"{}\".containerd.runtimes", section(release));
    format!(
        "[{runtimes}.{name}]\nruntime_type = \"io.containerd.runc.v2\"\n{annotations}\n\
         [{runtimes}.{name}.options]\nBinaryName = \"{binary}\"\n"
    )
}

fn handlers(release: Release) -> String {
    if release == Release::Crio {
        return crio::handler("oci-isolate");
    }
    let shim = shim().display().to_string();
    let passed = "pod_annotations = [\"io.oci-isolate.*\"]\ncontainer_annotations = [\"io.oci-isolate.*\"]";
    let everything = "pod_annotations = [\"*\"]\ncontainer_annotations = [\"*\"]";
    let handlers = [("oci-isolate", passed), ("forgotten", ""), ("everything", everything)];
    handlers.map(|(name, annotations)| handler(release, name, &shim, annotations)).concat()
}

fn config(host: &EngineHost, release: Release, plugins: &str) -> String {
    let (version, runtime) = (if release == Release::One { 2 } else { 3 }, section(release));
    let pause = if release == Release::One {
        format!("[plugins.\"{runtime}\"]\nsandbox_image = \"{IMAGE}\"\n")
    } else {
        format!(
            "[plugins.\"io.containerd.cri.v1.images\".pinned_images]\nsandbox = \"{IMAGE}\"\n[plugins.\"{runtime}\"]\n"
        )
    };
    [
        format!("version = {version}\nroot = \"{0}/root\"\nstate = \"{0}/state\"\n", host.dir().display()),
        format!("[grpc]\naddress = \"{}\"\n", host.at("containerd.sock")),
        // A machine without CAP_SYS_RESOURCE cannot lower it.
        format!("{pause}restrict_oom_score_adj = true\n"),
        format!("[plugins.\"{runtime}\".cni]\nbin_dir = \"{plugins}\"\nconf_dir = \"/etc/cni/net.d\"\n"),
        format!("[plugins.\"{runtime}\".containerd]\ndefault_runtime_name = \"runc\"\n"),
        handler(release, "runc", "/usr/sbin/runc", ""),
    ]
    .concat()
}

/// Packs the image as `docker save` would: the format that needs no names by digest.
fn pack(tar: &Path) {
    let dir = tempfile::tempdir().unwrap();
    image::pack(&dir.path().join("layer.tar"));
    let digest = say(command("sha256sum").arg(dir.path().join("layer.tar"))).must();
    let digest = digest.split(' ').next().unwrap();
    let config = json!({
        "architecture": "amd64", "os": "linux",
        "config": { "Env": ["PATH=/usr/sbin:/usr/bin:/sbin:/bin"], "Entrypoint": ["sleep", "100000"] },
        "rootfs": { "type": "layers", "diff_ids": [format!("sha256:{digest}")] },
    });
    let manifest = json!([{ "Config": "config.json", "RepoTags": [IMAGE], "Layers": ["layer.tar"] }]);
    for (name, value) in [("config.json", config), ("manifest.json", manifest)] {
        std::fs::write(dir.path().join(name), value.to_string()).unwrap();
    }
    say(command("tar").arg("-C").arg(dir.path()).arg("-cf").arg(tar).args([
        "manifest.json",
        "config.json",
        "layer.tar",
    ]))
    .must();
}

/// What `hack/kubernetes/prepare` made.
pub(crate) fn cache() -> std::path::PathBuf {
    test_support::cached("kubernetes/stamp", "hack/kubernetes/prepare").parent().unwrap().to_owned()
}

fn here(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/kubernetes").join(name)
}
