//! Parses the output of engine commands.

use core::net::SocketAddr;
use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;

use super::{Container, Engine, Kind};

/// Output that is not what was expected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadAnswer(String);

impl fmt::Display for BadAnswer {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for BadAnswer {}

fn bad(what: &str, answer: &str) -> BadAnswer {
    BadAnswer(format!(
        "the engine's answer is not {what}: {:?}",
        answer.chars().take(200).collect::<String>()
    ))
}

/// The id that `create` prints in its last line; messages about a pull or a deprecation may come before.
///
/// # Errors
/// Something else.
pub fn id(answer: &str) -> Result<String, BadAnswer> {
    let last = answer.trim_end().lines().next_back().unwrap_or_default().trim();
    let is_id = last.len() == 64 && last.bytes().all(|byte| byte.is_ascii_hexdigit());
    if is_id { Ok(last.to_owned()) } else { Err(bad("an id", answer)) }
}

/// The ids that `ps` prints.
///
/// # Errors
/// Something else.
pub fn ids(answer: &str) -> Result<Vec<String>, BadAnswer> {
    answer.lines().map(id).collect()
}

/// The exit status that `wait` prints.
///
/// # Errors
/// Something else.
pub fn exit_code(answer: &str) -> Result<i64, BadAnswer> {
    answer.trim().parse().map_err(|_| bad("an exit status", answer))
}

/// The program of the engine's runtime: the entry of this name in Docker's runtimes, or Podman's default.
///
/// # Errors
/// Docker has none of that name, or the output is something else.
pub fn runtime_path(engine: &Engine, answer: &str) -> Result<String, BadAnswer> {
    #[derive(Deserialize)]
    struct Runtime {
        path: Option<String>,
    }
    let unknown = || {
        let Engine { program, runtime, .. } = engine;
        BadAnswer(format!("{program} knows no runtime {runtime:?}; `isolatectl install` registers the shim"))
    };
    let found = match engine.kind {
        Kind::Docker => serde_json::from_str::<BTreeMap<String, Runtime>>(answer)
            .map(|mut runtimes| runtimes.remove(&engine.runtime)),
        Kind::Podman => serde_json::from_str::<Runtime>(answer).map(Some),
    };
    let found = found.map_err(|_| bad("a list of runtimes", answer))?;
    found.and_then(|runtime| runtime.path).ok_or_else(unknown)
}

/// The members of `inspect` that matter here.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Inspected {
    /// Of the container.
    pub id: String,
    /// Its state.
    pub state: State,
    host_config: HostConfig,
    config: Config,
    network_settings: NetworkSettings,
    /// Podman has the runtime here.
    #[serde(rename = "OCIRuntime")]
    oci_runtime: Option<String>,
}

/// The state of a container.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct State {
    /// `created`, `running`, `exited`, ...
    pub status: String,
    /// The pid of its first process; 0 if it does not run.
    pub pid: i64,
    /// The exit status of its first process, if it has ended.
    pub exit_code: i64,
    /// Whether it ran out of memory.
    #[serde(rename = "OOMKilled")]
    pub oom_killed: bool,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct HostConfig {
    runtime: Option<String>,
    network_mode: String,
    /// Docker has the annotations here.
    annotations: Option<BTreeMap<String, String>>,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct NetworkSettings {
    /// By `8080/tcp`, while it runs.
    ports: Option<BTreeMap<String, Option<Vec<Published>>>>,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Published {
    host_ip: String,
    host_port: String,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Config {
    hostname: String,
    /// Podman's.
    annotations: Option<BTreeMap<String, String>>,
}

/// Reads the output of `inspect` for one container.
///
/// # Errors
/// Something else, or several containers.
pub fn inspected(answer: &str) -> Result<Inspected, BadAnswer> {
    let all: Vec<Inspected> =
        serde_json::from_str(answer).map_err(|error| bad(&format!("a container ({error})"), answer))?;
    let [one] = <[_; 1]>::try_from(all).map_err(|_| bad("one container", answer))?;
    Ok(one)
}

impl Inspected {
    /// Where port 8080 is published, while it runs.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        let published = self.network_settings.ports.as_ref()?.get("8080/tcp")?.as_ref()?.first()?;
        // Podman writes the unspecified address as an empty string.
        let host = if published.host_ip.is_empty() { "0.0.0.0" } else { &published.host_ip };
        Some(SocketAddr::new(host.parse().ok()?, published.host_port.parse().ok()?))
    }

    /// Checks that the container has the runtime, the annotations, the host name and the network that were requested. It is done before
    /// the container is started: another client may have created a container of this name, and an engine may ignore a flag.
    ///
    /// # Errors
    /// What differs.
    pub fn is(&self, container: &Container, engine: &Engine) -> Result<(), String> {
        let name = container.name();
        let runtime = self.oci_runtime.as_deref().or(self.host_config.runtime.as_deref()).unwrap_or_default();
        if runtime != engine.runtime {
            return Err(format!("container {name} has the runtime {runtime:?}, not {:?}", engine.runtime));
        }
        let found = match engine.kind {
            Kind::Docker => &self.host_config.annotations,
            Kind::Podman => &self.config.annotations,
        };
        let asked = container.annotations();
        for (annotation, value) in &asked {
            if found.as_ref().and_then(|annotations| annotations.get(*annotation)) != Some(value) {
                return Err(format!("container {name} does not have the annotation {annotation}={value}"));
            }
        }
        // Podman gives a container the annotations of its image, too.
        let others =
            found.iter().flat_map(BTreeMap::keys).filter(|found| found.starts_with("io.oci-isolate"));
        if let Some(other) = others.into_iter().find(|other| asked.iter().all(|(one, _)| one != other)) {
            return Err(format!(
                "container {name} has the annotation {other}, which was not requested; images can have it"
            ));
        }
        if self.config.hostname != container.hostname {
            let other = &self.config.hostname;
            return Err(format!(
                "container {name} has the host name {other:?}, not {:?}",
                container.hostname
            ));
        }
        if container.network == super::Network::None && self.host_config.network_mode != "none" {
            return Err(format!(
                "container {name} has the network {:?}, not none",
                self.host_config.network_mode
            ));
        }
        Ok(())
    }
}
