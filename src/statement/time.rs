//! Moments as they are stated: RFC 3339, UTC, milliseconds.

use std::time::{Duration, SystemTime};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::audit::time_stamp;

/// A moment, to the millisecond.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time(SystemTime);

impl Time {
    /// This moment.
    #[must_use]
    pub fn now() -> Self {
        SystemTime::now().into()
    }

    /// The same for system calls.
    #[must_use]
    pub fn system(self) -> SystemTime {
        self.0
    }
}

impl From<SystemTime> for Time {
    fn from(time: SystemTime) -> Self {
        let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let whole = Duration::new(since.as_secs(), since.subsec_millis() * 1_000_000);
        Self(SystemTime::UNIX_EPOCH + whole)
    }
}

impl std::fmt::Display for Time {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&time_stamp(self.0))
    }
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Only what [`Serialize`] writes.
impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let time = humantime::parse_rfc3339(&text).ok().map(Self::from);
        let exact = time.filter(|time| time.to_string() == text);
        exact.ok_or_else(|| serde::de::Error::custom("not a time such as 2026-11-25T15:08:44.000Z"))
    }
}

#[cfg(test)]
mod tests {
    use super::Time;

    #[test]
    fn only_one_text_is_a_moment() {
        let read = |text: &str| serde_json::from_str::<Time>(&format!("{text:?}"));
        let text = "2026-11-25T15:08:44.007Z";
        assert_eq!(read(text).unwrap().to_string(), text);
        for other in
            ["2026-11-25T15:08:44Z", "2026-11-25T15:08:44.0070Z", "2026-11-25 15:08:44.007Z", "", "1"]
        {
            assert!(read(other).is_err(), "{other}");
        }
    }
}
