//! Whether the installed engine can pass annotations to a runtime.

use std::fmt;

use serde::Deserialize;

use super::Kind;

/// An engine that cannot be used, and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused(String);

impl fmt::Display for Refused {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for Refused {}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    client: Option<Side>,
    server: Option<Side>,
}

#[derive(Deserialize)]
struct Side {
    #[serde(rename = "Version")]
    version: String,
    /// Podman's spelling; Docker has `ApiVersion`.
    #[serde(rename = "APIVersion")]
    podman: Option<String>,
}

/// The version that introduced `docker create --annotation`.
const LEAST_DOCKER: u32 = 24;

const LEAST_PODMAN: u32 = 4;

/// Reads the output of `version`.
///
/// # Errors
/// No daemon, another engine than configured, or too old a version.
pub fn accept(kind: Kind, answer: &str) -> Result<String, Refused> {
    let read: Answer = serde_json::from_str(answer.trim())
        .map_err(|error| Refused(format!("the engine's answer to `version` is not JSON: {error}")))?;
    let is_podman = read.client.as_ref().is_some_and(|client| client.podman.is_some());
    let version = match (kind, is_podman) {
        (Kind::Docker, true) => {
            return Err(Refused("docker is Podman here; set engine = \"podman\"".to_owned()));
        }
        (Kind::Podman, false) => {
            return Err(Refused("podman is Docker here; set engine = \"docker\"".to_owned()));
        }
        (Kind::Docker, false) => {
            let server =
                read.server.ok_or_else(|| Refused("no Docker daemon answers; start it".to_owned()))?;
            server.version
        }
        // Without a server it is the program itself.
        (Kind::Podman, true) => read.server.or(read.client).map(|side| side.version).unwrap_or_default(),
    };
    let major = version.split('.').next().and_then(|major| major.parse::<u32>().ok());
    let Some(major) = major else { return Err(Refused(format!("{version:?} is not a version"))) };
    match kind {
        Kind::Docker if major < LEAST_DOCKER => Err(Refused(format!(
            "Docker {version} cannot pass annotations to a runtime; install Docker {LEAST_DOCKER} or later, or Podman \
             {LEAST_PODMAN} or later and set engine = \"podman\""
        ))),
        Kind::Podman if major < LEAST_PODMAN => {
            Err(Refused(format!("Podman {version} is too old; install Podman {LEAST_PODMAN} or later")))
        }
        _ => Ok(version),
    }
}
