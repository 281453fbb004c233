//! `job.toml` as data, with every default. An unknown key, a wrong type or an invalid value is an error that names the key.

use core::net::SocketAddr;
use std::collections::BTreeMap;

use serde::Deserialize;

use crate::engine::{Container, Engine, Kind, of_model, of_training};
use crate::request::{Model, Refused, TrainingJob, VpcConfig};

/// The settings, `/etc/oci-isolate/job.toml`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Settings {
    /// What starts containers; its command line is used.
    pub engine: EngineKind,
    /// The engine's program, instead of the one in PATH.
    pub engine_path: Option<String>,
    /// The shim's name in the engine; for Podman also a path.
    pub runtime: String,
    /// The directory of jobs.
    pub state: String,
    /// Whether a request must have EnableNetworkIsolation.
    pub isolation: Isolation,
    /// Whether channels may be in Pipe mode.
    pub pipe_mode: PipeMode,
    /// The most requests to Amazon S3 at a time, in one step.
    pub parallel: u32,
    /// Bytes in each part of a large object, in MiB: `part-size = 8`.
    pub part_size: u32,
    /// Seconds between uploads of checkpoints while the containers run.
    pub checkpoint_interval: u32,
    /// The most that the answers of a transform job may take on this host's disk, in GiB.
    pub transform_output_gib: f64,
    /// The file of signed statements, `[statement] file` of config.toml: facts about jobs are left for it.
    pub statement: Option<String>,
    /// How Amazon S3 is reached.
    pub s3: S3,
    /// The role with which data is transferred.
    pub role: Role,
    /// What a subnet of VpcConfig is on this host.
    pub vpc: BTreeMap<String, Subnet>,
    /// What an InstanceType is on this host.
    pub instances: BTreeMap<String, Instance>,
    /// Where the API is served.
    pub listen: Listen,
}

/// Where the API is served, and who may call it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Listen {
    /// The address and port.
    pub address: SocketAddr,
    /// The file of access keys.
    pub keys: String,
}

impl Default for Listen {
    fn default() -> Self {
        let address = SocketAddr::from(([127, 0, 0, 1], 5100));
        Self { address, keys: "/etc/oci-isolate/keys.toml".to_owned() }
    }
}

/// What starts containers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs, reason = "the names are the engines'")]
pub enum EngineKind {
    Docker,
    Podman,
}

/// Whether a request must have EnableNetworkIsolation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Isolation {
    /// A request without it is refused.
    Required,
}

/// Whether channels may be in Pipe mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PipeMode {
    /// They may: the container decides when its objects are read.
    Allowed,
    /// Objects are read before the container starts, and then never.
    Refused,
}

/// How Amazon S3 is reached, in place of the AWS configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct S3 {
    /// The URL of another service than Amazon's.
    pub endpoint: Option<String>,
    /// The region.
    pub region: Option<String>,
    /// How the bucket is named in requests.
    pub addressing: Addressing,
    /// A PEM file of certificate authorities, in place of the system's.
    pub ca_bundle: Option<String>,
}

/// How the bucket is named in requests.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Addressing {
    /// In the host name.
    #[default]
    Virtual,
    /// In the path; servers other than Amazon's often need it.
    Path,
}

/// The role with which data is transferred.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Role {
    /// Whether the request's RoleArn is assumed, with a session policy for each step. If not, the base identity is used as it is.
    pub assume: bool,
    /// The external id that the role's trust policy demands.
    pub external_id: Option<String>,
    /// The URL of another STS than Amazon's.
    pub endpoint: Option<String>,
}

impl Default for Role {
    fn default() -> Self {
        Self { assume: true, external_id: None, endpoint: None }
    }
}

/// What a subnet is on this host: a network namespace that the operator made.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Subnet {
    /// The path of the network namespace, such as `/run/netns/vpc-a`.
    pub netns: String,
    /// The resolv.conf of that network; the host's, if there is none.
    pub resolv_conf: Option<String>,
}

