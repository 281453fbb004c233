//! The `create` command line of an isolated container.

use core::net::{Ipv4Addr, SocketAddr};

use serde_json::json;

use super::{Argv, Engine, Kind, LABEL};
use crate::plan::hosts;
use crate::request::{Model, TrainingJob};

/// A container to create.
#[derive(Debug, Clone, PartialEq)]
pub struct Container {
    /// The name of the job or model.
    pub job: String,
    /// Its host name, and its name in the network.
    pub hostname: String,
    /// The image's name.
    pub image: String,
    /// Replaces the image's entry point if it is not empty.
    pub entrypoint: Vec<String>,
    /// The entry point's arguments.
    pub arguments: Vec<String>,
    /// The file with its variables, `NAME=VALUE` in each line.
    pub env_file: String,
    /// Directories of the host and their paths in the container.
    pub mounts: Vec<(String, String)>,
    /// Its network.
    pub network: Network,
    /// The number of processors; all if there is none.
    pub cpus: Option<f64>,
    /// The limit of memory in bytes; none by default.
    pub memory: Option<u64>,
    /// The size of /dev/shm in bytes, instead of the engine's default.
    pub shm: Option<u64>,
    /// Its address in the job's network.
    pub address: Option<Ipv4Addr>,
    /// Names and addresses of the other containers of the job, for /etc/hosts.
    pub peers: Vec<(String, Ipv4Addr)>,
    /// Seconds between SIGTERM and SIGKILL.
    pub stop_timeout: u32,
}

/// The network of a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Network {
    /// None.
    None,
    /// The other containers of its job.
    Job,
    /// Port 8080 is published at an address of the host; for port 0 the engine chooses one.
    Serve(SocketAddr),
}

/// The name of a job's own network.
pub(super) fn network(job: &str) -> String {
    format!("isolate-{job}")
}

/// The containers of a training job, one for each host. `state` is the job's directory on the host.
#[must_use]
pub fn of_training(job: &TrainingJob, state: &str) -> Vec<Container> {
    let name = &job.training_job_name;
    let algorithm = &job.algorithm_specification;
    let hosts = hosts(job.resource_config.instance_count);
    let network = if hosts.len() == 1 { Network::None } else { Network::Job };
    // An entry point of its own is not told `train`, and neither is the image's when there are arguments for it.
    let is_plain = algorithm.container_entrypoint.is_empty() && algorithm.container_arguments.is_empty();
    let arguments = if is_plain { vec!["train".to_owned()] } else { algorithm.container_arguments.clone() };
    let container = |hostname: String| {
        let directory = format!("{state}/{name}/{hostname}");
        let mut mounts = vec![(format!("{directory}/opt-ml"), "/opt/ml".to_owned())];
        let checkpoints = job.checkpoint_config.as_ref().map(|config| config.local_path().to_owned());
        if let Some(path) = checkpoints.filter(|path| !path.starts_with("/opt/ml/")) {
            mounts.push((format!("{directory}/checkpoints"), path));
        }
        Container {
            job: name.clone(),
            hostname,
            image: algorithm.training_image.clone(),
            entrypoint: algorithm.container_entrypoint.clone(),
            arguments: arguments.clone(),
            env_file: format!("{directory}/environment"),
            mounts,
            network,
            cpus: None,
            memory: None,
            shm: None,
            address: None,
            peers: Vec::new(),
            stop_timeout: 120,
        }
    };
    hosts.into_iter().map(container).collect()
}

/// The container that serves a model.
#[must_use]
pub fn of_model(model: &Model, state: &str) -> Container {
    let name = &model.model_name;
    let container = &model.primary_container;
    Container {
        job: name.clone(),
        hostname: container.container_hostname.clone().unwrap_or_else(|| "model".to_owned()),
        image: container.image.clone(),
        entrypoint: Vec::new(),
        arguments: vec!["serve".to_owned()],
        env_file: format!("{state}/{name}/environment"),
        mounts: vec![(format!("{state}/{name}/opt-ml"), "/opt/ml".to_owned())],
        network: Network::Serve(SocketAddr::from(([127, 0, 0, 1], 0))),
        cpus: None,
        memory: None,
        shm: None,
        address: None,
        peers: Vec::new(),
        stop_timeout: 30,
    }
}

