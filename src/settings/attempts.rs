//! Whether what a container tries is counted: `[attempts]`.

use serde::Deserialize;

/// Whether and how far refused packets are counted.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct AttemptSettings {
    /// If not, nothing of a namespace is different.
    pub count: bool,
    /// The most destinations of each family, and in each direction, that a namespace keeps.
    pub destinations: u32,
}

impl Default for AttemptSettings {
    fn default() -> Self {
        Self { count: false, destinations: 1024 }
    }
}

impl AttemptSettings {
    /// The number of destinations, if they are counted.
    #[must_use]
    pub fn counted(&self) -> Option<u32> {
        self.count.then_some(self.destinations)
    }

    /// Checks the values; the message names the key.
    pub(super) fn check(&self) -> Result<(), String> {
        match self.destinations {
            1..=MOST => Ok(()),
            other => Err(format!("attempts.destinations: {other} is not within 1 to {MOST}")),
        }
    }
}

/// A few MiB of the kernel's memory for each container.
const MOST: u32 = 16384;