/// The limits of a container.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Instance {
    /// How many processors.
    pub cpus: Option<f64>,
    /// How much memory, in GiB.
    pub memory_gib: Option<f64>,
    /// The size of /dev/shm, in GiB.
    pub shm_gib: Option<f64>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            engine: EngineKind::Docker,
            engine_path: None,
            runtime: "oci-isolate".to_owned(),
            state: "/var/lib/oci-isolate/jobs".to_owned(),
            isolation: Isolation::Required,
            pipe_mode: PipeMode::Allowed,
            parallel: 32,
            part_size: 8,
            checkpoint_interval: 60,
            transform_output_gib: 30.0,
            statement: None,
            s3: S3::default(),
            role: Role::default(),
            vpc: BTreeMap::new(),
            instances: BTreeMap::new(),
            listen: Listen::default(),
        }
    }
}

/// Where the settings are without `--config`. If there is no file, the defaults apply.
pub const PATH: &str = "/etc/oci-isolate/job.toml";

impl Settings {
    /// Reads the text of the file.
    ///
    /// # Errors
    /// The line and the key that is unknown or invalid.
    pub fn read(text: &str) -> Result<Self, String> {
        let settings: Self = toml::from_str(text).map_err(|error| error.to_string())?;
        let invalid = |key: &str, why: &str| Err(format!("{key}: {why}"));
        if !settings.state.starts_with('/') {
            return invalid("state", "is not an absolute path");
        }
        if !(1..=256).contains(&settings.parallel) {
            return invalid("parallel", "is not a number from 1 to 256");
        }
        // Amazon S3 takes parts from 5 MiB, and 10,000 of them.
        if !(5..=512).contains(&settings.part_size) {
            return invalid("part-size", "is not a number of MiB from 5 to 512");
        }
        if !(1..=86_400).contains(&settings.checkpoint_interval) {
            return invalid("checkpoint-interval", "is not a number of seconds from 1 to 86400");
        }
        if !is_above_zero(settings.transform_output_gib) {
            return invalid("transform-output-gib", "is not a number above 0");
        }
        if settings.statement.as_ref().is_some_and(|file| !file.starts_with('/')) {
            return invalid("statement", "is not an absolute path");
        }
        if !settings.listen.keys.starts_with('/') {
            return invalid("listen.keys", "is not an absolute path");
        }
        for (name, subnet) in &settings.vpc {
            if !subnet.netns.starts_with('/') {
                return invalid(&format!("vpc.{name}.netns"), "is not an absolute path");
            }
        }
        for (name, instance) in &settings.instances {
            let all = [instance.cpus, instance.memory_gib, instance.shm_gib];
            if !all.into_iter().flatten().all(is_above_zero) {
                return invalid(&format!("instances.{name}"), "has a number that is not above 0");
            }
        }
        Ok(settings)
    }

    /// The most bytes of the answers of a transform job.
    #[must_use]
    pub fn transform_output(&self) -> u64 {
        bytes(self.transform_output_gib)
    }

    /// The engine.
    #[must_use]
    pub fn engine(&self) -> Engine {
        let (kind, program) = match self.engine {
            EngineKind::Docker => (Kind::Docker, "docker"),
            EngineKind::Podman => (Kind::Podman, "podman"),
        };
        let program = self.engine_path.clone().unwrap_or_else(|| program.to_owned());
        Engine { kind, program, runtime: self.runtime.clone() }
    }

    /// The containers of a training job, with the limits of its InstanceType.
    #[must_use]
    pub fn containers(&self, job: &TrainingJob) -> Vec<Container> {
        let mut containers = of_training(job, &self.state);
        for container in &mut containers {
            self.limit(container, &job.resource_config.instance_type);
        }
        containers
    }

    /// The container that serves a model, with the limits of an InstanceType.
    #[must_use]
    pub fn container(&self, model: &Model, instance_type: Option<&str>) -> Container {
        let mut container = of_model(model, &self.state);
        self.limit(&mut container, instance_type.unwrap_or_default());
        container
    }

    fn limit(&self, container: &mut Container, instance_type: &str) {
        let limits = self.instances.get(instance_type);
        container.cpus = limits.and_then(|limits| limits.cpus);
        container.memory = limits.and_then(|limits| limits.memory_gib).map(bytes);
        container.shm = limits.and_then(|limits| limits.shm_gib).map(bytes);
    }

    /// The subnets of a request that have no table here.
    #[must_use]
    pub fn unknown_subnets(&self, vpc: Option<&VpcConfig>) -> Vec<Refused> {
        let subnets = vpc.iter().flat_map(|config| config.subnets.iter().enumerate());
        let unknown = subnets.filter(|(_, name)| !self.vpc.contains_key(*name));
        let refused = |(index, name): (usize, &String)| Refused {
            path: format!("VpcConfig.Subnets[{index}]"),
            why: format!("{name} is not in the settings; add [vpc.{name}] with its network namespace"),
        };
        unknown.map(refused).collect()
    }
}