impl Container {
    /// Its name in the engine.
    #[must_use]
    pub fn name(&self) -> String {
        format!("isolate-{}-{}", self.job, self.hostname)
    }

    /// The annotations for the shim.
    #[must_use]
    pub fn annotations(&self) -> Vec<(&'static str, String)> {
        let mut annotations = vec![("io.oci-isolate.network-isolation", "true".to_owned())];
        match self.network {
            Network::None => {}
            Network::Job => annotations.push(("io.oci-isolate.job", self.job.clone())),
            Network::Serve(_) => annotations.push(("io.oci-isolate.ingress", "8080/tcp".to_owned())),
        }
        annotations
    }

    /// Creates it; the output is its id.
    ///
    /// # Errors
    /// A path that the engine would split.
    pub fn create(&self, engine: &Engine) -> Result<Argv, String> {
        let mut argv = vec![engine.program.clone()];
        let mut flag = |name: &str, value: String| argv.push(format!("--{name}={value}"));
        if engine.kind == Kind::Podman {
            // A flag of the program, not of the verb.
            flag("runtime", engine.runtime.clone());
        }
        argv.push("create".to_owned());
        let mut flag = |name: &str, value: String| argv.push(format!("--{name}={value}"));
        if engine.kind == Kind::Docker {
            flag("runtime", engine.runtime.clone());
        }
        flag("name", self.name());
        flag("label", format!("{LABEL}={}", self.job));
        for (name, value) in self.annotations() {
            flag("annotation", format!("{name}={value}"));
        }
        flag("hostname", self.hostname.clone());
        flag(
            "network",
            match self.network {
                Network::None => "none".to_owned(),
                Network::Job => network(&self.job),
                Network::Serve(_) => "bridge".to_owned(),
            },
        );
        if let Some(address) = self.address {
            flag("ip", address.to_string());
        }
        for (name, address) in &self.peers {
            flag("add-host", format!("{name}:{address}"));
        }
        if let Network::Serve(address) = self.network {
            let published = address.to_string();
            let published = published.strip_suffix(":0").map_or(published.clone(), |host| format!("{host}:"));
            flag("publish", format!("{published}:8080"));
        }
        // In a file: command lines are visible to other users.
        flag("env-file", whole(&self.env_file)?);
        for (source, target) in &self.mounts {
            flag("mount", format!("type=bind,source={},target={}", whole(source)?, whole(target)?));
        }
        if let Some(cpus) = self.cpus {
            flag("cpus", cpus.to_string());
        }
        if let Some(memory) = self.memory {
            flag("memory", memory.to_string());
            // No swap in addition.
            flag("memory-swap", memory.to_string());
        }
        if let Some(size) = self.shm {
            flag("shm-size", size.to_string());
        }
        if engine.kind == Kind::Podman {
            // Podman passes the proxy variables of its own environment otherwise.
            flag("http-proxy", "false".to_owned());
        }
        // Independent of the engine's default: `logs` has to work.
        let driver = match engine.kind {
            Kind::Docker => "json-file",
            Kind::Podman => "k8s-file",
        };
        flag("log-driver", driver.to_owned());
        flag("stop-timeout", self.stop_timeout.to_string());
        // It was pulled before data was transferred.
        flag("pull", "never".to_owned());
        let mut arguments = self.arguments.clone();
        match (self.entrypoint.as_slice(), engine.kind) {
            ([], _) => {}
            // Podman reads a text that begins with a bracket as a list, so it always gets a list.
            (all, Kind::Podman) => flag("entrypoint", json!(all).to_string()),
            ([first, rest @ ..], Kind::Docker) => {
                flag("entrypoint", first.clone());
                arguments.splice(0..0, rest.iter().cloned());
            }
        }
        argv.push(self.image.clone());
        argv.extend(arguments);
        Ok(argv)
    }
}

/// A path that engines do not split.
fn whole(path: &str) -> Result<String, String> {
    let is_plain = |c: char| !c.is_control() && !",:\"'=".contains(c);
    if path.starts_with('/') && path.chars().all(is_plain) {
        Ok(path.to_owned())
    } else {
        Err(format!("{path:?} cannot be passed to an engine; choose a path without , : = or quotation marks"))
    }
}
