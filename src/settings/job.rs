//! How long members of a job on other nodes of a cluster are waited for and trusted: `[job]`.

use std::time::Duration;

use serde::de::{Deserializer, Error};
use serde::{Deserialize, Serialize, Serializer};

/// Times that concern the members of a job of a Kubernetes namespace; none by default. They are recorded with the container.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct JobSettings {
    /// For how long `delete` of a member returns later, so that its address is not free before the other nodes know that
    /// it has left.
    #[serde(deserialize_with = "parsed", serialize_with = "shown", skip_serializing_if = "Option::is_none")]
    pub hold: Option<Duration>,
    /// For how long members on other nodes stay peers after the node's agent was last in contact with the API server.
    #[serde(deserialize_with = "parsed", serialize_with = "shown", skip_serializing_if = "Option::is_none")]
    pub lease: Option<Duration>,
}

impl JobSettings {
    /// Checks the values; the message names the key.
    pub(super) fn check(&self) -> Result<(), String> {
        let within = |key: &str, value: Option<Duration>, least: Duration, most: Duration| match value {
            Some(value) if value < least || value > most => {
                let [value, least, most] = [value, least, most].map(humantime::format_duration);
                Err(format!("job.{key}: \"{value}\" is not within {least} to {most}"))
            }
            _ => Ok(()),
        };
        within("hold", self.hold, Duration::from_millis(1), LONGEST_HOLD)?;
        within("lease", self.lease, SHORTEST_LEASE, LONGEST_LEASE)
    }
}

/// containerd ends a runtime's `delete` that takes more than five seconds, where its own shim has died.
const LONGEST_HOLD: Duration = Duration::from_secs(4);

/// Where nothing changes, the API server may send an agent nothing for 75 seconds; it then asks, and writes the time of the
/// answer down 20 seconds later at most.
const SHORTEST_LEASE: Duration = Duration::from_secs(120);
const LONGEST_LEASE: Duration = Duration::from_secs(24 * 3600);

fn parsed<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    let text = String::deserialize(deserializer)?;
    let duration = humantime::parse_duration(&text);
    let is_none = |error| D::Error::custom(format!("{text:?} is no time, such as \"2s\" or \"5m\": {error}"));
    duration.map(Some).map_err(is_none)
}

fn shown<S: Serializer>(duration: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
    let shown = duration.map(|duration| humantime::format_duration(duration).to_string());
    shown.serialize(serializer)
}