fn is_above_zero(number: f64) -> bool {
    number.is_finite() && number > 0.0
}

/// Bytes of a positive number of GiB.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "sizes are rounded down")]
fn bytes(gib: f64) -> u64 {
    (gib * f64::from(1 << 30)) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_file_and_the_one_of_the_package_are_the_defaults() {
        assert_eq!(Settings::read("").unwrap(), Settings::default());
        let package = include_str!("../../../dist/job.toml");
        assert_eq!(Settings::read(package).unwrap(), Settings::default());
        // Uncommented, every key has its default; examples begin with `# `.
        let uncommented: String = package
            .lines()
            .map(|line| line.strip_prefix('#').filter(|rest| !rest.starts_with(' ')).unwrap_or(line))
            .map(|line| format!("{line}\n"))
            .collect();
        assert_eq!(Settings::read(&uncommented).unwrap(), Settings::default());
    }

    #[test]
    fn the_file_of_the_package_has_every_key() {
        /// The keys of a table, as the decoder lists them.
        fn known(table: &str) -> Vec<String> {
            let error = toml::from_str::<Settings>(&format!("{table}\nno-such-key = 1\n")).unwrap_err();
            let (_, keys) = error.message().split_once("unknown field `no-such-key`, expected").unwrap();
            keys.split('`').skip(1).step_by(2).map(str::to_owned).collect()
        }
        // Tables by their headings, each with its lines; `[[key]]` is of another file.
        let lines = include_str!("../../../dist/job.toml").lines().filter_map(|line| line.strip_prefix('#'));
        let mut tables = vec![("", Vec::new())];
        for line in lines.map(str::trim_start) {
            if line.starts_with('[') && !line.starts_with("[[") {
                tables.push((line, Vec::new()));
            } else if let Some((_, lines)) = tables.last_mut() {
                lines.push(line);
            }
        }
        let is_table = |key: &str| {
            let mut names = tables.iter().filter_map(|(heading, _)| heading.strip_prefix('['));
            names.any(|name| name.starts_with(key))
        };
        let mut missing = Vec::new();
        for (heading, lines) in &tables {
            let has = |key: &str| lines.iter().any(|line| line.starts_with(&format!("{key} = ")));
            let keys = known(heading).into_iter();
            missing.extend(
                keys.filter(|key| !(has(key) || heading.is_empty() && is_table(key)))
                    .map(|key| (*heading, key)),
            );
        }
        assert_eq!(missing, [], "add them to dist/job.toml");
        assert!(
            known("").contains(&"part-size".to_owned()) && known("[listen]").contains(&"keys".to_owned())
        );
    }

    #[test]
    fn what_is_unknown_or_invalid_is_an_error_that_names_it() {
        for (text, error) in [
            ("paralel = 3", "unknown field `paralel`"),
            ("parallel = 0", "parallel: is not a number from 1 to 256"),
            ("part-size = 4", "part-size: is not a number of MiB"),
            ("checkpoint-interval = 0", "checkpoint-interval: is not a number of seconds"),
            ("transform-output-gib = 0.0", "transform-output-gib: is not a number above 0"),
            ("state = 'jobs'", "state: is not an absolute path"),
            ("[s3]\nend = 'x'", "unknown field `end`"),
            ("[vpc.subnet-1]\nnetns = 'a'", "vpc.subnet-1.netns: is not an absolute path"),
            ("[instances.'ml.m5.large']\ncpus = 0.0", "instances.ml.m5.large: has a number"),
            ("statement = 'statements.jsonl'", "statement: is not an absolute path"),
            ("[listen]\naddress = 'localhost'", "invalid socket address"),
            ("[listen]\nkeys = 'keys'", "listen.keys: is not an absolute path"),
            ("pipe-mode = 'ask'", "unknown variant `ask`, expected `allowed` or `refused`"),
            ("isolation = 'as-asked'", "unknown variant `as-asked`"),
        ] {
            let found = Settings::read(text).unwrap_err();
            assert!(found.contains(error), "{text}: {found}");
        }
    }
}
